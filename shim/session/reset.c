/* SPDX-License-Identifier: PostgreSQL */
/*
 * Resetting a returned session, and checking it before it is lent.
 *
 * Over 500 lines: what is sent at release decides what is read at the check, step by step.
 */
#include "session/reset.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "base/cold.h"
#include "base/config/program.h"
#include "base/lock.h"
#include "base/text/strbuf.h"
#include "session/own_query.h"
#include "session/socket/idle_number.h"
#include "session/socket/socket_options.h"

/* A proof of life that PRE_PING_AUTO accepts on a network connection. */
#define RECENT_PROOF_NS (500 * NS_PER_MS)

/* ---- in our care, and out of it ---- */

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

void reset_watch(struct session *session)
{
	session->notices = 0;
	session->ended = false;
	session->libpq->PQsetNoticeReceiver(session->conn, quiet_receiver, session);
}

void reset_park(struct session *session)
{
	const struct libpq *pq = session->libpq;
	PGconn *conn = session->conn;

	reset_watch(session);
	pq->PQsetNoticeProcessor(conn, pq->default_processor, NULL);
	pq->PQsetErrorVerbosity(conn, PQERRORS_DEFAULT);
	pq->PQsetErrorContextVisibility(conn, PQSHOW_CONTEXT_ERRORS);
	pq->PQsetnonblocking(conn, 1);
	session_lower_keepalive(session);
}

/* Sees to it that session->escaping is known. True if something must be sent after that. */
static bool learn_escaping(struct session *session)
{
	const struct libpq *pq = session->libpq;
	int nonblocking;

	if (!escaping_learn(&session->escaping, pq, session->conn)) {
		return false;
	}
	if (!pq->can_pipeline) {
		return true;
	}
	/* From version 14 on this clears the error message. */
	nonblocking = pq->PQisnonblocking(session->conn);
	pq->PQsetnonblocking(session->conn, !nonblocking);
	pq->PQsetnonblocking(session->conn, nonblocking);
	return false;
}

void reset_hand_out(struct session *session)
{
	const struct libpq *pq = session->libpq;

	if (pq->PQsetNoticeReceiver(session->conn, NULL, NULL) == quiet_receiver) {
		pq->PQsetNoticeReceiver(session->conn, pq->default_receiver, NULL);
	}
}

/* ---- the reset ---- */

static bool has_left(const struct session *session, const struct session_care *care)
{
	return care->reset == RESET_AUTO ? session->leaves : session->sent;
}

/* What the keeper has, it looks after itself. */
static bool plan_limit(struct session *session, const struct session_care *care,
                       uint64_t since_ns)
{
	return care->idle_limit_ms > 0 && session->shared == NULL &&
	       idle_limit_wanted(&session->limit, session->libpq, session->conn, since_ns);
}

bool reset_plan(struct session *session, const struct session_care *care, bool in_transaction,
                uint64_t since_ns)
{
	session->check.rolls_back = in_transaction;
	session->check.discards =
		reset_is_whole(care) && (in_transaction || has_left(session, care));
	session->check.limits = plan_limit(session, care, since_ns);
	return in_transaction || session->check.discards || session->check.limits;
}

bool reset_can_roll_back(const struct session *session, const struct session_care *care)
{
	return care->reset != RESET_OFF &&
	       (!reset_is_whole(care) || session->libpq->can_pipeline);
}

/* The next lease finds what others have sent. */
static void forget_sent(struct session *session)
{
	session->sent = false;
	session->leaves = false;
	session->unsynced = false;
	if (session->unnamed == UNNAMED_OWN) {
		session->unnamed = UNNAMED_LEFT;
	}
}

static void before_discard(struct session *session)
{
	/* What it leaves is cleared by the reset. */
	if (!session->escaping.known) {
		learn_escaping(session);
	}
	session->unnamed = UNNAMED_NONE;
	login_state_was_reset(&session->login);
}

/* In a pipeline the last one stays, as the unnamed prepared statement. */
static bool send_pipeline(struct session *session, const char *const statements[],
                          unsigned count)
{
	session->unnamed = UNNAMED_LEFT;
	return own_query_send_all(session, statements, count);
}

/*
 * DISCARD ALL takes a snapshot. Where transactions are serializable, read-only and deferrable
 * by default, it would wait for a safe one, as long as others write. The server reports only
 * one of the three; DISCARD ALL puts this one back.
 */
