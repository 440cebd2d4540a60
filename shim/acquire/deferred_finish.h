/* SPDX-License-Identifier: PostgreSQL */
/*
 * Finishes that are done a moment later.
 *
 * A signal handler may call PQfinish in the instant in which the thread that it interrupts
 * holds a lock of ours, or is about to: the handler cannot have that lock, nor wait for it. The
 * connection is noted here and finished as soon as a call of the program's ends, mostly the one
 * that was interrupted.
 *
 * Locks: none. Async-signal-safe, but for deferred_finish_next().
 */
#ifndef PQPOOL_ACQUIRE_DEFERRED_FINISH_H
#define PQPOOL_ACQUIRE_DEFERRED_FINISH_H

#include <stdbool.h>

#include "base/libpq/libpq.h"

struct deferred_finish {
	PGconn *conn;
	const struct libpq *libpq; /* that the caller means; or NULL */
	const void *caller;
};

/* False: there is no place. */
bool deferred_finish_note(const struct deferred_finish *finish);

/* A load. */
bool deferred_finish_any(void);

/* Takes one out; false: there is none. */
bool deferred_finish_next(struct deferred_finish *finish);

#endif
