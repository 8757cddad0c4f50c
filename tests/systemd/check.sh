#!/bin/bash
# Inside the container: what operators do with pail@foo and pail@bar, under load, and what clients see of it.
foo=tcp://127.0.0.1:4040 bar=tcp://127.0.0.1:4140
check() { # name command...
	local name=$1
	shift
	if "$@" >/tmp/out 2>&1; then echo "ok $name"; else
		echo "not ok $name"
		sed 's/^/# /' /tmp/out | tail -15
		journalctl --no-pager -n 15 -u 'pail@*' | sed 's/^/# /'
	fi
}
until_ok() { # seconds command...
	local n=$(($1 * 10))
	shift
	until "$@"; do
		n=$((n - 1))
		[ $n -gt 0 ] || return 1
		sleep 0.1
	done
}
property() { systemctl show -P "$2" "pail@$1"; }
is() { [ "$1" = "$2" ] || { echo "want $2, got $1"; return 1; }; }
requests() { pail --node "$1" status -o json | sed 's/.*"totals":{"requests":\([0-9]*\).*/\1/'; }
loaded() { # the load has begun
	local before
	before=$(requests "$1") && sleep 0.1 && [ $(($(requests "$1") - before)) -gt 1000 ]
}
load_begin() { # seconds endpoint [more]
	local seconds=$1 node=$2
	shift 2
	pail --node "$node" bench --bucket zebra --keep --seconds "$seconds" --clients 2 --in-flight 64 --keys 10000 --timeout 20000 -o json "$@" >/tmp/load 2>&1 &
	load=$!
	until_ok 10 loaded "$node"
}
load_end() { # no request failed, and some went through
	wait "$load" && grep -q '"failed":0,' /tmp/load && { grep -o '"per_second":[0-9]*\|"p999_us":[0-9]*\|"max_us":[0-9]*' /tmp/load | tr '\n' ' '; echo; } && return 0
	cat /tmp/load
	return 1
}
linked() { pail --node $foo status -o json | grep -q '"name":"bar",[^}]*"state":"up"' && pail --node $bar status -o json | grep -q '"name":"foo",[^}]*"state":"up"'; }
both_start() { systemctl start pail@foo pail@bar && is "$(property foo ActiveState)" active && is "$(property bar ActiveState)" active && until_ok 5 linked; }
check "two instances start and say that they are ready" both_start
pail --node $foo ping >/dev/null || {
	echo end # what follows would only repeat it
	exit 1
}
routed() { pail --node $foo create zebra && pail --node $foo put zebra k v && is "$(pail --node $bar get zebra k)" v; }
check "they route to each other" routed
gateway() {
	exec 3<>/dev/tcp/127.0.0.1/4042
	printf 'GET zebra k\nGET nothing k\n' >&3
	is "$(head -3 <&3 | tr -d '\r' | tr '\n' ' ')" "v OK NOT FOUND "
}
check "the gateway serves" gateway
check "the unit is exposed to little" bash -c 'systemd-analyze security --no-pager pail@foo.service | tail -1 | grep -E " (0\.[0-9]|1\.[0-2]) "'

reloads() {
	local before
	before=$(property foo MainPID)
	load_begin 5 $foo
	sed -i 's/^n-z = bar/n-y = bar\nz = bar/' /etc/pail/foo.conf
	systemctl reload pail@foo || return 1
	is "$(property foo ActiveState)" active && is "$(property foo MainPID)" "$before" || return 1
	pail --node $foo status -o json | grep -q '"upgrades":1,.*"entry":"n-y"' || return 1
	load_end
}
check "systemctl reload under load: another table, the same process, and no request fails" reloads
sed 's/^/# load: /' /tmp/out | tail -1
bad_reload() {
	cp /etc/pail/foo.conf /tmp/foo.conf
	echo 'z-a = nobody' >>/etc/pail/foo.conf
	! systemctl reload pail@foo || return 1
	cp /tmp/foo.conf /etc/pail/foo.conf
	is "$(property foo ActiveState)" active && is "$(pail --node $foo get zebra k)" v
}
check "a bad configuration does not stop a running unit" bad_reload
paced() { # a second: ten upgrades in place at that pace
	load_begin 8 $bar --rate "$1"
	for _ in 1 2 3 4 5 6 7 8 9 10; do
		systemctl reload pail@bar || return 1
		sleep 0.2
	done
	load_end
}
for rate in 5000 100000; do
	check "ten upgrades in place at $rate requests a second: none fails" paced $rate
	sed 's/^/# load: /' /tmp/out | tail -1
