#!/bin/bash
# What routing costs: the same load on one bucket, once through the node that has it and once through
# another node on the same machine, in turns.
#
#	bench/routed.sh [SECONDS] [ROUNDS]
set -eu
cd "$(dirname "$0")/.."
seconds=${1:-3} rounds=${2:-3}
keys=${KEYS:-100000}
build=build/release
dir=$(mktemp -d)
pids=""
cleanup() {
	# shellcheck disable=SC2086
	[ -z "$pids" ] || kill $pids 2>/dev/null || true
	wait 2>/dev/null || true
	rm -rf "$dir"
}
trap cleanup EXIT

free_port() {
	/usr/bin/python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}
p1=$(free_port) p2=$(free_port) p3=$(free_port) p4=$(free_port)
# shellcheck source=tools/pair.sh
. tools/pair.sh
pair_write "$dir" "$p1" "$p2" "$p3" "$p4" error
for n in foo bar; do
	$build/paild --config "$dir/$n.conf" >"$dir/$n.out" &
	pids="$pids $!"
done
until grep -q ready "$dir/foo.out" && grep -q ready "$dir/bar.out"; do sleep 0.1; done
routed=tcp://127.0.0.1:$p1 direct=tcp://127.0.0.1:$p3

echo "# $(nproc) cores for client and both nodes, keys $keys, 100 bytes, $seconds s a figure, best of $rounds in turns"
$build/pail --node "$direct" bench --bucket zebra --load --keep --keys "$keys" --requests 1 >/dev/null

one() { # endpoint clients in-flight batch reads
	$build/pail --node "$1" bench --keep --bucket zebra --keys "$keys" --clients "$2" --in-flight "$3" --batch "$4" --reads "$5" \
		--seconds "$seconds" -o json | sed -n 's/.*"failed":0,.*"per_second":\([0-9]*\),.*/\1/p'
}
pair() { # clients in-flight batch reads
	local i d r top_d=1 top_r=0
	for i in $(seq "$rounds"); do
		d=$(one "$direct" "$@") r=$(one "$routed" "$@")
		[ "${d:-0}" -gt "$top_d" ] && top_d=$d
		[ "${r:-0}" -gt "$top_r" ] && top_r=$r
	done
	awk -v d="$top_d" -v r="$top_r" 'BEGIN { printf " %d | %d | %d %% |", d, r, 100 * r / d }'
}
echo "| clients x in flight | direct gets/s | routed gets/s | | direct puts/s | routed puts/s | |"
echo "| --- | --- | --- | --- | --- | --- | --- |"
for row in "1 1 1" "1 16 16" "4 16 16" "50 16 16" "4 64 16" "4 256 16" "4 1024 64" "4 4096 256"; do
	read -r clients in_flight batch <<<"$row"
	printf '| %s x %s, %s a frame |' "$clients" "$in_flight" "$batch"
	pair "$clients" "$in_flight" "$batch" 100
	pair "$clients" "$in_flight" "$batch" 0
	echo
done
