/* SPDX-License-Identifier: PostgreSQL */
/*
 * Cancel objects, and the lease each was taken on.
 *
 * `sending` is raised before `open` is read, and `open` lowered before `sending` is read:
 * so a sender that found the scope open is always seen by whoever closes it.
 */
#include "pool/cancel.h"

#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "pool/session.h"
#include "trace/lease.h"

/* In the first bytes of an object of ours; libpq's begins with a socket address. */
static const uint64_t mark = 0x7071706f6f6c6361ULL;

struct cancel_scope {
	atomic_bool open;
	atomic_uint sending;
	atomic_uint refs;
};

struct cancel_object {
	uint64_t mark;
	const struct libpq *libpq;
	PGcancel *real;
	struct cancel_scope *scope; /* NULL: not taken on a lease, always sent */
};

static void leave_scope(struct cancel_scope *scope)
{
	if (scope != NULL && atomic_fetch_sub(&scope->refs, 1) == 1) {
		free(scope);
	}
}

/*
 * The scope of the lease on `conn`, counted; NULL if it has none. False if memory is short,
 * or the connection was finished: an object for it would cancel the next lease's query.
 */
static bool enter_scope(PGconn *conn, struct cancel_scope **scope)
{
	struct lease *lease;
	struct session *session;

	*scope = NULL;
	if (lease_find(conn, &lease) != LEASE_OPEN) {
		return !lease_is_stale(conn);
	}
	session = session_of_lease(lease);
	if (session->cancels == NULL) {
		session->cancels = calloc(1, sizeof(*session->cancels));
		if (session->cancels == NULL) {
			return false;
		}
		atomic_store(&session->cancels->open, true);
		atomic_store(&session->cancels->refs, 1);
	}
	*scope = session->cancels;
	atomic_fetch_add(&(*scope)->refs, 1);
	return true;
}

PGcancel *cancel_get(const struct libpq *libpq, PGconn *conn)
{
	struct cancel_object *object = calloc(1, sizeof(*object));

	if (object == NULL) {
		return NULL;
	}
	object->mark = mark;
	object->libpq = libpq;
	object->real = libpq->PQgetCancel(conn);
	if (object->real == NULL || !enter_scope(conn, &object->scope)) {
		libpq->PQfreeCancel(object->real);
		free(object);
		return NULL;
	}
	return (PGcancel *)object;
}

bool cancel_is_ours(const PGcancel *cancel)
{
	return cancel != NULL && memcmp(cancel, &mark, sizeof(mark)) == 0;
}

int cancel_send(PGcancel *cancel, char *errbuf, int errbufsize)
{
	struct cancel_object *object = (struct cancel_object *)cancel;
	struct cancel_scope *scope = object->scope;
	int done = 1;

	if (scope == NULL) {
		return object->libpq->PQcancel(object->real, errbuf, errbufsize);
	}
	atomic_fetch_add(&scope->sending, 1);
	if (atomic_load(&scope->open)) {
		done = object->libpq->PQcancel(object->real, errbuf, errbufsize);
	}
	atomic_fetch_sub(&scope->sending, 1);
	return done;
}

void cancel_free(PGcancel *cancel)
{
	struct cancel_object *object = (struct cancel_object *)cancel;

	object->libpq->PQfreeCancel(object->real);
	leave_scope(object->scope);
	object->mark = 0;
	free(object);
}

bool cancel_close_scope(struct session *session)
{
	struct cancel_scope *scope = session->cancels;
	bool quiet = true;

	if (scope != NULL) {
		session->cancels = NULL;
		atomic_store(&scope->open, false);
		quiet = atomic_load(&scope->sending) == 0;
		leave_scope(scope);
	}
	return quiet;
}
