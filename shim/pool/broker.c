/* SPDX-License-Identifier: PostgreSQL */
/*
 * Acquire and release.
 *
 * Owner of a session at each moment: the pool while idle, else whoever holds its slot.
 * Each session counts its lender, and gives that up in write_off().
 */
#include "pool/broker.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/lock.h"
#include "base/self.h"
#include "pool/events.h"
#include "pool/identity.h"
#include "pool/journal.h"
#include "pool/prewarm.h"
#include "pool/refusal.h"
#include "pool/registry.h"
#include "pool/session.h"
#include "trace/stack.h"

/* How long an acquire waits for the server to let go of a session it replaces. */
#define END_WAIT_NS NS_PER_SEC

/* How long all idle sessions together may take to close at exit. */
#define SHUTDOWN_NS NS_PER_SEC

/* How often pools other than the one in use are looked after. */
#define ROUND_NS NS_PER_SEC

static struct {
	struct session_care care;
	uint64_t timeout_ns;
	uint64_t prewarm_ns;
	uint32_t prewarm;
	unsigned stack_depth;
} settings;

static atomic_bool closing;
static atomic_uint refusals;
static atomic_uint_fast64_t next_round_ns;

/* One connect of the program's on its way. */
struct acquisition {
	const struct libpq *libpq;
	const struct spelling *spelling;
	struct lender *lender;
	const void *caller;
	uint64_t began_ns;
};

static uint32_t to_limit(int64_t value)
{
	return value < 0 ? POOL_NO_LIMIT : (uint32_t)value;
}

static void set_limits(const struct config *config)
{
	struct pool_limits limits = {
		.size = config->size == 0 ? POOL_NO_LIMIT : to_limit(config->size),
		.fifo = config->order == ORDER_FIFO,
		.idle_timeout_ns = (uint64_t)config->idle_timeout_ms * NS_PER_MS,
	};

	limits.total = POOL_NO_LIMIT;
	if (config->size > 0 && config->max_overflow >= 0) {
		limits.total = (uint32_t)(config->size + config->max_overflow);
	}
	if (config->recycle_ms >= 0) {
		/* 0 is "at once"; for the pool 0 is "never". */
		limits.recycle_ns = (uint64_t)config->recycle_ms * NS_PER_MS + 1;
	}
	registry_configure(&limits);
}

void broker_configure(const struct config *config)
{
	struct identity_settings identity = {.route = config->route,
	                                     .connect_timeout_s = config->connect_timeout_s};

	identity_configure(&identity);
	set_limits(config);
	events_arm();
	settings.care.reset = config->reset;
	settings.care.pre_ping = config->pre_ping;
	settings.care.ping_query = config->ping_query != NULL ? config->ping_query : "";
	settings.care.ping_timeout_ns = (uint64_t)config->ping_timeout_ms * NS_PER_MS;
	settings.timeout_ns = (uint64_t)config->timeout_ms * NS_PER_MS;
	settings.prewarm = (uint32_t)config->prewarm;
	settings.prewarm_ns = (uint64_t)config->connect_timeout_s * NS_PER_SEC;
	settings.stack_depth = (unsigned)config->stack_depth;
}

/* Spreads the ends of sessions that were opened together. */
static uint16_t jitter_of(const struct session *session)
{
	uint64_t x = (session->id + (uint64_t)session->owner) * 0x9e3779b97f4a7c15ULL;

	return (uint16_t)(x >> 48);
}

/* ---- sessions out of the pool ------------------------------------------------ */

static void write_off(struct session *session)
{
	if (session->lender != NULL) {
		lender_release(session->lender);
	}
	session_free(session);
}

/* Closes a session that no lease is on, on our own account. */
static void close_idle(struct session *session, enum drop_reason why, uint64_t deadline_ns)
{
	lease_forget(&session->lease);
	journal_session_close(session, why);
	session_close(session, deadline_ns);
}

static bool slot_gone(struct pool_slot *slot)
{
	return session_gone(session_of_slot(slot));
}

