/* SPDX-License-Identifier: PostgreSQL */
/* Quotes a value for logfmt. */
#include "base/text/logfmt.h"

#include <string.h>

void logfmt_byte(struct strbuf *t, unsigned char c)
{
	static const char digits[] = "0123456789abcdef";

	if (c == '"' || c == '\\') {
		strbuf_char(t, '\\');
		strbuf_char(t, (char)c);
	} else if (c == '\n') {
		strbuf_str(t, "\\n");
	} else if (c == '\t') {
		strbuf_str(t, "\\t");
	} else if (c < ' ' || c == 0x7f) {
		strbuf_str(t, "\\x");
		strbuf_char(t, digits[c >> 4]);
		strbuf_char(t, digits[c & 15]);
	} else {
		strbuf_char(t, (char)c);
	}
}

void logfmt_bytes(struct strbuf *t, const char *s, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		logfmt_byte(t, (unsigned char)s[i]);
	}
}

bool logfmt_needs_quotes(const char *value)
{
	for (const char *s = value; *s != '\0'; s++) {
		unsigned char c = (unsigned char)*s;

		if (c <= ' ' || c == 0x7f || c == '"' || c == '\\' || c == '=') {
			return true;
		}
	}
	return *value == '\0';
}

void logfmt_value(struct strbuf *t, const char *value)
{
	if (!logfmt_needs_quotes(value)) {
		strbuf_str(t, value);
		return;
	}
	strbuf_char(t, '"');
	logfmt_bytes(t, value, strlen(value));
	strbuf_char(t, '"');
}
