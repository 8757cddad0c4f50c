#!/bin/sh
# Make's own words, as it would compile everything anew, to a compilation database for editors and
# analyzers.  Usage: make -Bn all unit | compdb.sh >compile_commands.json
awk -v dir="$PWD" '
function quoted(s) { gsub(/\\/, "\\\\", s); gsub(/"/, "\\\"", s); return "\"" s "\"" }
/ -c [^ ]+\.c -o / {
	match($0, / -c [^ ]+\.c/)
	file = substr($0, RSTART + 4, RLENGTH - 4)
	printf "%s{\"directory\": %s, \"command\": %s, \"file\": %s}", n++ ? ",\n" : "[\n", quoted(dir), quoted($0), quoted(file)
}
END { print n ? "\n]" : "[]" }'
