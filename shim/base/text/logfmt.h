/* SPDX-License-Identifier: PostgreSQL */
/* Quotes a value for logfmt: in quotes if it needs them, with \" \\ \n \t and \xNN inside. */
#ifndef PQPOOL_BASE_TEXT_LOGFMT_H
#define PQPOOL_BASE_TEXT_LOGFMT_H

#include <stdbool.h>
#include <stddef.h>

#include "base/text/strbuf.h"

/*
 * How many bytes the control character has that begins at `s`, which ends with a NUL: one of
 * ASCII or, in UTF-8, of C1, which terminals obey as well. 0: none does.
 */
static inline size_t logfmt_control(const char *s)
{
	unsigned char c = (unsigned char)s[0];

	if (c == 0xc2 && ((unsigned char)s[1] & 0xe0) == 0x80) {
		return 2;
	}
	return c < ' ' || c == 0x7f;
}

/*
 * The byte at `s`, which ends with a NUL, as it stands inside quotes, or both of a control
 * character that has two; returns how many.
 */
size_t logfmt_byte(struct strbuf *t, const char *s);

/* `n` bytes of `s`. */
void logfmt_bytes(struct strbuf *t, const char *s, size_t n);

/* Empty, or with a space, a quote, a backslash, '=' or a control character in it. */
bool logfmt_needs_quotes(const char *value);

/* A whole value, quoted if need be. */
void logfmt_value(struct strbuf *t, const char *value);

#endif
