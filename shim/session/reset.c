/* SPDX-License-Identifier: PostgreSQL */
/*
 * Making a returned session new, and proving that it lives.
 *
 * Tried and dropped: pinging with PQconsumeInput alone (it succeeds on a session that the
 * server has ended), and waiting for the answer at release (a wake-up of the client that
 * the next acquire can have for nothing).
 */
#include "session/reset.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "base/cold.h"
#include "base/config/program.h"
#include "base/lock.h"
#include "session/socket/socket_options.h"

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

/* Clears the error message without any traffic; libpq does so from version 14 on. */
static COLD void clear_message(struct session *session)
{
	const struct libpq *pq = session->libpq;
	int nonblocking = pq->PQisnonblocking(session->conn);

	pq->PQsetnonblocking(session->conn, !nonblocking);
	pq->PQsetnonblocking(session->conn, nonblocking);
}

/* Sees to it that session->escaping is known. True if something must be sent after that. */
static bool learn_escaping(struct session *session)
{
	if (!escaping_learn(&session->escaping, session->libpq, session->conn)) {
		return false;
	}
	if (session->libpq->can_pipeline) {
		clear_message(session);
	}
	return !session->libpq->can_pipeline;
}

void reset_park(struct session *session)
{
	take_into_care(session);
}

void reset_hand_out(struct session *session)
{
	const struct libpq *pq = session->libpq;

	if (pq->PQsetNoticeReceiver(session->conn, NULL, NULL) == quiet_receiver) {
		pq->PQsetNoticeReceiver(session->conn, pq->default_receiver, NULL);
	}
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
	session->check.syncs_due = 2;
	return send_in_pipeline(session, rollback_statement) &&
	       send_in_pipeline(session, reset_statement);
}

static bool resets_wholly(const struct session_care *care)
{
	return care->reset == RESET_DISCARD || care->reset == RESET_AUTO;
}

static bool has_left(const struct session *session, const struct session_care *care)
{
	return care->reset == RESET_AUTO ? session->leaves : session->sent;
}

/* What the next lease will find has been sent by others. */
static void begin_anew(struct session *session)
{
	session->sent = false;
	session->leaves = false;
	if (session->unnamed == UNNAMED_OWN) {
		session->unnamed = UNNAMED_LEFT;
	}
}

enum drop_reason reset_send(struct session *session, const struct session_care *care)
{
	const struct libpq *pq = session->libpq;
	bool in_transaction = pq->PQtransactionStatus(session->conn) != PQTRANS_IDLE;
	bool wholly = resets_wholly(care) && (in_transaction || has_left(session, care));
	bool sent = true;

	lock_assert_none();
	if (in_transaction &&
	    (care->reset == RESET_OFF || (resets_wholly(care) && !pq->can_pipeline))) {
		return DROP_OPEN_TRANSACTION;
	}
	if ((wholly || in_transaction) && !session_is_ours(session)) {
		return DROP_DESCRIPTOR;
	}
	session->check.failed = false;
	take_into_care(session);
	if (wholly) {
		/* What it leaves is cleared by the reset. */
		if (!session->escaping.known) {
			learn_escaping(session);
		}
		sent = in_transaction ? send_rollback_and_reset(session)
		                      : send_statement(session, reset_statement);
		session->unnamed = UNNAMED_NONE;
		login_state_was_reset(&session->login);
	} else if (in_transaction) {
		sent = send_statement(session, rollback_statement);
	}
	begin_anew(session);
	return sent ? DROP_NONE : DROP_BROKEN;
}