static void tend(struct lender *lender, uint64_t now_ns)
{
	struct pool_slot *doomed;
	struct pool_slot *ended;

	pool_tend(&lender->pool, now_ns, slot_gone, &doomed, &ended);
	while (doomed != NULL) {
		struct pool_slot *slot = doomed;

		doomed = slot->next;
		close_idle(session_of_slot(slot), pool_fate(&lender->pool, slot, now_ns), 0);
		pool_drop(&lender->pool, slot);
	}
	while (ended != NULL) {
		struct pool_slot *slot = ended;

		ended = slot->next;
		write_off(session_of_slot(slot));
	}
}

/* Pools that nobody calls any more have idle sessions that grow old, too. */
static void tend_others(uint64_t now_ns)
{
	uint64_t due = atomic_load_explicit(&next_round_ns, memory_order_relaxed);
	struct lender **all;
	size_t count;

	if (now_ns < due ||
	    !atomic_compare_exchange_strong(&next_round_ns, &due, now_ns + ROUND_NS)) {
		return;
	}
	all = registry_hold_all(&count);
	for (size_t i = 0; i < count; i++) {
		tend(all[i], now_ns);
		lender_release(all[i]);
	}
	free((void *)all);
}

/*
 * Closes every idle session of this process and sees the end of each; true if there was
 * one. For a connect that failed for want of what they occupy.
 */
static bool close_all_idle(enum drop_reason why, uint64_t deadline_ns, bool await_end)
{
	size_t count;
	struct lender **all = registry_hold_all(&count);
	bool any = false;

	for (size_t i = 0; i < count; i++) {
		struct pool_slot *slot = pool_drain(&all[i]->pool);

		while (slot != NULL) {
			struct session *session = session_of_slot(slot);

			slot = slot->next;
			any = true;
			close_idle(session, why, deadline_ns);
			if (await_end) {
				session_await_end(session, deadline_ns);
			}
			pool_forget(&all[i]->pool, &session->slot);
			write_off(session);
		}
		lender_release(all[i]);
	}
	free((void *)all);
	return any;
}

/* ---- acquire ------------------------------------------------------------------- */

/*
 * Enters a session into the table of leases. An entry of the same address that is still
 * there belongs to a PGconn that somebody freed past us: its slot is given back.
 */
static bool enter(struct session *session)
{
	struct lease *vanished = NULL;
	bool entered = lease_register(&session->lease, &vanished);

	if (vanished != NULL) {
		struct session *lost = session_of_lease(vanished);

		journal_session_close(lost, DROP_DESCRIPTOR);
		if (lost->lender != NULL) {
			pool_forget(&lost->lender->pool, &lost->slot);
		}
		write_off(lost);
	}
	return entered;
}

/* Puts the session on a lease of the calling thread. */
static PGconn *lend(const struct acquisition *a, struct session *session)
{
	struct lease_origin origin = {
		.backend_pid = session->backend_pid,
		.wait_ns = clock_monotonic_ns() - a->began_ns,
		.stack = stack_capture(a->caller, settings.stack_depth),
	};

	lease_begin(&session->lease, &origin);
	journal_acquire(session);
	return session->conn;
}

/* Not to be pooled: the program's own connect, tracked if it succeeds. */
static PGconn *acquire_plain(const struct acquisition *a, const struct connect_call *call)
{
	PGconn *conn = conninfo_connect(a->libpq, call);
	struct session *session;

	if (conn == NULL || a->libpq->PQstatus(conn) != CONNECTION_OK) {
		return conn;
	}
	session = session_adopt(a->libpq, conn);
	if (session == NULL) {
		return conn;
	}
	session->lease.pool = "not pooled";
	session->taint = DROP_NOT_POOLED;
	if (!enter(session)) {
		session_free(session);
		return conn;
	}
	journal_session_open(session, clock_monotonic_ns() - a->began_ns);
	return lend(a, session);
}

/* A session without a lease, whose connection is not to be touched again. */
static PGconn *hand_over(struct session *session)
{
	PGconn *conn = session->conn;

	session_free(session);
	return conn;
}

/* The server or this process has no place left, and our idle sessions occupy some. */
static bool wants_room(const struct session *session)
{
	static const char *const signs[] = {
		"too many clients",
		"too many connections",
		"connection slots are reserved",
	};
	const char *error = session->libpq->PQerrorMessage(session->conn);

	for (size_t i = 0; i < sizeof(signs) / sizeof(signs[0]); i++) {
		if (strstr(error, signs[i]) != NULL) {
			return true;
		}
	}
	return strstr(error, strerrordesc_np(EMFILE)) != NULL ||
	       strstr(error, strerrordesc_np(ENFILE)) != NULL;
}