done
rolling() {
	load_begin 6 $bar
	for _ in 1 2 3; do pail --config /etc/pail/bar.conf worker restart || return 1; done
	load_end
}
check "three rolling restarts of all workers under load: no request fails" rolling
sed 's/^/# load: /' /tmp/out | tail -1
worker_pids() { pail --node $bar status -o json | grep -o '"id":[0-9]*,"pid":[0-9]*' | cut -d: -f3; }
workers() {
	load_begin 6 $foo
	for _ in 1 2 3; do
		for p in $(worker_pids); do kill -9 "$p"; done
		sleep 1
	done
	load_end && is "$(property bar NRestarts)" 0
}
check "workers killed under load: no request fails, the unit lives on" workers
sed 's/^/# load: /' /tmp/out | tail -1
restart() {
	local before
	before=$(property bar MainPID)
	load_begin 6 $bar
	systemctl restart pail@bar || return 1
	[ "$(property bar MainPID)" != "$before" ] || return 1
	load_end
}
check "systemctl restart under load: clients that obey goaway see no failure" restart
sed 's/^/# load: /' /tmp/out | tail -1
until_ok 5 linked
sockets() {
	mkdir -p /etc/systemd/system/pail@bar.socket.d
	printf '[Socket]\nListenStream=\nListenStream=127.0.0.1:4140\n' >/etc/systemd/system/pail@bar.socket.d/port.conf
	systemctl daemon-reload && systemctl stop pail@bar && systemctl start pail@bar.socket && is "$(property bar ActiveState)" inactive || return 1
	is "$(pail --node $bar get zebra k --timeout 20000)" v || return 1 # who connects starts it
	is "$(property bar ActiveState)" active || return 1
	load_begin 6 $bar
	systemctl restart pail@bar || return 1
	load_end
}
check "pail@.socket: a connection starts the node, and a restart under load turns nobody away" sockets
sed 's/^/# load: /' /tmp/out | tail -1
until_ok 5 linked
keyed() { # the pair of keys is that of zmq_curve(7)
	install -d -m700 /etc/credstore
	{
		echo 'name = keyed'
		echo 'public = rq:rM>}U?@Lns47E1%kR.o@n%FcmmsL/@{H8]yf7'
		echo 'secret = JTKVSB%%)wK0E.X)V>+}o?pNmC{O&4W4b!Ni{Lh6'
	} >/etc/credstore/pail-keyed.key
	chmod 600 /etc/credstore/pail-keyed.key
	echo 'shop Yne@$w-vo<fVvi]a<NY6T1ed:M$fCG*[IaLV{hID read:*' >/etc/pail/keyed.clients
	cat >/etc/pail/keyed.conf <<-'END'
		[node]
		name = keyed
		client = tcp://0.0.0.0:4340
		data = /var/lib/pail/keyed
		workers = 1
		[storage]
		map = 4G
		[security]
		key = /run/credentials/pail@keyed.service/node.key
		clients = /etc/pail/keyed.clients
	END
	systemctl start pail@keyed && is "$(property keyed ActiveState)" active || return 1
	pail --config /etc/pail/keyed.conf status | grep -q '^node: keyed$' || return 1
	! pail --node tcp://127.0.0.1:4340 --timeout 2000 ping || return 1
	systemctl reload pail@keyed && is "$(property keyed ActiveState)" active || return 1
	systemctl stop pail@keyed
	rm /etc/credstore/pail-keyed.key
	! systemctl start pail@keyed || return 1
	journalctl --no-pager -u pail@keyed | grep 'keyed.conf:9: .*node.key'
}
check "a node has its pair of keys from /etc/credstore, where others have none" keyed
killed() {
	pail --node $bar put zebra before kill || return 1
	kill -9 "$(property bar MainPID)"
	until_ok 10 test "$(property bar NRestarts)" = 1 || until_ok 10 bash -c '[ "$(systemctl show -P NRestarts pail@bar)" = 1 ]'
	until_ok 10 pail --node $bar ping && is "$(pail --node $bar get zebra before)" kill && until_ok 10 linked && is "$(pail --node $foo get zebra before)" kill
}
check "kill -9 of the coordinator: systemd starts it again, nothing acknowledged is lost" killed
watchdog() {
	mkdir -p /run/systemd/system/pail@bar.service.d
	printf '[Service]\nWatchdogSec=2\n' >/run/systemd/system/pail@bar.service.d/watchdog.conf
	systemctl daemon-reload && systemctl restart pail@bar || return 1
	sleep 3
	is "$(property bar ActiveState)" active || return 1
	old=$(property bar MainPID)
	kill -STOP "$old"
	until_ok 15 bash -c "[ \"\$(systemctl show -P MainPID pail@bar)\" != $old ] && [ \"\$(systemctl show -P ActiveState pail@bar)\" = active ]" || return 1
	until_ok 10 pail --node $bar ping && is "$(pail --node $bar get zebra before)" kill
	journalctl --no-pager -u pail@bar | grep -q -i watchdog
}
check "a coordinator that stands still is found by the watchdog and replaced" watchdog
stops() {
	systemctl stop pail@bar.socket && systemctl start pail.target && systemctl stop pail.target && until_ok 20 bash -c '[ "$(systemctl show -P ActiveState pail@bar)" = inactive ]' && until_ok 20 bash -c '[ "$(systemctl show -P ActiveState pail@foo)" = inactive ]' && is "$(property bar ActiveState)" inactive && is "$(property foo ActiveState)" inactive && is "$(property foo Result)" success
}
check "pail.target stops them all in order" stops
leftovers() { ! pgrep -x 'paild|pail-worker|pail-gateway'; }
check "nothing is left behind" leftovers
echo end