/* Until the socket is ready or the deadline came; false if that. */
static bool wait_for_socket(struct session *session, bool unsent)
{
	struct pollfd p = {.fd = session->libpq->PQsocket(session->conn),
	                   .events = (short)(unsent ? POLLIN | POLLOUT : POLLIN)};
	uint64_t deadline_ns = session->check.deadline_ns;

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

/* What came of the flight, all of which is in. */
static enum drop_reason land(struct session *session)
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

/*
 * Takes in what has arrived of the flight, and not more: CHECK_PENDING if something is
 * still on its way, CHECK_FIT when all is in and good.
 */
static enum check_step collect_some(struct session *session, enum drop_reason *why)
{
	const struct libpq *pq = session->libpq;
	PGresult *result;
	bool ended = false;

	do {
		if (pq->PQflush(session->conn) < 0) {
			*why = DROP_PING_FAILED;
			return CHECK_UNFIT;
		}
		if (pq->PQisBusy(session->conn)) {
			return CHECK_PENDING;
		}
		result = pq->PQgetResult(session->conn);
		/* Two ends in a row: somebody has read past us what is to come. */
		if (result == NULL && ended) {
			session->flight = FLIGHT_NONE;
			*why = DROP_RESET_FAILED;
			return CHECK_UNFIT;
		}
		ended = result == NULL;
	} while (!take_result(session, result));
	*why = land(session);
	return *why == DROP_NONE ? CHECK_FIT : CHECK_UNFIT;
}

/* Until all of the flight is in, or the deadline. */
static enum drop_reason collect(struct session *session)
{
	const struct libpq *pq = session->libpq;
	enum drop_reason why = DROP_NONE;

	while (collect_some(session, &why) == CHECK_PENDING) {
		if (!wait_for_socket(session, reset_check_unsent(session)) ||
		    pq->PQconsumeInput(session->conn) != 1) {
			return DROP_PING_FAILED;
		}
	}
	return why;
}

enum drop_reason reset_await(struct session *session, uint64_t deadline_ns)
{
	enum drop_reason why = DROP_NONE;

	session->check.deadline_ns = deadline_ns;
	/* What it reports would be how the process escapes, though nobody has connected. */
	if (!escaping_holds(&session->opened, session->libpq, session->conn)) {
		return DROP_NONE;
	}
	while (collect_some(session, &why) == CHECK_PENDING) {
		if (!wait_for_socket(session, reset_check_unsent(session))) {
			return DROP_NONE;
		}
		if (session->libpq->PQconsumeInput(session->conn) != 1) {
			return DROP_PING_FAILED;
		}
	}
	return why;
}

bool reset_check_unsent(struct session *session)
{
	return session->libpq->PQflush(session->conn) > 0;
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

/* Bytes have come, or an end or error. By a look at the queue, which costs less than poll(2).
 */
static bool readable(const struct session *session)
{
	char byte;

	return recv(session->libpq->PQsocket(session->conn), &byte, 1,
	            MSG_PEEK | MSG_DONTWAIT) >= 0 ||
	       (errno != EAGAIN && errno != EWOULDBLOCK);
}

static bool needs_ping(const struct session *session, const struct session_care *care,
                       uint64_t now_ns)
{
	/* What the server reports of itself is not fresher than the last round trip. */
	if (session->standing.attributes != TARGET_ATTRS_ANY) {
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

/* A ping that the server refuses proves nothing about this session. */
static enum drop_reason reason_of(const struct session *session, enum drop_reason why)
{
	return session->check.pinging ? DROP_PING_FAILED : why;
}

/* The server has answered, which the question proves as well unless a ping asks for more. */
static void note_answer(struct session *session, const struct session_care *care)
{
	if (session->check.pinging || (session->check.asking && care->ping_query[0] == '\0')) {
		session->check.proven = true;
	}
	session->check.asking = false;
}

/* Once a check. */
static const char *question_of(struct session *session, const struct session_care *care,
                               uint64_t now_ns)
{
	if (session->check.asked) {
		return NULL;
	}
	session->check.asked = true;
	return login_state_question(&session->login, now_ns, care->pre_ping != PRE_PING_OFF);
}

/*
 * The flight is in: drains, and sends a ping, or what a login leaves to ask, where one is
 * needed. CHECK_PENDING: it is on its way.
 */
static enum check_step settle_step(struct session *session, const struct session_care *care,
                                   uint64_t now_ns, enum drop_reason *why)
{
	const char *question;

	if (*why == DROP_NONE) {
		*why = drain(session);
	}
	if (*why == DROP_NONE && session->login.triggers) {
		*why = DROP_LOGIN_TRIGGER;
	}
	if (*why != DROP_NONE) {
		*why = reason_of(session, *why);
		return CHECK_UNFIT;
	}
	note_answer(session, care);
	question = question_of(session, care, now_ns);
	if (question == NULL && !learn_escaping(session) &&
	    (session->check.proven || !needs_ping(session, care, now_ns))) {
		if (target_attrs_satisfied(&session->standing, session->libpq, session->conn)) {
			return CHECK_FIT;
		}
		*why = DROP_ATTRIBUTES;
		return CHECK_UNFIT;
	}
	session->check.asking = question != NULL;
	session->check.pinging = question == NULL;
	if (!send_statement(session, question != NULL ? question : care->ping_query)) {
		*why = DROP_PING_FAILED;
		return CHECK_UNFIT;
	}
	/* Like every simple query. */
	session->unnamed = UNNAMED_NONE;
	return CHECK_PENDING;
}

uint64_t reset_patience_ns(const struct session *session, const struct session_care *care)
{
	return session->check_limit_ns > 0 && session->check_limit_ns < care->ping_timeout_ns
	               ? session->check_limit_ns
	               : care->ping_timeout_ns;
}

/*
 * What a check begins with. If nothing of the answer to a reset had arrived by now, what
 * arrives later was sent by a server alive since: it proves as much as a ping.
 */
static void begin_check(struct session *session, const struct session_care *care,
                        uint64_t now_ns)
{
	session->check.deadline_ns = now_ns + reset_patience_ns(session, care);
	session->check.pinging = false;
	session->check.asking = false;
	session->check.asked = false;
	session->check.mode_is_ours = true;
	session->check.proven = session->flight != FLIGHT_NONE &&
	                        session->libpq->PQisBusy(session->conn) && !readable(session);
}

/* Has the server report both settings, by making them others and then what they were. */
static bool report_again(struct session *session)
{
	const char *statements[2];

	escaping_detour(&session->escaping, statements);
	for (size_t i = 0; i < 2; i++) {
		if (!send_statement(session, statements[i]) || collect(session) != DROP_NONE) {
			return false;
		}
	}
	return drain(session) == DROP_NONE;
}

/* The session's own settings are known: learn_escaping has been here. */
static bool escapes_as_process(const struct session *session)
{
	return escaping_is_of_process(&session->escaping, session->libpq);
}

/*
 * Makes it so. No other thread may see the detour. And without DISCARD ALL the settings
 * may be what a lease before has made of them.
 */
static COLD bool make_process_escape(struct session *session, const struct session_care *care)
{
	return program_is_single_threaded() && resets_wholly(care) && report_again(session) &&
	       escaping_holds(&session->escaping, session->libpq, session->conn) &&
	       escapes_as_process(session);
}

/* Fails while something is unsent, which nothing is once all answers are in. */
static void give_mode_back(struct session *session)
{
	if (session->check.mode_is_ours && session->libpq->PQflush(session->conn) == 0) {
		session->libpq->PQsetnonblocking(session->conn, 0);
		session->check.mode_is_ours = false;
	}
}

static void passed(struct session *session)
{
	unsigned ours_ms;

	if (session->check.silence_limited) {
		session->check.silence_limited = false;
		socket_options_set_timeout(session->libpq->PQsocket(session->conn),
		                           session->check.silence_before_ms, &ours_ms);
	}
	give_mode_back(session);
	if (session->check.proven) {
		session->proven_ns = clock_monotonic_ns();
	}
	reset_hand_out(session);
}

enum drop_reason reset_check(struct session *session, const struct session_care *care,
                             uint64_t now_ns)
{
	enum drop_reason why = DROP_NONE;
	enum check_step step;

	lock_assert_none();
	if (!session_is_ours(session)) {
		return DROP_DESCRIPTOR;
	}
	begin_check(session, care, now_ns);
	do {
		if (session->flight != FLIGHT_NONE) {
			why = collect(session);
		}
		step = settle_step(session, care, now_ns, &why);
	} while (step == CHECK_PENDING);
	if (step == CHECK_FIT && !escapes_as_process(session) &&
	    !make_process_escape(session, care)) {
		return DROP_ESCAPING;
	}
	if (step == CHECK_FIT) {
		passed(session);
	}
	return why;
}

static enum check_step advance(struct session *session, const struct session_care *care,
                               uint64_t now_ns, enum drop_reason *why)
{
	enum check_step step;

	*why = DROP_NONE;
	do {
		if (session->flight != FLIGHT_NONE &&
		    collect_some(session, why) == CHECK_PENDING) {
			return CHECK_PENDING;
		}
		step = settle_step(session, care, now_ns, why);
	} while (step == CHECK_PENDING);
	if (step == CHECK_FIT && !escapes_as_process(session)) {
		/* What it would take to make it so would have to be waited for. */
		*why = DROP_ESCAPING;
		return CHECK_UNFIT;
	}
	return step;
}

enum check_step reset_check_begin(struct session *session, const struct session_care *care,
                                  uint64_t now_ns, enum drop_reason *why)
{
	lock_assert_none();
	if (!session_is_ours(session)) {
		*why = DROP_DESCRIPTOR;
		return CHECK_UNFIT;
	}
	begin_check(session, care, now_ns);
	session->check.silence_limited =
		!session->local &&
		socket_options_set_timeout(
			session->libpq->PQsocket(session->conn),
			(unsigned)(reset_patience_ns(session, care) / NS_PER_MS),
			&session->check.silence_before_ms);
	give_mode_back(session);
	return advance(session, care, now_ns, why);
}

enum check_step reset_check_more(struct session *session, const struct session_care *care,
                                 uint64_t now_ns, enum drop_reason *why)
{
	bool pinging = session->check.pinging;
	bool asking = session->check.asking;
	enum check_step step;

	lock_assert_none();
	if (session->libpq->PQconsumeInput(session->conn) != 1) {
		*why = DROP_PING_FAILED;
		return CHECK_UNFIT;
	}
	step = advance(session, care, now_ns, why);
	if (step == CHECK_FIT) {
		passed(session);
	}
	if (step != CHECK_PENDING || now_ns < session->check.deadline_ns) {
		return step;
	}
	/* The program may have come late, not the server's answer: the ping has its time. */
	if ((!pinging && session->check.pinging) || (!asking && session->check.asking)) {
		session->check.deadline_ns = now_ns + reset_patience_ns(session, care);
		return CHECK_PENDING;
	}
	*why = DROP_PING_FAILED;
	return CHECK_UNFIT;
}

void reset_settle(struct session *session, uint64_t deadline_ns)
{
	if (session->conn != NULL && session->flight != FLIGHT_NONE &&
	    session_is_ours(session) &&
	    escaping_holds(&session->opened, session->libpq, session->conn)) {
		session->check.deadline_ns = deadline_ns;
		collect(session);
	}
}
