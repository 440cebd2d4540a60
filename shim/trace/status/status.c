/* SPDX-License-Identifier: PostgreSQL */
/*
 * The rows of the status page: what they say of pools, sessions and leases.
 *
 * Nothing is read back from the page but counters, generations and orders. Locks: none of its
 * own.
 */
#include "trace/status/status.h"

#include <string.h>

#include "base/clock.h"
#include "base/text/hash.h"
#include "sql/redact_statement.h"
#include "trace/status/status_page.h"

/* A session's number has its row in the lower half, and its pool's in the upper one. */
#define POOL_SHIFT 16
#define ROW_MASK   ((1U << POOL_SHIFT) - 1)
_Static_assert(STATUS_SESSIONS_MAX <= ROW_MASK && STATUS_POOLS_MAX <= ROW_MASK, "they fit");

/* These four: NULL if there is no page, or no row. */
static struct status_pool *pool_in(char *base, uint32_t row)
{
	return row != 0 && base != NULL
	               ? (struct status_pool *)(void *)(base + STATUS_POOLS_AT) + (row - 1)
	               : NULL;
}

static struct status_session *session_in(char *base, uint32_t number)
{
	uint32_t row = number & ROW_MASK;

	return row != 0 && base != NULL
	               ? (struct status_session *)(void *)(base + STATUS_SESSIONS_AT) +
	                         (row - 1)
	               : NULL;
}

static struct status_pool *pool_at(uint32_t row)
{
	return pool_in(status_page(), row);
}

static struct status_session *session_at(uint32_t row)
{
	return session_in(status_page(), row);
}

/* A session's holds are told this often. */
#define TELL_NS NS_PER_MS

static unsigned bucket_of(uint64_t ns)
{
	uint64_t steps = ns > 0 ? (ns - 1) / status_bucket_ns(0) : 0;
	unsigned bits = steps > 0 ? 64 - (unsigned)__builtin_clzll(steps) : 0;
	unsigned bucket = (bits + 1) / 2;

	return bucket < STATUS_BUCKETS ? bucket : STATUS_BUCKETS - 1;
}

static void count(uint64_t *counter, uint64_t n)
{
	__atomic_fetch_add(counter, n, __ATOMIC_RELAXED);
}

/* ---- pools ---- */

uint32_t status_take_pool(const char *label, uint32_t limit, uint32_t size)
{
	uint32_t row = status_page_take(STATUS_AREA_POOLS);
	struct status_pool *pool = pool_at(row);

	if (pool != NULL) {
		status_row_begin(&pool->generation);
		memset((char *)pool + sizeof(pool->generation), 0,
		       sizeof(*pool) - sizeof(pool->generation));
		pool->limit = limit;
		pool->size = size;
		status_put_string(pool->label, sizeof(pool->label), label);
		pool->state = STATUS_POOL_USED;
		status_row_end(&pool->generation);
	}
	return row;
}

void status_free_pool(uint32_t row)
{
	struct status_pool *pool = pool_at(row);

	if (pool != NULL) {
		struct status_head *head = status_page_head(status_page());

		status_row_begin(&pool->generation);
		count(&head->acquired, pool->acquired);
		count(&head->released, pool->released);
		pool->acquired = 0;
		pool->released = 0;
		pool->state = STATUS_POOL_FREE;
		status_row_end(&pool->generation);
		status_page_give(STATUS_AREA_POOLS, row);
	}
}

void status_pool(uint32_t row, uint32_t in_use, uint32_t idle, uint32_t waiting)
{
	struct status_pool *pool = pool_at(row);

	if (pool != NULL) {
		status_row_begin(&pool->generation);
		pool->in_use = in_use;
		pool->idle = idle;
		pool->waiting = waiting;
		if (in_use > pool->peak) {
			pool->peak = in_use;
		}
		status_row_end(&pool->generation);
	}
}

void status_opened(uint32_t row)
{
	struct status_pool *pool = pool_at(row);

	if (pool != NULL) {
		count(&pool->opened, 1);
	}
}

void status_closed(uint32_t row, unsigned reason)
{
	struct status_pool *pool = pool_at(row);

	if (pool != NULL && reason < STATUS_REASONS) {
		count(&pool->closed[reason], 1);
	}
}

