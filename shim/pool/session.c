/* SPDX-License-Identifier: PostgreSQL */
/*
 * One session: open, reset, check, close.
 *
 * Tried and dropped: pinging with PQconsumeInput alone (it succeeds on a session that the
 * server has ended), and waiting for the answer at release (a wake-up of the client that
 * the next acquire can have for nothing).
 */
#include "pool/session.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/single_threaded.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/lock.h"
#include "base/self.h"
#include "pool/cancel.h"
#include "pool/events.h"
#include "pool/opening.h"

/* Descriptors of ours keep out of the low numbers, which select() and people use. */
#define END_FD_MIN 200

/* A proof of life that PRE_PING_AUTO accepts on a network connection. */
#define RECENT_PROOF_NS (500 * NS_PER_MS)

static const char reset_statement[] = "DISCARD ALL";
static const char rollback_statement[] = "ROLLBACK";

static void quiet_receiver(void *arg, const PGresult *result)
{
	struct session *session = arg;
	const char *severity =
		session->libpq->PQresultErrorField(result, PG_DIAG_SEVERITY_NONLOCALIZED);

	session->notices++;
	if (severity != NULL &&
	    (strcmp(severity, "FATAL") == 0 || strcmp(severity, "PANIC") == 0)) {
		session->ended = true;
	}
}

static struct session *make(const struct libpq *libpq)
{
	static atomic_uint_fast64_t last_id;
	struct session *session = calloc(1, sizeof(*session));

	if (session != NULL) {
		session->libpq = libpq;
		session->owner = self_pid();
		session->end_fd = -1;
		session->id = atomic_fetch_add(&last_id, 1) + 1;
		session->lease.session = session->id;
	}
	return session;
}

void session_note_connection(struct session *session)
{
	int fd = session->libpq->PQsocket(session->conn);
	struct sockaddr address = {.sa_family = AF_UNSPEC};
	socklen_t len = sizeof(address);
	enum drop_reason unfit;
	struct stat st;

	if (fd < 0 || fstat(fd, &st) != 0) {
		return;
	}
	session->socket_dev = st.st_dev;
	session->socket_ino = st.st_ino;
	session->backend_pid = session->libpq->PQbackendPID(session->conn);
	session->opened = escaping_settings(session->libpq, session->conn);
	unfit = standing_note(&session->standing, session->libpq, session->conn);
	session->taint = session->taint != DROP_NONE ? session->taint : unfit;
	getsockname(fd, &address, &len);
	session->local = address.sa_family == AF_UNIX;
}

struct session *session_adopt(const struct libpq *libpq, PGconn *conn)
{
	struct session *session = make(libpq);

	if (session != NULL) {
		session->conn = conn;
		session->lease.conn = conn;
		session_note_connection(session);
		session->proven_ns = clock_monotonic_ns();
	}
	return session;
}

struct session *session_open(const struct libpq *libpq, const char *conninfo)
{
	struct session *session = make(libpq);
	struct opening opening;

	lock_assert_none();
	if (session == NULL) {
		return NULL;
	}
	opening_begin(&opening);
	session->conn = libpq->PQconnectdb(conninfo);
	opening_end(&opening, session->conn);
	session->lease.conn = session->conn;
	session->taint = opening_verdict(&opening);
	if (session->conn != NULL) {
		session_note_connection(session);
	}
	session->proven_ns = clock_monotonic_ns();
	return session;
}

bool session_is_ours(const struct session *session)
{
	struct stat st;

	return session->owner == self_pid() &&
	       fstat(session->libpq->PQsocket(session->conn), &st) == 0 &&
	       st.st_dev == session->socket_dev && st.st_ino == session->socket_ino;
}

/* The program may have changed how the descriptor behaves; libpq sets both flags. */
static bool flags_are_libpqs(int fd)
{
	int status = fcntl(fd, F_GETFL);
	int descriptor = fcntl(fd, F_GETFD);

	return status >= 0 && (status & (O_NONBLOCK | O_ASYNC)) == O_NONBLOCK &&
	       descriptor >= 0 && (descriptor & FD_CLOEXEC) != 0;
}

enum drop_reason session_examine(struct session *session, const struct lease *ended)
{
	const struct libpq *pq = session->libpq;
	PGconn *conn = session->conn;

