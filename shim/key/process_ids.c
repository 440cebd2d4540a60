/* SPDX-License-Identifier: PostgreSQL */
/* The process's effective user and group, asked of the kernel after they may have changed. */
#include "key/process_ids.h"

#include <stdatomic.h>
#include <unistd.h>

#include "base/dl.h"
#include "base/thread/thread_block.h"

/* What a thread remembers. */
struct known {
	unsigned changes; /* the count at which this was so; 0: nothing is known */
	struct process_ids ids;
};

_Static_assert(sizeof(struct known) <= sizeof(((struct thread_block *)0)->ids),
               "the ids fit into their part");

static atomic_uint changes = 1; /* that have ended */
/* Where we do not see how modules are bound, the ids may change at any time. */
static atomic_uint under_way = !DL_INTERPOSED;

void process_ids_begin_change(void)
{
	atomic_fetch_add(&under_way, 1);
}

void process_ids_end_change(void)
{
	atomic_fetch_add(&changes, 1);
	atomic_fetch_sub(&under_way, 1);
}

struct process_ids process_ids_now(void)
{
	struct known *known = THREAD_PART(struct known, ids);
	unsigned now = atomic_load(&changes);
	bool settled = known != NULL && atomic_load(&under_way) == 0;
	struct process_ids ids;

	if (settled && known->changes == now) {
		return known->ids;
	}
	ids = (struct process_ids){geteuid(), getegid()};
	/* A change that began meanwhile has raised one of the two. */
	if (settled && atomic_load(&under_way) == 0 && atomic_load(&changes) == now) {
		/* Not to be found by a signal handler while it is half written. */
		known->changes = 0;
		atomic_signal_fence(memory_order_seq_cst);
		known->ids = ids;
		atomic_signal_fence(memory_order_seq_cst);
		known->changes = now;
	}
	return ids;
}
