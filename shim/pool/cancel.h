/* SPDX-License-Identifier: PostgreSQL */
/*
 * Cancel objects, and the lease each was taken on.
 *
 * A PGcancel holds its own copy of the backend's address and key, and may outlive the
 * PQfinish of its connection: some clients keep one for as long as their connection
 * object lives. Used then, it would cancel the query of whoever has the session next. So
 * a cancel object works only while the lease it was taken on is open; afterwards PQcancel
 * succeeds and does nothing, as it would with a backend that is gone.
 *
 * The program gets an object of ours around libpq's. PQcancel is documented as safe in a
 * signal handler, so it must not take a lock nor look anything up: all it needs is in the
 * object, and in the scope that the objects of one lease share.
 *
 * A cancel request that is on its way when the lease ends might reach the server after the
 * reset: that session is not lent again (cancel_close_scope tells).
 */
#ifndef PQPOOL_POOL_CANCEL_H
#define PQPOOL_POOL_CANCEL_H

#include <stdbool.h>

#include "base/libpq.h"

struct session;

/* PQgetCancel, wrapped. NULL as libpq's, when memory is short, and after PQfinish. */
PGcancel *cancel_get(const struct libpq *libpq, PGconn *conn);

/* True if `cancel` is one of ours, and not an object libpq made for somebody past us. */
bool cancel_is_ours(const PGcancel *cancel);

/*
 * PQcancel for one of ours: libpq's, or success without effect if the lease is over.
 * Async-signal-safe as far as libpq's is.
 */
int cancel_send(PGcancel *cancel, char *errbuf, int errbufsize);

/* PQfreeCancel for one of ours. */
void cancel_free(PGcancel *cancel);

/*
 * The lease on `session` is over: its cancel objects are inert from now on. False if one
 * was being sent at this moment.
 */
bool cancel_close_scope(struct session *session);

#endif