	lock_assert_none();
	if (!cancel_close_scope(session)) {
		return DROP_CANCEL_UNDER_WAY;
	}
	if (session->taint != DROP_NONE) {
		return session->taint;
	}
	if (ended->crossed_fork) {
		return DROP_FORKED;
	}
	if (pq->PQstatus(conn) != CONNECTION_OK) {
		return DROP_BROKEN;
	}
	if (!session_is_ours(session) || !flags_are_libpqs(pq->PQsocket(conn)) ||
	    pq->PQbackendPID(conn) != session->backend_pid) {
		return DROP_DESCRIPTOR;
	}
	if (pq->can_pipeline && pq->PQpipelineStatus(conn) != PQ_PIPELINE_OFF) {
		return DROP_PIPELINE;
	}
	switch (pq->PQtransactionStatus(conn)) {
	case PQTRANS_ACTIVE:
		return DROP_BUSY;
	case PQTRANS_UNKNOWN:
		return DROP_BROKEN;
	default:
		break;
	}
	/* A blocking connection leaves nothing unsent, and asking it could block. */
	if (pq->PQisnonblocking(conn) && pq->PQflush(conn) != 0) {
		return DROP_UNSENT_OUTPUT;
	}
	if (escaping_must_not_return(&session->opened, pq, conn)) {
		return DROP_ESCAPING;
	}
	return events_forget(pq->PQsocket(conn)) ? DROP_NONE : DROP_REGISTERED;
}

static void take_into_care(struct session *session)
{
	const struct libpq *pq = session->libpq;
	PGconn *conn = session->conn;

	session->notices = 0;
	session->ended = false;
	pq->PQsetNoticeReceiver(conn, quiet_receiver, session);
	pq->PQsetNoticeProcessor(conn, pq->default_processor, NULL);
	pq->PQsetErrorVerbosity(conn, PQERRORS_DEFAULT);
	pq->PQsetErrorContextVisibility(conn, PQSHOW_CONTEXT_ERRORS);
	pq->PQsetnonblocking(conn, 1);
}

static void hand_out(struct session *session)
{
	const struct libpq *pq = session->libpq;

	pq->PQsetNoticeReceiver(session->conn, pq->default_receiver, NULL);
	pq->PQsetnonblocking(session->conn, 0);
}

static bool send_statement(struct session *session, const char *statement)
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

static bool send_rollback_and_reset(struct session *session)
{
	if (session->libpq->PQenterPipelineMode(session->conn) != 1) {
		return false;
	}
	session->flight = FLIGHT_PIPELINE;
	return send_in_pipeline(session, rollback_statement) &&
	       send_in_pipeline(session, reset_statement);
}

enum drop_reason session_reset(struct session *session, const struct session_care *care)
{
	const struct libpq *pq = session->libpq;
	bool in_transaction = pq->PQtransactionStatus(session->conn) != PQTRANS_IDLE;
	bool sent = true;

	lock_assert_none();
	if (in_transaction &&
	    (care->reset == RESET_OFF || (care->reset == RESET_DISCARD && !pq->can_pipeline))) {
		return DROP_OPEN_TRANSACTION;
	}
	take_into_care(session);
	if (care->reset == RESET_DISCARD) {
		/* What it leaves is cleared by the reset. */
		if (!session->escaping.known) {
			escaping_learn(&session->escaping, pq, session->conn);
		}
		sent = in_transaction ? send_rollback_and_reset(session)
		                      : send_statement(session, reset_statement);
	} else if (in_transaction) {
		sent = send_statement(session, rollback_statement);
	}
	return sent ? DROP_NONE : DROP_BROKEN;
}

/* Lets the deadline pass or the socket become ready; false if the deadline came. */
static bool wait_for_socket(struct session *session, bool unsent, uint64_t deadline_ns)
{
	struct pollfd p = {.fd = session->libpq->PQsocket(session->conn),
	                   .events = (short)(unsent ? POLLIN | POLLOUT : POLLIN)};

	lock_assert_none();
	for (;;) {
		int ready = poll(&p, 1, clock_ms_until(clock_monotonic_ns(), deadline_ns));

		if (ready > 0) {
			return true;
		}
		if (ready == 0 || errno != EINTR) {
			return false;
		}
	}
}

/* Until PQgetResult can be called without blocking; false: dead, or not in time. */
static bool await_result(struct session *session, uint64_t deadline_ns)
{
	const struct libpq *pq = session->libpq;

	for (;;) {
		int unsent = pq->PQflush(session->conn);

		if (unsent < 0) {
			return false;
		}
		if (!pq->PQisBusy(session->conn)) {
			return true;
		}
		if (!wait_for_socket(session, unsent > 0, deadline_ns) ||
		    pq->PQconsumeInput(session->conn) != 1) {
			return false;
		}
	}
}

