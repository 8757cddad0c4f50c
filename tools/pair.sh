# Sourced: the configurations of two nodes, foo and bar, that share the tutorial's table.
#
#	pair_write DIR FOO_CLIENT FOO_PEER BAR_CLIENT BAR_PEER LOG_LEVEL [FOO_PUBLIC BAR_PUBLIC]
#
# writes DIR/foo.conf and DIR/bar.conf; the data goes into DIR too.  With public keys the nodes have keys:
# their pairs are DIR/foo.key and DIR/bar.key, and the clients of both are in DIR/clients.
pair_one() { # dir name client-port peer-port other other-peer-port log other-public
	cat >"$1/$2.conf" <<EOF
[node]
name = $2
client = tcp://127.0.0.1:$3
peer = tcp://127.0.0.1:$4
data = $1/$2
workers = ${WORKERS:-0}
log = $7

[peers]
$5 = tcp://127.0.0.1:$6 ${8:-}

[routes]
a-m = foo
n-z = bar
EOF
	[ -z "${8:-}" ] || printf '\n[security]\nkey = %s\nclients = %s\n' "$1/$2.key" "$1/clients" >>"$1/$2.conf"
}
pair_write() {
	pair_one "$1" foo "$2" "$3" bar "$5" "$6" "${8:-}"
	pair_one "$1" bar "$4" "$5" foo "$3" "$6" "${7:-}"
}