void status_waited(uint32_t row, uint64_t ns, bool served)
{
	struct status_pool *pool = pool_at(row);
	uint64_t us = ns / NS_PER_US;
	uint64_t longest;

	if (pool == NULL) {
		return;
	}
	count(&pool->waits, 1);
	count(&pool->wait_us, us);
	count(&pool->timeouts, served ? 0 : 1);
	count(&pool->waited[bucket_of(ns)], 1);
	longest = __atomic_load_n(&pool->wait_max_us, __ATOMIC_RELAXED);
	while (longest < us &&
	       !__atomic_compare_exchange_n(&pool->wait_max_us, &longest, us, true,
	                                    __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {
	}
}

/* ---- sessions ---- */

uint32_t status_take_session(uint64_t session, int backend_pid, uint32_t pool)
{
	uint32_t row = status_page_take(STATUS_AREA_SESSIONS);
	struct status_session *shown = session_at(row);

	if (shown != NULL) {
		status_row_begin(&shown->generation);
		shown->id = session;
		shown->backend = backend_pid;
		shown->pool = pool != 0 ? pool - 1 : STATUS_NO_POOL;
		shown->opened_ns = clock_monotonic_ns();
		shown->shared = 0;
		shown->state = STATUS_SESSION_IDLE;
		status_row_end(&shown->generation);
	}
	return row != 0 ? row | pool << POOL_SHIFT : 0;
}

static void set_state(struct status_session *shown, enum status_session_state state)
{
	status_row_begin(&shown->generation);
	shown->state = state;
	status_row_end(&shown->generation);
}

static void tell_holds(struct status_pool *pool, struct status_holds *holds)
{
	for (unsigned i = 0; i < STATUS_BUCKETS; i++) {
		if (holds->untold[i] > 0) {
			count(&pool->holds[i], holds->untold[i]);
			holds->untold[i] = 0;
		}
	}
}

void status_free_session(uint32_t row, struct status_holds *holds)
{
	char *base = status_page();
	struct status_session *shown = session_in(base, row);
	struct status_pool *pool = pool_in(base, row >> POOL_SHIFT);

	if (pool != NULL) {
		tell_holds(pool, holds);
	}
	if (shown != NULL) {
		set_state(shown, STATUS_SESSION_FREE);
		status_page_give(STATUS_AREA_SESSIONS, row & ROW_MASK);
	}
}

void status_lease_begun(uint32_t row, const struct status_lease *lease)
{
	char *base = status_page();
	struct status_session *shown = session_in(base, row);
	struct status_pool *pool;

	if (base == NULL) {
		return;
	}
	pool = shown != NULL ? pool_in(base, row >> POOL_SHIFT) : NULL;
	count(pool != NULL ? &pool->acquired : &status_page_head(base)->acquired, 1);
	if (shown == NULL) {
		count(&status_page_head(base)->untold, 1);
		return;
	}
	status_row_begin(&shown->generation);
	shown->backend = lease->backend;
	shown->lease = lease->id;
	shown->began_us = lease->began_us;
	shown->began_ns = lease->began_ns;
	shown->wait_ns = lease->wait_ns;
	shown->tid = lease->tid;
	shown->stack = lease->stack;
	shown->transaction = STATUS_TRANSACTION_IDLE;
	shown->spoken = 0;
	shown->state = STATUS_SESSION_LEASED;
	status_row_end(&shown->generation);
}

void status_lease_ended(uint32_t row, struct status_holds *holds, uint64_t held_ns,
                        uint64_t now_ns)
{
	char *base = status_page();
	struct status_session *shown = session_in(base, row);
	struct status_pool *pool;

	if (base == NULL) {
		return;
	}
	pool = shown != NULL ? pool_in(base, row >> POOL_SHIFT) : NULL;
	count(pool != NULL ? &pool->released : &status_page_head(base)->released, 1);
	if (shown != NULL) {
		set_state(shown, STATUS_SESSION_IDLE);
	}
	if (pool != NULL) {
		count(&pool->held_us, held_ns / NS_PER_US);
		holds->untold[bucket_of(held_ns)]++;
		if (now_ns - holds->told_ns >= TELL_NS) {
			holds->told_ns = now_ns;
			tell_holds(pool, holds);
		}
	}
}

void status_statement(uint32_t row, struct status_said *said, const char *text)
{
	struct status_session *shown = session_at(row);
	char beginning[STATUS_SAID_BYTES + 1];
	uint64_t hash;
	size_t n;

	if (shown == NULL) {
		return;
	}
	n = strnlen(text, STATUS_SAID_BYTES);
	/* From 1 on, so that an empty one has another than none. */
	hash = hash_bytes(n + 1, text, n);
	if (hash == said->hash) {
		__atomic_store_n(&shown->spoken, 1, __ATOMIC_RELAXED);
		return;
	}
	said->hash = hash;
	memcpy(beginning, text, n);
	beginning[n] = '\0';
	status_row_begin(&shown->generation);
	redact_statement(beginning, n == STATUS_SAID_BYTES, shown->statement,
	                 sizeof(shown->statement));
	shown->spoken = 1;
	status_row_end(&shown->generation);
}

void status_transaction(uint32_t row, enum status_transaction transaction)
{
	struct status_session *shown = session_at(row);

	if (shown != NULL) {
		__atomic_store_n(&shown->transaction, (uint32_t)transaction, __ATOMIC_RELAXED);
	}
}

void status_session_opened(uint32_t row, uint64_t opened_ns)
{
	struct status_session *shown = session_at(row);

	if (shown != NULL) {
		status_row_begin(&shown->generation);
		shown->opened_ns = opened_ns;
		status_row_end(&shown->generation);
	}
}

void status_session_shared(uint32_t row)
{
	struct status_session *shown = session_at(row);

	if (shown != NULL) {
		status_row_begin(&shown->generation);
		shown->shared = 1;
		status_row_end(&shown->generation);
	}
}

void status_backend(uint32_t row, int backend_pid)
{
	struct status_session *shown = session_at(row);

	if (shown != NULL) {
		status_row_begin(&shown->generation);
		shown->backend = backend_pid;
		status_row_end(&shown->generation);
	}
}

/* ---- orders ---- */

uint64_t status_drain(uint32_t row)
{
	char *base = status_page();
	const struct status_pool *pool = pool_in(base, row);

	if (base == NULL) {
		return 0;
	}
	return __atomic_load_n(pool != NULL ? &pool->drain : &status_page_head(base)->drain,
	                       __ATOMIC_ACQUIRE);
}

void status_drained(uint32_t row, uint64_t drain, uint64_t now_ns)
{
	struct status_pool *pool = pool_at(row);

	if (pool != NULL) {
		__atomic_store_n(&pool->drained_ns, now_ns, __ATOMIC_RELAXED);
		__atomic_store_n(&pool->drained, drain, __ATOMIC_RELEASE);
	}
}