/*
 * Takes in everything that is in flight. A pipeline is through after its second Sync; a
 * single statement when there is no further result.
 */
static enum drop_reason collect(struct session *session, uint64_t deadline_ns)
{
	const struct libpq *pq = session->libpq;
	unsigned syncs_due = session->flight == FLIGHT_PIPELINE ? 2 : 0;
	bool piped = syncs_due > 0;
	bool failed = false;

	for (;;) {
		PGresult *result;
		ExecStatusType status;

		if (!await_result(session, deadline_ns)) {
			return DROP_PING_FAILED;
		}
		result = pq->PQgetResult(session->conn);
		if (result == NULL) {
			if (piped && pq->PQstatus(session->conn) == CONNECTION_OK) {
				continue;
			}
			break;
		}
		status = pq->PQresultStatus(result);
		pq->PQclear(result);
		if (status == PGRES_PIPELINE_SYNC) {
			if (--syncs_due == 0) {
				break;
			}
		} else if (status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK &&
		           status != PGRES_EMPTY_QUERY) {
			failed = true;
		}
	}
	session->flight = FLIGHT_NONE;
	if (pq->PQstatus(session->conn) != CONNECTION_OK) {
		return DROP_PING_FAILED;
	}
	if (piped && pq->PQexitPipelineMode(session->conn) != 1) {
		failed = true;
	}
	return failed ? DROP_RESET_FAILED : DROP_NONE;
}

/* Notifications of the lease before; and whatever else the server said meanwhile. */
static enum drop_reason drain(struct session *session)
{
	const struct libpq *pq = session->libpq;
	PGnotify *notify;

	while ((notify = pq->PQnotifies(session->conn)) != NULL) {
		pq->PQfreemem(notify);
	}
	if (session->ended) {
		return DROP_PING_FAILED;
	}
	return session->notices > 0 ? DROP_RESET_FAILED : DROP_NONE;
}

static bool readable(const struct session *session)
{
	struct pollfd p = {.fd = session->libpq->PQsocket(session->conn),
	                   .events = POLLIN | POLLRDHUP};

	return poll(&p, 1, 0) != 0;
}

/*
 * Collects the reset. `*proven` tells whether its answer came after this call began: if
 * nothing had arrived by then, what arrives later was sent by a server alive since.
 */
static enum drop_reason collect_reset(struct session *session, uint64_t deadline_ns,
                                      bool *proven)
{
	bool answered = !session->libpq->PQisBusy(session->conn) || readable(session);
	enum drop_reason why = collect(session, deadline_ns);

	*proven = why == DROP_NONE && !answered;
	return why;
}

static enum drop_reason ping(struct session *session, const char *query, uint64_t deadline_ns)
{
	enum drop_reason why;

	if (!send_statement(session, query)) {
		return DROP_PING_FAILED;
	}
	why = collect(session, deadline_ns);
	/* A ping query that the server refuses proves nothing about this session. */
	return why == DROP_NONE ? drain(session) : DROP_PING_FAILED;
}

static bool needs_ping(const struct session *session, const struct session_care *care,
                       uint64_t now_ns)
{
	if (session->standing.attributes != STANDING_ANY) {
		return true;
	}
	switch (care->pre_ping) {
	case PRE_PING_ON:
		return true;
	case PRE_PING_AUTO:
		/* Bytes nobody asked for, or a hang-up: let the ping find out. */
		return readable(session) ||
		       (!session->local && now_ns - session->proven_ns > RECENT_PROOF_NS);
	case PRE_PING_OFF:
		break;
	}
	return false;
}

/* Has the server report both settings, by making them others and then what they were. */
static bool report_again(struct session *session, uint64_t deadline_ns)
{
	const char *statements[2];

	escaping_detour(&session->escaping, statements);
	for (size_t i = 0; i < 2; i++) {
		if (!send_statement(session, statements[i]) ||
		    collect(session, deadline_ns) != DROP_NONE) {
			return false;
		}
	}
	return drain(session) == DROP_NONE;
}

/* Sees to it that libpq's process-wide state is what a connect would have made of it. */
static bool escapes_as_process(struct session *session, const struct session_care *care,
                               uint64_t deadline_ns)
{
	const struct libpq *pq = session->libpq;
	const struct escaping *known = &session->escaping;

	if (escaping_holds(known, pq, session->conn) &&
	    escaping_of_process(pq) == known->print) {
		return true;
	}
	/*
	 * No other thread may see the detour. And without DISCARD ALL the settings may be
	 * what a lease before has made of them.
	 */
	return __libc_single_threaded && care->reset == RESET_DISCARD &&
	       report_again(session, deadline_ns) && escaping_holds(known, pq, session->conn) &&
	       escaping_of_process(pq) == known->print;
}

