# shellcheck shell=bash
# Sourced: an etcd and the configurations of nodes with copies, all on this machine.
#
#	etcd_start DIR MEMBERS PORT     starts members on PORT, PORT+2, …; their pids in $etcd_pids, their URLs in $etcd
#	cluster_write DIR NAME CLIENT PEER [SETTINGS]     writes DIR/NAME.conf, with lines of sections behind it
etcd_pids="" etcd=""

etcd_start() { # dir members port
	local i all=""
	etcd_pids="" etcd=""
	for i in $(seq 0 $(($2 - 1))); do
		all="$all,m$i=http://127.0.0.1:$(($3 + 2 * i + 1))"
		etcd="$etcd,http://127.0.0.1:$(($3 + 2 * i))"
	done
	etcd=${etcd#,}
	for i in $(seq 0 $(($2 - 1))); do
		# Flags and no file: with a file Debian's etcd does not answer JSON.
		env -i PATH="$PATH" etcd --name "m$i" --data-dir "$1/etcd-$i" \
			--listen-client-urls "http://127.0.0.1:$(($3 + 2 * i))" --advertise-client-urls "http://127.0.0.1:$(($3 + 2 * i))" \
			--listen-peer-urls "http://127.0.0.1:$(($3 + 2 * i + 1))" --initial-advertise-peer-urls "http://127.0.0.1:$(($3 + 2 * i + 1))" \
			--initial-cluster "${all#,}" --initial-cluster-token "$1" --logger zap --log-level error >>"$1/etcd-$i.log" 2>&1 &
		etcd_pids="$etcd_pids $!"
	done
}
etcd_up() { # dir: its health, of each member
	local url
	for url in ${etcd//,/ }; do
		(exec 3<>"/dev/tcp/127.0.0.1/${url##*:}" && printf 'GET /health HTTP/1.0\r\n\r\n' >&3 && grep -q '"health":"true"' <&3) 2>/dev/null || return 1
	done
}
cluster_write() { # dir name client peer [more]
	cat >"$1/$2.conf" <<END
[node]
name = $2
client = tcp://127.0.0.1:$3
peer = tcp://127.0.0.1:$4
data = $1/$2
workers = ${WORKERS:-1}
log = ${LOG:-warn}

[cluster]
name = demo
etcd = $etcd

[routes]
* = ring
${5:-}
END
}
