/* SPDX-License-Identifier: PostgreSQL */
/* Seeing the notices of a connect. */
#include "pool/opening.h"

#include <stddef.h>

static _Thread_local struct opening *current;

static void count_and_pass_on(void *arg, const PGresult *result)
{
	struct opening *opening = arg;

	opening->notices++;
	opening->receiver(opening->receiver_arg, result);
}

void opening_begin(struct opening *opening)
{
	*opening = (struct opening){.outer = current};
	current = opening;
}

void opening_stand_by(struct opening *opening, const struct libpq *libpq, PGconn *conn)
{
	opening->libpq = libpq;
	opening->conn = conn;
	opening->receiver = libpq->default_receiver;
}

/* False: something is there that came past us, and is left. */
static bool put(struct opening *opening, PQnoticeReceiver receiver, void *arg)
{
	const struct libpq *libpq = opening->libpq;
	PQnoticeReceiver now = libpq->PQsetNoticeReceiver(opening->conn, NULL, NULL);

	if (now != libpq->default_receiver && now != count_and_pass_on) {
		opening->replaced = true;
		return false;
	}
	libpq->PQsetNoticeReceiver(opening->conn, receiver, arg);
	return true;
}

void opening_attach(struct opening *opening, const struct libpq *libpq, PGconn *conn)
{
	opening_stand_by(opening, libpq, conn);
	put(opening, count_and_pass_on, opening);
}

void opening_again(struct opening *opening)
{
	opening->notices = 0;
	put(opening, count_and_pass_on, opening);
}

PQnoticeReceiver opening_set_receiver(struct opening *opening, PQnoticeReceiver receiver,
                                      void *arg)
{
	PQnoticeReceiver before = opening->receiver;

	if (opening->replaced) {
		return opening->libpq->PQsetNoticeReceiver(opening->conn, receiver, arg);
	}
	if (receiver != NULL) {
		opening->receiver = receiver;
		opening->receiver_arg = arg;
	}
	return before;
}

void opening_pass(const struct libpq *libpq, PGconn *conn)
{
	if (current != NULL && current->conn == NULL) {
		opening_attach(current, libpq, conn);
	}
}

void opening_detach(struct opening *opening)
{
	if (opening->conn == NULL || opening->detached) {
		return;
	}
	opening->detached = true;
	put(opening, opening->receiver, opening->receiver_arg);
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
