/* SPDX-License-Identifier: PostgreSQL */
/*
 * What a thread connected to last: most threads never connect to anything else.
 *
 * A thread keeps the spelling and the lender of its last connect, counted, until it connects
 * to something else or ends. While it asks for the same again it meets no lock and writes
 * nothing that other threads read.
 *
 * Locks: none are held; those of identity.h and registry.h are taken for what is new. A signal
 * handler that comes in the middle of a change uses nothing that is kept. Fork: the child has
 * one thread, which keeps no lender of the parent's; what others kept stays counted there.
 */
#ifndef PQPOOL_POOL_THREAD_CACHE_H
#define PQPOOL_POOL_THREAD_CACHE_H

#include <stdbool.h>

#include "key/identity.h"
#include "pool/registry.h"

/* Before anything else here. Where threads cannot tell that they end, nothing is kept. */
void thread_cache_configure(void);

/*
 * What the program asks for with `call`, as identity_resolve() tells, and who lends it; both
 * NULL, or the lender alone, where it is not to be pooled. True: they are counted for the
 * caller, who gives both back. False: they are good until the thread asks again.
 */
bool thread_cache_ask(const struct libpq *libpq, const struct connect_call *call,
                      struct spelling **spelling, struct lender **lender);

/* Another number whenever what the thread keeps has changed. */
unsigned thread_cache_turn(void);

/* The registry has forgotten its lenders. */
void thread_cache_fork_child(void);

#endif
