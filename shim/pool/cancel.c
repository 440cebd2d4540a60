/* SPDX-License-Identifier: PostgreSQL */
/* Cancel objects that may be used in a signal handler. */
#include "pool/cancel.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "pool/scope.h"

/* In the first bytes of an object of ours; libpq's begins with a socket address. */
static const uint64_t mark = 0x7071706f6f6c6361ULL;

struct cancel_object {
	uint64_t mark;
	const struct libpq *libpq;
	PGcancel *real;
	struct cancel_scope *scope; /* NULL: not taken on a lease, always sent */
};

PGcancel *cancel_get(const struct libpq *libpq, PGconn *conn)
{
	struct cancel_object *object = calloc(1, sizeof(*object));

	if (object == NULL) {
		return NULL;
	}
	object->mark = mark;
	object->libpq = libpq;
	object->real = libpq->PQgetCancel(conn);
	if (object->real == NULL || !scope_enter(conn, &object->scope)) {
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
	if (scope_send(scope)) {
		done = object->libpq->PQcancel(object->real, errbuf, errbufsize);
		scope_sent(scope);
	}
	return done;
}

void cancel_free(PGcancel *cancel)
{
	struct cancel_object *object = (struct cancel_object *)cancel;

	object->libpq->PQfreeCancel(object->real);
	scope_leave(object->scope);
	object->mark = 0;
	free(object);
}
