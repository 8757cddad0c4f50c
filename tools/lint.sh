#!/bin/sh
# Formatting, headers that stand alone, file sizes, static analysis.  (Includes and symbols: see the
# Makefile.)
set -u
status=0
fail() {
	echo "lint: $1" >&2
	status=1
}
sources=$(git ls-files '*.c' '*.h')
# shellcheck disable=SC2086
clang-format --dry-run -Werror $sources || fail "formatting: run make format"
for h in $(git ls-files '*.h' | grep -Ev '^(tests|bench|docs)/'); do
	echo "#include \"$h\"" | ${CC:-cc} -std=c11 -D_GNU_SOURCE -DPAIL_FAULTS -I. -Wall -Wextra -Wno-unused-function -Werror -fsyntax-only -x c - ||
		fail "$h does not compile alone"
done
for f in $sources; do
	n=$(wc -l <"$f")
	[ "$n" -le 750 ] || fail "$f has $n lines: is it still one thing?"
done
for s in tools/*.sh tools/manual/*.sh tools/manual/*.bash tests/*.sh tests/systemd/*.sh bench/*.sh .ci/run; do
	sh -n "$s" 2>/dev/null || bash -n "$s" || fail "$s does not parse"
done
if command -v systemd-analyze >/dev/null; then
	unit=$(mktemp -d)
	sed 's|@PREFIX@|/usr|g' systemd/pail@.service.in >"$unit/pail@.service"
	cp systemd/pail.target systemd/pail@.socket "$unit"
	systemd-analyze security --offline=true --threshold=12 --no-pager "$unit/pail@.service" >"$unit/out" 2>&1 || {
		grep -e '✗' -e exposure "$unit/out" >&2
		fail "the unit is exposed more than 1.2"
	}
	rm -rf "$unit"
else
	echo "lint: no systemd-analyze here: the unit's exposure is not checked"
fi
# Of all that is done here this takes by far the longest: a few files at a time on each CPU.  Each writes
# into a file of its own, since what several write at once is torn.
if command -v clang-tidy >/dev/null; then
	tidy=$(mktemp -d)
	git ls-files '*.c' | grep -Ev '^(tests|bench|docs)/|^ipc/wire/msgpack.c$' |
		TIDY_DIR=$tidy xargs -n 8 -P "$(nproc)" sh -c 'clang-tidy --quiet --warnings-as-errors="*" \
		--checks="-*,clang-analyzer-deadcode*,clang-analyzer-unix*,bugprone-suspicious-memset*,bugprone-infinite-loop,bugprone-macro-repeated-side-effects,bugprone-string*,bugprone-swapped-arguments" \
		"$@" -- -std=c11 -D_GNU_SOURCE -I. 2>/dev/null >"$TIDY_DIR/$$"' tidy || {
		cat "$tidy"/* >&2
		fail "clang-tidy"
	}
	rm -rf "$tidy"
fi
exit $status
