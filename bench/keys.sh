#!/bin/bash
# What keys cost: the same programs against two nodes, one with keys and one without, in turns.  First how many
# connections are made and answered in a second, then how many gets and puts, by the requests in a frame.  The
# ratio is the median of each turn's.
#
#	bench/keys.sh [SECONDS] [ROUNDS]
set -eu
cd "$(dirname "$0")/.."
seconds=${1:-3} rounds=${2:-5}
keys=${KEYS:-100000}
b=build/release
for v in $(compgen -e PAIL_); do unset "$v"; done
dir=$(mktemp -d)
pids=""
cleanup() {
	# shellcheck disable=SC2086
	[ -z "$pids" ] || kill $pids 2>/dev/null || true
	wait 2>/dev/null || true
	rm -rf "$dir"
}
trap cleanup EXIT

$b/pail key new node --file "$dir/node.key" >/dev/null 2>&1
$b/pail key new client --file "$dir/client.key" --node-key "$($b/pail key show "$dir/node.key" -o raw | cut -d' ' -f2)" 2>/dev/null |
	sed 's/$/ create:*/' >"$dir/clients"
start() { # name settings...: its endpoint, into $endpoint
	local name=$1
	shift
	$b/paild --dev --data "$dir/$name" --port 0 --set node.workers=1 --set node.log=error --set storage.reserve=1M "$@" >"$dir/$name.out" &
	pids="$pids $!"
	for _ in $(seq 100); do
		grep -q ready "$dir/$name.out" && break
		sleep 0.1
	done
	endpoint=$(sed -n 's/.*listens on \([^ ,]*\).*/\1/p' "$dir/$name.out")
	[ -n "$endpoint" ]
}
start plain
plain=$endpoint
start curve --set security.key="$dir/node.key" --set security.clients="$dir/clients"
curve=$endpoint

handshakes() { # at-a-time, with keys or not
	if [ "$2" = plain ]; then
		$b/bench/handshakes "$plain" "$1" "$seconds"
	else
		$b/bench/handshakes "$curve" "$1" "$seconds" "$dir/client.key"
	fi
}
load() { # "CONNECTIONS BATCH READS", with keys or not
	local at="--node $plain --key=" connections batch reads
	read -r connections batch reads <<<"$1"
	[ "$2" = plain ] || at="--node $curve --key $dir/client.key"
	# shellcheck disable=SC2086
	$b/pail $at bench --keep --keys "$keys" --clients "$connections" --in-flight "$batch" --batch "$batch" --reads "$reads" \
		--seconds "$seconds" -o json | sed -n 's/.*"failed":0,.*"per_second":\([0-9]*\),.*/\1/p'
}
median() {
	sort -n | sed -n "$(((rounds + 1) / 2))p"
}
row() { # label function argument
	local ratio
	: >"$dir/p"
	: >"$dir/c"
	for _ in $(seq "$rounds"); do
		$2 "$3" plain >>"$dir/p"
		$2 "$3" curve >>"$dir/c"
	done
	[ "$(cat "$dir/p" "$dir/c" | wc -l)" = $((2 * rounds)) ] || { # a run in which a request failed has no figure
		echo "keys.sh: $1: requests have failed" >&2
		exit 1
	}
	ratio=$(paste "$dir/c" "$dir/p" | awk '{ printf "%.2f\n", $1 / $2 }' | median) # of neighbours, since machines have moods
	echo "| $1 | $(median <"$dir/p") | $(median <"$dir/c") | $ratio |"
}

echo "# $(nproc) cores for client and node ($(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -1)), $keys keys, 100 bytes, $seconds s a figure, medians of $rounds in turns"
for k in plain curve; do # so that gets find what they ask for
	[ $k = plain ] && at="--node $plain --key=" || at="--node $curve --key $dir/client.key"
	# shellcheck disable=SC2086
	$b/pail $at bench --load --keep --keys "$keys" --requests 1 >/dev/null
done
echo "| | without keys | with keys | ratio |"
echo "| --- | --- | --- | --- |"
row "connections/s, one after the other" handshakes 1
row "connections/s, 50 at a time" handshakes 50
for batch in 1 16 256; do
	row "gets/s, 50 connections, $batch a frame" load "50 $batch 100"
	row "puts/s, 50 connections, $batch a frame" load "50 $batch 0"
done
