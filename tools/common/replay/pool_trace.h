/* SPDX-License-Identifier: PostgreSQL */
/*
 * The connects of one pool, out of the history, made ready to be run again. Each process has a
 * pool of its own, unless it shares sessions: then all that share have one together.
 *
 * A connect that timed out holds a session for as long as the median lease. A lease that is
 * open where the log ends holds it to the end of its process.
 */
#ifndef PQPOOL_TOOLS_COMMON_REPLAY_POOL_TRACE_H
#define PQPOOL_TOOLS_COMMON_REPLAY_POOL_TRACE_H

#include "common/history/history.h"
#include "common/replay/simulation.h"

/* The connects of one process, or of all that share. */
struct trace_group {
	size_t process; /* the first of them */
	size_t begin;   /* in pool_trace.connects */
	size_t count;
	bool shared;
};

struct pool_trace {
	struct sim_connect *connects; /* by group, in the order of their coming */
	size_t count;
	struct trace_group *groups;
	size_t group_count;
	struct history_settings present; /* of the process that may have most sessions */
	uint64_t open_us;                /* medians: to open a session, */
	uint64_t check_us;               /* and to get ready an idle one */
	uint64_t *waits;                 /* room for those of all connects */
};

/* Owner: the caller (pool_trace_free). */
void pool_trace_make(struct pool_trace *trace, const struct history *history, size_t pool);
void pool_trace_free(struct pool_trace *trace);

/* size + max_overflow; 0 = no limit, or not known. */
uint64_t settings_limit(const struct history_settings *settings);

#endif
