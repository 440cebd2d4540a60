/* SPDX-License-Identifier: PostgreSQL */
/*
 * The steps of a handshake.
 *
 * The first PQconnectPoll comes when the socket is writable, as libpq documents it, so
 * until then the real socket is shown even by those who will have to wait. From then on
 * the bell is shown by whoever waits for something besides the server: a grant, or the
 * time up to which a silent server is believed to live.
 *
 * A connection begun anew often has the descriptor's number of the one before, and closing
 * that took it out of the program's epoll instance. A program that registers again only
 * where the number has changed would wait for ever; so it is shown the bell in between.
 */
#include "pool/steps.h"

#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#include "base/clock.h"
#include "base/lock.h"
#include "base/self.h"
#include "pool/events.h"
#include "pool/journal.h"
#include "pool/postmortem.h"
#include "pool/refusal.h"
#include "pool/reset.h"
#include "pool/scope.h"
#include "trace/status.h"
#include "trace/tally.h"

/* How long one step may take to close idle sessions that are in the way. */
#define MAKE_ROOM_NS     (40 * NS_PER_MS)
/* And to watch a backend come to its end, for a program that cannot do so itself. */
#define CLEARING_STEP_MS 10

/* Under the pool's lock, by whoever grants. */
static void ring(struct pool_waiter *waiter)
{
	struct handshake *h =
		(struct handshake *)((char *)waiter - offsetof(struct handshake, waiter));

	doorbell_ring(&h->bell);
	chime_ring(&h->chime);
}

/* ---- beginning and end ----------------------------------------------------------- */

bool steps_begin(struct session *session, const struct acquisition *a,
                 enum handshake_state state)
{
	const struct lease_origin origin = {
		.now_ns = clock_monotonic_ns(), .stack = a->stack, .at_exit = a->at_exit};
	struct handshake *h = session->spare;

	if (h == NULL) {
		h = malloc(sizeof(*h));
	}
	if (h == NULL) {
		return false;
	}
	session->spare = NULL;
	memset(h, 0, sizeof(*h));
	h->state = state;
	h->bell = DOORBELL_NONE;
	chime_init(&h->chime);
	h->socket_fd = -1;
	h->connecting.began_ns = clock_monotonic_ns();
	h->a = *a;
	session->handshake = h;
	session_show_socket(session);
	lease_pend(&session->lease, &origin);
	return true;
}

void steps_end(struct session *session)
{
	struct handshake *h = session->handshake;

	session->handshake = NULL;
	session->vanished = NULL;
	opening_detach(&h->connecting.opening);
	doorbell_close(&h->bell);
	chime_close(&h->chime);
	lending_answered(&h->a);
	session->spare = h;
}

void steps_let_go(struct session *session)
{
	steps_end(session);
	lease_forget(&session->lease);
	session->conn = NULL;
	lending_write_off(session);
}

static PostgresPollingStatusType succeed(struct session *session)
{
	struct acquisition a = session->handshake->a;

	/* Still needed to begin the lease; steps_end() gives it back after. */
	lending_begin(&a, session);
	steps_end(session);
	return PGRES_POLLING_OK;
}

static PostgresPollingStatusType fail_open(struct session *session)
{
	struct handshake *h = session->handshake;

	journal_open_failed(h->a.lender, session->libpq->PQerrorMessage(session->conn),
	                    clock_monotonic_ns() - h->connecting.began_ns);
	pool_open_failed(&h->a.lender->pool);
	steps_let_go(session);
	return PGRES_POLLING_FAILED;
}

void steps_refuse(struct session *session, char *message)
{
	if (message == NULL) {
		steps_let_go(session);
		return;
	}
	steps_end(session);
	lease_fail(&session->lease);
	session->refusal = message;
	session->vanished = lending_forget_refused;
	connecting_give_up(session->libpq, session->conn);
}

