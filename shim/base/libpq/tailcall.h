/* SPDX-License-Identifier: PostgreSQL */
/*
 * Calls of ours to functions of a libpq that are made of others of its functions, which the
 * program may call, too.
 *
 * A compiler may let the one jump to the other at its end. The other then comes by us with a
 * return address of our own, as if we had called it, which tells neither that it is libpq's
 * own call nor which libpq's. So the thread remembers which one it has called. The jump comes
 * at once, before anything that could block, so no other stack has run on the thread in
 * between; and what a call that never came back has left is overwritten by the next.
 *
 * Locks: none.
 */
#ifndef PQPOOL_BASE_LIBPQ_TAILCALL_H
#define PQPOOL_BASE_LIBPQ_TAILCALL_H

#include "base/cold.h"
#include "base/libpq/libpq.h"

/* Before such a call, and after it. */
void tailcall_enter(const struct libpq *libpq);
void tailcall_leave(void);

/* True if a call that returns to `return_address` is such a jump; then whose it is. */
COLD bool tailcall_has_jumped(const void *return_address, struct libpq_caller *caller);

#endif
