#!/bin/bash
# Every test, in every way it must pass: unit and node tests in debug, all again under ASan+UBSan, what
# threads and processes share under TSan.  ONLY, EXCLUDE and INCLUDE take modes, kinds, tags and names,
# separated by blanks or commas; what is left out is said.  Only what the chosen tests need is built.
set -u
cd "$(dirname "$0")/.." || exit 1
only=${ONLY:-} exclude=${EXCLUDE:-} include=${INCLUDE:-}
log=$(mktemp) || exit 1
results=$(mktemp) || exit 1
outputs=$(mktemp -d) || exit 1
declare -A running=() # unit programs by the process ids of the shells that wait for them
trap 'rm -rf "$log" "$results" "$outputs"' EXIT
# What runs in the background does not hear ^C: its timeout is told, which ends it with itself.
trap 'for p in "${!running[@]}"; do pkill -P "$p"; done; exit 130' INT TERM
jobs=$(nproc)
# Most of their time unit programs wait: one more than there are processors keeps these busy, and more would
# only make each other late.
unit_jobs=$((jobs + 1))
# Of its time a node test in debug needs a fifth of a CPU, and waits for the rest; under sanitizers it is more.
node_jobs=$((2 * jobs))

build() { # mode targets...
	local mode=$1
	shift
	make --no-print-directory -j"$jobs" MODE="$mode" "$@" >"$log" 2>&1 || {
		cat "$log"
		echo "build of MODE=$mode failed"
		echo "0 passed, 1 failed"
		exit 1
	}
	grep -E 'warning:' "$log"
	return 0
}

has() { # word list
	case " ${2//,/ } " in *" $1 "*) return 0 ;; *) return 1 ;; esac
}

# ---- what there is, known before anything is built ----

# A worker under TSan beneath a coordinator without it (ZeroMQ's own threads would only make noise): these
# node tests.
threads="a_storm_of_kills a_rolling_restart_under_load_is_noticed_by_nobody killed_at_wal_after_sync values_in_base_survive_many_restarts methods scans"
programs=$(basename -s .c tests/unit/test_*.c)
sim_scenarios=$(sed -n 's/^\t{"\([a-z_]*\)",.*{.*/\1/p' tests/sim/main.c)
fuzz_targets=$(basename -s .c tests/fuzz/fuzz_*.c)
node_words=$(/usr/bin/python3 tests/node/run.py --list) || exit 1
unit_words() { # programs... : they and their tests, a line each
	local p
	for p in "$@"; do
		echo "$p" $(grep -oE '\bT\([a-z0-9_]+\)' "tests/unit/$p.c" | sed 's/T(\(.*\))/\1/')
	done
}
# shellcheck disable=SC2086
all_units=$(unit_words $programs)
known_check() { # variable words... : is there something of each name?
	local w from=$1
	shift
	for w in "$@"; do
		has "$w" "debug asan tsan unit sim node fuzz power power_cuts replica_seeds ${sim_scenarios//$'\n'/ } ${fuzz_targets//$'\n'/ } ${all_units//$'\n'/ } ${node_words//$'\n'/ }" || {
			echo "$from: there is no test, tag, kind or mode \"$w\"" >&2
			exit 2
		}
	done
}
# shellcheck disable=SC2086
known_check ONLY ${only//,/ } && known_check EXCLUDE ${exclude//,/ } && known_check INCLUDE ${include//,/ } &&
	known_check "tests/run.sh" $threads

# ---- what is wanted ----

# Words of ONLY that are modes or kinds narrow those; the rest are tags and names of tests, which run in
# debug, if no mode is named.
modes="" kinds="" tests=""
for w in ${only//,/ }; do
	case $w in
	debug | asan | tsan) modes="$modes $w" ;;
	unit | sim | node | fuzz | power) kinds="$kinds $w" ;;
	*) tests="$tests $w" ;;
	esac
done
asked=$modes
if [ -n "$tests" ] && [ -z "$modes" ]; then
	modes="debug"
	echo "left out: ASan and TSan, since ONLY names tests and no mode: add asan or tsan"
