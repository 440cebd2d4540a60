# SPDX-License-Identifier: PostgreSQL
#
# The manual page with the variables put in, from what `pqpool run --help` says of them:
#
#   awk -f variables.awk HELP pqpool.1
#
# An entry of the help is "  --size VALUE      PQPOOL_SIZE", then lines that are further in.

function plain(s) {
	gsub(/\\/, "\\e", s)
	gsub(/-/, "\\-", s)
	return s
}

# The text of the entry so far, as one line: a line of the page must not begin with a dot.
function close_line() {
	if (text != "")
		entries = entries "\\&" plain(text) "\n"
	text = ""
}

FNR == NR && /^  --[a-z-]+ VALUE +PQPOOL_[A-Z_]+$/ {
	close_line()
	entries = entries ".TP\n.BR \"" plain($3) " \" (" plain($1) ")\n"
	inside = 1
	next
}
FNR == NR && inside && /^      [^ ]/ {
	sub(/^ +/, "")
	if (/^(Allowed|Default): /) {
		close_line()
		entries = entries ".br\n"
	}
	text = text (text != "" ? " " : "") $0
	next
}
FNR == NR {
	if (inside)
		close_line()
	inside = 0
	next
}

/^@VARIABLES@$/ { printf "%s", entries; next }
{ print }
