/* SPDX-License-Identifier: PostgreSQL */
/* Queries of our own on a session. */
#include "session/own_query.h"

#include <poll.h>
#include <sys/socket.h>

#include "base/fd.h"
#include "base/lock.h"

/* ---- sending ---- */

bool own_query_send(struct session *session, const char *statement)
{
	if (session->libpq->PQsendQuery(session->conn, statement) != 1) {
		return false;
	}
	session->flight = FLIGHT_STATEMENT;
	return true;
}

static bool send_in_pipeline(struct session *session, const char *statement)
{
	const struct libpq *pq = session->libpq;

	return pq->PQsendQueryParams(session->conn, statement, 0, NULL, NULL, NULL, NULL, 0) ==
	               1 &&
	       pq->PQpipelineSync(session->conn) == 1;
}

bool own_query_send_all(struct session *session, const char *const statements[], unsigned count)
{
	bool sent = true;

	if (session->libpq->PQenterPipelineMode(session->conn) != 1) {
		return false;
	}
	session->flight = FLIGHT_PIPELINE;
	session->check.syncs_due = count;
	for (unsigned i = 0; i < count && sent; i++) {
		sent = send_in_pipeline(session, statements[i]);
	}
	return sent;
}

bool own_query_send_behind(struct session *session, const char *statement)
{
	session->check.syncs_due++;
	session->limit.due += session->limit.due > 0 ? 1 : 0;
	return send_in_pipeline(session, statement);
}

bool own_query_is_unsent(struct session *session)
{
	return session->libpq->PQflush(session->conn) > 0;
}

/* ---- collecting the answer ---- */

/* Until the socket is ready; false at the deadline. */
static bool wait_for_socket(struct session *session)
{
	short events = own_query_is_unsent(session) ? POLLIN | POLLOUT : POLLIN;

	lock_assert_none();
	return fd_wait(session->libpq->PQsocket(session->conn), events,
	               session->check.deadline_ns);
}

/* The answer to what sets the limit on idle sessions, which may fail. */
static bool is_of_limit(const struct session *session, ExecStatusType status)
{
	return session->flight == FLIGHT_PIPELINE && session->limit.due > 0 &&
	       session->check.syncs_due == session->limit.due && status != PGRES_PIPELINE_SYNC;
}

/* Takes one result in; true if it was the last of what is in flight. */
static bool take_result(struct session *session, PGresult *result)
{
	const struct libpq *pq = session->libpq;
	ExecStatusType status;

	if (result == NULL) {
		return session->flight != FLIGHT_PIPELINE ||
		       pq->PQstatus(session->conn) != CONNECTION_OK;
	}
	status = pq->PQresultStatus(result);
	if (session->check.asking) {
		login_state_answer(&session->login, pq, result);
	}
	if (is_of_limit(session, status)) {
		idle_limit_answer(&session->limit, pq, result);
		status = PGRES_COMMAND_OK;
	}
	pq->PQclear(result);
	if (status == PGRES_PIPELINE_SYNC) {
		return --session->check.syncs_due == 0;
	}
	if (status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK &&
	    status != PGRES_EMPTY_QUERY) {
		session->check.failed = true;
	}
	return false;
}

/* All of the answer is in. */
static enum drop_reason judge_answer(struct session *session)
{
	const struct libpq *pq = session->libpq;
	bool piped = session->flight == FLIGHT_PIPELINE;

	session->flight = FLIGHT_NONE;
	if (pq->PQstatus(session->conn) != CONNECTION_OK) {
		return DROP_PING_FAILED;
	}
	if (piped && pq->PQexitPipelineMode(session->conn) != 1) {
		session->check.failed = true;
	}
	return session->check.failed ? DROP_RESET_FAILED : DROP_NONE;
}