static bool failed(const struct session *session)
{
	return session->conn == NULL ||
	       session->libpq->PQstatus(session->conn) != CONNECTION_OK;
}

/* Opens a session; once more, if closing our idle ones may help. NULL: out of memory. */
static struct session *open_session(const struct acquisition *a)
{
	struct session *session = session_open(a->libpq, a->spelling->conninfo);

	if (session == NULL || session->conn == NULL || !failed(session) ||
	    !wants_room(session) ||
	    !close_all_idle(DROP_MAKE_ROOM, clock_monotonic_ns() + END_WAIT_NS, true)) {
		return session;
	}
	a->libpq->PQfinish(session->conn);
	session_free(session);
	return session_open(a->libpq, a->spelling->conninfo);
}

/* Puts a session whose connect began at `began_ns` into the room reserved for it. */
static void settle(const struct acquisition *a, struct session *session, uint64_t began_ns)
{
	struct pool *pool = &a->lender->pool;
	uint64_t now_ns = clock_monotonic_ns();

	session->lender = a->lender;
	lender_hold(a->lender);
	if (!pool_landed(pool, session->standing.place, began_ns, now_ns)) {
		session->taint = DROP_INVALIDATED;
	}
	pool_opened(pool, &session->slot, now_ns, jitter_of(session));
	journal_session_open(session, now_ns - began_ns);
}

/* Opens a session in the room that the pool reserved for this acquisition. */
static PGconn *open_in_room(const struct acquisition *a)
{
	uint64_t began_ns = clock_monotonic_ns();
	struct session *session = open_session(a);
	struct pool *pool = &a->lender->pool;
	uint64_t took_ns = clock_monotonic_ns() - began_ns;

	if (session == NULL || failed(session)) {
		pool_open_failed(pool);
		if (session == NULL || session->conn == NULL) {
			free(session);
			return NULL;
		}
		journal_open_failed(a->lender, a->libpq->PQerrorMessage(session->conn),
		                    took_ns);
		return hand_over(session);
	}
	session->lease.pool = a->lender->identity->label;
	session->lease.pooled = true;
	if (!enter(session)) {
		pool_open_failed(pool);
		return hand_over(session);
	}
	settle(a, session, began_ns);
	return lend(a, session);
}

/* Opens the pool's first sessions side by side, once. */
static void prewarm_pool(const struct acquisition *a)
{
	struct pool *pool = &a->lender->pool;
	struct session *sessions[PREWARM_MAX];
	uint32_t wanted = settings.prewarm < PREWARM_MAX ? settings.prewarm : PREWARM_MAX;
	uint32_t reserved;
	uint32_t opened;
	uint64_t now_ns = clock_monotonic_ns();

	if (wanted > pool->limits.size) {
		wanted = pool->limits.size;
	}
	/* One of them will be the program's: the acquire that comes next finds it idle. */
	reserved = pool_reserve(pool, wanted);
	opened =
		prewarm(a->libpq, a->spelling->conninfo, reserved,
	                settings.prewarm_ns > 0 ? now_ns + settings.prewarm_ns : DEADLINE_NEVER,
	                sessions);
	for (uint32_t i = 0; i < reserved; i++) {
		struct session *session = i < opened ? sessions[i] : NULL;

		if (session == NULL || !enter(session)) {
			pool_open_failed(pool);
			continue;
		}
		session->lease.pool = a->lender->identity->label;
		session->lease.pooled = true;
		settle(a, session, now_ns);
		pool_keep(pool, &session->slot, clock_monotonic_ns());
	}
}

static PGconn *refuse(const struct acquisition *a)
{
	uint64_t waited_ns = clock_monotonic_ns() - a->began_ns;
	struct session *session = refusal_make(a->spelling, a->lender, waited_ns);
	struct pool_counts counts = pool_count(&a->lender->pool);

	journal_timeout(a->lender, counts, waited_ns);
	if (session == NULL) {
		return NULL;
	}
	if (!enter(session)) {
		return hand_over(session);
	}
	/* The message names the pool by its label, which the lender keeps. */
	session->lender = a->lender;
	lender_hold(a->lender);
	atomic_fetch_add(&refusals, 1);
	return session->conn;
}