static PostgresPollingStatusType refuse(struct session *session)
{
	struct handshake *h = session->handshake;
	struct postmortem p;
	char *message;

	postmortem_make(&p, h->a.lender, clock_monotonic_ns() - h->a.began_ns, WAITER_IN_STEPS);
	message = refusal_message(&p);
	postmortem_log(&p);
	postmortem_end(&p);
	steps_refuse(session, message);
	return PGRES_POLLING_FAILED;
}

/* ---- what the program is shown --------------------------------------------------- */

static PostgresPollingStatusType show_bell(struct handshake *h)
{
	h->shows_bell = true;
	return PGRES_POLLING_READING;
}

static PostgresPollingStatusType show_socket(struct handshake *h,
                                             PostgresPollingStatusType wants)
{
	h->shows_bell = false;
	return wants;
}

/*
 * A bell is shown only to a program that watches by epoll: some want a socket and nothing
 * else (ruby-pg makes a socket object of what PQsocket says). These are shown the chime, or
 * the connection's own socket while a session is checked.
 */
static bool takes_any_descriptor(const struct handshake *h)
{
	return events_noted(h->socket_fd);
}

static void note_socket(const struct session *session)
{
	int fd = session->libpq->PQsocket(session->conn);

	if (fd >= 0) {
		session->handshake->socket_fd = fd;
	}
}

/* Shows a chime if that is what the program can bear, ringing at `at_ns`. */
static void suit_bell(struct handshake *h, uint64_t at_ns)
{
	if (h->chime.fd < 0 && !takes_any_descriptor(h)) {
		chime_make(&h->chime, at_ns);
	}
}

static bool have_bell(struct handshake *h)
{
	if (h->bell.fd >= 0 || doorbell_make(&h->bell)) {
		return true;
	}
	doorbell_close(&h->bell);
	return false;
}

/* ---- opening --------------------------------------------------------------------- */

/* Begins the connection anew in the room that is ours. */
static PostgresPollingStatusType renew(struct session *session)
{
	struct handshake *h = session->handshake;
	bool showed_socket = !h->shows_bell;

	h->state = OPENING;
	if (!connecting_anew(&h->connecting, session)) {
		return fail_open(session);
	}
	if (!showed_socket || !takes_any_descriptor(h) || !have_bell(h)) {
		return show_socket(h, PGRES_POLLING_WRITING);
	}
	h->state = RENEWED;
	doorbell_ring(&h->bell);
	return show_bell(h);
}

static PostgresPollingStatusType opened(struct session *session)
{
	struct handshake *h = session->handshake;

	session->flight = FLIGHT_NONE;
	session->proven_ns = clock_monotonic_ns();
	opening_detach(&h->connecting.opening);
	if (session->taint == DROP_NONE) {
		session->taint = opening_verdict(&h->connecting.opening);
	}
	session_note_connection(session);
	session_show_socket(session);
	lending_admit(session, session->proven_ns - h->connecting.began_ns);
	return succeed(session);
}

/* Room for one more attempt, where our own idle sessions may have been in the way. */
static bool may_try_again(struct session *session)
{
	struct handshake *h = session->handshake;

	if (h->made_room || !lending_wants_room(session)) {
		return false;
	}
	h->made_room = true;
	return lending_close_all_idle(DROP_MAKE_ROOM, clock_monotonic_ns() + MAKE_ROOM_NS,
	                              true);
}

/* A callback has forked, and this is the child. */
static bool is_of_parent(const struct session *session)
{
	return session->owner != self_pid();
}

static PostgresPollingStatusType go_on_opening(struct session *session)
{
	struct handshake *h = session->handshake;
	PostgresPollingStatusType wants = connecting_poll(&h->connecting, session);

	if (is_of_parent(session)) {
		steps_let_go(session);
		return wants;
	}
	if (wants == PGRES_POLLING_OK) {
		return opened(session);
	}
	if (wants != PGRES_POLLING_FAILED) {
		return show_socket(h, wants);
	}
	if (connecting_was_hung_up(&h->connecting) || may_try_again(session)) {
		return renew(session);
	}
	return fail_open(session);
}