bool own_query_take(struct session *session, enum drop_reason *why)
{
	const struct libpq *pq = session->libpq;
	PGresult *result;
	bool ended = false;

	do {
		if (pq->PQflush(session->conn) < 0) {
			*why = DROP_PING_FAILED;
			return true;
		}
		if (pq->PQisBusy(session->conn)) {
			return false;
		}
		result = pq->PQgetResult(session->conn);
		/* Two ends in a row: something else has read the answer. */
		if (result == NULL && ended) {
			session->flight = FLIGHT_NONE;
			*why = DROP_RESET_FAILED;
			return true;
		}
		ended = result == NULL;
	} while (!take_result(session, result));
	*why = judge_answer(session);
	return true;
}

/* `late` is for an answer that has not come by the deadline. */
static enum drop_reason collect(struct session *session, enum drop_reason late)
{
	enum drop_reason why;

	while (!own_query_take(session, &why)) {
		if (!session->check.arrived && !wait_for_socket(session)) {
			session->check.silent = true;
			return late;
		}
		session->check.arrived = false;
		if (session->libpq->PQconsumeInput(session->conn) != 1) {
			return DROP_PING_FAILED;
		}
	}
	return why;
}

enum drop_reason own_query_collect(struct session *session)
{
	return collect(session, DROP_PING_FAILED);
}

/*
 * An answer that reports the settings of the connection as they were when it was opened changes
 * how the process escapes, though the program has not connected.
 */
static bool changes_escaping(const struct session *session)
{
	return !escaping_holds(&session->opened, session->libpq, session->conn);
}

enum drop_reason own_query_await(struct session *session, uint64_t deadline_ns)
{
	session->check.deadline_ns = deadline_ns;
	return changes_escaping(session) ? DROP_NONE : collect(session, DROP_NONE);
}

static bool is_in_flight(const struct session *session)
{
	return session->conn != NULL && session->flight != FLIGHT_NONE &&
	       session_is_ours(session);
}

void own_query_settle(struct session *session, uint64_t deadline_ns)
{
	if (is_in_flight(session) && !changes_escaping(session)) {
		session->check.deadline_ns = deadline_ns;
		own_query_collect(session);
	}
}

/* ---- past libpq ---- */

/* How far a stream of bytes has come in the server's messages. */
struct answer {
	unsigned header_len; /* bytes of the message's header so far */
	unsigned char header[5];
	uint32_t left; /* of its body */
	unsigned due;  /* messages that end an answer, still to come */
};

static void read_message_byte(struct answer *a, unsigned char byte)
{
	if (a->left > 0) {
		a->left--;
		return;
	}
	a->header[a->header_len++] = byte;
	if (a->header_len < sizeof(a->header)) {
		return;
	}
	a->header_len = 0;
	a->left = (uint32_t)a->header[1] << 24 | (uint32_t)a->header[2] << 16 |
	          (uint32_t)a->header[3] << 8 | (uint32_t)a->header[4];
	/* The length counts itself. */
	a->left -= a->left < 4 ? a->left : 4;
	if (a->header[0] == 'Z' && a->due > 0) {
		a->due--;
	}
}

/* Of an encrypted answer the end cannot be told: only what comes first is read. */
static void read_answer(int fd, struct answer *a, bool readable, uint64_t deadline_ns)
{
	unsigned char bytes[1024];
	ssize_t n = 1;

	/* The last message has a body. */
	while (n > 0 && (a->due > 0 || a->left > 0) && fd_wait(fd, POLLIN, deadline_ns)) {
		n = recv(fd, bytes, sizeof(bytes), MSG_DONTWAIT);
		for (ssize_t i = 0; i < n && readable; i++) {
			read_message_byte(a, bytes[i]);
		}
		deadline_ns = readable ? deadline_ns : 0;
	}
}

void own_query_swallow(const struct session *session, uint64_t deadline_ns)
{
	const struct libpq *pq = session->libpq;
	struct answer answer = {.due = 1};
	bool readable;

	if (!is_in_flight(session)) {
		return;
	}
	if (session->flight == FLIGHT_PIPELINE) {
		answer.due = session->check.syncs_due;
	}
	readable = !pq->PQsslInUse(session->conn) &&
	           (pq->PQgetgssctx == NULL || pq->PQgetgssctx(session->conn) == NULL);
	read_answer(pq->PQsocket(session->conn), &answer, readable, deadline_ns);
}
