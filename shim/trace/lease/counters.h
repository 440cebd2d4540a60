/* SPDX-License-Identifier: PostgreSQL */
/*
 * What this process has done so far, in numbers, for the report at exit and the log's totals.
 *
 * Leases are counted by the lease table. Locks: none; counted by relaxed additions and read at
 * any time, from any thread or signal handler. A forked child starts at zero.
 */
#ifndef PQPOOL_TRACE_LEASE_COUNTERS_H
#define PQPOOL_TRACE_LEASE_COUNTERS_H

#include <stdatomic.h>
#include <stdint.h>

/* Reasons for closing a session are numbers here, named by counters_name_reasons. */
#define COUNTERS_REASONS 48

enum counter {
	COUNTER_OPENED,      /* sessions */
	COUNTER_OPEN_FAILED, /* attempts to open one */
	COUNTER_WAITS,       /* connects that had to wait for a session */
	COUNTER_WAITED_NS,   /* how long, all those together that are over */
	COUNTER_LONGEST_NS,  /* the longest of them */
	COUNTER_TIMEOUTS,    /* connects that waited in vain */
	COUNTER_PEAK,        /* sessions of one pool in use at once, at most */
	COUNTER_LIMIT,       /* of that pool; 0 = none */
	COUNTER_CLOSED,      /* sessions, by the number of the reason */
	COUNTERS = COUNTER_CLOSED + COUNTERS_REASONS
};

extern atomic_uint_fast64_t counters[COUNTERS];

static inline void counters_add(enum counter which, uint64_t n)
{
	atomic_fetch_add_explicit(&counters[which], n, memory_order_relaxed);
}

static inline uint64_t counters_get(enum counter which)
{
	return atomic_load_explicit(&counters[which], memory_order_relaxed);
}

/* The words for the reasons, COUNTERS_REASONS at most. Called once, first. */
void counters_name_reasons(const char *(*name)(unsigned reason), unsigned count);

/* NULL if there is no such reason. */
const char *counters_reason_name(unsigned reason);

/* A session was closed; unknown reasons are not counted. */
void counters_closed(unsigned reason);

/* A wait is over, however it ended. */
void counters_waited(uint64_t ns);

/* A pool of this limit (0 = none) has so many sessions in use now. */
void counters_in_use(uint64_t in_use, uint64_t limit);

void counters_fork_child(void);

#endif
