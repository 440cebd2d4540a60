/* SPDX-License-Identifier: PostgreSQL */
/* What stays for a while at the address of a connection that was really finished. */
#include "pool/decoy.h"

#include <malloc.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/cold.h"
#include "base/self.h"
#include "pool/session.h"

/* An option that does not exist fails before any I/O, and the message names it. */
static const char conninfo[] = "this_connection_was_finished=";

/* Whoever looks a lease up finds a session around it. */
struct decoy {
	struct session session;
	char label[];
};

static _Atomic(struct decoy *) ring[DECOYS_MAX];
static atomic_uint next;

/*
 * Where malloc has joined the old block to a free one before it, the new one may begin
 * earlier: the old address is occupied all the same.
 */
static bool covers(void *decoy, const void *conn)
{
	return (uintptr_t)conn - (uintptr_t)decoy < malloc_usable_size(decoy);
}

static COLD struct decoy *make(const struct libpq *libpq, PGconn *conn,
                               const struct lease *finished)
{
	size_t label_size = strlen(finished->pool) + 1;
	struct decoy *decoy = calloc(1, sizeof(*decoy) + label_size);

	if (decoy == NULL) {
		return NULL;
	}
	decoy->session.conn = conn;
	memcpy(decoy->label, finished->pool, label_size);
	decoy->session.libpq = libpq;
	decoy->session.owner = self_pid();
	decoy->session.end_fd = -1;
	decoy->session.lease = *finished;
	memset(&decoy->session.lease.hh, 0, sizeof(decoy->session.lease.hh));
	decoy->session.lease.pool = decoy->label;
	return decoy;
}

/* Gives up a decoy that is not in the table, or not any more. */
static void let_go(struct decoy *decoy)
{
	decoy->session.libpq->PQfinish(decoy->session.conn);
	free(decoy);
}

/* Enters it for the old address. Whoever is there already has come by it lawfully. */
static bool stand_in(struct decoy *decoy, const void *conn)
{
	struct lease *other;
	struct lease *vanished;

	return covers(decoy->session.conn, conn) && lease_find(conn, &other) == LEASE_UNKNOWN &&
	       lease_register(&decoy->session.lease, &vanished);
}

void decoy_leave(const struct libpq *libpq, const struct lease *finished)
{
	/* First of all, or something else of ours gets the block. */
	PGconn *conn = libpq->PQconnectStart(conninfo);
	struct decoy *decoy = conn != NULL ? make(libpq, conn, finished) : NULL;
	struct decoy *oldest;

	if (decoy == NULL) {
		libpq->PQfinish(conn);
		return;
	}
	if (!stand_in(decoy, finished->conn)) {
		let_go(decoy);
		return;
	}
	oldest = atomic_exchange(&ring[atomic_fetch_add(&next, 1) % DECOYS_MAX], decoy);
	if (oldest != NULL) {
		lease_forget(&oldest->session.lease);
		let_go(oldest);
	}
}
