/* SPDX-License-Identifier: PostgreSQL */
/* Quotes a value for logfmt. */
#include "base/text/logfmt.h"

#include <string.h>

static void put_hex(struct strbuf *t, unsigned char c)
{
	static const char digits[] = "0123456789abcdef";

	strbuf_str(t, "\\x");
	strbuf_char(t, digits[c >> 4]);
	strbuf_char(t, digits[c & 15]);
}

size_t logfmt_byte(struct strbuf *t, const char *s)
{
	size_t control = logfmt_control(s);

	if (*s == '"' || *s == '\\') {
		strbuf_char(t, '\\');
		strbuf_char(t, *s);
	} else if (*s == '\n') {
		strbuf_str(t, "\\n");
	} else if (*s == '\t') {
		strbuf_str(t, "\\t");
	} else if (control > 0) {
		for (size_t i = 0; i < control; i++) {
			put_hex(t, (unsigned char)s[i]);
		}
	} else {
		strbuf_char(t, *s);
	}
	return control > 0 ? control : 1;
}

void logfmt_bytes(struct strbuf *t, const char *s, size_t n)
{
	for (size_t i = 0; i < n;) {
		i += logfmt_byte(t, s + i);
	}
}

bool logfmt_needs_quotes(const char *value)
{
	for (const char *s = value; *s != '\0'; s++) {
		if (logfmt_control(s) > 0 || *s == ' ' || *s == '"' || *s == '\\' ||
		    *s == '=') {
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