enum drop_reason session_check(struct session *session, const struct session_care *care,
                               uint64_t now_ns)
{
	uint64_t deadline_ns = now_ns + care->ping_timeout_ns;
	enum drop_reason why = DROP_NONE;
	bool proven = false;

	lock_assert_none();
	if (!session_is_ours(session)) {
		return DROP_DESCRIPTOR;
	}
	if (session->flight != FLIGHT_NONE) {
		why = collect_reset(session, deadline_ns, &proven);
		if (why == DROP_NONE) {
			why = drain(session);
		}
	}
	if (why == DROP_NONE &&
	    (escaping_learn(&session->escaping, session->libpq, session->conn) ||
	     (!proven && needs_ping(session, care, now_ns)))) {
		why = ping(session, care->ping_query, deadline_ns);
		proven = why == DROP_NONE;
	}
	if (why != DROP_NONE) {
		return why;
	}
	if (!standing_satisfied(&session->standing, session->libpq, session->conn)) {
		return DROP_ATTRIBUTES;
	}
	if (!escapes_as_process(session, care, deadline_ns)) {
		return DROP_ESCAPING;
	}
	if (proven) {
		session->proven_ns = clock_monotonic_ns();
	}
	hand_out(session);
	return DROP_NONE;
}

void session_park(struct session *session)
{
	take_into_care(session);
}

void session_finish(struct session *session)
{
	int fd = session->libpq->PQsocket(session->conn);

	lock_assert_none();
	/* What is registered with the program's epoll instances ends with the last copy. */
	if (fd >= 0 && (!session_is_ours(session) || events_forget(fd))) {
		session->end_fd = fcntl(fd, F_DUPFD_CLOEXEC, END_FD_MIN);
	}
	session->libpq->PQfinish(session->conn);
	session->conn = NULL;
}

void session_close(struct session *session, uint64_t deadline_ns)
{
	if (session->conn == NULL) {
		return;
	}
	if (!session_is_ours(session)) {
		session->conn = NULL;
		return;
	}
	if (deadline_ns > 0 && session->flight != FLIGHT_NONE &&
	    escaping_holds(&session->opened, session->libpq, session->conn)) {
		collect(session, deadline_ns);
	}
	session_finish(session);
}

void session_close_copy(const struct session *session)
{
	struct stat st;
	int fd = session->conn == NULL ? session->end_fd
	                               : session->libpq->PQsocket(session->conn);

	if (fd >= 0 && fstat(fd, &st) == 0 && st.st_dev == session->socket_dev &&
	    st.st_ino == session->socket_ino) {
		close(fd);
	}
}

/* A hang-up on what is left of the connection, waited for until the deadline. */
static bool end_seen(struct session *session, uint64_t deadline_ns)
{
	struct pollfd p = {.fd = session->end_fd, .events = POLLRDHUP};

	if (session->end_fd < 0) {
		return true;
	}
	for (;;) {
		int ready = poll(&p, 1,
		                 deadline_ns == 0
		                         ? 0
		                         : clock_ms_until(clock_monotonic_ns(), deadline_ns));

		if (ready < 0 && errno == EINTR) {
			continue;
		}
		return ready != 0;
	}
}

static void forget_end(struct session *session)
{
	if (session->end_fd >= 0) {
		close(session->end_fd);
		session->end_fd = -1;
	}
}

bool session_gone(struct session *session)
{
	if (!end_seen(session, 0)) {
		return false;
	}
	forget_end(session);
	return true;
}

void session_await_end(struct session *session, uint64_t deadline_ns)
{
	lock_assert_none();
	end_seen(session, deadline_ns);
	forget_end(session);
}

void session_free(struct session *session)
{
	forget_end(session);
	cancel_close_scope(session);
	free(session->refusal);
	free(session);
}

void session_finish_inherited(struct session *session)
{
	int pair[2];
	int fd = session->libpq->PQsocket(session->conn);

	lock_assert_none();
	if (fd >= 0 && socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0) {
		close(pair[1]);
		dup3(pair[0], fd, O_CLOEXEC);
		close(pair[0]);
		session->libpq->PQfinish(session->conn);
	}
	session->conn = NULL;
}
