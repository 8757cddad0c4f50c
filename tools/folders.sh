#!/bin/sh
# Is every folder with sources of the programs in the Makefile's table, so that its rules hold there?
# Usage: folders.sh 'FOLDERS...'
status=0
for d in $(git ls-files '*.c' '*.h' | sed 's|/[^/]*$||' | sort -u); do
	case $d in tests/* | bench | docs/*) continue ;; esac
	case " $1 " in
	*" $d "*) ;;
	*)
		echo "$d/ is not in the Makefile's table of folders" >&2
		status=1
		;;
	esac
done
exit $status
