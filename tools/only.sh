#!/bin/sh
# Is a header, a library's or one of ours (or a folder of headers), included in its few files only?
# Usage: only.sh HEADER 'FILES...' 'FOLDERS...'
# shellcheck disable=SC2086
header=$1
files=" $2 "
status=0
for f in $(grep -rlE "#include [<\"]$header[/>\"]" --include='*.[ch]' $3 | sort -u); do
	case $files in *" $f "*) continue ;; esac
	echo "$header belongs into $2 only, not into: $f" >&2
	status=1
done
exit $status
