/* SPDX-License-Identifier: PostgreSQL */
/* The steps that lending takes. */
#include "acquire/lend/lending.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "acquire/async/async_turns.h"
#include "acquire/lend/log_events.h"
#include "acquire/lend/long_hold.h"
#include "base/clock.h"
#include "base/cold.h"
#include "base/config/program.h"
#include "base/dl.h"
#include "base/lock.h"
#include "base/thread/pid.h"
#include "base/thread/thread_block.h"
#include "key/home_folder.h"
#include "pool/thread_cache.h"
#include "session/own_query.h"
#include "session/query_call.h"
#include "session/socket/epoll_registrations.h"
#include "trace/lease/counters.h"
#include "trace/script/interpreters.h"
#include "trace/script/program_end.h"
#include "trace/stack/stack.h"
#include "trace/status/status.h"

/*
 * Of the program's connect_timeout so much is for the check of an idle session: the rest is for
 * the connection that is made if that does not answer.
 */
#define CHECK_SHARE 4

/* How often pools other than the one in use are looked after. */
#define ROUND_NS NS_PER_SEC

struct lending_settings lending_settings;

static atomic_bool closing;
static atomic_uint alterations;
static atomic_uint_fast64_t next_round_ns;

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
		limits.warn_at = (uint32_t)((limits.total * config->warn_at + 99) / 100);
	}
	if (config->recycle_ms >= 0) {
		/* 0 is "at once"; for the pool 0 is "never". */
		limits.recycle_ns = (uint64_t)config->recycle_ms * NS_PER_MS + 1;
	}
	registry_configure(&limits);
}

_Static_assert(DROP_REASONS <= COUNTERS_REASONS, "each reason has its counter");
_Static_assert(DROP_REASONS <= 64, "each reason has its bit");

static const char *name_reason(unsigned reason)
{
	return drop_reason_name((enum drop_reason)reason);
}

void lending_note_given_back(const struct lease *ended, enum drop_reason why)
{
	if (!ended->at_exit && why != DROP_BROKEN && ended->pid == pid_self() &&
	    stack_note_given_back(ended->stack)) {
		status_given_back(ended->stack);
	}
}

/* At the end of the process, or of an interpreter, threads are ended that went on with theirs.
 */
static COLD void at_thread_end(void)
{
	if (!lock_barred() && !lending_is_closing() && !interpreters_ending(dl_changes())) {
		lease_note_thread_end();
	}
}

void lending_configure(const struct config *config)
{
	struct identity_settings identity = {.route = config->route,
	                                     .connect_timeout_s = config->connect_timeout_s};

	status_configure(config, program_short_name(), name_reason, DROP_REASONS);
	identity_configure(&identity);
	thread_cache_configure();
	thread_block_at_end(blocked_call_thread_end);
	thread_block_at_end(at_thread_end);
	set_limits(config);
	long_hold_configure((uint64_t)config->long_hold_ms * NS_PER_MS);
	epoll_arm();
	counters_name_reasons(name_reason, DROP_REASONS);
	query_call_configure(config->reset == RESET_AUTO);
	lending_settings.care.reset = config->reset;
	lending_settings.care.pre_ping = config->pre_ping;
	lending_settings.care.ping_query = config->ping_query != NULL ? config->ping_query : "";
	lending_settings.care.ping_timeout_ns = (uint64_t)config->ping_timeout_ms * NS_PER_MS;
	lending_settings.timeout_ns = (uint64_t)config->timeout_ms * NS_PER_MS;
	lending_settings.prewarm = (uint32_t)config->prewarm;
	lending_settings.prewarm_ns = (uint64_t)config->connect_timeout_s * NS_PER_SEC;
	lending_settings.stack_depth = (unsigned)config->stack_depth;
}

void lending_write_off(struct session *session)
{
	if (session->lender != NULL) {
		lender_release(session->lender);
	}
	session_free(session);
}

void lending_close(struct session *session, enum drop_reason why, uint64_t deadline_ns)
{
	lease_forget(&session->lease);
	log_event_session_close(session, why);
	own_query_settle(session, deadline_ns);
	session_close(session);
}

/* A session is kept on trial so often, in case the triggers are gone. */
#define TRIGGERED_NS (60 * NS_PER_SEC)

void lending_unfit(struct session *session, enum drop_reason why)
{
	struct lender *lender = session->lender;
	uint64_t now_ns = clock_monotonic_ns();

	log_event_check_failed(session, why);
	lending_explain(session, why);
	if (why == DROP_LOGIN_TRIGGER) {
		atomic_store(&lender->triggered_until_ns, now_ns + TRIGGERED_NS);
	}
	if (why == DROP_PING_FAILED || why == DROP_ATTRIBUTES || why == DROP_LOGIN_TRIGGER) {
		pool_invalidate(&lender->pool, now_ns);
	}
}

