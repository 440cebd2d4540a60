/* SPDX-License-Identifier: PostgreSQL */
/*
 * The first words of a statement for logs and reports: enough to recognise it by, without
 * anything that may be a secret.
 *
 *   UPDATE "accounts" SET balance = $1 WHERE owner = 'Ann'   UPDATE "accounts" SET balance =...
 *   /+ request 71 +/ select * from t where id = 4711         select * from t where id = ...
 *
 * It ends before the first literal, be it string, dollar quote or number, and behind the name
 * that a SET sets, whose value may stand there without quotes. Comments are left out, white
 * space becomes one blank, a byte that is not plain ASCII a question mark. Names in double
 * quotes are kept. "..." at the end says that there is more.
 */
#ifndef PQPOOL_SQL_REDACT_STATEMENT_H
#define PQPOOL_SQL_REDACT_STATEMENT_H

#include <stdbool.h>
#include <stddef.h>

/*
 * Writes it into `line`, with its NUL at most `size` bytes (16 or more). `goes_on` tells that
 * `text` is only the beginning. Allocates nothing.
 */
void redact_statement(const char *text, bool goes_on, char *line, size_t size);

#endif
