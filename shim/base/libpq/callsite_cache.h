/* SPDX-License-Identifier: PostgreSQL */
/*
 * What the few sites meant that a thread called from last: it calls from the same ones over
 * and over, which then takes no lock. In a signal handler, too: what it may change is looked
 * at last, and changed first.
 */
#ifndef PQPOOL_BASE_LIBPQ_CALLSITE_CACHE_H
#define PQPOOL_BASE_LIBPQ_CALLSITE_CACHE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/libpq/libpq.h"
#include "base/thread/thread_block.h"

#define CALLSITE_CACHE_SITES 8

struct callsite_cache {
	const void *return_address;
	unsigned long long changes; /* of the loader's list, until then */
	struct libpq_caller caller;
};

_Static_assert(sizeof(struct callsite_cache[CALLSITE_CACHE_SITES]) <=
                       sizeof(((struct thread_block *)0)->sites),
               "the sites fit into their part");

/* Where this thread remembers the site, if it does; NULL: it remembers none. */
static inline struct callsite_cache *callsite_cache_of(const void *return_address)
{
	struct callsite_cache *sites = THREAD_PART(struct callsite_cache, sites);

	return sites != NULL ? &sites[((uintptr_t)return_address >> 4) % CALLSITE_CACHE_SITES]
	                     : NULL;
}

/* Whatever has changed since. */
static inline bool callsite_cache_remembers(const struct callsite_cache *recent,
                                            const void *return_address,
                                            struct libpq_caller *caller)
{
	if (recent == NULL) {
		return false;
	}
	*caller = recent->caller;
	atomic_signal_fence(memory_order_seq_cst);
	return recent->return_address == return_address;
}

static inline bool callsite_cache_recall(const struct callsite_cache *recent,
                                         const void *return_address, unsigned long long changes,
                                         struct libpq_caller *caller)
{
	if (recent == NULL) {
		return false;
	}
	*caller = recent->caller;
	atomic_signal_fence(memory_order_seq_cst);
	return recent->return_address == return_address && recent->changes == changes;
}

static inline void callsite_cache_note(struct callsite_cache *recent,
                                       const void *return_address, unsigned long long changes,
                                       const struct libpq_caller *caller)
{
	if (recent == NULL) {
		return;
	}
	recent->return_address = NULL;
	atomic_signal_fence(memory_order_seq_cst);
	recent->changes = changes;
	recent->caller = *caller;
	atomic_signal_fence(memory_order_seq_cst);
	recent->return_address = return_address;
}

#endif
