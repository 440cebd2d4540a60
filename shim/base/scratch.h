/* SPDX-License-Identifier: PostgreSQL */
/*
 * Buffers of 16 kB off the caller's stack: some programs' threads have stacks of 16 kB, which
 * is enough for libpq. No function of the shim has a frame above 2 kB.
 *
 * Owner: a function gives its buffer back before it returns; a thread may have several. A call
 * that is left otherwise (longjmp) leaves it taken. Memory: some buffers exist from the start,
 * so that a report can be made when memory has run out; more come from the kernel, and stay.
 * Locks: none. Signals: may be called in a handler. Fork: what other threads of the parent had
 * taken stays taken in the child.
 */
#ifndef PQPOOL_BASE_SCRATCH_H
#define PQPOOL_BASE_SCRATCH_H

#define SCRATCH_BYTES 16384

/* Aligned for any type, and not cleared. NULL: there is no memory. */
void *scratch_take(void);

/* Does nothing for NULL. errno is kept. */
void scratch_give(void *room);

/*
 * Gives the memory of the buffers back to the kernel, if none is taken: for when they will be
 * seldom needed. errno is kept.
 */
void scratch_rest(void);

#endif
