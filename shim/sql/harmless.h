/* SPDX-License-Identifier: PostgreSQL */
/*
 * Which statements leave nothing behind in a session, so that it needs no reset.
 *
 * In doubt the answer is no. It is yes for the empty text and for a single statement: SELECT
 * without INTO, VALUES, TABLE, UPDATE and DELETE (in WITH, too), SHOW, and what begins and ends
 * transactions. Functions and types must be on a list of pure built-in ones; strings must have
 * no backslash, so that it does not matter how the server reads these. Not INSERT, nor DEFAULT
 * anywhere: a column may draw its value from a sequence, which currval() would show to the next
 * lease.
 *
 * What a statement does by other means than its text is not seen: triggers, rules, views,
 * user-defined operators and casts, and user-defined functions that have the name of a built-in
 * one or are called like a column (t.f).
 */
#ifndef PQPOOL_SQL_HARMLESS_H
#define PQPOOL_SQL_HARMLESS_H

#include <stdbool.h>

/*
 * True if `text` is known to leave nothing behind: then it has no effects (effects.h). `utf8`:
 * that is its encoding; in others a byte of a letter may look like a quote, so that only plain
 * ASCII is judged. Allocates nothing.
 */
bool statement_is_harmless(const char *text, bool utf8);

#endif
