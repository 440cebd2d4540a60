/* SPDX-License-Identifier: PostgreSQL */
/*
 * A failed connection of our own making: the pool had no session in time.
 *
 * The program gets what it gets from libpq when a connect fails: a PGconn whose status is
 * CONNECTION_BAD and whose PQerrorMessage says why. It is made by libpq itself from the
 * program's own parameters and given up before anything is sent; so the program can ask
 * for the same again, by PQreset. The message is ours.
 */
#ifndef PQPOOL_ACQUIRE_FULL_REFUSAL_H
#define PQPOOL_ACQUIRE_FULL_REFUSAL_H

#include "acquire/full/exhaustion.h"
#include "acquire/lend/acquisition.h"

/*
 * Logs that a connect is refused which waited for so long (exhaustion.h), and returns what it
 * says, malloc'ed; NULL: out of memory.
 */
char *refusal_report(struct lender *lender, uint64_t waited_ns, enum exhaustion_waiter waiter);

/* What it says if there are no descriptors to wait with. */
char *refusal_by_error(const struct lender *lender, int error);

/*
 * Ends a connection that libpq has begun, on all its hosts, before anything is sent. It has
 * failed then as any other, and PQreset works; but libpq's message says nothing of use.
 */
void refusal_fail(const struct libpq *libpq, PGconn *conn);

/*
 * One for a connect that blocks, whose pool was full; `doomed`: no release can come. PQfinish
 * and PQerrorMessage find it like a session, but it is on no lease. NULL: out of memory.
 */
PGconn *refusal_give(const struct acquisition *a, bool doomed);

/* What one says that the keeper refused, logged and malloc'ed; NULL: out of memory. */
char *refusal_report_shared(const struct acquisition *a, const char *holders);

/* The same, refused by the keeper: `holders` is a line for each, or NULL. */
PGconn *refusal_by_keeper(const struct acquisition *a, const char *holders);

/*
 * Child of a fork: true if the lease's session is one. It says why in the child, too, but the
 * pool that it might ask again is the parent's.
 */
bool refusal_fork_child(struct lease *lease);

#endif
