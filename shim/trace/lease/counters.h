/* SPDX-License-Identifier: PostgreSQL */
/*
 * What this process has done so far, in numbers: for the report at exit and for whoever
 * else wants totals.
 *
 * Counted where it happens, by one relaxed addition; leases are counted by lease.c. Read
 * without a lock, at any time, from any thread or signal handler. A forked child begins
 * at nothing.
 */
#ifndef PQPOOL_TRACE_LEASE_COUNTERS_H
#define PQPOOL_TRACE_LEASE_COUNTERS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Reasons for closing a session are numbers here, named by counters_name_reasons. */
#define COUNTERS_REASONS 48

struct counters {
	atomic_uint_fast64_t opened;      /* sessions */
	atomic_uint_fast64_t open_failed; /* and attempts that failed */
	atomic_uint_fast64_t closed[COUNTERS_REASONS];
	atomic_uint_fast64_t waits;      /* connects that had to stand in line */
	atomic_uint_fast64_t waited_ns;  /* how long, all those together that are over */
	atomic_uint_fast64_t longest_ns; /* the longest of them */
	atomic_uint_fast64_t timeouts;   /* connects that waited in vain */
	atomic_uint_fast64_t peak;       /* sessions of one pool in use at once, at most */
	atomic_uint_fast64_t limit;      /* of that pool; 0 = none */
};

extern struct counters tally;

/* The words for the numbers in `closed`, COUNTERS_REASONS at most. Called once, first. */
void counters_name_reasons(const char *(*name)(unsigned reason), unsigned count);

/* NULL if there is no such reason. */
const char *counters_reason_name(unsigned reason);

void counters_opened(void);
void counters_open_failed(void);
void counters_closed(unsigned reason);

void counters_wait(void);
/* The end of one, by whatever it ended. */
void counters_waited(uint64_t ns);
void counters_timeout(void);

/* A pool of this limit (0 = none) has so many sessions in use now. */
void counters_in_use(uint64_t in_use, uint64_t limit);

void counters_fork_child(void);

#endif
