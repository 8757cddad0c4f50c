# What both makers of manual pages share: text for man(7).

# A line of text: nothing in it is a request or an escape.
function escape(s) {
	gsub(/\\/, "\\\\e", s)
	gsub(/-/, "\\\\-", s)
	gsub(/^[.']/, "\\\\\\&&", s)
	return s
}
# The same with `code` in bold, and Markdown's **strong** and [text](address).
function inline(s,    out, i, n, piece, at) {
	while (match(s, /\[[^]]*\]\([^)]*\)/)) {
		piece = substr(s, RSTART + 1, RLENGTH - 1)
		sub(/\]\(.*/, "", piece)
		s = substr(s, 1, RSTART - 1) piece substr(s, RSTART + RLENGTH)
	}
	n = split(s, at, "`")
	out = ""
	for (i = 1; i <= n; i++) {
		piece = escape(at[i])
		if (i % 2 == 0) {
			if (i == n) # no second one
				piece = "\\(ga" piece
			else
				piece = "\\fB" piece "\\fR"
		} else {
			while (match(piece, /\*\*[^*]+\*\*/))
				piece = substr(piece, 1, RSTART - 1) "\\fB" substr(piece, RSTART + 2, RLENGTH - 4) "\\fR" substr(piece, RSTART + RLENGTH)
		}
		out = out piece
	}
	return out
}
function heading(request, s) {
	s = escape(s)
	gsub(/"/, "\\(dq", s)
	gsub(/`/, "", s)
	print request " \"" s "\""
}
