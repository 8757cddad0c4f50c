#!/bin/bash
# Every test, in every way it must pass: unit and node tests in debug, all again under ASan+UBSan, what
# threads and processes share under TSan.  ONLY, EXCLUDE and INCLUDE take tags or names, separated by
# blanks or commas; what is left out is said.
set -u
cd "$(dirname "$0")/.." || exit 1
only=${ONLY:-} exclude=${EXCLUDE:-} include=${INCLUDE:-}
log=$(mktemp) || exit 1
trap 'rm -f "$log"' EXIT
jobs=$(nproc)

build() {
	make --no-print-directory -j"$jobs" MODE="$1" all unit >"$log" 2>&1 || {
		cat "$log"
		echo "build of MODE=$1 failed"
		echo "0 passed, 1 failed"
		exit 1
	}
	grep -E 'warning:' "$log"
	return 0
}

has() { # word list
	case " ${2//,/ } " in *" $1 "*) return 0 ;; *) return 1 ;; esac
}

# Words of ONLY that are modes or kinds narrow those; the rest are tags and names of tests.
modes="" kinds="" tests=""
for w in ${only//,/ }; do
	case $w in
	debug | asan | tsan) modes="$modes $w" ;;
	unit | node | fuzz | power) kinds="$kinds $w" ;;
	*) tests="$tests $w" ;;
	esac
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

results=$(mktemp) || exit 1
trap 'rm -f "$log" "$results"' EXIT
units() { # mode programs...
	local mode=$1 t program name chosen skipped
	shift
	wanted unit "$mode" || return
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
		echo "== $mode/$program"
		# shellcheck disable=SC2086
		timeout 900 "$t" $chosen | tee -a "$results"
		[ "${PIPESTATUS[0]}" = 0 ] || tail -1 "$results" | grep -q '^not ok' || echo "not ok $mode/$program ended badly" | tee -a "$results"
	done
}

nodes() { # mode slow [build [tests]]
	wanted node "$1" || return
	echo "== $1 nodes"
	/usr/bin/python3 tests/node/run.py --build "build/${3:-$1}" --slow "$2" --only "${4:-$tests}" --exclude "$exclude" --include "$include" | tee -a "$results"
}

# Each fuzz target for FUZZ_S seconds, from the corpus in the tree.  What it finds lies in build/fuzz.
fuzzers() {
	local t name corpus
	wanted fuzz fuzz || return
	make --no-print-directory -j"$jobs" fuzz >"$log" 2>&1 || {
		cat "$log"
		echo "not ok fuzz targets do not build" | tee -a "$results"
		return
	}
	echo "== fuzz targets, ${FUZZ_S:-4} s each"
	for t in tests/fuzz/fuzz_*.c; do
		name=$(basename "$t" .c)
		if { [ -n "$tests" ] && ! has "$name" "$tests"; } || has "$name" "$exclude"; then
			echo "left out: $name, by ONLY or EXCLUDE"
			continue
		fi
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
	make --no-print-directory MODE=debug power >"$log" 2>&1 || cat "$log"
	echo "== power cuts"
	/usr/bin/python3 tests/power/replay.py --runs "${POWER_RUNS:-3}" | tee -a "$results"
	[ "${PIPESTATUS[0]}" = 0 ] || tail -1 "$results" | grep -q '^not ok' || echo "not ok power_cuts ended badly" | tee -a "$results"
}

programs=$(ls tests/unit/test_*.c | sed 's|.*/||; s|\.c$||')
build release
build debug
# shellcheck disable=SC2086
units debug $programs
power
make --no-print-directory broken >"$log" 2>&1 || cat "$log"
nodes debug 1
build asan
# shellcheck disable=SC2086
units asan $programs
HISTORY_S=${HISTORY_S:-15} exclude="$exclude broken" nodes asan 4
fuzzers
build tsan
units tsan test_ipc test_store test_store_faults test_wal
# A worker under TSan beneath a coordinator without it: ZeroMQ's own threads would only make noise.
mkdir -p build/tsan-nodes
cp build/debug/paild build/debug/pail build/tsan-nodes/
make --no-print-directory -j"$jobs" MODE=tsan B=build/tsan build/tsan/pail-worker >/dev/null && cp build/tsan/pail-worker build/tsan-nodes/
threads="a_storm_of_kills a_rolling_restart_under_load_is_noticed_by_nobody killed_at_wal_after_sync values_in_base_survive_many_restarts methods scans"
TSAN_OPTIONS=ignore_noninstrumented_modules=1 nodes tsan 6 tsan-nodes "${tests:-$threads}"

passed=$(grep -c '^ok ' "$results")
failed=$(grep -c '^not ok ' "$results")
grep '^not ok ' "$results"
echo "$passed passed, $failed failed"
[ "$failed" = 0 ] && [ "$passed" -gt 0 ]
