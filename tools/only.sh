#!/bin/sh
# Is a library's header (or folder of headers) included in its one file only?
# Usage: only.sh HEADER FILE 'FOLDERS...'
# shellcheck disable=SC2086
found=$(grep -rlE "#include <$1[/>]" --include='*.[ch]' $3 | sort -u | grep -vx "$2")
[ -z "$found" ] || {
	echo "<$1> belongs into $2 only, not into: $found" >&2
	exit 1
}
