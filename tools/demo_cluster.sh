#!/bin/bash
# Three nodes that hold copies of each other's buckets, and an etcd by which they agree: one of the nodes is killed under
# load, and is back in sync a few seconds after it was started again.  Usage: demo_cluster.sh BUILD
#
# Takes eight free ports, or those from PAIL_DEMO_PORT on.  All data lies in BUILD/ring, which goes at the end.
set -eu
b=$1
command -v etcd >/dev/null || {
	echo "demo: there is no etcd here: apt-get install etcd-server" >&2
	exit 1
}
taken() { # port
	(: <>"/dev/tcp/127.0.0.1/$1") 2>/dev/null
}
free() { # port: it and the seven behind it
	local p
	for p in $(seq "$1" $(($1 + 7))); do
		! taken "$p" || return 1
	done
}
port=${PAIL_DEMO_PORT:-4040}
if [ -n "${PAIL_DEMO_PORT:-}" ]; then
	[[ $port =~ ^[1-9][0-9]{0,4}$ ]] && [ "$port" -le 65528 ] || {
		echo "demo: PAIL_DEMO_PORT=$port is no port: 1 to 65528" >&2
		exit 2
	}
	free "$port" || {
		echo "demo: of the ports $port to $((port + 7)) some are taken: set PAIL_DEMO_PORT=N so that N to N+7 are free, or leave it unset" >&2
		exit 1
	}
else
	while ! free "$port"; do
		port=$((port + 8))
		[ "$port" -lt 32000 ] || {
			echo "demo: no free ports from 4040 to 32000" >&2
			exit 1
		}
	done
fi
# Settings of the caller's own nodes are not for these.
for v in $(compgen -e PAIL_); do unset "$v"; done
mkdir -p "$b/ring"
dir=$(mktemp -d -p "$b/ring")
dir=$(cd "$dir" && pwd)
declare -A pid
load=""

cleanup() {
	trap - EXIT INT TERM
	[ -z "$load" ] || kill "$load" 2>/dev/null || true
	for p in "${pid[@]}"; do kill "$p" 2>/dev/null || true; done
	for p in "${pid[@]}"; do wait "$p" 2>/dev/null || true; done
	for p in $etcd_pids; do kill "$p" 2>/dev/null || true; done
	for p in $etcd_pids; do wait "$p" 2>/dev/null || true; done
	rm -rf "$dir"
}
# shellcheck source=tools/cluster.sh
. "$(dirname "$0")/cluster.sh"
trap cleanup EXIT
trap 'exit 1' INT TERM