/* Makes way for a new session in the room of one that is not to be lent. */
static void clear_room(struct pool_slot *slot, enum drop_reason why)
{
	struct session *session = session_of_slot(slot);

	if (session->conn != NULL) {
		close_idle(session, why, 0);
	}
	/* A server that did not answer will not hang up either. */
	if (why != DROP_PING_FAILED) {
		session_await_end(session, clock_monotonic_ns() + END_WAIT_NS);
	}
	write_off(session);
}

/* The idle session that was granted, if it is fit; else its room is cleared and NULL. */
static PGconn *lend_idle(const struct acquisition *a, struct pool_slot *slot)
{
	struct session *session = session_of_slot(slot);
	struct pool *pool = &a->lender->pool;
	enum drop_reason why = session_check(session, &settings.care, clock_monotonic_ns());

	if (why == DROP_NONE) {
		pool_lent(pool, slot);
		return lend(a, session);
	}
	journal_check_failed(session, why);
	if (why == DROP_PING_FAILED || why == DROP_ATTRIBUTES) {
		pool_invalidate(pool, clock_monotonic_ns());
	}
	clear_room(slot, why);
	return NULL;
}

static enum pool_grant wait_in_line(const struct acquisition *a, struct pool_waiter *waiter)
{
	journal_wait(a->lender, pool_count(&a->lender->pool));
	return pool_wait(&a->lender->pool, waiter, a->began_ns + settings.timeout_ns);
}

static PGconn *acquire_pooled(const struct acquisition *a)
{
	struct pool_waiter waiter;
	enum pool_grant grant;
	PGconn *conn = NULL;

	tend(a->lender, a->began_ns);
	tend_others(a->began_ns);
	if (settings.prewarm > 1 && !atomic_flag_test_and_set(&a->lender->prewarmed)) {
		prewarm_pool(a);
	}
	grant = pool_acquire(&a->lender->pool, a->began_ns, &waiter);
	if (grant == POOL_FULL) {
		grant = wait_in_line(a, &waiter);
	}
	switch (grant) {
	case POOL_FULL:
		return refuse(a);
	case POOL_LEND:
		conn = lend_idle(a, waiter.slot);
		break;
	case POOL_REPLACE:
		clear_room(waiter.slot, waiter.why);
		break;
	case POOL_OPEN:
		break;
	}
	return conn != NULL ? conn : open_in_room(a);
}

PGconn *broker_acquire(const struct libpq *libpq, const struct connect_call *call,
                       const void *caller)
{
	struct acquisition a = {
		.libpq = libpq, .caller = caller, .began_ns = clock_monotonic_ns()};
	struct spelling *spelling =
		atomic_load(&closing) ? NULL : identity_resolve(libpq, call);
	PGconn *conn;

	if (spelling != NULL) {
		a.spelling = spelling;
		a.lender = registry_lender(spelling->identity);
	}
	conn = a.lender != NULL ? acquire_pooled(&a) : acquire_plain(&a, call);
	if (a.lender != NULL) {
		lender_release(a.lender);
	}
	if (spelling != NULL) {
		spelling_release(spelling);
	}
	return conn;
}

/* ---- release ------------------------------------------------------------------- */

/* Does anybody else still use the session that was inherited over a fork? */
static bool owner_lives(pid_t owner)
{
	return getppid() == owner || kill(owner, 0) == 0 || errno == EPERM;
}

static void release_inherited(struct session *session)
{
	/* A pool's slot is the parent's; only the PGconn is freed here. */
	session->lender = NULL;
	lease_forget(&session->lease);
	if (owner_lives(session->owner)) {
		session_finish_inherited(session);
	} else {
		session_finish(session);
	}
	session_free(session);
}