#define NOT_DEFERRABLE "SET default_transaction_deferrable = off"

static bool may_defer(const struct session *session)
{
	const struct libpq *pq = session->libpq;
	const char *read_only =
		pq->PQparameterStatus(session->conn, "default_transaction_read_only");

	return pq->can_pipeline && read_only != NULL && strcmp(read_only, "on") == 0;
}

/* What is planned. A limit goes in a pipeline also if it is alone: more may follow it. */
static bool send_planned(struct session *session, const struct session_care *care)
{
	const char *statements[4];
	char limit[IDLE_LIMIT_TEXT];
	unsigned count = 0;

	if (session->check.rolls_back) {
		statements[count++] = "ROLLBACK";
	}
	if (session->check.discards) {
		before_discard(session);
		if (may_defer(session)) {
			statements[count++] = NOT_DEFERRABLE;
		}
		statements[count++] = "DISCARD ALL";
	}
	if (session->check.limits) {
		idle_limit_write(limit, care->idle_limit_ms, session->backend_pid);
		statements[count++] = limit;
		session->limit.due = 1;
	} else if (count <= 1) {
		return count == 0 || own_query_send(session, statements[0]);
	}
	return send_pipeline(session, statements, count);
}

bool reset_can_wait(const struct session *session)
{
	return session->check.discards && !session->check.rolls_back && !session->leaves &&
	       !session->check.limits;
}

void reset_postpone(struct session *session)
{
	lock_assert_none();
	session->check.failed = false;
	reset_park(session);
	session->reset_due = true;
	forget_sent(session);
}

void reset_limit(struct session *session, const struct session_care *care)
{
	session->check.failed = false;
	session->check.rolls_back = false;
	session->check.discards = false;
	session->check.limits = plan_limit(session, care, UINT64_MAX);
	/* If it cannot be sent, the next check finds out. */
	send_planned(session, care);
}

enum drop_reason reset_send(struct session *session, const struct session_care *care)
{
	bool sent;

	lock_assert_none();
	session->check.failed = false;
	reset_park(session);
	forget_sent(session);
	sent = send_planned(session, care);
	return sent ? DROP_NONE : session_is_ours(session) ? DROP_BROKEN : DROP_DESCRIPTOR;
}

/* ---- the check ---- */

/* Drops the notifications of the lease before; judges what else the server said meanwhile. */
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

/* Bytes, an end or an error have come. This costs less than poll(2). */
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
	if (session->attrs.attributes != TARGET_ATTRS_ANY) {
		return true;
	}
	switch (care->pre_ping) {
	case PRE_PING_ON:
		return true;
	case PRE_PING_AUTO:
		/* Unexpected bytes, or a hang-up: the ping finds out. */
		return readable(session) ||
		       (!session->local && now_ns - session->proven_ns > RECENT_PROOF_NS);
	case PRE_PING_OFF:
		break;
	}
	return false;
}

/* The server has answered: the question proves that it lives, unless a ping asks for more. */
static void note_answer(struct session *session, const struct session_care *care)
{
	if (session->check.pinging || (session->check.asking && care->ping_query[0] == '\0')) {
		session->check.proven = true;
	}
	session->check.asking = false;
}

/* One of the questions, or a ping; either also puts the limit on idle sessions back. */
static bool send_question(struct session *session, const struct session_care *care,
                          const char *question)
{
	char both[START_SETTINGS_TEXT + sizeof("; " IDLE_LIMIT_UNDO)];
	struct strbuf t;

	if (!session->limit.set) {
		return own_query_send(session, question != NULL ? question : care->ping_query);
	}
	session->limit.undoing = true;
	if (question == NULL) {
		return own_query_send(session, care->ping_and_undo);
	}
	strbuf_init(&t, both, sizeof(both));
	strbuf_str(&t, question);
	strbuf_str(&t, "; " IDLE_LIMIT_UNDO);
	return own_query_send(session, both);
}

/*
 * Nothing is in flight any more: decides, or sends a ping, a question of login_state.h, or what
 * start_settings.h brings back, where one is needed. CHECK_PENDING: it is in flight.
 */
