/* SPDX-License-Identifier: PostgreSQL */
/*
 * Pairs at the end of a log line: key=value, key="a value".
 *
 * A pair that does not fit is left out whole, and so is every one after it: a gap would look
 * like the truth. Only a quoted string is cut within; its quote is closed all the same. Locks:
 * none.
 */
#ifndef PQPOOL_TRACE_LOG_PAIRS_H
#define PQPOOL_TRACE_LOG_PAIRS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/text/strbuf.h"

/* Starts a pair, of which the value follows; false if an earlier one did not fit. */
bool pair_start(struct strbuf *t, const char *key);

/* Ends what began at this length and has no use unless it is whole. */
void pair_end(struct strbuf *t, size_t start);

/* A whole pair; its value is quoted if need be, NULL is "". */
void pair_str(struct strbuf *t, const char *key, const char *value);

/*
 * A quoted value put together from parts, of which one that does not fit is left out; the room
 * for the closing quote is kept. False: there is no pair, and nothing to end.
 */
bool pair_quote_start(struct strbuf *t, const char *key);
void pair_quote_str(struct strbuf *t, const char *s);
void pair_quote_end(struct strbuf *t);

/* Cuts a text back to a length that it had. */
void pair_undo(struct strbuf *t, size_t len);

#endif
