#!/bin/bash
# What copies cost and what they bring: a single node beside three nodes with three copies of each bucket.  First each
# node with the same share of a CPU (a cgroup's), clients apart from it; then all on the same CPUs.  Then what a put costs
# in CPU and in bytes between the nodes, how long one put takes, how long a failover, and etcd as a store, of three members.
# Figures are medians of ROUNDS, in turns, since machines have moods; the last table holds what is asked for to them.
#
#	bench/cluster.sh [SECONDS] [ROUNDS]     SHARE=50: percent of a CPU that a node may use
#	CLUSTER_DRY=1: three nodes that know nothing of each other, to try this script where nodes have no copies
set -eu
cd "$(dirname "$0")/.."
seconds=${1:-3} rounds=${2:-3} share=${SHARE:-50}
keys=${KEYS:-100000}
b=build/release
dry=${CLUSTER_DRY:-}
for v in $(compgen -e PAIL_); do unset "$v"; done
command -v etcd >/dev/null || {
	echo "cluster.sh: there is no etcd here: apt-get install etcd-server" >&2
	exit 1
}
dir=$(mktemp -d)
declare -A pid port
groups=""
# shellcheck source=tools/cluster.sh
. tools/cluster.sh

cleanup() {
	local p g
	for p in "${pid[@]}" $etcd_pids $rivals; do kill "$p" 2>/dev/null || true; done
	wait 2>/dev/null || true
	for g in $groups; do rmdir "$g" 2>/dev/null || true; done
	rm -rf "$dir"
}
rivals=""
trap cleanup EXIT

taken() { # port
	(: <>"/dev/tcp/127.0.0.1/$1") 2>/dev/null
}
free_ports() { # how many: the first of so many that are free, one behind the other
	local p=$((20000 + RANDOM % 8000)) k
	for ((k = 0; k < $1; k++)); do
		if taken $((p + k)); then
			p=$((p + k + 1)) k=-1
		fi
	done
	echo "$p"
}

# ---- shares of a CPU ----

root=""
if [ -w /sys/fs/cgroup/cgroup.subtree_control ] && grep -qw cpu /sys/fs/cgroup/cgroup.controllers; then
	root=/sys/fs/cgroup
	echo +cpu >$root/cgroup.subtree_control 2>/dev/null || root=""
	limit() { echo "$(($2 * 100)) 10000" >"$1/cpu.max"; }
elif [ -w /sys/fs/cgroup/cpu/cgroup.procs ]; then
	root=/sys/fs/cgroup/cpu
	limit() { echo 10000 >"$1/cpu.cfs_period_us" && echo $(($2 * 100)) >"$1/cpu.cfs_quota_us"; }
fi
unlimit() { # group
	if [ -f "$1/cpu.max" ]; then echo max >"$1/cpu.max"; else echo -1 >"$1/cpu.cfs_quota_us"; fi
}
each_group() { # limit|unlimit ...
	local g
	for g in $groups; do "$1" "$g" "${@:2}"; done
}

# ---- nodes ----

start() { # name
	# It moves itself before it starts anything.
	(
		[ -z "$root" ] || echo "$BASHPID" >"$root/pail-bench-$$-$1/cgroup.procs"
		exec $b/paild --config "$dir/$1.conf"
	) >"$dir/$1.out" 2>>"$dir/$1.log" &
	pid[$1]=$!
}
first=$(free_ports 20)
etcd_start "$dir" 1 "$first"
at=$((first + 2))
for n in single a b c; do
	port[$n]=$at
	cluster_write "$dir" $n $at $((at + 1)) "$(printf '[storage]\nmap = 4G\n[limits]\nlog = 512M\ncache = 128M\n')"
	if [ $n = single ] || [ -n "$dry" ]; then
		sed -i "/^\[cluster\]/,/^etcd/d; s/= ring/= $n/" "$dir/$n.conf"
	fi
	at=$((at + 2))
	[ -z "$root" ] || mkdir -p "$root/pail-bench-$$-$n"
	[ -z "$root" ] || groups="$groups $root/pail-bench-$$-$n"
done
for _ in $(seq 100); do
	etcd_up "$dir" && break
	sleep 0.1
done
for n in single a b c; do start $n; done
for n in single a b c; do
	for _ in $(seq 200); do
		grep -q ready "$dir/$n.out" && continue 2
		kill -0 "${pid[$n]}" 2>/dev/null || break
		sleep 0.1
	done
	echo "cluster.sh: node $n did not start:" >&2
	cat "$dir/$n.log" >&2
	exit 1
done
node() { echo "tcp://127.0.0.1:${port[$1]}"; }
if [ -z "$dry" ]; then
	for _ in $(seq 100); do # until a knows of all of them
		$b/pail --config "$dir/a.conf" cluster create --factor 3 a b c >"$dir/created" 2>&1 && break
		sleep 0.1
	done
	for _ in $(seq 300); do
		$b/pail --config "$dir/a.conf" cluster status | grep -q '^all is well' && break
		sleep 0.1
	done
