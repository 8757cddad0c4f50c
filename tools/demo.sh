#!/bin/sh
# Two nodes that route to each other, one of them killed and brought back.  Usage: demo.sh BUILD
#
# Uses four ports from PAIL_DEMO_PORT (default 4040) on: N, N+1 of foo, N+100, N+101 of bar.  Everything
# lies in a temporary folder that goes at the end.
set -eu
b=$1
port=${PAIL_DEMO_PORT:-4040}
dir=$(mktemp -d)
foo="" bar=""

cleanup() {
	trap - EXIT INT TERM
	for p in $foo $bar; do kill "$p" 2>/dev/null || true; done
	for p in $foo $bar; do wait "$p" 2>/dev/null || true; done
	rm -rf "$dir"
}
trap cleanup EXIT
trap 'exit 1' INT TERM

# shellcheck source=tools/pair.sh
. "$(dirname "$0")/pair.sh"
WORKERS=1 pair_write "$dir" "$port" $((port + 1)) $((port + 100)) $((port + 101)) warn

wait_for() { # what command... : until it succeeds, 10 s at most
	what=$1
	shift
	i=0
	until "$@" >/dev/null 2>&1; do
		i=$((i + 1))
		[ $i -lt 100 ] || { echo "demo: waited in vain for $what" >&2; cat "$dir"/*.log >&2; exit 1; }
		sleep 0.1
	done
}
start() { # name
	: >"$dir/$1.out"
	"$b/paild" --config "$dir/$1.conf" >"$dir/$1.out" 2>>"$dir/$1.log" &
	eval "$1=$!"
	wait_for "node $1 to be ready" grep -q '^ready' "$dir/$1.out"
	sed 's/^/    /' "$dir/$1.out"
}
linked() { # name other
	"$b/pail" --config "$dir/$1.conf" status -o json | grep -q "\"name\":\"$2\",[^}]*\"state\":\"$3\""
}
say() {
	printf '\n%s\n' "$*"
}
run() { # node command...
	at=$((port + 100))
	[ "$1" = foo ] && at=$port
	name=$1
	shift
	echo "    $name\$ pail $*"
	"$b/pail" --node "tcp://127.0.0.1:$at" "$@" 2>&1 | sed 's/^/    /'
}

say "Two nodes with one table: buckets from a to m are foo's, from n to z bar's."
start foo
start bar
wait_for "the links" linked foo bar up
wait_for "the links" linked bar foo up

say "Any node can be asked for any bucket; who does not have it hands the request on."
run foo route hello
run foo route world
run foo create world
run foo put world greeting hello-from-foo
run bar get world greeting -o json
run bar create hello
run bar put hello greeting hello-from-bar
run foo get hello greeting -o json
run bar buckets

say "bar is killed (kill -9).  Its buckets cannot be reached, the others can."
kill -9 "$bar"
wait "$bar" 2>/dev/null || true
bar=""
wait_for "foo to notice" linked foo bar down
run foo get world greeting
run foo get hello greeting -o json

say "bar is started again: the link heals by itself, and nothing is lost."
start bar
wait_for "the link" linked foo bar up
run foo get world greeting -o json

say "No entry in the table is an error that shows it."
run foo get 42 greeting

say "That was all.  Both nodes stop, their data goes."
