/* SPDX-License-Identifier: PostgreSQL */
/*
 * Cancel objects that may be used in a signal handler: PQgetCancel's. Those of libpq 17,
 * which may not, are request.c's.
 *
 * The program gets an object of ours around libpq's. PQcancel is documented as safe in a
 * signal handler, so it must not take a lock nor look anything up: all it needs is in the
 * object, and in the scope that the objects of one lease share (scope.h).
 */
#ifndef PQPOOL_POOL_CANCEL_H
#define PQPOOL_POOL_CANCEL_H

#include <stdbool.h>

#include "base/libpq.h"

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

#endif
