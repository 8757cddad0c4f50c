#!/bin/sh
# Is a library's header (or folder of headers) included in its one file only?  Usage: only.sh HEADER FILE
found=$(grep -rlE "#include <$1[/>]" --include='*.[ch]' common ipc storage worker coordinator client cli gateway include | grep -vx "$2")
[ -z "$found" ] || {
	echo "<$1> belongs into $2 only, not into: $found" >&2
	exit 1
}
