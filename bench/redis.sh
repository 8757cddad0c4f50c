#!/bin/bash
# Pail and Redis side by side, in turns, each row in the same minute: durable writes and reads of
# 100-byte values over 1,000,000 keys, as many requests in flight on both sides, client included.
#
#	bench/redis.sh [SECONDS] [ROUNDS]     JSON=1 prints a line for each figure
set -eu
cd "$(dirname "$0")/.."
tools/deps.sh bench
seconds=${1:-3} rounds=${2:-3}
keys=${KEYS:-1000000}
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

mkdir "$dir/redis"
port=$(/usr/bin/python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
redis-server --port "$port" --bind 127.0.0.1 --dir "$dir/redis" --appendonly yes --appendfsync always --save "" >/dev/null 2>&1 &
pids="$!"
# shellcheck disable=SC2086
$build/paild --dev --data "$dir/pail" --port 0 ${PAILD_ARGS:-} >"$dir/ready" 2>"$dir/log" &
pids="$pids $!"
until grep -q ready "$dir/ready" && redis-cli -p "$port" ping >/dev/null 2>&1; do sleep 0.1; done
PAIL_NODE=$(sed 's/.* //' "$dir/ready")
export PAIL_NODE

echo "# $(nproc) cores, $(redis-server --version | awk '{print $3}'), keys $keys, $seconds s a figure, best of $rounds"
$build/pail bench --load --keep --buckets 16 --keys "$keys" --batch 64 --in-flight 1024 --reads 100 --seconds 1 >/dev/null
redis-benchmark -p "$port" -t set -n "$keys" -r "$keys" -d 100 -c 50 -P 64 -q >/dev/null

pail() { # clients in-flight batch reads
	$build/pail bench --keep --buckets 16 --keys "$keys" --clients "$1" --in-flight "$2" --batch "$3" --reads "$4" --seconds "$seconds" -o json |
		sed -n 's/.*"failed":\([0-9]*\),.*"per_second":\([0-9]*\),.*/\2/p'
}
redis() { # pipeline command requests
	redis-benchmark -p "$port" -t "$2" -n "$3" -r "$keys" -d 100 -c 50 -P "$1" --csv 2>/dev/null |
		tail -1 | cut -d'"' -f4 | cut -d. -f1
}
best() { # command...
	local i x top=0
	for i in $(seq "$rounds"); do
		x=$("$@")
		[ "${x:-0}" -gt "$top" ] && top=$x
	done
	echo "$top"
}
row() { # clients in-flight batch redis-pipeline redis-requests
	local pg pp rg rp
	rg=$(best redis "$4" get "$5") pg=$(best pail "$1" "$2" "$3" 100)
	rp=$(best redis "$4" set "$5") pp=$(best pail "$1" "$2" "$3" 0)
	awk -v a="$1" -v b="$2" -v c="$3" -v d="$4" -v pg="$pg" -v rg="$rg" -v pp="$pp" -v rp="$rp" 'BEGIN {
		printf "| %s x %s, %s a frame | -c 50 -P %s | %d | %d | %.1f | %d | %d | %.1f |\n", a, b, c, d, pg, rg, pg / rg, pp, rp, pp / rp }'
}

echo "| Pail: clients x in flight | Redis | Pail gets/s | Redis gets/s | ratio | Pail puts/s | Redis puts/s | ratio |"
echo "| --- | --- | --- | --- | --- | --- | --- | --- |"
row 4 256 16 16 $((seconds * 300000))
row 4 1024 64 64 $((seconds * 300000))
row 4 4096 256 256 $((seconds * 400000))
row 50 16 16 16 $((seconds * 300000))
row 4 256 1 1 $((seconds * 50000))

# Data ten times the cache: most reads come from base.  Redis has it all in memory, as it must.
kill "${pids##* }" && wait "${pids##* }" 2>/dev/null || true
cache=$((keys * 180 / 10 / 1048576))M
# shellcheck disable=SC2086
$build/paild --dev --data "$dir/pail" --port 0 --set limits.cache=$cache ${PAILD_ARGS:-} >"$dir/ready" 2>>"$dir/log" &
pids="$pids $!"
until grep -q ready "$dir/ready"; do sleep 0.1; done
PAIL_NODE=$(sed 's/.* //' "$dir/ready")
rg=$(best redis 16 get $((seconds * 300000))) pg=$(best pail 4 256 16 100)
awk -v pg="$pg" -v rg="$rg" -v c="$cache" 'BEGIN {
	printf "| 4 x 256, 16 a frame, limits.cache = %s | -c 50 -P 16 | %d | %d | %.1f | | | |\n", c, pg, rg, pg / rg }'
