/* SPDX-License-Identifier: PostgreSQL */
/*
 * Acquiring in steps.
 *
 * The first PQconnectPoll comes when the socket is writable, as libpq documents it, so
 * until then the real socket is shown even by those who will have to wait.
 */
#include "pool/handshake.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/lock.h"
#include "pool/doorbell.h"
#include "pool/journal.h"
#include "pool/lending.h"
#include "pool/opening.h"
#include "pool/refusal.h"
#include "pool/reset.h"

/*
 * The server hangs up on a connection that stays silent for its authentication_timeout,
 * a minute by default: one withheld for longer than this is begun anew.
 */
#define WITHHELD_MAX_NS (20 * NS_PER_SEC)

enum handshake_state { CHECKING, OPENING, WAITING, CLEARING };

struct handshake {
	enum handshake_state state;
	struct acquisition a; /* ended with the handshake */
	struct opening opening;
	struct pool_waiter waiter;
	struct session *other; /* CLEARING: whose end is awaited; it still has the room */
	uint64_t deadline_ns;  /* of WAITING, then of CLEARING */
	uint64_t connect_ns;   /* when the connection was begun */
	struct doorbell bell;  /* shown by PQsocket while WAITING and CLEARING */
	bool polled;           /* the program has called PQconnectPoll */
	bool made_room;        /* our idle sessions were closed for it, once */
};

/* Under the pool's lock, by whoever grants. */
static void ring(struct pool_waiter *waiter)
{
	struct handshake *h =
		(struct handshake *)((char *)waiter - offsetof(struct handshake, waiter));

	doorbell_ring(&h->bell);
}

/* ---- the end of a handshake ---------------------------------------------------------- */

static void end(struct session *session)
{
	struct handshake *h = session->handshake;

	session->handshake = NULL;
	opening_detach(&h->opening);
	doorbell_close(&h->bell);
	lending_answered(&h->a);
	free(h);
}

/* The connection is the program's from now on, and a stranger to us. */
static void let_go(struct session *session)
{
	end(session);
	lease_forget(&session->lease);
	session->conn = NULL;
	lending_write_off(session);
}

static PostgresPollingStatusType succeed(struct session *session)
{
	struct acquisition a = session->handshake->a;

	/* The acquisition is still needed to begin the lease; end() gives it back after. */
	lending_begin(&a, session);
	end(session);
	return PGRES_POLLING_OK;
}

static PostgresPollingStatusType fail_open(struct session *session)
{
	struct handshake *h = session->handshake;

	journal_open_failed(h->a.lender, session->libpq->PQerrorMessage(session->conn),
	                    clock_monotonic_ns() - h->connect_ns);
	pool_open_failed(&h->a.lender->pool);
	let_go(session);
	return PGRES_POLLING_FAILED;
}

static PostgresPollingStatusType refuse(struct session *session)
{
	struct handshake *h = session->handshake;
	uint64_t waited_ns = clock_monotonic_ns() - h->a.began_ns;

	journal_timeout(h->a.lender, pool_count(&h->a.lender->pool), waited_ns);
	session->refusal = refusal_message(h->a.lender, waited_ns);
	if (session->refusal == NULL) {
		let_go(session);
		return PGRES_POLLING_FAILED;
	}
	end(session);
	return PGRES_POLLING_FAILED;
}

/* ---- opening --------------------------------------------------------------------------- */

/* Begins the connection anew under the same PGconn. */
static bool begin_anew(struct session *session)
{
	struct handshake *h = session->handshake;

	opening_detach(&h->opening);
	h->connect_ns = clock_monotonic_ns();
	if (session->libpq->PQresetStart(session->conn) != 1) {
		return false;
	}
	h->opening = (struct opening){0};
	opening_attach(&h->opening, session->libpq, session->conn);
	return true;
}

static PostgresPollingStatusType opened(struct session *session)
{
	struct handshake *h = session->handshake;

	session->flight = FLIGHT_NONE;
	session->proven_ns = clock_monotonic_ns();
	if (session->taint == DROP_NONE) {
		session->taint = opening_verdict(&h->opening);
	}
	session_note_connection(session);
	lending_admit(session, session->proven_ns - h->connect_ns);
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
	return lending_close_all_idle(DROP_MAKE_ROOM, clock_monotonic_ns() + 40 * NS_PER_MS,
	                              true) &&
	       begin_anew(session);
}

