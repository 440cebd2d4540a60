/* SPDX-License-Identifier: PostgreSQL */
/*
 * Where a thread may be cancelled within a call of ours: while it waits without a lock, if the
 * program allows it; nowhere else, as what it does then ends soon and must not be left half
 * done.
 */
#ifndef PQPOOL_BASE_THREAD_CANCELLATION_H
#define PQPOOL_BASE_THREAD_CANCELLATION_H

/* Notes the program's own state (pthread_setcancelstate) at the beginning of its call. */
void cancellation_note(int state);

/* Before a wait: sets that state. After it: cancellation is off again. */
void cancellation_allow(void);
void cancellation_forbid(void);

#endif