give_up() { # why
	echo "demo: $1; ports $port to $((port + 7)) (PAIL_DEMO_PORT=N chooses others); the logs:" >&2
	tail -n 20 "$dir"/*.log >&2
	exit 1
}
wait_for() { # what seconds command... : until it succeeds
	local what=$1 tries=$(($2 * 10)) n
	shift 2
	until "$@" >/dev/null 2>&1; do
		tries=$((tries - 1))
		[ "$tries" -gt 0 ] || give_up "waited in vain for $what"
		for n in "${!pid[@]}"; do # waiting is no use where one has died
			kill -0 "${pid[$n]}" 2>/dev/null || give_up "node $n has ended"
		done
		sleep 0.1
	done
}
start() { # name
	: >"$dir/$1.out"
	"$b/paild" --config "$dir/$1.conf" >"$dir/$1.out" 2>>"$dir/$1.log" &
	pid[$1]=$!
	wait_for "node $1 to be ready" 20 grep -q '^ready' "$dir/$1.out"
	sed 's/^/    /' "$dir/$1.out"
}
say() {
	printf '\n%s\n' "$*"
}
at() { # name: its endpoint
	case $1 in a) echo "tcp://127.0.0.1:$((port + 2))" ;; b) echo "tcp://127.0.0.1:$((port + 4))" ;; c) echo "tcp://127.0.0.1:$((port + 6))" ;; esac
}
run() { # node command...
	local name=$1
	shift
	echo "    $name\$ pail $*"
	"$b/pail" --node "$(at "$name")" "$@" 2>&1 | sed 's/^/    /'
}
cluster() { # node command...
	local name=$1
	shift
	echo "    $name\$ pail --config $name.conf cluster $*"
	"$b/pail" --config "$dir/$name.conf" cluster "$@" 2>&1 | sed 's/^/    /'
	[ "${PIPESTATUS[0]}" = 0 ] || give_up "pail cluster $1 has failed"
}
in_sync() { # node: by its verdict
	"$b/pail" --config "$dir/$1.conf" cluster status | grep -q '^all is well'
}
registered() { # all three
	local n
	for n in a b c; do
		"$b/pail" --config "$dir/a.conf" cluster status | grep -q "^$n " || return 1
	done
}
others_go_on() { # node: not all copies are in sync, and yet all is served
	"$b/pail" --config "$dir/$1.conf" cluster status | grep -q '^all partitions are served'
}

say "An etcd, by which the nodes agree who leads what.  It holds no data, and nobody asks it while nothing fails."
etcd_start "$dir" 1 "$port"
wait_for "etcd" 20 etcd_up "$dir"
echo "    $etcd"

say "Three nodes.  Their files name the cluster and its etcd, and not each other; each registers itself."
i=2
for n in a b c; do
	cluster_write "$dir" $n $((port + i)) $((port + i + 1))
	i=$((i + 2))
done
sed -n '/^\[cluster/,$p' "$dir/a.conf" | sed 's/^/    /'
for n in a b c; do start $n; done

say "Once, on any of them: how many copies there are of each bucket, and on which nodes."
wait_for "the nodes to know of each other" 20 registered
cluster a create --factor 3 a b c
wait_for "all copies to be in sync" 20 in_sync a
cluster a status

say "A bucket.  Whichever node is asked, the answer is the same; route says who leads it, and who has copies."
run a create fruit
run b put fruit apple red
run c get fruit apple -o json
run a route fruit -o json
led=$("$b/pail" --node "$(at a)" route fruit -o json | sed 's/.*"node":"\([^"]*\)".*/\1/')
[ -n "${pid[$led]:-}" ] || give_up "nobody leads the bucket"
other=a
[ "$led" != a ] || other=b

say "A load of puts and gets through node $other.  After three seconds the node that leads the bucket, $led, is killed (kill -9)."
"$b/pail" --node "$(at "$other")" bench --retry --bucket load --buckets 8 --clients 2 --in-flight 16 --batch 4 --rate 2000 --seconds 14 --timeout 20000 >"$dir/load" 2>&1 &
load=$!
sleep 3
killed=${pid[$led]}
children=$(cat "/proc/$killed/task/$killed/children")
unset "pid[$led]"
# shellcheck disable=SC2086
{ kill -9 "$killed" $children && wait "$killed"; } 2>/dev/null || true
begin=${EPOCHREALTIME/./}
run "$other" put fruit apple green --timeout 10000
printf '    that took %d ms\n' $(((${EPOCHREALTIME/./} - begin) / 1000))
run "$other" get fruit apple -o json
run "$other" route fruit -o json
wait_for "the others to go on without it" 20 others_go_on "$other"
cluster "$other" status

say "$led is started again.  Nobody has to tell it what it missed."
start "$led"
wait_for "all copies to be in sync" 60 in_sync "$other"
cluster "$other" status
run "$led" get fruit apple -o json

say "And the load?  It came with libpail's retry: what was on its way to $led when that died was sent again, in a session, so
that each write is done once.  It saw a pause, and no error."
failed=""
wait "$load" || failed=1
load=""
sed 's/^/    /' "$dir/load"
[ -z "$failed" ] || give_up "requests of the load have failed"

say "etcd is killed.  Nobody notices, as long as no node fails."
for p in $etcd_pids; do
	{ kill -9 "$p" && wait "$p"; } 2>/dev/null || true
done
etcd_pids=""
sleep 3
run a put fruit pear yellow
run b get fruit pear -o json
cluster c status

say "That was all.  The nodes stop, their data goes.  docs/ring.md is for who wants to keep them."