enum drop_reason lending_keeps_none(struct lender *lender, uint64_t now_ns)
{
	return now_ns < atomic_load_explicit(&lender->triggered_until_ns, memory_order_relaxed)
	               ? DROP_LOGIN_TRIGGER
	               : DROP_NONE;
}

void lending_explain(const struct session *session, enum drop_reason why)
{
	uint64_t bit = (uint64_t)1 << why;

	if (session->lender != NULL && log_event_can_explain(why) &&
	    (atomic_fetch_or(&session->lender->explained, bit) & bit) == 0) {
		log_event_not_kept(session, why);
	}
}

void lending_drop(struct session *session)
{
	struct lender *lender = session->lender;

	/* Held: the waiter may release the session, and its lender with it, at once. */
	lender_hold(lender);
	if (!pool_drop(&lender->pool, &session->slot)) {
		lending_write_off(session);
	}
	lender_release(lender);
}

void lending_tend(struct lender *lender, uint64_t now_ns)
{
	struct pool_slot *doomed = pool_tend(&lender->pool, now_ns);

	while (doomed != NULL) {
		struct pool_slot *slot = doomed;

		doomed = slot->next;
		lending_close(session_of_slot(slot), pool_fate(&lender->pool, slot, now_ns), 0);
		lending_drop(session_of_slot(slot));
	}
}

/* Pools that nobody calls any more have idle sessions that grow old, too. */
void lending_tend_all(uint64_t now_ns)
{
	struct lender *lender = NULL;

	while ((lender = registry_next(lender)) != NULL) {
		lending_tend(lender, now_ns);
		turns_wake(lender, now_ns);
	}
}

/* Pools that nobody calls any more have idle sessions that grow old, too. */
void lending_tend_others(uint64_t now_ns)
{
	uint64_t due = atomic_load_explicit(&next_round_ns, memory_order_relaxed);

	if (now_ns >= due &&
	    atomic_compare_exchange_strong(&next_round_ns, &due, now_ns + ROUND_NS)) {
		lending_tend_all(now_ns);
	}
}

void lending_invalidate_all(void)
{
	uint64_t now_ns = clock_monotonic_ns();
	struct lender *lender = NULL;

	while ((lender = registry_next(lender)) != NULL) {
		pool_invalidate(&lender->pool, now_ns);
	}
	atomic_fetch_add(&alterations, 1);
}

unsigned lending_alterations(void)
{
	return atomic_load(&alterations);
}

bool lending_close_all_idle(enum drop_reason why, uint64_t deadline_ns, bool await_end)
{
	struct lender *lender = NULL;
	bool any = false;

	while ((lender = registry_next(lender)) != NULL) {
		struct pool_slot *slot = pool_drain(&lender->pool);

		while (slot != NULL) {
			struct session *session = session_of_slot(slot);

			slot = slot->next;
			any = true;
			lending_close(session, why, deadline_ns);
			if (await_end) {
				session_await_end(session, deadline_ns);
			}
			pool_forget(&lender->pool, &session->slot);
			lending_write_off(session);
		}
	}
	return any;
}

/* Spreads the ends of sessions that were opened together. */
static uint16_t jitter_of(const struct session *session)
{
	uint64_t x = (session->id + (uint64_t)session->owner) * 0x9e3779b97f4a7c15ULL;

	return (uint16_t)(x >> 48);
}

void lending_ask(struct acquisition *a, const struct libpq *libpq,
                 const struct connect_call *call, const void *caller)
{
	*a = (struct acquisition){
		.libpq = libpq, .error = errno, .began_ns = clock_monotonic_ns()};
	a->stack = stack_capture(caller, lending_settings.stack_depth);
	a->at_exit = program_end_now(caller);
	if (!atomic_load(&closing)) {
		a->counted = thread_cache_ask(libpq, call, &a->spelling, &a->lender);
		a->turn = thread_cache_turn();
	}
	long_hold_look(a->began_ns);
}

void lending_keep(struct acquisition *a)
{
	if (!a->counted && a->lender != NULL) {
		spelling_hold(a->spelling);
		lender_hold(a->lender);
		a->counted = true;
	}
}

bool lending_remembers(const struct acquisition *a)
{
	return a->counted || a->turn == thread_cache_turn();
}

void lending_answered(struct acquisition *a)
{
	int saved_errno = errno;

	if (a->counted && a->lender != NULL) {
		lender_release(a->lender);
	}
	if (a->counted && a->spelling != NULL) {
		spelling_release(a->spelling);
	}
	errno = saved_errno;
}

void lending_show(struct session *session)
{
	uint32_t pool = session->lender != NULL ? session->lender->pool.row : 0;

	session->lease.row = status_take_session(session->id, session->backend_pid, pool);
}

