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

matches() { # names patterns: is one of the patterns one of the names?
	local p n
	for p in ${2//,/ }; do for n in $1; do [ "$p" = "$n" ] && return 0; done; done
	return 1
}

results=$(mktemp) || exit 1
trap 'rm -f "$log" "$results"' EXIT
units() { # mode programs...
	local mode=$1 t name
	shift
	for name in "$@"; do
		t=build/$mode/tests/unit/$name
		if { [ -n "$only" ] && ! matches "unit $mode $name" "$only"; } || matches "unit $mode $name" "$exclude"; then
			echo "left out: $mode/$name, by ONLY or EXCLUDE"
			continue
		fi
		echo "== $mode/$name"
		timeout 900 "$t" | tee -a "$results"
		[ "${PIPESTATUS[0]}" = 0 ] || tail -1 "$results" | grep -q '^not ok' || echo "not ok $mode/$name ended badly" | tee -a "$results"
	done
}

nodes() { # mode slow
	if [ -n "$only" ] && [ "$only" = unit ]; then
		echo "left out: $1 node tests, by ONLY"
		return
	fi
	if matches "node $1" "$exclude"; then
		echo "left out: $1 node tests, by EXCLUDE"
		return
	fi
	echo "== $1 nodes"
	/usr/bin/python3 tests/node/run.py --build "build/$1" --slow "$2" --only "${only//node/}" --exclude "$exclude" --include "$include" | tee -a "$results"
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
units tsan test_ipc test_store

passed=$(grep -c '^ok ' "$results")
failed=$(grep -c '^not ok ' "$results")
grep '^not ok ' "$results"
echo "$passed passed, $failed failed"
[ "$failed" = 0 ] && [ "$passed" -gt 0 ]
