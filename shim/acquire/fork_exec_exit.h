/* SPDX-License-Identifier: PostgreSQL */
/*
 * The pools when the process forks, execs or exits.
 *
 * Locks: none is held by a caller of anything here, but between acquire_fork_prepare and the
 * other two.
 */
#ifndef PQPOOL_ACQUIRE_FORK_EXEC_EXIT_H
#define PQPOOL_ACQUIRE_FORK_EXEC_EXIT_H

#include <stdbool.h>
#include <sys/types.h>

/*
 * The program is exiting: closes all idle sessions cleanly, within a second. From now on
 * connects are libpq's own and finishes are real.
 */
void acquire_shutdown(void);

/*
 * Before an exec: the same, until acquire_resume, if the exec fails. False: it is exiting, or
 * another thread is about to exec; then there is nothing to resume.
 */
bool acquire_pause(void);
void acquire_resume(void);

/*
 * The program ends from a signal handler, and sends no Terminate: reads the answers that idle
 * sessions still owe, so that the server logs no lost connection. A second at most; no malloc,
 * as the handler may have interrupted it.
 */
void acquire_leave(void);

/*
 * Around fork(), for all locks of these floors. The child forgets the pools and closes its
 * copies of their sockets without sending anything.
 */
void acquire_fork_prepare(void);
void acquire_fork_parent(void);
void acquire_fork_child(void);

/* Does the process that opened an inherited session still use it? */
bool acquire_owner_lives(pid_t owner);

#endif