bool lending_enter(struct session *session, struct lender *lender)
{
	struct lease *vanished = NULL;
	bool entered;

	session->lease.pool = lender != NULL ? lender->identity->label : "not pooled";
	session->lease.pool_plain = lender != NULL && lender->identity->label_plain;
	session->lease.pooled = lender != NULL;
	entered = lease_register(&session->lease, &vanished);
	if (vanished != NULL) {
		struct session *lost = session_of_lease(vanished);

		if (!lost->passing) {
			log_event_session_close(lost, DROP_DESCRIPTOR);
		}
		if (lost->vanished != NULL) {
			lost->vanished(lost);
		} else if (lost->lender != NULL) {
			pool_forget(&lost->lender->pool, &lost->slot);
		}
		lending_write_off(lost);
	}
	if (entered && lender != NULL) {
		session->lender = lender;
		session->check_limit_ns = lender->identity->connect_timeout_ns / CHECK_SHARE;
		lender_hold(lender);
	}
	/* A connection that is refused is no session, one that is passing none as yet. */
	if (entered && session->refusal == NULL && !session->passing) {
		lending_show(session);
	}
	return entered;
}

PGconn *lending_begin(const struct acquisition *a, struct session *session)
{
	uint64_t now_ns = clock_monotonic_ns();
	struct lease_origin origin = {
		.backend_pid = session->backend_pid,
		.now_ns = now_ns,
		.wait_ns = now_ns - a->began_ns,
		.stack = a->stack,
		.at_exit = a->at_exit,
	};

	session->unseen = query_call_unseen();
	status_stack(a->stack);
	lease_begin(&session->lease, &origin);
	long_hold_note_begin(session->lease.began_ns);
	log_event_acquire(session, a->queued_ns);
	return session->conn;
}

const struct libpq *lending_libpq(const PGconn *conn)
{
	struct lease *lease;

	return lease_find(conn, &lease) == LEASE_OPEN ? session_of_lease(lease)->libpq : NULL;
}

const struct libpq *lending_show_socket(const PGconn *conn)
{
	struct lease *lease;

	if (lease_find(conn, &lease) != LEASE_OPEN) {
		return NULL;
	}
	session_show_socket(session_of_lease(lease));
	return session_of_lease(lease)->libpq;
}

void lending_track(const struct acquisition *a, PGconn *conn)
{
	struct session *session = session_adopt(a->libpq, conn);

	if (session == NULL) {
		return;
	}
	session->taint = DROP_NOT_POOLED;
	if (!lending_enter(session, NULL)) {
		session_free(session);
		return;
	}
	log_event_session_open(session, clock_monotonic_ns() - a->began_ns);
	lending_begin(a, session);
}

/*
 * Whether a session just opened is what its pool's identity says. libpq has looked for the
 * home folder where there is TLS, so that we may, too, and know for the next.
 */
static bool is_as_asked(const struct session *session)
{
	const struct identity *identity = session->lender->identity;

	if (identity->home_unknown && session->libpq->PQsslInUse(session->conn)) {
		free(home_folder_find(session->libpq));
		return false;
	}
	return identity_holds(identity);
}

void lending_admit(struct session *session, uint64_t took_ns)
{
	struct pool *pool = &session->lender->pool;
	uint64_t now_ns = clock_monotonic_ns();

	if (!pool_landed(pool, session->attrs.place, now_ns - took_ns, now_ns)) {
		session->taint = DROP_INVALIDATED;
	}
	if (session->taint == DROP_NONE && !is_as_asked(session)) {
		session->taint = DROP_OUTDATED;
	}
	pool_opened(pool, &session->slot, now_ns, jitter_of(session));
	log_event_session_open(session, took_ns);
}

void lending_stock(struct session *session, uint64_t took_ns)
{
	struct pool *pool = &session->lender->pool;

	lending_admit(session, took_ns);
	if (session->taint == DROP_NONE) {
		pool_keep(pool, &session->slot, clock_monotonic_ns());
	} else {
		lending_close(session, session->taint, 0);
		pool_drop(pool, &session->slot);
	}
}

bool lending_wants_room(const struct session *session)
{
	static const char signs[][32] = {
		"too many clients",
		"too many connections",
		"connection slots are reserved",
	};
	const char *error = session->libpq->PQerrorMessage(session->conn);
	char buf[256];

	if (session->seen.full) {
		return true;
	}
	/* What was encrypted is not known otherwise, and understood only in English. */
	for (size_t i = 0; !session->seen.error && i < sizeof(signs) / sizeof(signs[0]); i++) {
		if (strstr(error, signs[i]) != NULL) {
			return true;
		}
	}
	return strstr(error, strerror_r(EMFILE, buf, sizeof(buf))) != NULL ||
	       strstr(error, strerror_r(ENFILE, buf, sizeof(buf))) != NULL;
}

bool lending_set_closing(bool now)
{
	return atomic_exchange(&closing, now);
}

bool lending_is_closing(void)
{
	return atomic_load(&closing);
}

void lending_forget_refused(struct session *session)
{
	(void)session;
}
