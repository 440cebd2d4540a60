/* SPDX-License-Identifier: PostgreSQL */
/*
 * Where a thread may be cancelled within a call of ours: where it waits, with no lock held, if
 * the program allows it at all; and nowhere else, for what it does ends soon, and is not to be
 * left half done.
 */
#ifndef PQPOOL_BASE_THREAD_CANCELLATION_H
#define PQPOOL_BASE_THREAD_CANCELLATION_H

/* The program's own state (pthread_setcancelstate), when its call came in. */
void cancellation_note(int state);

/* Around a wait: that one; and none again. */
void cancellation_allow(void);
void cancellation_forbid(void);

#endif
