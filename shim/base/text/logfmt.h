/* SPDX-License-Identifier: PostgreSQL */
/* Quotes a value for logfmt: in quotes if it needs them, with \" \\ \n \t and \xNN inside. */
#ifndef PQPOOL_BASE_TEXT_LOGFMT_H
#define PQPOOL_BASE_TEXT_LOGFMT_H

#include <stdbool.h>
#include <stddef.h>

#include "base/text/strbuf.h"

/* One byte as it stands inside quotes. */
void logfmt_byte(struct strbuf *t, unsigned char c);

void logfmt_bytes(struct strbuf *t, const char *s, size_t n);

/* Empty, or with a space, a quote, a backslash, '=' or a control character in it. */
bool logfmt_needs_quotes(const char *value);

/* A whole value, quoted if need be. */
void logfmt_value(struct strbuf *t, const char *value);

#endif
