/* SPDX-License-Identifier: PostgreSQL */
/*
 * PQfinish: the lease ends, and its session is reset and kept, or finished for a reason.
 *
 * Locks: none is held by a caller of anything here, nor across a call that can block. errno is
 * free to change.
 */
#ifndef PQPOOL_ACQUIRE_RELEASE_H
#define PQPOOL_ACQUIRE_RELEASE_H

#include <stdbool.h>

#include "base/libpq/libpq.h"

/*
 * PQfinish, called from where `caller` points. A connection that we do not know is finished by
 * `libpq`, the one the caller means; ours are finished by the libpq that made them. NULL is
 * allowed for both.
 */
void release_connection(const struct libpq *libpq, PGconn *conn, const void *caller);

/* The same where no lock can be taken: done a moment later. False: no memory to note it. */
bool release_postpone(const struct libpq *libpq, PGconn *conn, const void *caller);

/* Does what was postponed; a load if there is nothing. */
void release_catch_up(void);

#endif
