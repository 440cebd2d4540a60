/* SPDX-License-Identifier: PostgreSQL */
/*
 * Which statements leave nothing behind in a session, so that it needs no reset.
 *
 * The answer is no wherever there is a doubt. Yes is said of one statement alone, or of
 * none: SELECT without INTO, VALUES, TABLE, UPDATE and DELETE (in WITH, too), SHOW, and
 * what begins and ends transactions. In them: functions and types only from a list of
 * built-in ones that are pure; strings without a backslash, so that it does not matter how
 * the server reads these. Not INSERT, nor DEFAULT anywhere: a column may draw its value
 * from a sequence, and currval() would tell the next lease.
 *
 * What a statement does by other means than its text is not seen: triggers, rules, views,
 * operators and casts of somebody's own, and functions of somebody's own that go by the
 * name of a built-in one or are called like a column (t.f).
 */
#ifndef PQPOOL_SQL_HARMLESS_H
#define PQPOOL_SQL_HARMLESS_H

#include <stdbool.h>

/*
 * True if `text` is known to leave nothing behind. `utf8`: that is its encoding; in others
 * a byte of a letter may look like a quote, and text that is not plain ASCII is doubted.
 * Reads no byte behind the NUL; allocates nothing.
 */
bool statement_is_harmless(const char *text, bool utf8);

#endif
