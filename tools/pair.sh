# Sourced: the configurations of two nodes, foo and bar, that share the tutorial's table.
#
#	pair_write DIR FOO_CLIENT FOO_PEER BAR_CLIENT BAR_PEER LOG_LEVEL
#
# writes DIR/foo.conf and DIR/bar.conf; the data goes into DIR too.
pair_one() { # dir name client-port peer-port other other-peer-port log
	cat >"$1/$2.conf" <<EOF
[node]
name = $2
client = tcp://127.0.0.1:$3
peer = tcp://127.0.0.1:$4
data = $1/$2
workers = ${WORKERS:-0}
log = $7

[peers]
$5 = tcp://127.0.0.1:$6

[routes]
a-m = foo
n-z = bar
EOF
}
pair_write() {
	pair_one "$1" foo "$2" "$3" bar "$5" "$6"
	pair_one "$1" bar "$4" "$5" foo "$3" "$6"
}
