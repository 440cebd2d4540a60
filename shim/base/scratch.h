/* SPDX-License-Identifier: PostgreSQL */
/*
 * Room to work in for a moment, off the caller's stack: programs make threads whose stacks are
 * of 16 kB, which libpq gets along with. No function of ours has a frame above 2 kB.
 *
 * Owner: whoever took it gives it back before it returns; a thread may have several. What
 * leaves a call otherwise (longjmp) leaves it taken. Memory: some rooms are there from the
 * start, so that a report can be made when there is no memory left; more come from the kernel,
 * and stay. Locks: none. Signals: may be called in a handler. Fork: what other threads of the
 * parent had taken stays taken in the child.
 */
#ifndef PQPOOL_BASE_SCRATCH_H
#define PQPOOL_BASE_SCRATCH_H

#define SCRATCH_BYTES 16384

/* Aligned for anything; what is in it is of before. NULL: there is no memory. */
void *scratch_take(void);

/* NULL is nothing. errno is kept. */
void scratch_give(void *room);

#endif