fi
# Fuzz targets are no mode's: they are wanted by name, as a kind, or with everything.
fuzz_chosen=""
for t in $fuzz_targets; do
	if ! has "$t" "$exclude" && ! has fuzz "$exclude" && { [ -z "$kinds" ] || has fuzz "$kinds"; } &&
		{ [ -z "$tests" ] || has "$t" "$tests"; } && { [ -z "$asked" ] || has fuzz "$kinds" || has "$t" "$tests"; }; then
		fuzz_chosen="$fuzz_chosen $t"
	fi
done
wanted() { # kind mode
	if { [ -n "$kinds" ] && ! has "$1" "$kinds"; } || { [ -n "$modes" ] && ! has "$2" "$modes"; }; then
		echo "left out: $1 tests in $2, not in ONLY"
		return 1
	fi
	if has "$1" "$exclude" || has "$2" "$exclude"; then
		echo "left out: $1 tests in $2, in EXCLUDE"
		return 1
	fi
}
# Of these programs, the first one with a test that ONLY and EXCLUDE leave.
units_any() { # programs...
	local program name
	for program in "$@"; do
		has "$program" "$exclude" && continue
		for name in $(unit_words "$program"); do
			if [ "$name" != "$program" ] && ! has "$name" "$exclude" &&
				{ [ -z "$tests" ] || has "$name" "$tests" || has "$program" "$tests"; }; then
				return 0
			fi
		done
	done
	echo "left out: all unit tests, by ONLY or EXCLUDE"
	return 1
}

unit_run() { # program command...
	local program=$1 code
	shift
	timeout 900 "$@" >"$outputs/$program" 2>"$outputs/$program.errors"
	code=$?
	echo "$code" >"$outputs/$program.ended"
}

