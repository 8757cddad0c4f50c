#!/bin/sh
# Does FOLDER include only what the Makefile's table lets it?  A header's folder is its whole path;
# *_impl.h is its own folder's alone.  Usage: layers.sh FOLDER 'ALLOWED...'
folder=$1
allowed=" $folder $2 "
status=0
for f in "$folder"/*.[ch]; do
	[ -e "$f" ] || continue
	n=0
	while IFS= read -r line; do
		n=$((n + 1))
		case $line in
		'#include "'*)
			path=${line#*\"}
			path=${path%%\"*}
			case "$allowed" in
			*" ${path%/*} "*) ;;
			*)
				echo "$f:$n: $folder may not include $path" >&2
				status=1
				;;
			esac
			case $path in
			*_impl.h)
				[ "${path%/*}" = "$folder" ] || {
					echo "$f:$n: $path belongs to ${path%/*} alone" >&2
					status=1
				}
				;;
			esac
			;;
		esac
	done <"$f"
done
exit $status
