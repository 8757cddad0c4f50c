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
	unit | node) kinds="$kinds $w" ;;
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

programs=$(ls tests/unit/test_*.c | sed 's|.*/||; s|\.c$||')
build release
build debug
# shellcheck disable=SC2086
units debug $programs
nodes debug 1
build asan
# shellcheck disable=SC2086
units asan $programs
nodes asan 4
build tsan
units tsan test_ipc test_store test_store_faults
# A worker under TSan beneath a coordinator without it: ZeroMQ's own threads would only make noise.
mkdir -p build/tsan-nodes
cp build/debug/paild build/debug/pail build/tsan-nodes/
make --no-print-directory -j"$jobs" MODE=tsan B=build/tsan build/tsan/pail-worker >/dev/null && cp build/tsan/pail-worker build/tsan-nodes/
threads="a_storm_of_kills killed_at_wal_after_sync values_in_base_survive_many_restarts methods scans"
TSAN_OPTIONS=ignore_noninstrumented_modules=1 nodes tsan 6 tsan-nodes "${tests:-$threads}"

passed=$(grep -c '^ok ' "$results")
failed=$(grep -c '^not ok ' "$results")
grep '^not ok ' "$results"
echo "$passed passed, $failed failed"
[ "$failed" = 0 ] && [ "$passed" -gt 0 ]
