/* SPDX-License-Identifier: PostgreSQL */
/* Pairs at the end of a log line. */
#include "trace/log/pairs.h"

#include "base/text/logfmt.h"

void pair_undo(struct strbuf *t, size_t len)
{
	t->len = len;
	t->buf[len] = '\0';
}

bool pair_start(struct strbuf *t, const char *key)
{
	if (t->cut) {
		return false;
	}
	if (t->len > 0) {
		strbuf_char(t, ' ');
	}
	strbuf_str(t, key);
	strbuf_char(t, '=');
	return true;
}

void pair_end(struct strbuf *t, size_t start)
{
	if (t->cut) {
		pair_undo(t, start);
	}
}

bool pair_quote_start(struct strbuf *t, const char *key)
{
	size_t start = t->len;

	if (!pair_start(t, key)) {
		return false;
	}
	strbuf_char(t, '"');
	if (t->cut || t->len + 1 > t->size - 1) {
		t->cut = true;
		pair_undo(t, start);
		return false;
	}
	t->size--;
	return true;
}

void pair_quote_str(struct strbuf *t, const char *s)
{
	while (*s != '\0' && !t->cut) {
		size_t start = t->len;

		s += logfmt_byte(t, s);
		pair_end(t, start);
	}
}

void pair_quote_end(struct strbuf *t)
{
	t->size++;
	t->buf[t->len++] = '"';
	t->buf[t->len] = '\0';
}

void pair_str(struct strbuf *t, const char *key, const char *value)
{
	size_t start = t->len;

	if (value == NULL) {
		value = "";
	}
	if (logfmt_needs_quotes(value)) {
		if (pair_quote_start(t, key)) {
			pair_quote_str(t, value);
			pair_quote_end(t);
		}
	} else if (pair_start(t, key)) {
		if (!t->cut) {
			strbuf_str(t, value);
		} else {
			pair_undo(t, start);
		}
	}
}