static PostgresPollingStatusType go_on_opening(struct session *session)
{
	PostgresPollingStatusType wants = session->libpq->PQconnectPoll(session->conn);

	if (wants == PGRES_POLLING_OK) {
		return opened(session);
	}
	if (wants != PGRES_POLLING_FAILED) {
		return wants;
	}
	return may_try_again(session) ? PGRES_POLLING_WRITING : fail_open(session);
}

/* The room is free: lets the withheld connection go on. */
static PostgresPollingStatusType release_withheld(struct session *session)
{
	struct handshake *h = session->handshake;

	h->state = OPENING;
	if (clock_monotonic_ns() - h->connect_ns < WITHHELD_MAX_NS) {
		return go_on_opening(session);
	}
	return begin_anew(session) ? PGRES_POLLING_WRITING : fail_open(session);
}

/* ---- clearing ---------------------------------------------------------------------------- */

static bool other_is_gone(struct handshake *h)
{
	if (!session_gone(h->other) && clock_monotonic_ns() < h->deadline_ns) {
		return false;
	}
	lending_write_off(h->other);
	h->other = NULL;
	return true;
}

static PostgresPollingStatusType go_on_clearing(struct session *session)
{
	return other_is_gone(session->handshake) ? release_withheld(session)
	                                         : PGRES_POLLING_READING;
}

/* Closes the session in `slot`, whose room is ours, and begins to await its end. */
static void begin_clearing(struct handshake *h, struct pool_slot *slot, enum drop_reason why)
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
		doorbell_watch(&h->bell, h->other->end_fd);
	}
	doorbell_set(&h->bell, h->deadline_ns);
}

/* ---- waiting -------------------------------------------------------------------------------
 */

static PostgresPollingStatusType go_on_waiting(struct session *session)
{
	struct handshake *h = session->handshake;
	struct pool *pool = &h->a.lender->pool;
	enum pool_grant grant = pool_granted(pool, &h->waiter);

	if (grant == POOL_FULL && clock_monotonic_ns() < h->deadline_ns) {
		return PGRES_POLLING_READING;
	}
	grant = pool_leave(pool, &h->waiter);
	switch (grant) {
	case POOL_FULL:
		return refuse(session);
	case POOL_LEND:
		begin_clearing(h, h->waiter.slot, DROP_EXCHANGED);
		return go_on_clearing(session);
	case POOL_REPLACE:
		begin_clearing(h, h->waiter.slot, h->waiter.why);
		return go_on_clearing(session);
	case POOL_OPEN:
		break;
	}
	return release_withheld(session);
}

/* ---- checking ------------------------------------------------------------------------------
 */

/* Dead: the same PGconn gets a new session in the room of the old one. */
static PostgresPollingStatusType replace(struct session *session, enum drop_reason why)
{
	struct handshake *h = session->handshake;

	journal_check_failed(session, why);
	journal_session_close(session, why);
	if (why == DROP_PING_FAILED) {
		pool_invalidate(&h->a.lender->pool, clock_monotonic_ns());
	}
	h->state = OPENING;
	reset_hand_out(session);
	return begin_anew(session) ? PGRES_POLLING_WRITING : fail_open(session);
}

static PostgresPollingStatusType go_on_checking(struct session *session)
{
	enum drop_reason why;

	switch (reset_check_more(session, &lending_settings.care, clock_monotonic_ns(), &why)) {
	case CHECK_PENDING:
		return reset_check_unsent(session) ? PGRES_POLLING_WRITING
		                                   : PGRES_POLLING_READING;
	case CHECK_UNFIT:
		return replace(session, why);
	case CHECK_FIT:
		break;
	}
	pool_lent(&session->handshake->a.lender->pool, &session->slot);
	return succeed(session);
}

/* ---- start ----------------------------------------------------------------------------------
 */

/* A handshake for an entered session; takes the acquisition over. */
static bool begin(struct session *session, const struct acquisition *a,
                  enum handshake_state state)
{
	struct handshake *h = calloc(1, sizeof(*h));

	if (h == NULL) {
		return false;
	}
	h->state = state;
	h->bell = DOORBELL_NONE;
	h->connect_ns = clock_monotonic_ns();
	h->a = *a;
	session->handshake = h;
	lease_reclaim(&session->lease);
	return true;
}

