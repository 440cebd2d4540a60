/* SPDX-License-Identifier: PostgreSQL */
/*
 * A thread's own memory for what it remembers from one call to the next.
 *
 * Static thread-local storage is part of every thread of every program that we are preloaded
 * into, and the dynamic linker has little of it to spare. So a thread has a pointer there, and
 * gets the block behind it with the first call that connects, finishes or sends a statement.
 * All that is in the block is a cache: a thread without one does the same work in the long way.
 *
 * Owner: this module. The memory is the kernel's (no malloc), is kept for the process's life,
 * and a block goes from a thread that ended to the next one that needs one. The end is noticed
 * by the destructor of a pthread key; destructors of other keys that call libpq after ours get
 * no block any more. Locks: none. Signals: a handler uses the block of its thread, or none.
 * Fork: the child keeps its one thread's block, and those of the parent's other threads are
 * free.
 */
#ifndef PQPOOL_BASE_THREAD_THREAD_BLOCK_H
#define PQPOOL_BASE_THREAD_THREAD_BLOCK_H

#include <stdalign.h>
#include <stdbool.h>
#include <stddef.h>

/* The floors above know what is in theirs, and check by _Static_assert that it fits. */
struct thread_block {
	alignas(16) unsigned char leases[256];    /* trace/lease/lease.c */
	alignas(16) unsigned char stacks[1744];   /* trace/stack/stack_cache.c */
	alignas(16) unsigned char given[32];      /* base/unwind/own_stack.c */
	alignas(16) unsigned char connect[32];    /* pool/thread_cache.c */
	alignas(16) unsigned char ids[16];        /* key/process_ids.c */
	alignas(16) unsigned char pending[16];    /* acquire/lend/blocked_call.c */
	alignas(16) unsigned char stack[16];      /* base/unwind/thread_stack.c */
	alignas(16) unsigned char cancelling[16]; /* base/thread/cancellation.c */
};

struct thread_memory {
	struct thread_block *block; /* NULL: none */
	bool refused; /* there will be none: it ends, or could not tell that it does */
};

extern _Thread_local struct thread_memory thread_memory;

/* This thread's part of that name, or NULL. */
#define THREAD_PART(type, part)                                                                \
	((type *)(thread_memory.block != NULL ? (void *)thread_memory.block->part : NULL))

/* Once, before any block is taken. Where threads cannot tell that they end, there are none. */
void thread_block_configure(void);

/* What is to be done at a thread's end while its block is there still: three at most. */
void thread_block_at_end(void (*function)(void));

/*
 * Gets this thread a block, all zero, if it has none. Only where libpq itself would ask for
 * memory or free it, for pthread_setspecific(3) may.
 */
void thread_block_take(void);

/* How many threads of this process have asked for one so far, or more. */
unsigned thread_block_users(void);

/* In the child, whose only thread this is. */
void thread_block_fork_child(void);

#endif
