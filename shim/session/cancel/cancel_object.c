/* SPDX-License-Identifier: PostgreSQL */
/* Cancel objects of PQgetCancel. */
#include "session/cancel/cancel_object.h"

#include <stdint.h>
#include <stdlib.h>

#include "base/cold.h"
#include "base/text/hash.h"
#include "session/cancel/address_table.h"
#include "session/cancel/cancel_scope.h"

/*
 * The least that every libpq's object has: the server's address in a sockaddr_storage with its
 * length, the backend's pid and, up to libpq 17, its key (struct pg_cancel in fe-connect.c,
 * later fe-cancel.c).
 */
#define CONTENT_BYTES 144

struct cancel_object {
	const struct libpq *libpq;
	struct cancel_scope *scope;
	unsigned content; /* the hash of it */
};

static struct address_table objects SPARSE;

static unsigned content_of(const PGcancel *cancel)
{
	return (unsigned)hash_bytes(CONTENT_BYTES, cancel, CONTENT_BYTES);
}

/* NULL: not listed, or listed for an older one at the same address. */
static struct cancel_object *find(const PGcancel *cancel)
{
	struct cancel_object *object = address_table_find(&objects, cancel);

	return object != NULL && object->content == content_of(cancel) ? object : NULL;
}

static void forget(struct cancel_object *object)
{
	if (object != NULL) {
		cancel_scope_leave(object->scope);
		free(object);
	}
}

/* False: out of memory. */
static bool enter(const struct libpq *libpq, PGcancel *cancel, struct cancel_scope *scope)
{
	struct cancel_object *object = calloc(1, sizeof(*object));
	void *old;

	if (object == NULL) {
		return false;
	}
	*object = (struct cancel_object){libpq, scope, content_of(cancel)};
	if (!address_table_put(&objects, cancel, object, &old)) {
		free(object);
		return false;
	}
	forget(old);
	return true;
}

PGcancel *cancel_object_get(const struct libpq *libpq, PGconn *conn, struct cancel_scope *scope)
{
	PGcancel *made = libpq->PQgetCancel(conn);

	if (made != NULL && scope != NULL) {
		if (enter(libpq, made, scope)) {
			return made;
		}
		libpq->PQfreeCancel(made);
		made = NULL;
	} else if (made != NULL) {
		forget(address_table_take(&objects, made));
	}
	cancel_scope_leave(scope);
	return made;
}

bool cancel_object_send(PGcancel *cancel, char *errbuf, int errbufsize, int *done)
{
	struct cancel_object *object = find(cancel);

	if (object == NULL) {
		return false;
	}
	*done = 1;
	if (cancel_scope_send(object->scope)) {
		*done = object->libpq->PQcancel(cancel, errbuf, errbufsize);
		/* A failed one may have arrived, and stays counted. */
		if (*done) {
			cancel_scope_sent(object->scope);
		}
	}
	return true;
}

bool cancel_object_free(PGcancel *cancel)
{
	struct cancel_object *object = find(cancel);

	if (object == NULL) {
		forget(address_table_take(&objects, cancel));
		return false;
	}
	/* Its address is free for another as soon as it is freed. */
	address_table_take(&objects, cancel);
	object->libpq->PQfreeCancel(cancel);
	forget(object);
	return true;
}