fi
declare -A bucket=([single]=bench)
for n in a b c; do # one that it leads
	for i in $(seq 0 500); do
		$b/pail --node "$(node $n)" route "bench-$n-$i" -o json | grep -q "\"node\":\"$n\"" && break
	done
	bucket[$n]=bench-$n-$i
done
for n in single a b c; do
	$b/pail --node "$(node $n)" bench --bucket "${bucket[$n]}" --load --keep --keys "$keys" --batch 64 --in-flight 1024 --requests 1 >/dev/null
done

# ---- loads ----

load() { # node clients in-flight batch reads [through]
	$b/pail --node "$(node "${6:-$1}")" bench --keep --bucket "${bucket[$1]}" --keys "$keys" --clients "$2" --in-flight "$3" --batch "$4" --reads "$5" \
		--seconds "$seconds" -o json | sed -n 's/.*"failed":0,.*"per_second":\([0-9]*\),.*/\1/p'
}
three() { # clients in-flight batch reads: of all three at once
	local n sum=0
	for n in a b c; do load $n "$@" >"$dir/of-$n" & jobs="$jobs $!"; done
	# shellcheck disable=SC2086
	wait $jobs
	jobs=""
	for n in a b c; do sum=$((sum + $(cat "$dir/of-$n"))); done
	echo $sum
}
jobs="" puts_three=0
median() { # numbers; 0: none
	[ $# -gt 0 ] && printf '%s\n' "$@" | sort -n | sed -n "$((($# + 1) / 2))p" || echo 0
}
# What is asked for, and whether it is met.
verdicts=""
verdict() { # what figure bound: at least that, or with <BOUND at most
	verdicts="$verdicts$(awk -v w="$1" -v f="$2" -v b="$3" 'BEGIN {
		most = sub(/^</, "", b); met = most ? f <= b : f >= b
		printf "| %s | %.2f | %s %s | %s |", w, f, most ? "at most" : "at least", b, met ? "PASS" : "short" }')
"
}
ratio() { # one other
	awk -v a="$1" -v b="$2" 'BEGIN { print (b > 0 ? a / b : 0) }'
}
table() { # shared, or each its share
	local batch reads what in_flight i s p r t
	for i in single a b c; do load $i 4 256 16 0 >/dev/null; done # warm
	echo "| | single | one primary | ratio | asked through another | all three | ratio |"
	echo "| --- | --- | --- | --- | --- | --- | --- |"
	for reads in 0 100; do
		[ $reads = 0 ] && what=puts || what=gets
		for batch in 1 16 256; do
			# Enough that none waits for its clients; all three have three times as many, as they would.
			in_flight=$((batch == 1 ? 256 : batch == 16 ? 1024 : 4096)) s="" p="" r="" t=""
			for i in $(seq "$rounds"); do
				s="$s $(load single 4 $in_flight $batch $reads)"
				p="$p $(load a 4 $in_flight $batch $reads)"
				[ -n "$dry" ] || r="$r $(load a 4 $in_flight $batch $reads b)"
				t="$t $(three 4 $in_flight $batch $reads)"
			done
			# shellcheck disable=SC2086
			s=$(median $s) p=$(median $p) r=$(median $r) t=$(median $t)
			awk -v w="$what/s, $batch a frame" -v s="$s" -v p="$p" -v r="$r" -v t="$t" 'BEGIN {
				printf "| %s | %d | %d | %.2f | %d | %d | %.2f |\n", w, s, p, s ? p / s : 0, r, t, s ? t / s : 0 }'
			[ $reads = 0 ] || continue
			[ "$t" -le "$puts_three" ] || puts_three=$t
			[ "$1 $batch" != "share 16" ] || {
				verdict "puts of one primary, beside a single node (each with its share, 16 a frame)" "$(ratio "$p" "$s")" 0.5
				verdict "puts of all three together, beside a single node (likewise)" "$(ratio "$t" "$s")" 1.2
			}
		done
	done
}

echo "# $(nproc) cores ($(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -1)), etcd $(etcd --version | sed -n 's/^etcd Version: //p'), $keys keys, 100 bytes, $seconds s a figure, median of $rounds in turns${dry:+; CLUSTER_DRY: three nodes without copies}"
if [ -n "$root" ]; then
	echo
	echo "Each node has $share % of a CPU, the clients have the rest."
	echo
	each_group limit "$share"
	table share
	each_group unlimit
else
	echo "left out: nodes with a share of a CPU each: this user may make no cgroups here"
fi
echo
echo "All nodes and the clients share the $(nproc) CPUs."
echo
table shared

# ---- what one put costs ----

