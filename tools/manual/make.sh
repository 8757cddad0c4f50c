#!/bin/sh
# The manual pages and bash's completion, out of what the programs say of themselves (--help, which is made
# of their tables) and of docs/protocol.md.  Usage: make.sh BUILD
#
# Writes BUILD/manual/{pail.1,paild.8,pail.conf.5,pail-protocol.7,pail.bash}, all or none.
set -eu
b=$1
here=$(dirname "$0")
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
version=$("$b/pail" --version)
date=$(date -u -d "@${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || date +%s)}" +%Y-%m-%d)

page() { # name section what it is
	printf '.\\" Made by tools/manual/make.sh.\n.TH %s %s %s "%s" Pail\n.SH NAME\n%s \\- %s\n' \
		"$(echo "$1" | tr a-z A-Z)" "$2" "$date" "$version" "$1" "$3"
}
part() { # file part
	awk -v want="$2" -f "$here/roff.awk" -f "$here/help.awk" "$1"
}
synopsis() { # file
	echo .SH SYNOPSIS
	sed -n '/^$/q; s/^usage: //; s/^ *//; s/-/\\-/g; p' "$1" | sed '1!s/^/.br\n/'
}
section() { # TITLE file part: nothing, if there is no such part
	text=$(part "$2" "$3")
	[ -z "$text" ] || printf '.SH %s\n%s\n' "$1" "$text"
}
see() { # pages...
	echo .SH SEE ALSO
	sep=""
	for p in "$@"; do
		printf '%s.BR %s (%s)' "$sep" "$(echo "${p%.*}" | sed 's/-/\\-/g')" "${p##*.}"
		sep=",
"
	done
	echo
}

"$b/pail" --help >"$dir/pail"
"$b/paild" --help >"$dir/paild"
commands=$(sed -n '/^Commands:/,/^$/s/^  \([a-z][a-z-]*\) .*/\1/p' "$dir/pail")
[ -n "$commands" ] || { echo "manual: pail --help lists no commands" >&2; exit 1; }
for c in $commands; do
	"$b/pail" "$c" --help >"$dir/all.$c"
	grep -q "^usage: pail $c" "$dir/all.$c" || { echo "manual: pail $c --help says no usage" >&2; exit 1; }
	# without what is said of all commands
	grep -vxF -f "$dir/pail" "$dir/all.$c" >"$dir/own.$c.lines" || true
	awk 'NR == FNR { own[$0]; next } $0 == "" || $0 in own || /^Options/' "$dir/own.$c.lines" "$dir/all.$c" >"$dir/own.$c"
done

{
	page pail 1 "the command line of Pail, a distributed bucket store"
	synopsis "$dir/pail"
	cat <<'END'
.SH DESCRIPTION
.B pail
asks a node, by its client port or, with
.B \-\-config
or
.BR \-\-admin ,
by its admin socket, where operators' commands are answered too.
.PP
END
	part "$dir/pail" text
	echo .SH COMMANDS
	for c in $commands; do
		sed -n '1{s/^usage: pail //; s/ \[options\]$//; s/.*/.SS "&"/p}' "$dir/all.$c"
		part "$dir/own.$c" text
		part "$dir/own.$c" options
	done
	section "OPTIONS OF ALL COMMANDS" "$dir/pail" "Options of all commands"
	cat <<'END'
.SH ENVIRONMENT
.TP
.B PAIL_NODE
the node's endpoint where no option names one
.TP
.B PAIL_KEY
the key file to come with where neither an option nor a context that an option names has one
.TP
.B PAIL_CONTEXT
the context where no option names one
.TP
.B NO_COLOR
no colours
END
	section "EXIT STATUS" "$dir/pail" "Exit status"
	see paild.8 pail.conf.5 pail-protocol.7
} >"$dir/pail.1"
{
	page paild 8 "a node of Pail, a distributed bucket store"
	synopsis "$dir/paild"
	section DESCRIPTION "$dir/paild" text
	section OPTIONS "$dir/paild" options
	section ENVIRONMENT "$dir/paild" Environment
	section SIGNALS "$dir/paild" Signals
	section "EXIT STATUS" "$dir/paild" "Exit status"
	see pail.1 pail.conf.5 pail-protocol.7
} >"$dir/paild.8"
{
	page pail.conf 5 "configuration of a node of Pail"
	cat <<'END'
.SH DESCRIPTION
.BR paild (8)
reads a file, those that it includes, and then conf.d/*.conf beside it, in the order of their names; what comes later wins. The environment
wins over files, and flags win over the environment. Everything is read and checked before anything is used: whatever is wrong is said, with
file and line.
.PP
.B "paild \-\-config FILE \-\-check\-config"
does only that, and
.B \-\-print\-config
shows each setting and where it comes from.
END
	section FILES "$dir/paild" file
	printf '.SH SETTINGS\nThose marked [reload] can change in a running node: see\n.BR pail (1),\nreload.\n'
	part "$dir/paild" Settings
	see paild.8 pail.1
} >"$dir/pail.conf.5"
{
	page pail-protocol 7 "what clients and nodes of Pail send each other"
	echo .SH DESCRIPTION
	awk -f "$here/roff.awk" -f "$here/markdown.awk" docs/protocol.md
	see pail.1 paild.8
} >"$dir/pail-protocol.7"

# ---- completion: the tables, then what works on them ----

options() { # file
	sed -n 's/^  \(-.*\)/\1/p' "$1" | awk '{
		n = match($0, /^--?[a-z][a-z-]*(, --?[a-z][a-z-]*)*( [A-Z])?/)
		line = substr($0, 1, RLENGTH)
		value = line ~ / [A-Z]$/
		sub(/ [A-Z]$/, "", line)
		gsub(/,/, "", line)
		k = split(line, o, " ")
		for (i = 1; i <= k; i++)
			printf "%s%s ", o[i], value ? "=" : ""
	}'
}
{
	echo "# bash completion of pail and paild.  Made by tools/manual/make.sh."
	echo "_pail_commands='$(echo $commands)'"
	echo "_pail_common='$(sed -n '/^Options of all commands:/,/^$/p' "$dir/pail" | options /dev/stdin)'"
	echo "_paild_options='$(sed '/^Settings:/,$d' "$dir/paild" | options /dev/stdin)'"
	echo "_paild_settings='$(sed -n '/^Settings:/,$s/^  \([a-z]*\.[a-z_]*\) .*/\1=/p' "$dir/paild" | tr '\n' ' ')'"
	echo "_pail_of() { # command: its arguments, its options (one with = takes a value), what ACTION may be"
	printf '\tcase $1 in\n'
	for c in $commands; do
		printf "\t%s) _pail_args='%s' _pail_own='%s' _pail_actions='%s' ;;\n" "$c" \
			"$(sed -n "1s/^usage: pail $c *\(.*\)\[options\].*/\1/p" "$dir/all.$c")" "$(options "$dir/own.$c")" \
			"$(sed -n "s/^$c \([a-z]*\) .*/\1/p" "$dir/own.$c" | tr '\n' ' ')"
	done
	printf "\t*) _pail_args='' _pail_own='' _pail_actions='' ;;\n\tesac\n}\n"
	cat "$here/completion.bash"
} >"$dir/pail.bash"

mkdir -p "$b/manual"
cp "$dir/pail.1" "$dir/paild.8" "$dir/pail.conf.5" "$dir/pail-protocol.7" "$dir/pail.bash" "$b/manual/"
