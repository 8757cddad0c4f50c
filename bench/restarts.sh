#!/bin/bash
# What clients see of restarts, upgrades and kills: pail bench runs all the while, at a pace (latency counts from
# when a request was due) or as fast as it can.  usage: restarts.sh [SECONDS]; a row each.
set -u
cd "$(dirname "$0")/.." || exit 1
b=build/release seconds=${1:-10}
dir=$(mktemp -d) || exit 1
node=""
trap 'kill $node 2>/dev/null; wait; rm -rf "$dir"' EXIT
$b/paild --dev --data "$dir/data" --port 0 --set node.workers=2 --set storage.reserve=1M --set node.log=warn >"$dir/out" 2>"$dir/err" &
node=$!
for _ in $(seq 100); do
	grep -q ready "$dir/out" && break
	sleep 0.1
done
PAIL_NODE=$(sed -n 's/.*listens on //p' "$dir/out")
export PAIL_NODE
[ -n "$PAIL_NODE" ] || { cat "$dir/err"; exit 1; }
admin="$b/pail --admin ipc://$dir/data/admin.sock"
nothing() { sleep 0.5; }
restart() { $admin worker restart --all; }
upgrade() { $admin upgrade --wait; }
killed() {
	kill -9 "$(pgrep -P $node -x pail-worker | shuf -n 1)"
	sleep 0.3
}
both() { restart && upgrade; }
field() { sed "s/.*\"$1\":\([0-9.]*\).*/\1/" "$dir/row"; }
failures=0
row() { # what load...
	local what=$1 count=0 load
	shift
	$b/pail bench --clients 4 --in-flight 256 --batch 16 --buckets 8 --keys 100000 --seconds "$seconds" --keep --timeout 30000 -o json "$@" >"$dir/row" 2>"$dir/said" &
	load=$!
	sleep 1
	while kill -0 $load 2>/dev/null; do
		$what >>"$dir/log" 2>&1 && count=$((count + 1))
		sleep 0.3
	done
	wait $load || { failures=1; cat "$dir/said"; }
	[ "$what" = nothing ] && count=0
	printf '| %s | %s | %d | %s | %s | %s | %s |\n' "$what" "${2:-as fast as it can}" $count "$(field requests)" "$(field failed)" \
		"$(awk "BEGIN { printf \"%.1f / %.1f\", $(field p50_us) / 1000, $(field p999_us) / 1000 }")" \
		"$(awk "BEGIN { printf \"%.1f\", $(field max_us) / 1000 }")"
}
echo "half gets, half durable puts, 100-byte values, 8 buckets on 2 workers, 4 clients; $(nproc) cores for all"
echo '| meanwhile | requests/s | times | requests | failed | p50 / p99.9 ms | max ms |'
echo '| --- | --- | --- | --- | --- | --- | --- |'
for rate in 5000 100000; do
	for what in nothing restart upgrade killed both; do row $what --rate $rate; done
done
for what in nothing restart upgrade killed both; do row $what; done
exit $failures
