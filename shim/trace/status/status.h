/* SPDX-License-Identifier: PostgreSQL */
/*
 * The status page: what the process has in its pools at this moment, kept current by plain
 * stores in a file that is mapped, so that it can be read while the program runs and after
 * it was killed. status_format.h states the layout, page_file.h what becomes of the file.
 *
 * A row is named by a number, 0 = none: no page, or no room in it. Every function takes 0
 * and then does nothing, so that nobody has to know whether there is a page. Whoever owns
 * a row is its only writer, under whatever lock guards what the row tells of; counters
 * may be moved by anybody at any time.
 *
 * The page is made with the first row. If that cannot be, the process has none, which is
 * told in the log at LEVEL_DEBUG.
 *
 * Locks: LOCK_STATUS, for making and growing the page and for its stacks. The functions
 * that write a row take none. Fork: a child has a page of its own, made with its first
 * row; the rows of before are its parent's, and whoever keeps their numbers forgets them.
 */
#ifndef PQPOOL_TRACE_STATUS_STATUS_H
#define PQPOOL_TRACE_STATUS_STATUS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/config/config.h"
#include "trace/status/status_format.h"

/*
 * What the head of a page says. `reason` gives the words for the numbers below `reasons`
 * that status_closed takes. Called once, before any other function; makes nothing.
 */
void status_configure(const struct config *config, const char *program,
                      const char *(*reason)(unsigned number), unsigned reasons);

/* ---- pools: under LOCK_POOL but where it says otherwise ---- */

/* A row for a pool; no lock may be held that ranks above LOCK_STATUS. */
uint32_t status_take_pool(const char *label, uint32_t limit, uint32_t size);
void status_free_pool(uint32_t row);

void status_pool(uint32_t row, uint32_t in_use, uint32_t idle, uint32_t waiting);

/* Anywhere: a session was opened; one was closed, for this reason. */
void status_opened(uint32_t pool);
void status_closed(uint32_t pool, unsigned reason);

/* Anywhere: an acquire stood in line for so long, and `served` or not. */
void status_waited(uint32_t pool, uint64_t ns, bool served);

/* ---- sessions, each with the lease on it: under LOCK_LEASE ---- */

/* A row for a session; no lock may be held that ranks above LOCK_STATUS. */
uint32_t status_take_session(uint64_t session, int backend_pid, uint32_t pool);
void status_free_session(uint32_t row);

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

/* A lease has begun on the row's session; or ended, held for so long. Counted without a row. */
void status_lease_begun(uint32_t row, const struct status_lease *lease);
void status_lease_ended(uint32_t row, uint64_t held_ns);
void status_backend(uint32_t row, int backend_pid);

/*
 * By the thread that uses the connection, without a lock: what it sends, of which the
 * first words are shown (sql/redact_statement.h), and the transaction's state. The same again
 * costs some 10 ns, another statement half a microsecond.
 */
void status_statement(uint32_t row, const char *text);
void status_transaction(uint32_t row, enum status_transaction transaction);

/* ---- the page ---- */

/* Puts a stack into the page, once. No lock may be held that ranks above LOCK_STATUS. */
void status_stack(uint32_t stack);

/* The same stack's leases are given back, or one was; the page says so if it has the stack. */
void status_given_back(uint32_t stack);

/* The program ends: removes the page. Safe in a signal handler. */
void status_remove(void);

void status_fork_prepare(void);
void status_fork_parent(void);
/* With `usable` false, because the locks were not taken, there is no page any more. */
void status_fork_child(bool usable);

#endif
