/* SPDX-License-Identifier: PostgreSQL */
/* A thread's own memory for what it remembers from one call to the next. */
#include "base/thread/thread_block.h"

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>

#include "base/cold.h"

#define ENDS   3
#define BLOCKS 30 /* of a chunk, which is as good as 16 pages */

/* Chunks are added in front and never removed, so the list is read without a lock. */
struct chunk {
	struct chunk *next;
	atomic_bool taken[BLOCKS];
	struct thread_block blocks[BLOCKS];
};

_Thread_local struct thread_memory thread_memory;

static _Atomic(struct chunk *) chunks;
static atomic_uint users;
static pthread_key_t end_key;
static bool end_key_made;
static void (*at_end[ENDS])(void);
static unsigned at_end_count;

static atomic_bool *mark_of(const struct thread_block *block)
{
	struct chunk *chunk = atomic_load(&chunks);

	while (block < chunk->blocks || block >= chunk->blocks + BLOCKS) {
		chunk = chunk->next;
	}
	return &chunk->taken[block - chunk->blocks];
}

/* What is still in it nobody reads: it is wiped when it is taken. */
static void give_back(struct thread_block *block)
{
	atomic_store_explicit(mark_of(block), false, memory_order_release);
}

static COLD void at_thread_end(void *arg)
{
	struct thread_block *block = thread_memory.block;

	(void)arg;
	thread_memory.refused = true;
	if (block == NULL) {
		return;
	}
	for (unsigned i = 0; i < at_end_count; i++) {
		at_end[i]();
	}
	thread_memory.block = NULL;
	atomic_signal_fence(memory_order_seq_cst);
	give_back(block);
}

void thread_block_configure(void)
{
	end_key_made = pthread_key_create(&end_key, at_thread_end) == 0;
}

void thread_block_at_end(void (*function)(void))
{
	at_end[at_end_count++] = function;
}

static struct thread_block *find_free(void)
{
	for (struct chunk *chunk = atomic_load(&chunks); chunk != NULL; chunk = chunk->next) {
		for (unsigned i = 0; i < BLOCKS; i++) {
			if (!atomic_load_explicit(&chunk->taken[i], memory_order_relaxed) &&
			    !atomic_exchange(&chunk->taken[i], true)) {
				return &chunk->blocks[i];
			}
		}
	}
	return NULL;
}

static struct thread_block *make(void)
{
	struct chunk *chunk = mmap(NULL, sizeof(*chunk), PROT_READ | PROT_WRITE,
	                           MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (chunk == MAP_FAILED) {
		return NULL;
	}
	atomic_init(&chunk->taken[0], true);
	chunk->next = atomic_load(&chunks);
	while (!atomic_compare_exchange_weak(&chunks, &chunk->next, chunk)) {
	}
	return &chunk->blocks[0];
}

static COLD void take(void)
{
	struct thread_block *block;

	atomic_fetch_add(&users, 1);
	/* A signal handler that comes in here goes without. */
	thread_memory.refused = true;
	atomic_signal_fence(memory_order_seq_cst);
	block = find_free();
	if (block == NULL) {
		block = make();
	}
	if (block == NULL) {
		/* There may be memory the next time. */
		thread_memory.refused = false;
		return;
	}
	if (pthread_setspecific(end_key, block) != 0) {
		give_back(block);
		return;
	}
	memset(block, 0, sizeof(*block));
	thread_memory.block = block;
	atomic_signal_fence(memory_order_seq_cst);
	thread_memory.refused = false;
}

void thread_block_take(void)
{
	if (thread_memory.block == NULL && !thread_memory.refused && end_key_made) {
		take();
	}
}

unsigned thread_block_users(void)
{
	return atomic_load(&users);
}

void thread_block_fork_child(void)
{
	atomic_store(&users, thread_memory.block != NULL);
	/* A signal handler may have forked amid take(), which goes on in the child. */
	if (thread_memory.refused) {
		return;
	}
	for (struct chunk *chunk = atomic_load(&chunks); chunk != NULL; chunk = chunk->next) {
		for (unsigned i = 0; i < BLOCKS; i++) {
			atomic_store_explicit(&chunk->taken[i],
			                      &chunk->blocks[i] == thread_memory.block,
			                      memory_order_relaxed);
		}
	}
}
