# Pail's Markdown into man(7): headings, paragraphs, lists, tables (a paragraph for each row, its first
# cell the term), blocks of code, `code`, **strong**, links.

function flush() {
	if (text != "")
		print inline(text)
	text = ""
}
function cell(s) {
	sub(/^ +/, "", s)
	sub(/ +$/, "", s)
	return s
}
# A row: the bars within code are no bars, but there are none in Pail's pages.
function row(line,    n, i, c, out) {
	sub(/^\|/, "", line)
	sub(/\| *$/, "", line)
	n = split(line, c, "|")
	if (!rows) {
		for (i = 1; i <= n; i++)
			title[i] = cell(c[i])
		rows = 1
		return
	}
	if (line ~ /^[-| :]+$/)
		return
	print ".TP"
	print inline(cell(c[1]))
	out = ""
	for (i = 2; i <= n; i++)
		if (cell(c[i]) != "")
			out = out (out == "" ? "" : "; ") (n > 2 && title[i] != "" ? title[i] ": " : "") cell(c[i])
	print out == "" ? "\\&" : inline(out)
	after = 1
}
function paragraph() {
	flush()
	if (after && !headed)
		print ".PP"
	after = headed = 0
}

BEGIN { text = ""; headed = 1 }
/^```/ {
	if (code) {
		print ".fi"
		print ".RE"
	} else {
		flush()
		if (!headed)
			print ".PP"
		headed = 0
		print ".RS 4"
		print ".nf"
	}
	code = !code
	after = 1
	next
}
code { print ($0 == "" ? "\\&" : escape($0)); next }
/^# / { next } # the page has its title
/^## / { flush(); sub(/^## /, ""); heading(".SH", toupper($0)); rows = after = 0; headed = 1; next }
/^### / { flush(); sub(/^### /, ""); heading(".SS", $0); rows = after = 0; headed = 1; next }
/^\|/ { flush(); row($0); headed = 0; next }
/^$/ { flush(); rows = 0; if (!after) after = 1; next }
/^- / { flush(); print ".IP \\(bu 2"; sub(/^- /, ""); text = $0; after = headed = 0; next }
/^[0-9]+\. / { flush(); n = $1; sub(/^[0-9]+\. /, ""); print ".IP " n " 4"; text = $0; after = headed = 0; next }
{
	if (text == "" )
		paragraph()
	sub(/^ +/, "")
	text = text (text == "" ? "" : " ") $0
}
END { flush() }
