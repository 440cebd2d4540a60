/* SPDX-License-Identifier: PostgreSQL */
/*
 * Cancel objects of PQgetCancel (PGcancel), which may be used in a signal handler.
 *
 * The program gets libpq's own object, for there are clients that read the backend's pid and
 * key out of it (ruby-pg up to 1.6, at offsets of their own). Its scope (cancel_scope.h) is
 * found by the object's address. An object that was not taken on a lease, or that libpq made
 * past us, is not listed, and libpq's alone.
 *
 * malloc may give the address of an object that was freed past us to one that was made past us:
 * so an entry is valid only for an object of the same content.
 *
 * PQcancel is documented as safe in a signal handler: it takes no lock and allocates nothing.
 */
#ifndef PQPOOL_SESSION_CANCEL_CANCEL_OBJECT_H
#define PQPOOL_SESSION_CANCEL_CANCEL_OBJECT_H

#include <stdbool.h>

#include "base/libpq/libpq.h"
#include "session/cancel/cancel_scope.h"

/*
 * PQgetCancel, listed with `scope`, a reference that it takes over; NULL: not listed. NULL as
 * libpq's, and when memory is short.
 */
PGcancel *cancel_object_get(const struct libpq *libpq, PGconn *conn,
                            struct cancel_scope *scope);

/*
 * PQcancel of a listed object: libpq's, or success without effect if the lease is over. False
 * if it is not listed, and nothing was done. Async-signal-safe as far as libpq's is.
 */
bool cancel_object_send(PGcancel *cancel, char *errbuf, int errbufsize, int *done);

/* PQfreeCancel of a listed object; false if it is not listed. */
bool cancel_object_free(PGcancel *cancel);

#endif
