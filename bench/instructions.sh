#!/bin/bash
# Instructions of the paths that every request takes (bench/instructions.c), counted by callgrind:
# the same for the same binary, whatever else the machine does.  Compared with bench/instructions.txt,
# and more than 3 % above it fails.  Usage: instructions.sh BUILD [update]
set -eu
cd "$(dirname "$0")/.."
program=$1/bench/instructions
known=bench/instructions.txt
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
times=10000
status=0
new=""
for path in walk push prepare ring cache log put session get; do
	mkdir "$dir/$path"
	# The same string functions on every machine.
	GLIBC_TUNABLES=glibc.cpu.hwcaps=-AVX2,-AVX512F,-AVX512VL,-ERMS,-FSRM \
		valgrind --tool=callgrind --callgrind-out-file=/dev/null --collect-atstart=no --toggle-collect=measured \
		"$program" "$path" "$dir/$path" >"$dir/out" 2>"$dir/err" || { cat "$dir/err" >&2; exit 1; }
	total=$(sed -n 's/.*Collected : \([0-9]*\).*/\1/p' "$dir/err")
	count=$((total / times))
	before=$(sed -n "s/^$path //p" "$known" 2>/dev/null || true)
	new="$new$path $count
"
	if [ -z "$before" ]; then
		echo "$path $count"
	elif [ $((count * 100)) -gt $((before * 103)) ]; then
		echo "$path $count: more than 3 % above $before" >&2
		status=1
	else
		echo "$path $count (known: $before)"
	fi
done
[ "${2:-}" != update ] || { printf '%s' "$new" >"$known"; exit 0; }
[ $status = 0 ] || echo "if that is worth it: make instructions-update, and say why in the commit" >&2
exit $status
