/* SPDX-License-Identifier: PostgreSQL */
/*
 * A connect that blocks, in a pool or past it; acquire.h has the picture.
 *
 * It may never come back from where it blocks. What it has in hand there is noted in the
 * acquisition's ticket (blocked_call.h), and where it does come back it first asks whether that
 * is still its own.
 */
#ifndef PQPOOL_ACQUIRE_BLOCKING_H
#define PQPOOL_ACQUIRE_BLOCKING_H

#include "acquire/lend/lending.h"
#include "base/cold.h"

/* Not to be pooled: the program's own connect, tracked if it succeeds. */
COLD PGconn *blocking_plain(const struct acquisition *a, const struct connect_call *call);

/* Leased from the lender's pool, or what libpq makes of it. The ticket has begun. */
PGconn *blocking_pooled(struct acquisition *a, const struct connect_call *call);

#endif
