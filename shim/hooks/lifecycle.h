/* SPDX-License-Identifier: PostgreSQL */
/*
 * Being inside a program: starting once, the guard around each call, fork, exit.
 *
 *   unstarted ──first connect──► pooling ──exit handler──► closing ──destructor──► (same)
 *        └──────────────────────► aside: configuration refused, program not wanted,
 *                                 AT_SECURE, or a child that could have no lock
 *
 * Nothing happens before the first connect: no file, no thread, no byte of output.
 *
 * Exit. OpenSSL's cleanup runs as an exit handler, so sessions over TLS must be closed by
 * one that was registered later; the leak report comes behind the last destructor, because
 * programs finish connections in exit handlers of their own. _exit, _Exit and quick_exit
 * run no destructor and are answered here to report first. What happens to a program that
 * becomes another one is in exec.c.
 *
 * Fork. All locks are taken in rank order before, dropped after, in parent and child,
 * which then has no pool and no leases of its own. So they are where a callback of the
 * program's forks from within a call of ours, for none is held then; whoever goes on in the
 * child with what is the parent's has to look at that (session->owner). Where a signal
 * handler forks that interrupted a call of ours with a lock in its hand, none is taken, and
 * in the child everything is passed through from then on (lock_forsake); as it is in a child
 * of a raw clone, which has come past that, and in one forked while another thread started. One
 * that shares our memory, as of vfork, is recognised by its pid where it execs or ends; it may
 * not call libpq.
 */
#ifndef PQPOOL_HOOKS_LIFECYCLE_H
#define PQPOOL_HOOKS_LIFECYCLE_H

#include <stdbool.h>

#include "base/cold.h"
#include "base/libpq/libpq.h"

struct guard {
	int saved_errno;
	int cancel_state;
};

/*
 * Enters a call of the program's. False: pass it through, and do not leave. While inside,
 * errno is free to change, and the thread cannot be cancelled but where the call blocks
 * (base/thread/cancellation.h), with no lock held.
 *
 * A program may never come back from a call: by longjmp, an exception, Perl's die in a signal
 * handler, the cancellation of its thread. So nothing is counted or noted of the thread here
 * that lifecycle_leave would have to undo. One whose cancelability is asynchronous may not call
 * libpq at all: POSIX names the three functions that it may call.
 */
bool lifecycle_enter(struct guard *guard);

/*
 * Says why it was false: true in a signal handler that interrupted the thread in the instant in
 * which it held a lock of ours, or was about to. Nothing of ours may be looked at here, and the
 * handler must not wait.
 */
bool lifecycle_is_barred(void);

/* A call of libpq's own failed: the program is to see the errno that there is now. */
void lifecycle_pass_errno(struct guard *guard);

/* Does what was postponed meanwhile, and restores what lifecycle_enter changed. */
void lifecycle_leave(const struct guard *guard);
COLD void lifecycle_catch_up(void); /* both, for nothing else */

/* True once the program has connected and is pooled. A load, for functions of anybody's. */
bool lifecycle_has_pool(void);

/* What was done for an exec that may fail yet. */
struct departure {
	bool begun;
	bool paused; /* the pool was emptied, and fills again */
};

/*
 * Before the program becomes another one by exec: closes the idle sessions, where that is
 * to be done in this process and now. In a signal handler, which may be called in the middle
 * of malloc, their answers are only taken, and nothing is pooled from then on.
 */
struct departure lifecycle_exec_begin(void);
/* It is still this one. */
void lifecycle_exec_failed(const struct departure *departure);

/* After the first connect, and after the first over TLS, exit handlers are registered. */
void lifecycle_connected(const struct libpq *libpq, PGconn *conn);

#endif
