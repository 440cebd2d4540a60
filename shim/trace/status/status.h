/* SPDX-License-Identifier: PostgreSQL */
/*
 * The status page: the state of the process's pools, sessions and leases, kept current by plain
 * stores in a mapped file. It can be read while the program runs and after it was killed.
 * status_format.h states the layout, status_page.h how the page is made, page_file.h
 * what happens to the file.
 *
 * A row is named by a number, 0 = none: no page, or no room in it. Every function takes 0 and
 * then does nothing. A row has one writer at a time, its owner, under the lock that guards what
 * the row shows; counters may be raised by any thread at any time.
 *
 * The page is made with the first row. If that fails, the process has none, and the log says so
 * at LEVEL_DEBUG.
 *
 * Locks: LOCK_STATUS, for making and growing the page and for its stacks. The functions that
 * write a row take none. Fork: a child has its own page, made with its first row; the numbers
 * of its parent's rows must be forgotten.
 */
#ifndef PQPOOL_TRACE_STATUS_STATUS_H
#define PQPOOL_TRACE_STATUS_STATUS_H

#include <stdbool.h>
#include <stdint.h>

#include "trace/status/status_format.h"
#include "trace/status/status_page.h"

/* ---- pools: under LOCK_POOL but where it says otherwise ---- */

/* A row for a pool; no lock may be held that ranks above LOCK_STATUS. */
uint32_t status_take_pool(const char *label, uint32_t limit, uint32_t size);
void status_free_pool(uint32_t row);

void status_pool(uint32_t row, uint32_t in_use, uint32_t idle, uint32_t waiting);

/* Without a lock: a session was opened; one was closed, for this reason. */
void status_opened(uint32_t row);
void status_closed(uint32_t row, unsigned reason);

/* Without a lock: an acquire waited for so long, and got a session (`served`) or not. */
void status_waited(uint32_t row, uint64_t ns, bool served);

/* ---- sessions, each with the lease on it: under LOCK_LEASE ---- */

/*
 * Leases of one session that the pool's histogram does not have yet. Threads of a pool share
 * its histogram's line of the cache, so each tells it at most once a millisecond. The
 * caller's, as long as it has the session's row; all zero at first.
 */
struct status_holds {
	uint64_t told_ns;
	uint32_t untold[STATUS_BUCKETS];
};

/* A row for a session; no lock may be held that ranks above LOCK_STATUS. */
uint32_t status_take_session(uint64_t session, int backend_pid, uint32_t pool);
void status_free_session(uint32_t row, struct status_holds *holds);

/* What a row shows of a lease; see struct status_session. */
struct status_lease {
	uint64_t id;
	uint64_t began_us;
	uint64_t began_ns;
	uint64_t wait_ns;
	int backend;
	int tid;
	uint32_t stack;
};

/* A lease has begun on the row's session. Counted without a row. */
void status_lease_begun(uint32_t row, const struct status_lease *lease);

/* It has ended, at `now_ns`, held for so long. Counted without a row. */
void status_lease_ended(uint32_t row, struct status_holds *holds, uint64_t held_ns,
                        uint64_t now_ns);
void status_backend(uint32_t row, int backend_pid);

/* When the session's connect began; and that it is the keeper's, too. */
void status_session_opened(uint32_t row, uint64_t opened_ns);
void status_session_shared(uint32_t row);

/*
 * The beginning of the statement that a row shows, as a hash: the same one again, which is
 * common, is not redacted again, and no literal is kept. The caller's, for as long as it has
 * the row; zero at first.
 */
#define STATUS_SAID_BYTES 48
struct status_said {
	uint64_t hash;
};

/*
 * By the thread that uses the connection, without a lock: the statement that it sends, shown
 * redacted (sql/redact_statement.h), and the transaction's state. The same statement again
 * costs about 10 ns, another one half a microsecond.
 */
void status_statement(uint32_t row, struct status_said *said, const char *text);
void status_transaction(uint32_t row, enum status_transaction transaction);

/* ---- orders, which the tools write (status_format.h) ---- */

/* Another number than last time: there is something to look at. 0 = there is no page. */
static inline uint64_t status_order(void)
{
	char *base = status_page();

	return base != NULL ? __atomic_load_n(&status_page_head(base)->order, __ATOMIC_RELAXED)
	                    : 0;
}

/* The number of the last order to drain this pool, or those without a row; 0 = none. */
uint64_t status_drain(uint32_t row);

/* That order was obeyed. */
void status_drained(uint32_t row, uint64_t drain, uint64_t now_ns);

#endif
