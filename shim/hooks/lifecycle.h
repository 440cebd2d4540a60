/* SPDX-License-Identifier: PostgreSQL */
/*
 * The shim inside a program: its start, the guard around each call, fork.
 *
 *   unstarted ──first connect──► pooling
 *        └──────────────────────► aside: bad configuration, program not wanted, AT_SECURE,
 *                                 or a child that could have no lock
 *
 * Nothing happens before the first connect: no file, no thread, no byte of output.
 *
 * Fork. All locks are taken in rank order before, and dropped after, in parent and child, which
 * then has no pool and no leases of its own. A callback of the program's may fork within a call
 * of ours, where no lock is held; code that continues in the child with what is the parent's
 * has to check that (session->owner). If a signal handler forks that interrupted a call of ours
 * with a lock held, no lock is taken, and everything in the child passes through from then on
 * (lock_forsake); likewise in the child of a raw clone, which does not run our fork handlers,
 * and in one forked while another thread started the shim. A child that shares our memory, as
 * of vfork, is recognised by its pid if it execs or exits; it may not call libpq.
 */
#ifndef PQPOOL_HOOKS_LIFECYCLE_H
#define PQPOOL_HOOKS_LIFECYCLE_H

#include <stdbool.h>

#include "base/cold.h"
#include "base/config/config.h"

struct guard {
	int saved_errno;
	int cancel_state;
};

/*
 * Enters a call of the program's. False: pass it through, and do not leave. While inside,
 * errno is free to change, and the thread cannot be cancelled except where the call blocks
 * (base/thread/cancellation.h), with no lock held.
 *
 * A program may leave a call for good: by longjmp, an exception, Perl's die in a signal
 * handler, the cancellation of its thread. So nothing is counted or noted of the thread here
 * that lifecycle_leave would have to undo. A thread whose cancelability is asynchronous may not
 * call libpq at all: POSIX names the three functions that it may call.
 */
bool lifecycle_enter(struct guard *guard);

/* The same at the program's end or exec, perhaps in a signal handler: takes no memory. */
bool lifecycle_enter_bare(struct guard *guard);

/*
 * Says why it was false: true in a signal handler that interrupted the thread while it held a
 * lock of ours, or was about to. Nothing of ours may be looked at then, and the handler must
 * not wait.
 */
bool lifecycle_is_barred(void);

/* A call of libpq's own failed: the program gets the errno that there is now. */
void lifecycle_pass_errno(struct guard *guard);

/* Does what was postponed meanwhile, and restores what lifecycle_enter changed. */
void lifecycle_leave(const struct guard *guard);
COLD void lifecycle_catch_up(void); /* both, for nothing else */

/* True once the program has connected and is pooled: a load. And once it has connected. */
bool lifecycle_has_pool(void);
bool lifecycle_has_started(void);

/* False in a child that is not ours, and in a handler that interrupted a lock of ours. */
bool lifecycle_may_act(void);

/* Valid once lifecycle_has_pool(). */
const struct config *lifecycle_config(void);

#endif