/*
 * Begins a real connection for the program. NULL: out of memory. A connection that failed
 * at once is handed to the program as it is, and `*session` is NULL.
 */
static PGconn *begin_connection(const struct acquisition *a, enum handshake_state state,
                                struct session **session)
{
	PGconn *conn = a->libpq->PQconnectStart(a->spelling->conninfo);

	*session = NULL;
	if (conn == NULL || a->libpq->PQstatus(conn) == CONNECTION_BAD) {
		return conn;
	}
	*session = session_adopt(a->libpq, conn);
	if (*session == NULL) {
		return conn;
	}
	if (!lending_enter(*session, a->lender)) {
		session_free(*session);
		*session = NULL;
	} else if (!begin(*session, a, state)) {
		lease_forget(&(*session)->lease);
		lending_write_off(*session);
		*session = NULL;
	} else {
		opening_attach(&(*session)->handshake->opening, a->libpq, conn);
	}
	return conn;
}

/* In a room that is reserved already. */
static PGconn *start_opening(struct acquisition *a)
{
	struct session *session;
	PGconn *conn = begin_connection(a, OPENING, &session);

	if (session == NULL) {
		pool_open_failed(&a->lender->pool);
		lending_answered(a);
	}
	return conn;
}

/* In the room of a session that has to go first. */
static PGconn *start_clearing(struct acquisition *a, struct pool_slot *slot,
                              enum drop_reason why)
{
	struct session *session;
	PGconn *conn = begin_connection(a, CLEARING, &session);

	if (session != NULL && doorbell_make(&session->handshake->bell)) {
		begin_clearing(session->handshake, slot, why);
		return conn;
	}
	/* Without it the end cannot be awaited; the room is given on with the slot. */
	if (session_of_slot(slot)->conn != NULL) {
		lending_close(session_of_slot(slot), why, 0);
	}
	pool_drop(&a->lender->pool, slot);
	if (session != NULL) {
		let_go(session);
	} else {
		lending_answered(a);
	}
	return conn;
}

static PGconn *start_waiting(struct acquisition *a)
{
	struct session *session;
	PGconn *conn = begin_connection(a, WAITING, &session);
	struct handshake *h;

	if (session == NULL) {
		lending_answered(a);
		return conn;
	}
	h = session->handshake;
	if (!doorbell_make(&h->bell)) {
		let_go(session);
		return conn;
	}
	h->deadline_ns = a->began_ns + lending_settings.timeout_ns;
	doorbell_set(&h->bell, h->deadline_ns);
	journal_wait(a->lender, pool_count(&a->lender->pool));
	switch (pool_acquire(&a->lender->pool, clock_monotonic_ns(), &h->waiter, ring)) {
	case POOL_FULL:
		break;
	case POOL_LEND:
		begin_clearing(h, h->waiter.slot, DROP_EXCHANGED);
		break;
	case POOL_REPLACE:
		begin_clearing(h, h->waiter.slot, h->waiter.why);
		break;
	case POOL_OPEN:
		h->state = OPENING;
		break;
	}
	return conn;
}

/* An idle session; if it needs no round trip, or its answer is there, it is lent at once. */
static PGconn *start_checking(struct acquisition *a, struct pool_slot *slot)
{
	struct session *session = session_of_slot(slot);
	enum drop_reason why;

	switch (reset_check_begin(session, &lending_settings.care, clock_monotonic_ns(),
	                          &why)) {
	case CHECK_FIT:
		break;
	case CHECK_PENDING:
		if (begin(session, a, CHECKING)) {
			return session->conn;
		}
		/* Out of memory. */
		lending_close(session, DROP_RESET_FAILED, 0);
		pool_drop(&a->lender->pool, slot);
		lending_answered(a);
		return NULL;
	case CHECK_UNFIT:
		journal_check_failed(session, why);
		if (why == DROP_PING_FAILED) {
			pool_invalidate(&a->lender->pool, clock_monotonic_ns());
		}
		return start_clearing(a, slot, why);
	}
	pool_lent(&a->lender->pool, slot);
	lending_begin(a, session);
	lending_answered(a);
	return session->conn;
}