static enum check_step settle_step(struct session *session, const struct session_care *care,
                                   uint64_t now_ns, enum drop_reason *why)
{
	const char *question;
	bool restoring;

	if (*why == DROP_NONE) {
		*why = drain(session);
	}
	if (*why == DROP_NONE && session->login.triggers) {
		*why = DROP_LOGIN_TRIGGER;
	}
	if (*why != DROP_NONE) {
		/* A ping that the server refuses proves nothing about this session. */
		*why = session->check.pinging ? DROP_PING_FAILED : *why;
		return CHECK_UNFIT;
	}
	note_answer(session, care);
	if (session->limit.undoing) {
		session->limit.undoing = false;
		session->limit.set = false;
	}
	if (!session_lost_settings(session, &question)) {
		*why = DROP_RESET_FAILED;
		return CHECK_UNFIT;
	}
	restoring = question != NULL;
	if (!restoring && !session->check.asked) {
		session->check.asked = true;
		question = login_state_question(&session->login, now_ns,
		                                care->pre_ping != PRE_PING_OFF);
	}
	if (question == NULL && !learn_escaping(session) && !session->limit.set &&
	    (session->check.proven || !needs_ping(session, care, now_ns))) {
		if (target_attrs_satisfied(&session->attrs, session->libpq, session->conn)) {
			return CHECK_FIT;
		}
		*why = DROP_ATTRIBUTES;
		return CHECK_UNFIT;
	}
	session->check.asking = question != NULL && !restoring;
	/* What restores proves as much as an empty ping. */
	session->check.pinging = restoring ? care->ping_query[0] == '\0' : question == NULL;
	if (!send_question(session, care, question)) {
		*why = DROP_PING_FAILED;
		return CHECK_UNFIT;
	}
	/* Like every simple query. */
	session->unnamed = UNNAMED_NONE;
	return CHECK_PENDING;
}