cpu() { # nodes...: us that their processes have used
	local n p sum=0 k
	for n in "$@"; do
		for p in ${pid[$n]} $(pgrep -P "${pid[$n]}"); do
			k=$(sed 's/.*) //' "/proc/$p/stat" | awk '{ print $12 + $13 }')
			sum=$((sum + k))
		done
	done
	echo $((sum * 1000000 / $(getconf CLK_TCK)))
}
wire() { # bytes that have gone between the nodes, both ends counted once
	local n sum=0 k
	for n in a b c; do
		k=$(ss -tinH "( sport = :$((port[$n] + 1)) or dport = :$((port[$n] + 1)) )" | grep -o 'bytes_sent:[0-9]*' | awk -F: '{ s += $2 } END { printf "%.0f", s }')
		sum=$((sum + k))
	done
	echo $sum
}
echo
echo "| of a put | CPU of the single node, us | of the primary | of each backup | bytes between the nodes |"
echo "| --- | --- | --- | --- | --- |"
cost() { # in-flight batch
	local s0 s1 p0 p1 b0 b1 w0 w1 s p
	s0=$(cpu single)
	s=$(load single 4 "$1" "$2" 0)
	s1=$(cpu single) p0=$(cpu a) b0=$(cpu b c) w0=$(wire)
	p=$(load a 4 "$1" "$2" 0)
	p1=$(cpu a) b1=$(cpu b c) w1=$(wire)
	awk -v t="$seconds" -v s="$s" -v p="$p" -v a=$((s1 - s0)) -v c=$((p1 - p0)) -v d=$((b1 - b0)) -v w=$((w1 - w0)) -v k="$2" 'BEGIN {
		printf "| 100 bytes, %d a frame | %.2f | %.2f | %.2f | %.0f |\n", k, a / s / t, c / p / t, d / 2 / p / t, w / p / t }'
}
cost 256 1
cost 1024 16
cost 4096 256

# ---- how long one takes ----

median_us() { # node: of puts one at a time
	$b/pail --node "$(node "$1")" bench --keep --bucket "${bucket[$1]}" --keys "$keys" --clients 1 --in-flight 1 --batch 1 --reads 0 \
		--seconds "$seconds" -o json | sed -n 's/.*"failed":0,.*"p50_us":\([0-9.]*\).*/\1/p'
}
s="" p=""
for _ in $(seq "$rounds"); do
	s="$s $(median_us single)" p="$p $(median_us a)"
done
# shellcheck disable=SC2086
s=$(median $s) p=$(median $p)
echo
verdict "time of one put at a time, beside a single node (median)" "$(ratio "$p" "$s")" "<1.6"
awk -v s="$s" -v p="$p" 'BEGIN { printf "One put at a time: %.0f us with three copies, %.0f us on a single node (median): %.2f times\n", p, s, p / s }'

# ---- etcd ----

agreement=$etcd_pids
mkdir "$dir/rival"
etcd_start "$dir/rival" 3 "$(free_ports 6)"
rivals=$etcd_pids etcd_pids=$agreement
for _ in $(seq 100); do
	etcd_up "$dir/rival" && break
	sleep 0.1
done
# As many at once as is best for it: fewer are slower, and of more it refuses some.
top=1 how=""
for load in "3 64" "16 64" "32 32"; do
	for _ in $(seq "$rounds"); do
		# shellcheck disable=SC2086
		x=$($b/bench/etcd "$(echo "$etcd" | sed 's|http://||g')" $load "$seconds" "$keys" | sed 's/ puts.*//')
		[ "${x:-0}" -le "$top" ] || top=$x how=$load
	done
done
# shellcheck disable=SC2086
kill $rivals
# shellcheck disable=SC2086
wait $rivals 2>/dev/null || true
rivals=""
verdict "puts of all three, beside etcd as a store, each at its best" "$(ratio "$puts_three" "$top")" 30
echo
awk -v e="$top" -v h="$how" -v p="$puts_three" 'BEGIN { split(h, k)
	printf "etcd as a store, three members, by gRPC: %d puts/s (%d connections x %d in flight); all three nodes: %d puts/s, %.0f times\n", e, k[1], k[2], p, p / e }'

# ---- a node is killed ----

for n in single a b c; do
	kill "${pid[$n]}"
	wait "${pid[$n]}" 2>/dev/null || true
	unset "pid[$n]"
done
echo
if [ -n "$dry" ]; then
	export PAIL_CLUSTER_FAKE=1
fi
/usr/bin/python3 bench/failover.py $((2 * rounds + 1)) | tee "$dir/failover"
[ "${PIPESTATUS[0]}" = 0 ] || exit 1 # what it says stands there
verdict "no answer to puts when the node that leads is killed, s (worst)" "$(sed -n 's/^| puts into a bucket that the killed.*| \([0-9.]*\) |$/\1/p' "$dir/failover")" "<2"
echo
echo "| asked for | measured | bound | |"
echo "| --- | --- | --- | --- |"
printf '%s' "$verdicts"
