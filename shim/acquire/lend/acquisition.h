/* SPDX-License-Identifier: PostgreSQL */
/*
 * One connect of the program's on its way: what it asks for, from which pool, since when.
 *
 * Locks: none is held by a caller of anything here.
 */
#ifndef PQPOOL_ACQUIRE_LEND_ACQUISITION_H
#define PQPOOL_ACQUIRE_LEND_ACQUISITION_H

#include <stdbool.h>
#include <stdint.h>

#include "acquire/lend/blocked_call.h"
#include "base/libpq/libpq.h"
#include "key/identity.h"
#include "pool/registry.h"

struct connect_draft;

struct acquisition {
	const struct libpq *libpq;
	struct spelling *spelling; /* NULL: not to be pooled */
	struct lender *lender;     /* NULL likewise */
	bool counted;  /* both; else they are the thread's own, see thread_cache.h */
	unsigned turn; /* thread_cache_turn() then */
	int error;     /* errno as the program has it: libpq's calls begin with it */
	uint64_t began_ns;
	const void *caller;          /* the return address into the program */
	uint32_t stack;              /* where the program asked; 0: see acquisition_locate */
	bool at_exit;                /* and whether it was on its way out */
	struct connect_draft *draft; /* of one that is begun before what it asks for is known */
	bool unresolved;             /* it still is not */
	uint64_t queued_ns;          /* how long it was in line; 0 = it was not */
	struct blocked_call ticket;  /* of one that blocks: what it has in hand */
};

/*
 * Begins one; end it with acquisition_end(). Without a lender it is not to be pooled. What it
 * points to lasts until the thread's next connect, and after acquisition_keep() until its end.
 * Where a keeper may be asked acquisition_locate() is left to the caller.
 */
void acquisition_begin(struct acquisition *a, const struct libpq *libpq,
                       const struct connect_call *call, const void *caller);

/*
 * Begins one that can be lent nothing, as it is the process's first, before it is known what it
 * asks for: `a->draft` says how to open a session. False, and nothing has begun: it is to begin
 * as any other.
 *
 * Until it ends, both of these are called, each once at least, within the same call of the
 * program's. acquisition_resolve() finds out what it asks for; `conn` is what libpq has begun
 * for it, or NULL. Then it is kept; it has no lender if it is not to be pooled, or what it asks
 * for may have changed since.
 */
bool acquisition_begin_first(struct acquisition *a, const struct libpq *libpq,
                             const struct connect_call *call, const void *caller);
void acquisition_resolve(struct acquisition *a, const struct connect_call *call,
                         const PGconn *conn);

/*
 * Notes where the program asked, if that was not done yet: within the call that began it, and
 * before a lease begins.
 */
void acquisition_locate(struct acquisition *a);
static inline bool acquisition_is_located(const struct acquisition *a)
{
	return a->stack != 0;
}

void acquisition_keep(struct acquisition *a);
void acquisition_end(struct acquisition *a);

/* False: the thread has connected again since, and it was not kept. */
bool acquisition_lasts(const struct acquisition *a);

/* The program is exiting: nothing is pooled from now on. Returns what was before. */
bool acquisition_set_closing(bool now);
bool acquisition_is_closing(void);

#endif
