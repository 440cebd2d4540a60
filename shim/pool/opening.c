/* SPDX-License-Identifier: PostgreSQL */
/* Seeing the notices of a connect. */
#include "pool/opening.h"

#include <stddef.h>

static _Thread_local struct opening *current;

static void count_and_pass_on(void *arg, const PGresult *result)
{
	struct opening *opening = arg;

	opening->notices++;
	opening->libpq->default_receiver(NULL, result);
}

void opening_begin(struct opening *opening)
{
	*opening = (struct opening){.outer = current};
	current = opening;
}

void opening_attach(struct opening *opening, const struct libpq *libpq, PGconn *conn)
{
	opening->libpq = libpq;
	opening->conn = conn;
	if (libpq->PQsetNoticeReceiver(conn, NULL, NULL) == libpq->default_receiver) {
		libpq->PQsetNoticeReceiver(conn, count_and_pass_on, opening);
	} else {
		opening->replaced = true;
	}
}

void opening_pass(const struct libpq *libpq, PGconn *conn)
{
	if (current != NULL && current->conn == NULL) {
		opening_attach(current, libpq, conn);
	}
}

void opening_detach(struct opening *opening)
{
	const struct libpq *libpq = opening->libpq;

	if (opening->conn == NULL || opening->detached) {
		return;
	}
	opening->detached = true;
	if (libpq->PQsetNoticeReceiver(opening->conn, NULL, NULL) == count_and_pass_on) {
		libpq->PQsetNoticeReceiver(opening->conn, libpq->default_receiver, NULL);
	} else {
		opening->replaced = true;
	}
}

void opening_end(struct opening *opening, const PGconn *conn)
{
	current = opening->outer;
	if (conn != NULL) {
		opening_detach(opening);
	}
}

enum drop_reason opening_verdict(const struct opening *opening)
{
	if (opening->conn == NULL || opening->replaced) {
		return DROP_CONNECT_UNSEEN;
	}
	return opening->notices > 0 ? DROP_CONNECT_NOTICE : DROP_NONE;
}
