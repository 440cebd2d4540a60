/* SPDX-License-Identifier: PostgreSQL */
/* What the program sees and sets of a connection during its asynchronous connect. */
#include "acquire/async/async_answers.h"

#include "acquire/async/async_state.h"

struct session *async_unleased(const PGconn *conn)
{
	struct lease *lease;

	return lease_find(conn, &lease) == LEASE_IDLE && !session_of_lease(lease)->passing
	               ? session_of_lease(lease)
	               : NULL;
}

struct async_connect *async_in_progress(const PGconn *conn)
{
	const struct session *session = async_unleased(conn);

	return session != NULL ? session->handshake : NULL;
}

bool async_status(const PGconn *conn, ConnStatusType *status)
{
	const struct session *session = async_unleased(conn);

	if (session == NULL || (session->handshake != NULL && !session->unready)) {
		return false;
	}
	if (session->handshake == NULL) {
		*status = CONNECTION_BAD;
	} else if (session->handshake->polled) {
		*status = CONNECTION_AWAITING_RESPONSE;
	} else {
		/* As libpq does: a connect over the network takes its time. */
		*status = session->local ? CONNECTION_MADE : CONNECTION_STARTED;
	}
	return true;
}

bool async_socket(const PGconn *conn, int *fd)
{
	const struct session *session = async_unleased(conn);

	*fd = -1;
	return session != NULL && session->handshake == NULL;
}

bool async_hides(const PGconn *conn)
{
	const struct session *session = async_unleased(conn);

	return session != NULL && session->unready;
}

void async_fail(const PGconn *conn, const char *why)
{
	struct async_connect *h = async_in_progress(conn);

	if (h != NULL) {
		h->error = why;
	}
}

const char *async_error(const PGconn *conn)
{
	const struct async_connect *h = async_in_progress(conn);

	return h != NULL ? h->error : NULL;
}

bool async_set_pipeline(const PGconn *conn, bool on)
{
	struct async_connect *h = async_in_progress(conn);

	if (h != NULL) {
		h->pipeline = on;
	}
	return h != NULL;
}

bool async_pipeline(const PGconn *conn, bool *on)
{
	const struct async_connect *h = async_in_progress(conn);

	*on = h != NULL && h->pipeline;
	return h != NULL;
}

bool async_receiver(PGconn *conn, PQnoticeReceiver receiver, void *arg,
                    PQnoticeReceiver *before)
{
	struct async_connect *h = async_in_progress(conn);

	if (h != NULL) {
		*before = notices_set_receiver(&h->connecting.opening, receiver, arg);
	}
	return h != NULL;
}

bool async_processor(PGconn *conn, PQnoticeProcessor processor, void *arg,
                     PQnoticeProcessor *before)
{
	const struct async_connect *h = async_in_progress(conn);

	if (h != NULL) {
		*before = h->a.libpq->PQsetNoticeProcessor(conn, processor, arg);
	}
	return h != NULL;
}

void async_got(const PGconn *conn, const PGresult *result)
{
	struct async_connect *h = notices_got(conn, result) ? NULL : async_in_progress(conn);

	if (h != NULL) {
		notices_note_result(&h->connecting.opening, result);
	}
}
