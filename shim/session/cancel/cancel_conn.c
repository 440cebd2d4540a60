/* SPDX-License-Identifier: PostgreSQL */
/* Cancel objects of libpq 17. */
#include "session/cancel/cancel_conn.h"

#include <stdlib.h>
#include <unistd.h>

#include "base/cold.h"
#include "base/fd.h"
#include "session/cancel/address_table.h"
#include "session/cancel/cancel_scope.h"

enum cancel_conn_state {
	READY,
	SENDING, /* libpq's from now on, until it is reset; counted by the scope */
	SENT,    /* libpq's, too, and the server has received it */
	INERT_STARTED,
	INERT_DONE,
	INERT_FAILED
};

struct request {
	const PGcancelConn *conn;
	const struct libpq *libpq;
	struct cancel_scope *scope;
	enum cancel_conn_state state;
	int socket;        /* of an inert one; -1 = none */
	const char *error; /* of an inert one */
};

static struct address_table requests SPARSE;

/* ---- those that are known ----------------------------------------------------------- */

static struct request *find(const struct libpq_caller *from, const PGcancelConn *conn)
{
	return from->inside ? NULL : address_table_find(&requests, conn);
}

/* The libpq to call; libpq_leave() has to follow. */
static const struct libpq *enter_libpq(const struct libpq_caller *from,
                                       const struct request *request)
{
	const struct libpq *libpq = request != NULL ? request->libpq : from->libpq;

	libpq_enter(libpq);
	return libpq;
}

static void show_no_socket(struct request *request)
{
	if (request->socket >= 0) {
		close(request->socket);
		request->socket = -1;
	}
}

static COLD void forget(struct request *request)
{
	show_no_socket(request);
	cancel_scope_leave(request->scope);
	free(request);
}

/* An older one of the same address was finished past us. False: out of memory. */
static bool enter(struct request *request)
{
	void *old;

	if (!address_table_put(&requests, request->conn, request, &old)) {
		return false;
	}
	if (old != NULL) {
		forget(old);
	}
	return true;
}

/* ---- those that are inert ------------------------------------------------------------ */

static bool is_inert(const struct request *request)
{
	return request != NULL && request->state >= INERT_STARTED;
}

/* In libpq's words. */
static int fail(struct request *request, const char *error)
{
	show_no_socket(request);
	request->state = INERT_FAILED;
	request->error = error;
	return 0;
}

static void be_done(struct request *request)
{
	show_no_socket(request);
	request->error = "";
	request->state = INERT_DONE;
}

static int start_again(struct request *request)
{
	return request->state == INERT_FAILED
	               ? 0
	               : fail(request,
	                      "cancel request is already being sent on this connection\n");
}

static int start_inert(struct request *request)
{
	request->socket = fd_dead_socket();
	if (request->socket < 0) {
		return fail(request, "could not create socket\n");
	}
	request->state = INERT_STARTED;
	request->error = "";
	return 1;
}

/* ---- sending ----------------------------------------------------------------------- */

/* True if libpq is to send it; else it is inert. */
static bool begin_sending(struct request *request)
{
	if (request != NULL && request->state == READY) {
		if (!cancel_scope_send(request->scope)) {
			return false;
		}
		request->state = SENDING;
	}
	return true;
}

static void note_sent(struct request *request)
{
	if (request != NULL && request->state == SENDING) {
		cancel_scope_sent(request->scope);
		request->state = SENT;
	}
}

PGcancelConn *cancel_conn_create(const struct libpq_caller *from, PGconn *conn,
                                 struct cancel_scope *scope)
{
	struct request *request;
	PGcancelConn *made = from->libpq->PQcancelCreate(conn);

	/* One for a connection that is not open will never be sent. */
	if (made == NULL || scope == NULL || cancel_conn_status(from, made) == CONNECTION_BAD) {
		cancel_scope_leave(scope);
		return made;
	}
	request = calloc(1, sizeof(*request));
	if (request != NULL) {
		*request = (struct request){
			.conn = made, .libpq = from->libpq, .scope = scope, .socket = -1};
		if (enter(request)) {
			return made;
		}
	}
	free(request);
	cancel_scope_leave(scope);
	cancel_conn_finish(from, made);
	return NULL;
}

int cancel_conn_start(const struct libpq_caller *from, PGcancelConn *conn)
{
	struct request *request = find(from, conn);
	int started;

	if (is_inert(request)) {
		return start_again(request);
	}
	if (!begin_sending(request)) {
		return start_inert(request);
	}
	started = enter_libpq(from, request)->PQcancelStart(conn);
	libpq_leave();
	return started;
}

int cancel_conn_blocking(const struct libpq_caller *from, PGcancelConn *conn)
{
	struct request *request = find(from, conn);
	int sent;

	if (is_inert(request)) {
		return start_again(request);
	}
	if (!begin_sending(request)) {
		be_done(request);
		return 1;
	}
	sent = enter_libpq(from, request)->PQcancelBlocking(conn);
	libpq_leave();
	if (sent) {
		note_sent(request);
	}
	return sent;
}

PostgresPollingStatusType cancel_conn_poll(const struct libpq_caller *from, PGcancelConn *conn)
{
	struct request *request = find(from, conn);
	PostgresPollingStatusType wants;

	if (is_inert(request)) {
		if (request->state == INERT_FAILED) {
			return PGRES_POLLING_FAILED;
		}
		be_done(request);
		return PGRES_POLLING_OK;
	}
	wants = enter_libpq(from, request)->PQcancelPoll(conn);
	libpq_leave();
	if (wants == PGRES_POLLING_OK) {
		note_sent(request);
	}
	return wants;
}

/* ---- its state ----------------------------------------------------------------------- */

ConnStatusType cancel_conn_status(const struct libpq_caller *from, const PGcancelConn *conn)
{
	const struct request *request = find(from, conn);
	ConnStatusType status;

	if (is_inert(request)) {
		return request->state == INERT_STARTED ? CONNECTION_MADE
		       : request->state == INERT_DONE  ? CONNECTION_OK
		                                       : CONNECTION_BAD;
	}
	status = enter_libpq(from, request)->PQcancelStatus(conn);
	libpq_leave();
	return status;
}

int cancel_conn_socket(const struct libpq_caller *from, const PGcancelConn *conn)
{
	const struct request *request = find(from, conn);
	int fd;

	if (is_inert(request)) {
		return request->socket;
	}
	fd = enter_libpq(from, request)->PQcancelSocket(conn);
	libpq_leave();
	return fd;
}

char *cancel_conn_error(const struct libpq_caller *from, const PGcancelConn *conn)
{
	const struct request *request = find(from, conn);
	char *error;

	if (is_inert(request)) {
		return (char *)request->error;
	}
	error = enter_libpq(from, request)->PQcancelErrorMessage(conn);
	libpq_leave();
	return error;
}

/* ---- the end of it ------------------------------------------------------------------- */

void cancel_conn_reset(const struct libpq_caller *from, PGcancelConn *conn)
{
	struct request *request = find(from, conn);

	/* One that was being sent may have arrived: it stays counted. */
	if (request != NULL) {
		show_no_socket(request);
		request->state = READY;
	}
	enter_libpq(from, request)->PQcancelReset(conn);
	libpq_leave();
}

void cancel_conn_finish(const struct libpq_caller *from, PGcancelConn *conn)
{
	struct request *request = find(from, conn);
	const struct libpq *libpq = enter_libpq(from, request);

	/* Its address is free for another as soon as it is finished. */
	if (request != NULL) {
		address_table_take(&requests, conn);
		forget(request);
	}
	libpq->PQcancelFinish(conn);
	libpq_leave();
}