# Waits until one of those that run has ended.
unit_end() { # mode
	local p program left=${#running[@]} code=0
	while [ "${#running[@]}" = "$left" ]; do
		for p in "${!running[@]}"; do
			program=${running[$p]}
			# none is left to be waited for, and this one has not said how it ended: it was killed
			[ "$code" != 127 ] || [ -e "$outputs/$program.ended" ] || echo 1 >"$outputs/$program.ended"
			[ -s "$outputs/$program.ended" ] || continue
			unset "running[$p]"
			[ "$(cat "$outputs/$program.ended")" = 0 ] || tail -1 "$outputs/$program" | grep -q '^not ok' ||
				echo "not ok $1/$program ended badly" >>"$outputs/$program"
		done
		[ "${#running[@]}" = "$left" ] || return 0
		wait -n
		code=$?
	done
}

# In the order of their names: the first ones, as far as all have ended.
units_show() { # mode
	while [ "${#begun[@]}" -gt 0 ] && ! has "${begun[0]}" "${running[*]}"; do
		echo "== $1/${begun[0]}"
		cat "$outputs/${begun[0]}.errors" >&2
		if [ "$unit_again" -gt 0 ] && grep -q '^not ok' "$outputs/${begun[0]}"; then
			unit_again=$((unit_again - 1))
			alone+=("${begun[0]}")
			sed 's/^\(not \)\?ok/# &/' "$outputs/${begun[0]}"
			echo "# $1/${begun[0]} failed: a second try, when nothing else runs"
		else
			tee -a "$results" <"$outputs/${begun[0]}"
		fi
		rm "$outputs/${begun[0]}" "$outputs/${begun[0]}.errors" "$outputs/${begun[0]}.ended"
		begun=("${begun[@]:1}")
	done
}

# What measures how long one is held up has the machine to itself, at the end.
units_alone="test_escapes"

units() { # mode programs...
	local mode=$1 t program name chosen skipped begun=() alone=() unit_again=${AGAIN:-0}
	local -A picked=()
	shift
	wanted unit "$mode" && units_any "$@" || return
	build "$mode" all unit
	for program in "$@"; do
		t=build/$mode/tests/unit/$program
		chosen="" skipped=0
		for name in $("$t" --list); do
			if { [ -n "$tests" ] && ! has "$name" "$tests" && ! has "$program" "$tests"; } ||
				has "$name" "$exclude" || has "$program" "$exclude"; then
				skipped=$((skipped + 1))
			else
				chosen="$chosen $name"
			fi
		done
		[ "$skipped" = 0 ] || echo "left out: $skipped tests of $mode/$program, by ONLY or EXCLUDE"
		[ -n "$chosen" ] || continue
		while [ "${#running[@]}" -ge "$unit_jobs" ]; do
			unit_end "$mode"
			units_show "$mode"
		done
		picked[$program]=$chosen
		if has "$program" "$units_alone"; then
			alone+=("$program")
			continue
		fi
		# shellcheck disable=SC2086
		unit_run "$program" "$t" $chosen &
		running[$!]=$program
		begun+=("$program")
	done
	while [ "${#running[@]}" -gt 0 ]; do
		unit_end "$mode"
		units_show "$mode"
	done
	for program in "${alone[@]}"; do
		echo "== $mode/$program, alone"
		# shellcheck disable=SC2086
		timeout 900 "build/$mode/tests/unit/$program" ${picked[$program]} | tee -a "$results"
		[ "${PIPESTATUS[0]}" = 0 ] || tail -1 "$results" | grep -q '^not ok' || echo "not ok $mode/$program ended badly" | tee -a "$results"
	done
}

# Histories of nodes on simulated clocks and links: some that are always the same, and others for
# SIM_S seconds.
sims() { # mode runs
	local mode=$1 runs=$2 name chosen=""
	wanted sim "$mode" || return
	for name in $sim_scenarios; do
		if { [ -z "$tests" ] || has "$name" "$tests"; } && ! has "$name" "$exclude"; then
			chosen="$chosen $name"
		fi
	done
	[ -n "$chosen" ] || {
		echo "left out: all simulations, by ONLY or EXCLUDE"
		return
	}
	build "$mode" "build/$mode/tests/sim/sim"
	echo "== $mode simulations"
	# shellcheck disable=SC2086
	timeout 900 "build/$mode/tests/sim/sim" --runs "$runs" --seconds "${SIM_S:-3}" $chosen | tee -a "$results"
	[ "${PIPESTATUS[0]}" = 0 ] || grep -q '^not ok' "$results" || echo "not ok $mode simulations ended badly" | tee -a "$results"
}

# The protocol of copies in a simulated cluster: seeds that are always the same, and the directed cases.
replicas() { # mode options...
	local mode=$1
	shift
	wanted sim "$mode" || return
	if { [ -n "$tests" ] && ! has replica_seeds "$tests"; } || has replica_seeds "$exclude"; then
		echo "left out: replica_seeds, by ONLY or EXCLUDE"
		return
	fi
	build "$mode" "build/$mode/tests/replica/replica_sim"
	echo "== $mode copies"
	timeout 300 "build/$mode/tests/replica/replica_sim" --jobs "$jobs" "$@" | tee -a "$results"
	[ "${PIPESTATUS[0]}" = 0 ] || grep -q '^not ok' "$results" || echo "not ok $mode copies ended badly" | tee -a "$results"
}

nodes() { # mode slow [build [tests]]
	local mode=$1 slow=$2 build=${3:-$1} tests=${4:-$tests} chosen
	wanted node "$mode" || return
	chosen=$(/usr/bin/python3 tests/node/run.py --list --only "$tests" --exclude "$exclude")
	[ -n "$chosen" ] || {
		echo "left out: all node tests, by ONLY or EXCLUDE"
		return
	}
	# The coordinator beneath a worker under TSan is that of debug, and so are those of broken nodes.
	if [ "$mode" = tsan ]; then
		build debug all
		build tsan build/tsan/pail-worker
		mkdir -p "build/$build" && cp build/debug/paild build/debug/pail build/tsan/pail-worker "build/$build" || exit 1
	else
		build "$mode" all
	fi
	grep -qw release <<<"$chosen" && build release all
	grep -qw broken <<<"$chosen" && build debug all broken
	has long "$include $tests" && grep -qw broken_cluster <<<"$chosen" && build debug all broken-ring
	echo "== $mode nodes"
	/usr/bin/python3 tests/node/run.py --build "build/$build" --slow "$slow" --only "$tests" --exclude "$exclude" --include "$include" --again "${AGAIN:-0}" --jobs "${TEST_JOBS:-$node_jobs}" | tee -a "$results"
	[ "${PIPESTATUS[0]}" = 0 ] || grep -q '^not ok' "$results" || echo "not ok $mode nodes ended badly" | tee -a "$results"
}

# Each fuzz target for FUZZ_S seconds, from the corpus in the tree.  What it finds lies in build/fuzz.
fuzzers() {
	local name corpus
	[ -n "$fuzz_chosen" ] || {
		echo "left out: fuzz targets, by ONLY or EXCLUDE"
		return
	}
	make --no-print-directory -j"$jobs" fuzz >"$log" 2>&1 || {
		cat "$log"
		echo "not ok fuzz targets do not build" | tee -a "$results"
		return
	}
	echo "== fuzz targets, ${FUZZ_S:-4} s each"
	for name in $fuzz_targets; do
		has "$name" "$fuzz_chosen" || {
			echo "left out: $name, by ONLY or EXCLUDE"
			continue
		}
		corpus=$(mktemp -d)
		cp tests/fuzz/corpus/"${name#fuzz_}"/* "$corpus"
		if timeout $((${FUZZ_S:-4} + 60)) build/fuzz/"$name" -max_total_time="${FUZZ_S:-4}" -timeout=10 -rss_limit_mb=2048 \
			-artifact_prefix=build/fuzz/found-"$name"- ${PAIL_SEED:+-seed=$PAIL_SEED} "$corpus" >"$log" 2>&1; then
			echo "ok $name ($(sed -n 's/^Done \([0-9]*\) runs.*/\1 runs/p' "$log"))" | tee -a "$results"
		else
			tail -40 "$log" | sed 's/^/# /'
			echo "not ok $name" | tee -a "$results"
		fi
		rm -rf "$corpus"
	done
}

# Every image that a power cut could have left, opened.
power() {
	wanted power debug || return
	if { [ -n "$tests" ] && ! has power_cuts "$tests"; } || has power_cuts "$exclude"; then
		echo "left out: power_cuts, by ONLY or EXCLUDE"
		return
	fi
	build debug power
	echo "== power cuts"
	/usr/bin/python3 tests/power/replay.py --runs "${POWER_RUNS:-3}" | tee -a "$results"
	[ "${PIPESTATUS[0]}" = 0 ] || tail -1 "$results" | grep -q '^not ok' || echo "not ok power_cuts ended badly" | tee -a "$results"
}

# shellcheck disable=SC2086
units debug $programs
sims debug 6
replicas debug --seeds 1500
power
nodes debug 1
# shellcheck disable=SC2086
units asan $programs
sims asan 2
replicas asan --seeds 300 --from 5001 --no-cases
node_jobs=$((jobs + 1))
# Nodes of a cluster that are as slow as sanitizers make them have other pauses than are promised: unless all is wanted, as by
# make test-cluster, those that are measured are not.
pauses=pauses
has long "$include" && pauses=""
HISTORY_S=${HISTORY_S:-15} CLUSTER_S=${CLUSTER_S:-15} exclude="$exclude broken broken_cluster $pauses" nodes asan 4
fuzzers
units tsan test_ipc test_store test_store_faults test_wal
TSAN_OPTIONS=ignore_noninstrumented_modules=1 nodes tsan 6 tsan-nodes "${tests:-$threads}"

passed=$(grep -c '^ok ' "$results")
failed=$(grep -c '^not ok ' "$results")
grep '^not ok ' "$results"
echo "$passed passed, $failed failed"
[ "$failed" = 0 ] && [ "$passed" -gt 0 ]