/* Ends what the program was given and we do not keep. */
static void drop_leased(struct session *session, enum drop_reason why)
{
	struct lender *lender = session->lender;

	/* Out of the table first: the address is free for a new PGconn after the finish. */
	lease_forget(&session->lease);
	journal_session_close(session, why);
	session_finish(session);
	if (lender == NULL) {
		session_free(session);
		return;
	}
	if (why == DROP_BROKEN) {
		pool_invalidate(&lender->pool, clock_monotonic_ns());
	}
	/* Held on: the session may be closed off and freed by another thread at once. */
	lender_hold(lender);
	pool_drop(&lender->pool, &session->slot);
	tend(lender, clock_monotonic_ns());
	lender_release(lender);
}

static void end_lease(struct session *session, const struct lease *ended, const void *caller)
{
	struct lender *lender = session->lender;
	enum drop_reason why = session_examine(session, ended);
	uint64_t now_ns = clock_monotonic_ns();

	if (why == DROP_NONE && atomic_load(&closing)) {
		why = DROP_EXIT;
	}
	if (why == DROP_NONE) {
		why = pool_return(&lender->pool, &session->slot, now_ns);
	}
	if (why == DROP_NONE) {
		why = session_reset(session, &settings.care);
	}
	/* Written before anybody else can be given the session, so that the log is in order. */
	journal_release(ended, why, caller, settings.stack_depth);
	if (why == DROP_NONE) {
		pool_keep(&lender->pool, &session->slot, now_ns);
	} else {
		drop_leased(session, why);
	}
}

static void finish_unleased(struct session *session, const void *caller)
{
	if (session->refusal == NULL) {
		journal_finish_twice(session, caller, settings.stack_depth);
		return;
	}
	lease_forget(&session->lease);
	atomic_fetch_sub(&refusals, 1);
	session->libpq->PQfinish(session->conn);
	session->conn = NULL;
	write_off(session);
}

void broker_release(const struct libpq *libpq, PGconn *conn, const void *caller)
{
	struct lease *lease = NULL;
	struct lease ended;

	switch (lease_end(conn, &lease, &ended)) {
	case LEASE_UNKNOWN:
		if (libpq != NULL) {
			libpq->PQfinish(conn);
		}
		break;
	case LEASE_IDLE:
		finish_unleased(session_of_lease(lease), caller);
		break;
	case LEASE_OPEN:
		if (session_of_lease(lease)->owner != self_pid()) {
			release_inherited(session_of_lease(lease));
		} else {
			end_lease(session_of_lease(lease), &ended, caller);
		}
		break;
	}
}

void broker_taint(PGconn *conn, enum drop_reason why)
{
	struct lease *lease;

	if (lease_find(conn, &lease) == LEASE_OPEN) {
		session_of_lease(lease)->taint = why;
	}
}

void broker_note_reset(PGconn *conn)
{
	struct lease *lease;
	struct session *session;

	if (lease_find(conn, &lease) != LEASE_OPEN) {
		return;
	}
	session = session_of_lease(lease);
	if (session->libpq->PQstatus(conn) != CONNECTION_OK) {
		return;
	}
	journal_session_close(session, DROP_PROGRAM_RESET);
	session_note_connection(session);
	lease_set_backend(lease, session->backend_pid);
	journal_session_open(session, 0);
}

const char *broker_refusal(const PGconn *conn)
{
	struct lease *lease;

	if (atomic_load_explicit(&refusals, memory_order_relaxed) == 0 ||
	    lease_find(conn, &lease) != LEASE_IDLE) {
		return NULL;
	}
	return session_of_lease(lease)->refusal;
}

/* ---- the process ----------------------------------------------------------------- */

void broker_shutdown(void)
{
	atomic_store(&closing, true);
	close_all_idle(DROP_EXIT, clock_monotonic_ns() + SHUTDOWN_NS, false);
}

void broker_fork_prepare(void)
{
	identity_fork_prepare();
	registry_fork_prepare();
	lease_fork_prepare();
}

void broker_fork_parent(void)
{
	lease_fork_parent();
	registry_fork_parent();
	identity_fork_parent();
}

static void close_copy_of_closing(struct pool_slot *slot)
{
	session_close_copy(session_of_slot(slot));
}

static void close_copy_of_idle(struct lease *lease)
{
	session_close_copy(session_of_lease(lease));
}

void broker_fork_child(void)
{
	lease_fork_child(close_copy_of_idle);
	registry_fork_child(close_copy_of_closing);
	identity_fork_child();
	atomic_store(&next_round_ns, 0);
}
