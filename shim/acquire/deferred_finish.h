/* SPDX-License-Identifier: PostgreSQL */
/*
 * Finishes that are done a moment later.
 *
 * A signal handler may call PQfinish in the instant in which the thread that it interrupts
 * holds a lock of ours, or is about to: the handler cannot have that lock, nor wait for it. The
 * connection is noted here and finished as soon as a call of the program's ends, mostly the one
 * that was interrupted.
 *
 * Locks: none. Async-signal-safe, but for postponed_next().
 */
#ifndef PQPOOL_ACQUIRE_DEFERRED_FINISH_H
#define PQPOOL_ACQUIRE_DEFERRED_FINISH_H

#include <stdbool.h>

#include "base/libpq/libpq.h"

struct postponed {
	PGconn *conn;
	const struct libpq *libpq; /* that the caller means; or NULL */
	const void *caller;
};

/* False: there is no place. */
bool postponed_note(const struct postponed *finish);

/* A load. */
bool postponed_any(void);

/* Takes one out; false: there is none. */
bool postponed_next(struct postponed *finish);

#endif
