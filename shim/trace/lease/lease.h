/* SPDX-License-Identifier: PostgreSQL */
/*
 * Leases: which PGconn the program holds, from its connect to its finish.
 *
 * An entry (lease_entry.h) exists as long as we look after the PGconn, leased or idle. It is
 * embedded in the object of the PGconn's owner, so that beginning and ending a lease allocate
 * nothing. A PGconn without an entry is passed through untouched by every caller.
 *
 *            lease_register        lease_begin
 *   (none) ───────────────► idle ───────────────► open
 *      ▲     lease_forget     │ ◄───────────────    │
 *      └──────────────────────┘      lease_end      │
 *      └────────────────────────────────────────────┘ lease_forget
 *
 * Every change is also shown on the status page.
 *
 * Locks: LOCK_LEASE, of the connection's shard (lease_table.h), for a hash look-up at most; of
 * all shards where it concerns all leases. Fork: see lease_fork_*; a lease remembers the
 * process that began it.
 */
#ifndef PQPOOL_TRACE_LEASE_LEASE_H
#define PQPOOL_TRACE_LEASE_LEASE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/cold.h"
#include "trace/lease/lease_entry.h"

/* Where and how a lease began. */
struct lease_origin {
	int backend_pid;
	uint64_t now_ns;
	uint64_t wait_ns;
	uint32_t stack;
	bool at_exit;
};

/* What is known of a PGconn. */
enum lease_state { LEASE_UNKNOWN, LEASE_IDLE, LEASE_OPEN };

/*
 * Makes `lease` (zeroed but for the owner's fields) findable by lease->conn. An entry that is
 * still there for that address belongs to a PGconn that was freed without our notice: it is
 * removed first and returned in `*vanished` (else NULL) for its owner to write off. False: out
 * of memory.
 */
bool lease_register(struct lease *lease, struct lease **vanished);

/* Removes the entry, open or idle. The memory is the owner's again. */
void lease_forget(struct lease *lease);

/* Begins a lease of the calling thread; returns its number. */
uint64_t lease_begin(struct lease *lease, const struct lease_origin *origin);

/*
 * Ends the lease on `conn` if one is open: of several callers exactly one gets LEASE_OPEN.
 * `*entry` is set to the registered entry (NULL if LEASE_UNKNOWN) and `*ended`, if not NULL, to
 * a copy of it as it was while open, with its end, `now_ns`, and of its activity the times
 * (lease_times; the rest: lease_read_activity). `end_stack` is where the program gave it back,
 * for a report of its misuse.
 */
enum lease_state lease_end(const void *conn, uint64_t now_ns, uint32_t end_stack,
                           struct lease **entry, struct lease *ended);

/*
 * Looks `conn` up without changing anything. The entry stays valid while the program keeps to
 * libpq's rule of one thread at a time per connection. Cheap if the thread asked for the same
 * connection before and no lease of its shard has begun or ended since.
 */
enum lease_state lease_find(const void *conn, struct lease **entry);

/* The connection is used: a statement begins or has ended. By the using thread. */
void lease_note_use(struct lease_activity *activity, uint64_t now_ns);

/* The calling thread ends, and the process goes on: marks its leases as orphaned. */
COLD void lease_note_thread_end(void);

/*
 * The program connects in steps, by the calling thread, and has the idle connection in hand:
 * pending, until lease_begin, lease_forget or lease_fail. `placed`: it holds one of the pool's
 * slots meanwhile.
 */
void lease_pend(struct lease *lease, const struct lease_origin *origin, bool placed);
void lease_place(struct lease *lease, bool placed);
void lease_fail(struct lease *lease);

/*
 * True if `conn` was given back and is not leased: its user has kept a stale pointer. `*last`
 * gets a copy of the lease that was on it, with this misuse counted.
 */
bool lease_misused(const void *conn, struct lease *last);

/* The same question, without counting. */
COLD bool lease_is_stale(const void *conn);

/* Notes a new backend under an open lease (the program called PQreset). */
void lease_set_backend(struct lease *lease, int backend_pid);

/* Around fork(): takes the locks; the parent marks open leases as crossed, and drops them. */
void lease_fork_prepare(void);
void lease_fork_parent(void);
/*
 * Child: the same, and sets the totals to zero; removes every entry that is idle, unless `keep`
 * wants it, and hands it to `each`, which closes its descriptor and may free it.
 */
void lease_fork_child(bool (*keep)(struct lease *lease), void (*each)(struct lease *lease));

#endif
