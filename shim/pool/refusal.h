/* SPDX-License-Identifier: PostgreSQL */
/*
 * A failed connection of our own making: the pool had no session in time.
 *
 * The program gets what it gets from libpq when a connect fails: a PGconn whose status is
 * CONNECTION_BAD and whose PQerrorMessage says why. It is made by libpq itself from the
 * program's own parameters and given up before anything is sent; so the program can ask
 * for the same again, by PQreset. The message is ours.
 */
#ifndef PQPOOL_POOL_REFUSAL_H
#define PQPOOL_POOL_REFUSAL_H

#include "pool/identity.h"
#include "pool/postmortem.h"
#include "pool/session.h"

/* What it says, malloc'ed; NULL: out of memory. */
char *refusal_message(const struct postmortem *p);

/* The same where there are no descriptors to wait with. */
char *refusal_by_error(const struct lender *lender, int error);

/*
 * Makes one for `spelling`, whose pool was full: to be registered like a session, so that
 * PQfinish and PQerrorMessage find it, but on no lease. NULL: out of memory.
 */
struct session *refusal_make(const struct spelling *spelling, const struct postmortem *p);

/*
 * Child of a fork: true if the lease's session is one. It says why in the child, too, but the
 * pool that it might ask again is the parent's.
 */
bool refusal_fork_child(struct lease *lease);

#endif