PGconn *handshake_start(const struct libpq *libpq, const struct connect_call *call,
                        const void *caller)
{
	struct acquisition a;
	struct pool_waiter waiter;
	enum pool_grant grant;
	struct pool *pool;

	lending_ask(&a, libpq, call, caller);
	if (a.lender == NULL) {
		lending_answered(&a);
		return conninfo_start(libpq, call);
	}
	pool = &a.lender->pool;
	lending_tend(a.lender, a.began_ns);
	lending_tend_others(a.began_ns);
	grant = pool_acquire(pool, a.began_ns, &waiter, NULL);
	if (grant == POOL_FULL) {
		/* The place in line has to be a handshake's own, which there is none of yet. */
		grant = pool_leave(pool, &waiter);
	}
	switch (grant) {
	case POOL_LEND:
		return start_checking(&a, waiter.slot);
	case POOL_REPLACE:
		return start_clearing(&a, waiter.slot, waiter.why);
	case POOL_OPEN:
		return start_opening(&a);
	case POOL_FULL:
		break;
	}
	return start_waiting(&a);
}

/* ---- what the program asks of it ----------------------------------------------------------
 */

/* One that is ours, but not leased: in a handshake, refused, or finished by the program. */
static struct session *unleased(const PGconn *conn)
{
	struct lease *lease;

	return lease_find(conn, &lease) == LEASE_IDLE ? session_of_lease(lease) : NULL;
}

PostgresPollingStatusType handshake_poll(const struct libpq *libpq, PGconn *conn)
{
	struct session *session = unleased(conn);

	lock_assert_none();
	if (session == NULL) {
		return libpq->PQconnectPoll(conn);
	}
	if (session->handshake == NULL) {
		return PGRES_POLLING_FAILED;
	}
	session->handshake->polled = true;
	switch (session->handshake->state) {
	case CHECKING:
		return go_on_checking(session);
	case OPENING:
		return go_on_opening(session);
	case CLEARING:
		return go_on_clearing(session);
	case WAITING:
		break;
	}
	return go_on_waiting(session);
}

/* What the pool has granted, or will have granted by now, is given on to the next. */
static void decline(struct handshake *h)
{
	struct pool *pool = &h->a.lender->pool;

	switch (pool_leave(pool, &h->waiter)) {
	case POOL_FULL:
		break;
	case POOL_LEND:
		pool_keep(pool, h->waiter.slot, clock_monotonic_ns());
		break;
	case POOL_REPLACE:
		if (session_of_slot(h->waiter.slot)->conn != NULL) {
			lending_close(session_of_slot(h->waiter.slot), h->waiter.why, 0);
		}
		pool_drop(pool, h->waiter.slot);
		break;
	case POOL_OPEN:
		pool_open_failed(pool);
		break;
	}
}

void handshake_abandon(struct session *session)
{
	struct handshake *h = session->handshake;
	struct pool *pool = &h->a.lender->pool;

	lease_forget(&session->lease);
	switch (h->state) {
	case CHECKING:
		end(session);
		journal_session_close(session, DROP_ABANDONED);
		session_finish(session);
		pool_drop(pool, &session->slot);
		return;
	case OPENING:
		pool_open_failed(pool);
		break;
	case CLEARING:
		pool_drop(pool, &h->other->slot);
		break;
	case WAITING:
		decline(h);
		break;
	}
	end(session);
	session->libpq->PQfinish(session->conn);
	session->conn = NULL;
	lending_write_off(session);
}

bool handshake_status(const PGconn *conn, ConnStatusType *status)
{
	const struct session *session = unleased(conn);

	if (session == NULL) {
		return false;
	}
	if (session->handshake == NULL) {
		*status = CONNECTION_BAD;
		return true;
	}
	if (session->handshake->state == OPENING) {
		return false;
	}
	*status = session->handshake->polled ? CONNECTION_AWAITING_RESPONSE : CONNECTION_MADE;
	return true;
}

bool handshake_socket(const PGconn *conn, int *fd)
{
	const struct session *session = unleased(conn);

	if (session == NULL) {
		return false;
	}
	if (session->handshake == NULL) {
		*fd = -1;
		return true;
	}
	if (!session->handshake->polled || session->handshake->state == CHECKING ||
	    session->handshake->state == OPENING) {
		return false;
	}
	*fd = session->handshake->bell.fd;
	return true;
}