static uint64_t lesser(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

uint64_t reset_patience_ns(const struct session *session, const struct session_care *care)
{
	return session->check_limit_ns > 0
	               ? lesser(session->check_limit_ns, care->ping_timeout_ns)
	               : care->ping_timeout_ns;
}

uint64_t reset_silence_ns(const struct session *session, const struct session_care *care)
{
	uint64_t patience_ns = reset_patience_ns(session, care);

	return session->local ? patience_ns : lesser(patience_ns, RESET_SILENCE_NS);
}

/* The limit may be set by what is in flight; the answers come together. */
static bool undo_at_once(struct session *session)
{
	if (session->limit.due == 0 || session->limit.undoing) {
		return true;
	}
	session->limit.undoing = true;
	return own_query_send_behind(session, IDLE_LIMIT_UNDO);
}

/*
 * Sends a reset that was postponed; false: it could not.
 *
 * If nothing of the answer to a reset has arrived by now, what arrives later was sent by a
 * server alive since: it proves as much as a ping.
 */
static bool begin_check(struct session *session, const struct session_care *care,
                        uint64_t now_ns)
{
	bool due = session->reset_due;

	session->reset_due = false;
	session->check.began_ns = now_ns;
	session->check.deadline_ns = now_ns + reset_patience_ns(session, care);
	session->check.pinging = session->ping_sent;
	session->ping_sent = false;
	session->check.asking = false;
	session->check.asked = false;
	session->check.restored = false;
	session->check.mode_is_ours = true;
	session->check.arrived = false;
	session->check.proven = false;
	session->check.silent = false;
	if (due && !send_planned(session, care)) {
		return false;
	}
	if (session->flight != FLIGHT_NONE && session->libpq->PQisBusy(session->conn)) {
		session->check.arrived = readable(session);
		session->check.proven = !session->check.arrived;
	}
	return !session->check.proven || undo_at_once(session);
}

/* Has the server report both settings, by changing them and changing them back. */
static bool report_again(struct session *session)
{
	const char *statements[2];

	escaping_detour(&session->escaping, statements);
	for (size_t i = 0; i < 2; i++) {
		if (!own_query_send(session, statements[i]) ||
		    own_query_collect(session) != DROP_NONE) {
			return false;
		}
	}
	return drain(session) == DROP_NONE;
}

/* After learn_escaping. */
static bool escapes_as_process(const struct session *session)
{
	return escaping_is_of_process(&session->escaping, session->libpq);
}

/*
 * Makes it so, while no other thread can see the detour. Without DISCARD ALL the settings may
 * be what a lease before has made of them.
 */
static COLD bool make_process_escape(struct session *session, const struct session_care *care)
{
	return program_is_single_threaded() && reset_is_whole(care) && report_again(session) &&
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

/* A call of our own: the socket's options are those that were looked at. */
static bool limit_silence(struct session *session, unsigned timeout_ms, unsigned *before_ms)
{
	bool set = socket_options_set_timeout(session->libpq->PQsocket(session->conn),
	                                      timeout_ms, before_ms);

	session->calls_seen += set ? 1 : 0;
	return set;
}

static void passed(struct session *session)
{
	unsigned ours_ms;

	if (session->check.silence_limited) {
		session->check.silence_limited = false;
		limit_silence(session, session->check.silence_before_ms, &ours_ms);
	}
	give_mode_back(session);
	if (session->check.proven) {
		session->proven_ns = clock_monotonic_ns();
	}
	reset_hand_out(session);
}

/*
 * Goes on until the session is fit or unfit; or, unless it `waits`, until it would have to wait
 * for the server.
 */
static enum check_step advance(struct session *session, const struct session_care *care,
                               uint64_t now_ns, bool waits, enum drop_reason *why)
{
	enum check_step step;

	*why = DROP_NONE;
	do {
		if (session->flight != FLIGHT_NONE && waits) {
			*why = own_query_collect(session);
		} else if (session->flight != FLIGHT_NONE && !own_query_take(session, why)) {
			return CHECK_PENDING;
		}
		step = settle_step(session, care, now_ns, why);
	} while (step == CHECK_PENDING);
	if (step == CHECK_FIT && !escapes_as_process(session) &&
	    !(waits && make_process_escape(session, care))) {
		*why = DROP_ESCAPING;
		return CHECK_UNFIT;
	}
	return step;
}

enum drop_reason reset_check(struct session *session, const struct session_care *care,
                             uint64_t now_ns, uint64_t patience_ns)
{
	enum drop_reason why;

	lock_assert_none();
	idle_number_forget(session->libpq->PQsocket(session->conn));
	if (!session_is_ours(session)) {
		return DROP_DESCRIPTOR;
	}
	if (!begin_check(session, care, now_ns)) {
		return DROP_PING_FAILED;
	}
	session->check.deadline_ns = now_ns + patience_ns;
	if (advance(session, care, now_ns, true, &why) == CHECK_FIT) {
		passed(session);
	}
	return why;
}

enum drop_reason reset_check_on(struct session *session, const struct session_care *care,
                                uint64_t until_ns)
{
	enum drop_reason why;

	lock_assert_none();
	if (!session_is_ours(session)) {
		return DROP_DESCRIPTOR;
	}
	session->check.silent = false;
	session->check.deadline_ns = until_ns;
	if (advance(session, care, session->check.began_ns, true, &why) == CHECK_FIT) {
		passed(session);
	}
	return why;
}

enum check_step reset_check_begin(struct session *session, const struct session_care *care,
                                  uint64_t now_ns, enum drop_reason *why)
{
	lock_assert_none();
	idle_number_forget(session->libpq->PQsocket(session->conn));
	if (!session_is_ours(session)) {
		*why = DROP_DESCRIPTOR;
		return CHECK_UNFIT;
	}
	if (!begin_check(session, care, now_ns)) {
		*why = DROP_PING_FAILED;
		return CHECK_UNFIT;
	}
	/* The program has the descriptor from now on, with options of ours for a while. */
	session_show_socket(session);
	session->check.silence_limited =
		!session->local &&
		limit_silence(session, (unsigned)(reset_silence_ns(session, care) / NS_PER_MS),
	                      &session->check.silence_before_ms);
	give_mode_back(session);
	return advance(session, care, now_ns, false, why);
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
	step = advance(session, care, now_ns, false, why);
	if (step == CHECK_FIT) {
		passed(session);
	}
	if (step != CHECK_PENDING || now_ns < session->check.deadline_ns) {
		return step;
	}
	/* The program may have been late, not the server: a ping sent now has its own time. */
	if ((!pinging && session->check.pinging) || (!asking && session->check.asking)) {
		session->check.deadline_ns = now_ns + reset_patience_ns(session, care);
		return CHECK_PENDING;
	}
	*why = DROP_PING_FAILED;
	return CHECK_UNFIT;
}
