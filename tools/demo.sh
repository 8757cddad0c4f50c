#!/bin/bash
# Two nodes that route to each other, one of them killed and brought back; then the same two with keys, and
# a client that may write to one bucket.  Usage: demo.sh BUILD
#
# Takes four free ports, or those from PAIL_DEMO_PORT on: N, N+1 of foo, N+100, N+101 of bar.  Everything
# lies in a temporary folder that goes at the end.
set -eu
b=$1
taken() { # port
	(: <>"/dev/tcp/127.0.0.1/$1") 2>/dev/null
}
if [ -n "${PAIL_DEMO_PORT:-}" ]; then
	port=$PAIL_DEMO_PORT
	[[ $port =~ ^[1-9][0-9]{0,4}$ ]] && [ "$port" -le 65434 ] || {
		echo "demo: PAIL_DEMO_PORT=$port is no port: 1 to 65434" >&2
		exit 2
	}
	for p in "$port" $((port + 1)) $((port + 100)) $((port + 101)); do
		if taken "$p"; then
			echo "demo: port $p is taken: set PAIL_DEMO_PORT=N so that N, N+1, N+100 and N+101 are free, or leave it unset" >&2
			exit 1
		fi
	done
else
	# Below the ports that the kernel gives to connections.
	port=4040
	while taken $port || taken $((port + 1)) || taken $((port + 100)) || taken $((port + 101)); do
		port=$((port + 2))
		[ $port -lt 32000 ] || { echo "demo: no free ports from 4040 to 32000" >&2; exit 1; }
	done
fi
# Settings of the caller's own nodes are not for these two.
for v in $(compgen -e PAIL_); do unset "$v"; done
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

give_up() { # why
	echo "demo: $1; ports from $port on (PAIL_DEMO_PORT=N chooses others); the logs:" >&2
	cat "$dir"/*.log >&2
	exit 1
}
wait_for() { # what command... : until it succeeds, 10 s at most
	what=$1
	shift
	i=0
	until "$@" >/dev/null 2>&1; do
		i=$((i + 1))
		[ $i -lt 100 ] || give_up "waited in vain for $what"
		for n in foo bar; do # waiting is no use where one has died
			[ -z "${!n}" ] || kill -0 "${!n}" 2>/dev/null || give_up "node $n has ended"
		done
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
stop() { # name
	kill "${!1}"
	wait "${!1}" 2>/dev/null || true
	eval "$1="
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
# The shell says of a child that was killed where it notes it: not among what the demonstration says.
{ kill -9 "$bar" && wait "$bar"; } 2>/dev/null || true
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

say "Both nodes stop.  Until now they have trusted whoever reached them: now each gets a pair of keys."
stop foo
stop bar
public() { # key file
	"$b/pail" key show "$1" -o raw | cut -d' ' -f2
}
for n in foo bar; do
	"$b/pail" key new $n --file "$dir/$n.key" >/dev/null 2>&1
	echo "    $n: $(public "$dir/$n.key")"
done
WORKERS=1 pair_write "$dir" "$port" $((port + 1)) $((port + 100)) $((port + 101)) warn "$(public "$dir/foo.key")" "$(public "$dir/bar.key")"

say "So do two clients.  The nodes' file of clients says what each may."
client() { # name rights
	"$b/pail" key new "$1" --file "$dir/$1.key" --node-key "$(public "$dir/foo.key") $(public "$dir/bar.key")" 2>/dev/null |
		sed "s/ read:\* write:\*\$/ $2/"
}
client shop 'read:world write:world' >"$dir/clients"
client ops 'admin:* create:*' >>"$dir/clients"
sed 's/^/    /' "$dir/clients"
start foo
start bar
wait_for "the links" linked foo bar up
wait_for "the links" linked bar foo up
as() { # client node command...
	name=$1
	at=$((port + 100))
	[ "$2" = foo ] && at=$port
	echo "    $name at $2\$ pail ${*:3}"
	"$b/pail" --node "tcp://127.0.0.1:$at" --key "$dir/$name.key" "${@:3}" 2>&1 | sed 's/^/    /'
}

say "shop may read and write one bucket, through any of the two; ops makes buckets, and does not read them."
as shop foo whoami
as shop foo put world greeting hello-from-shop
as shop bar get world greeting -o json
as shop foo get hello greeting
as shop foo drop world
as ops bar create world2
as ops foo get world greeting

say "A stranger has made itself a pair; it knows foo's key, and foo does not know it.  Without any, nobody gets a word in."
client eve 'read:*' >/dev/null
as eve foo get world greeting
run foo get world greeting

say "shop's line is taken out of the file.  From the reload on it is nobody."
sed -i '/^shop /d' "$dir/clients"
for n in foo bar; do
	echo "    $n\$ pail --config $n.conf reload"
	"$b/pail" --config "$dir/$n.conf" reload | sed 's/^/    /'
done
as shop foo get world greeting

say "That was all.  Both nodes stop, their data goes."