/* The room is free: lets the withheld connection go on. */
static PostgresPollingStatusType release_withheld(struct session *session)
{
	struct handshake *h = session->handshake;

	h->state = OPENING;
	return connecting_release(&h->connecting, session) ? go_on_opening(session)
	                                                   : renew(session);
}

/* ---- clearing -------------------------------------------------------------------- */

static bool other_is_gone(struct handshake *h)
{
	if (!session_gone(h->other) && clock_monotonic_ns() < h->deadline_ns) {
		return false;
	}
	lending_write_off(h->other);
	h->other = NULL;
	return true;
}

/* A chime rings on and on, as it cannot watch a descriptor: this keeps the program's pace. */
static void watch_for_a_while(const struct handshake *h)
{
	struct pollfd p = {.fd = h->other->end_fd, .events = POLLRDHUP};

	lock_assert_none();
	poll(&p, 1, CLEARING_STEP_MS);
}

static PostgresPollingStatusType go_on_clearing(struct session *session)
{
	struct handshake *h = session->handshake;

	if (h->chime.fd >= 0 && h->other->end_fd >= 0) {
		watch_for_a_while(h);
	}
	if (other_is_gone(h)) {
		return release_withheld(session);
	}
	suit_bell(h, h->deadline_ns);
	chime_ring(&h->chime);
	return show_bell(h);
}

void steps_clear(struct handshake *h, struct pool_slot *slot, enum drop_reason why)
{
	h->other = session_of_slot(slot);
	if (h->other->conn != NULL) {
		lending_close(h->other, why, 0);
	}
	h->state = CLEARING;
	h->deadline_ns = clock_monotonic_ns();
	/* A server that did not answer will not hang up either. */
	if (why != DROP_PING_FAILED) {
		h->deadline_ns += END_WAIT_NS;
	}
	if (h->other->end_fd >= 0) {
		doorbell_watch(&h->bell, h->other->end_fd, EPOLLRDHUP);
	}
	doorbell_set(&h->bell, h->deadline_ns);
}

/* ---- waiting --------------------------------------------------------------------- */

static PostgresPollingStatusType go_on_waiting(struct session *session)
{
	struct handshake *h = session->handshake;
	struct pool *pool = &h->a.lender->pool;
	enum pool_grant grant;

	/* Before the question, so that it rings for what comes after. */
	if (clock_monotonic_ns() < h->deadline_ns) {
		suit_bell(h, h->deadline_ns);
	}
	grant = pool_granted(pool, &h->waiter);
	if (grant == POOL_FULL && clock_monotonic_ns() < h->deadline_ns) {
		return show_bell(h);
	}
	grant = pool_leave(pool, &h->waiter);
	h->a.queued_ns = clock_monotonic_ns() - h->a.began_ns;
	tally_waited(h->a.queued_ns);
	status_waited(pool->row, h->a.queued_ns, grant != POOL_FULL);
	switch (grant) {
	case POOL_FULL:
		return refuse(session);
	case POOL_LEND:
		steps_clear(h, h->waiter.slot, DROP_EXCHANGED);
		return go_on_clearing(session);
	case POOL_REPLACE:
		steps_clear(h, h->waiter.slot, h->waiter.why);
		return go_on_clearing(session);
	case POOL_OPEN:
		break;
	}
	return release_withheld(session);
}

void steps_queue(struct session *session)
{
	struct handshake *h = session->handshake;

	h->deadline_ns = h->a.began_ns + lending_settings.timeout_ns;
	doorbell_set(&h->bell, h->deadline_ns);
	journal_wait(h->a.lender, pool_count(&h->a.lender->pool));
	switch (pool_acquire(&h->a.lender->pool, clock_monotonic_ns(), &h->waiter, ring)) {
	case POOL_FULL:
		break;
	case POOL_LEND:
		steps_clear(h, h->waiter.slot, DROP_EXCHANGED);
		break;
	case POOL_REPLACE:
		steps_clear(h, h->waiter.slot, h->waiter.why);
		break;
	case POOL_OPEN:
		h->state = OPENING;
		break;
	}
}

