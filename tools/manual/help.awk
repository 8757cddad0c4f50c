# A program's --help into man(7).  -v want=PART names what of it:
#
#	text, options   what has no title; options among it or under "Options:"
#	file            what is said of configuration files
#	Environment, Signals, Exit status, Settings, Options of all commands
#
# Lines that are neither an option nor "term  meaning" stay what they are: text.

function flush() {
	if (text != "")
		print inline(text)
	text = ""
}
function term(t, meaning) {
	flush()
	print ".TP"
	print t
	text = meaning
	defining = 1
}
function option(line,    t, value) {
	match(line, /^ +--?[a-z][a-z-]*(, --?[a-z][a-z-]*)*( [A-Z][A-Za-z0-9.:=_-]*)?/)
	t = substr(line, 1, RLENGTH)
	line = substr(line, RLENGTH + 1)
	sub(/^ +/, "", t)
	sub(/^ +/, "", line)
	value = ""
	if (match(t, / [A-Z].*$/)) {
		value = " \\fI" escape(substr(t, RSTART + 1)) "\\fR"
		t = substr(t, 1, RSTART - 1)
	}
	term("\\fB" escape(t) "\\fR" value, line)
}
function line_take(line,    i, t) {
	if (line ~ /^ *$/) {
		flush()
		defining = 0
		blank = 1
		return
	}
	if (line ~ /^ +--?[a-z]/ && line !~ /^        /) {
		option(line)
	} else if (line ~ /^      +[^ ]/ && defining) {
		sub(/^ +/, "", line)
		text = text " " line
	} else if ((i = match(line, /[^ .:;,]  +[^ ]/)) && line ~ /^ *[^ ]/) {
		t = substr(line, 1, i)
		sub(/^ +/, "", t)
		line = substr(line, i + 1)
		sub(/^ +/, "", line)
		if (want == "Settings") # they are set by their own section's name
			setting(t, line)
		else
			term("\\fB" escape(t) "\\fR", line)
	} else {
		if (defining || blank) {
			flush()
			print ".PP"
		}
		defining = 0
		if (line ~ /^ /) {
			flush()
			print ".nf"
			print escape(line)
			print ".fi"
		} else {
			text = text (text == "" ? "" : " ") line
		}
	}
	blank = 0
}
function setting(name, meaning,    s) {
	s = name
	sub(/\..*/, "", s)
	if (s != section) {
		flush()
		heading(".SS", "[" s "]")
		section = s
	}
	sub(/^[^.]*\./, "", name)
	term("\\fB" escape(name) "\\fR", meaning)
}

BEGIN { part = "text"; text = ""; blank = 0 }
/^usage: / { part = "usage" }
match($0, /^(Commands|Options|Options of all commands|Environment|Signals|Exit status|Settings):/) {
	part = substr($0, 1, RLENGTH - 1)
	$0 = substr($0, RLENGTH + 1)
	sub(/^ +/, "")
	if (part == "Options")
		part = "options"
	if ($0 == "")
		next
}
/^A file / && part == "text" { part = "file" }
part == "text" && /^ +-/ { options_begun = 1 }
/^$/ && part != "Settings" {
	if (part == want || (part == "text" && want == "options"))
		line_take("")
	part = "text"
	next
}
{
	# Options without a title are options; and what is indented below them.
	now = part
	if (part == "text" && options_begun && /^ /)
		now = "options"
	if (now == want)
		line_take($0)
}
END { flush() }
