#!/bin/bash
# Functions, transactions and sessions beside Redis, in turns, over plain sockets on both sides: 50
# connections, 16 and 64 requests in flight on each; both on disk before they answer.
#
#	bench/atomic.sh [SECONDS] [ROUNDS]
set -eu
cd "$(dirname "$0")/.."
tools/deps.sh bench
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
redis_port=$(free_port) pail_port=$(free_port)
mkdir "$dir/redis"
redis-server --port "$redis_port" --bind 127.0.0.1 --dir "$dir/redis" --appendonly yes --appendfsync always --save "" >/dev/null 2>&1 &
pids="$!"
# shellcheck disable=SC2086
$build/paild --dev --data "$dir/pail" --port "$pail_port" --set functions.dir=conf/functions ${PAILD_ARGS:-} >"$dir/ready" 2>"$dir/log" &
pids="$pids $!"
until grep -q ready "$dir/ready" && redis-cli -p "$redis_port" ping >/dev/null 2>&1; do sleep 0.1; done

one() { # side port workload pipeline
	$build/bench/sockets "$1" "$2" "$3" 50 "$4" "$seconds" "$keys"
}
# The two of a row take turns, so that a slow minute hits both.
row() { # name pipeline workload-pail side-of-the-other workload-other
	local i a b top_a=0 top_b=0 port=$redis_port
	[ "$4" = pail ] && port=$pail_port
	for i in $(seq "$rounds"); do
		a=$(one pail "$pail_port" "$3" "$2")
		b=$(one "$4" "$port" "$5" "$2")
		[ "$a" -gt "$top_a" ] && top_a=$a
		[ "$b" -gt "$top_b" ] && top_b=$b
	done
	awk -v n="$1" -v p="$2" -v a="$top_a" -v b="$top_b" 'BEGIN { printf "| %s | 50 x %s | %d | %d | %.2f |\n", n, p, a, b, a / b }'
}

echo "# $(nproc) cores, Redis $(redis-server --version | awk '{print $3}'), keys $keys, $seconds s a figure, best of $rounds in turns"
echo "| what | connections x in flight | Pail/s | beside it/s | ratio |"
echo "| --- | --- | --- | --- | --- |"
for p in 16 64; do
	row "a function that counts; EVALSHA" $p counter redis counter
	row "four puts at one moment; MULTI, EXEC" $p txn redis txn
	row "one put; SET" $p put redis put
	row "a put with a session; one without" $p session pail put
done