/* ---- checking -------------------------------------------------------------------- */

/* Dead: the same PGconn gets a new session in the room of the old one. */
static PostgresPollingStatusType replace(struct session *session, enum drop_reason why)
{
	lending_unfit(session, why);
	journal_session_close(session, why);
	scope_close(session);
	reset_hand_out(session);
	return renew(session);
}

/*
 * Its answer wakes the program, or the time at which there will be none; on the socket
 * itself the kernel tells of that time only if the network has swallowed the question.
 */
static PostgresPollingStatusType await_answer(struct session *session)
{
	struct handshake *h = session->handshake;
	bool unsent = reset_check_unsent(session);
	int fd = session->libpq->PQsocket(session->conn);

	if (!takes_any_descriptor(h) || !have_bell(h)) {
		return show_socket(h, unsent ? PGRES_POLLING_WRITING : PGRES_POLLING_READING);
	}
	doorbell_watch(&h->bell, fd, EPOLLIN | EPOLLRDHUP | (unsent ? EPOLLOUT : 0));
	doorbell_set(&h->bell, session->check.deadline_ns);
	return show_bell(h);
}

static PostgresPollingStatusType go_on_checking(struct session *session)
{
	enum drop_reason why;

	switch (reset_check_more(session, &lending_settings.care, clock_monotonic_ns(), &why)) {
	case CHECK_PENDING:
		return await_answer(session);
	case CHECK_UNFIT:
		return replace(session, why);
	case CHECK_FIT:
		break;
	}
	pool_lent(&session->slot);
	return succeed(session);
}

/* ---- all of them ----------------------------------------------------------------- */

PostgresPollingStatusType steps_poll(struct session *session)
{
	struct handshake *h = session->handshake;

	h->polled = true;
	h->error = NULL;
	note_socket(session);
	connecting_note_mode(&h->connecting, session);
	switch (h->state) {
	case CHECKING:
		return go_on_checking(session);
	case OPENING:
		return go_on_opening(session);
	case CLEARING:
		return go_on_clearing(session);
	case RENEWED:
		h->state = OPENING;
		return show_socket(h, PGRES_POLLING_WRITING);
	case WAITING:
		break;
	}
	return go_on_waiting(session);
}

/* A checked session is given up for a connection that nobody has used. */
static void give_up_checked(struct session *session)
{
	struct handshake *h = session->handshake;

	if (h->state == CHECKING) {
		journal_session_close(session, DROP_PROGRAM_RESET);
		scope_close(session);
		reset_hand_out(session);
	}
	h->state = OPENING;
}

bool steps_restart(struct session *session, bool told)
{
	struct handshake *h = session->handshake;

	if (told) {
		h->polled = false;
		h->shows_bell = false;
	}
	if (h->state == WAITING || h->state == CLEARING) {
		/* Withheld as it is. */
		return true;
	}
	give_up_checked(session);
	if (!connecting_anew(&h->connecting, session)) {
		fail_open(session);
		return false;
	}
	/*
	 * It was told to wait until there is something to read, which the new connection will
	 * not have before libpq has spoken: whatever it can bear to be shown, it has to wake.
	 */
	if (!told && h->polled && have_bell(h)) {
		h->state = RENEWED;
		suit_bell(h, 0);
		show_bell(h);
		ring(&h->waiter);
	}
	return true;
}

void steps_reset(struct session *session)
{
	struct handshake *h = session->handshake;

	give_up_checked(session);
	opening_again(&h->connecting.opening);
	h->connecting.began_ns = clock_monotonic_ns();
	session->check.mode_is_ours = false;
	session->libpq->PQreset(session->conn);
	if (is_of_parent(session)) {
		steps_let_go(session);
	} else if (session->libpq->PQstatus(session->conn) == CONNECTION_OK) {
		opened(session);
	} else {
		fail_open(session);
	}
}
