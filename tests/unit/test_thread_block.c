/* SPDX-License-Identifier: PostgreSQL */
/* A thread's own memory: one block for each thread that asks, and back when the thread ends. */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/thread/thread_block.h"

#define THREADS 40 /* more than a chunk has */

static bool no_memory;
static bool no_keys;
static atomic_uint ends;
static atomic_uint chunks; /* threads that find none free make one each */

void *__real_mmap(void *at, size_t size, int prot, int flags, int fd, off_t offset);
void *__wrap_mmap(void *at, size_t size, int prot, int flags, int fd, off_t offset);
void *__wrap_mmap(void *at, size_t size, int prot, int flags, int fd, off_t offset)
{
	if (no_memory) {
		return MAP_FAILED;
	}
	atomic_fetch_add(&chunks, 1);
	return __real_mmap(at, size, prot, flags, fd, offset);
}

int __real_pthread_setspecific(pthread_key_t key, const void *value);
int __wrap_pthread_setspecific(pthread_key_t key, const void *value);
int __wrap_pthread_setspecific(pthread_key_t key, const void *value)
{
	return no_keys ? ENOMEM : __real_pthread_setspecific(key, value);
}

static struct thread_block *take_one(void)
{
	thread_block_take();
	return thread_memory.block;
}

static void *in_thread(void *(*function)(void *), void *arg)
{
	pthread_t thread;
	void *result;

	assert_int_equal(pthread_create(&thread, NULL, function, arg), 0);
	pthread_join(thread, &result);
	return result;
}

/* ---- each its own ---- */

static pthread_barrier_t all_have_one;

static void *hold_one(void *arg)
{
	struct thread_block *block = take_one();

	assert_non_null(block);
	memset(block, *(const int *)arg, sizeof(*block));
	pthread_barrier_wait(&all_have_one);
	for (size_t i = 0; i < sizeof(*block); i++) {
		assert_int_equal(((const unsigned char *)block)[i], *(const int *)arg);
	}
	return block;
}

static void each_thread_has_its_own(void **state)
{
	pthread_t threads[THREADS];
	int numbers[THREADS];

	(void)state;
	pthread_barrier_init(&all_have_one, NULL, THREADS);
	for (int i = 0; i < THREADS; i++) {
		numbers[i] = i + 1;
		pthread_create(&threads[i], NULL, hold_one, &numbers[i]);
	}
	for (int i = 0; i < THREADS; i++) {
		pthread_join(threads[i], NULL);
	}
	assert_int_equal(ends, THREADS);
}

static void *take_and_look(void *arg)
{
	struct thread_block *block = take_one();

	(void)arg;
	for (size_t i = 0; block != NULL && i < sizeof(*block); i++) {
		assert_int_equal(((const unsigned char *)block)[i], 0);
	}
	return block;
}

static void an_ended_thread_leaves_it_to_the_next(void **state)
{
	struct thread_block *first = in_thread(take_and_look, NULL);

	(void)state;
	assert_non_null(first);
	for (int i = 0; i < 3 * THREADS; i++) {
		assert_ptr_equal(in_thread(take_and_look, NULL), first);
	}
}

/* ---- destructors of other keys ---- */

static pthread_key_t earlier; /* than ours; their destructors are called in this order */
static pthread_key_t later;
static struct thread_block *seen_by_earlier[3];
static struct thread_block *seen_by_later;
static unsigned rounds;

static void end_earlier(void *arg)
{
	seen_by_earlier[rounds] = take_one();
	if (++rounds < 3) {
		pthread_setspecific(earlier, arg);
	}
}

static void end_later(void *arg)
{
	(void)arg;
	seen_by_later = take_one();
}

static void *take_with_destructors(void *arg)
{
	pthread_setspecific(earlier, arg);
	pthread_setspecific(later, arg);
	return take_one();
}

static void what_ends_later_has_none(void **state)
{
	void *block;

	(void)state;
	rounds = 0;
	seen_by_later = (void *)1;
	block = in_thread(take_with_destructors, &rounds);
	assert_non_null(block);
	assert_ptr_equal(seen_by_earlier[0], block);
	assert_null(seen_by_later);
	assert_int_equal(rounds, 3);
	assert_null(seen_by_earlier[1]);
	assert_null(seen_by_earlier[2]);
	assert_ptr_equal(in_thread(take_and_look, NULL), block);
}

/* ---- what fails ---- */

static void *take_without_key(void *arg)
{
	(void)arg;
	no_keys = true;
	assert_null(take_one());
	no_keys = false;
	/* Not asked for at every call. */
	return take_one();
}

static void a_thread_whose_end_is_not_told_has_none(void **state)
{
	void *free_one = in_thread(take_and_look, NULL);

	(void)state;
	assert_null(in_thread(take_without_key, NULL));
	assert_ptr_equal(in_thread(take_and_look, NULL), free_one);
}

static pthread_barrier_t none_is_left;

static void *hold_until_none_is_left(void *arg)
{
	*(struct thread_block **)arg = take_one();
	pthread_barrier_wait(&none_is_left);
	/* There is memory again. */
	pthread_barrier_wait(&none_is_left);
	return take_one();
}

static void without_memory_there_is_none_until_there_is(void **state)
{
	/* More than the chunks of all tests have. */
	unsigned many = (atomic_load(&chunks) + 1) * THREADS;
	pthread_t *threads = calloc(many, sizeof(*threads));
	struct thread_block **blocks = calloc(many, sizeof(*blocks));
	unsigned without = 0;

	(void)state;
	pthread_barrier_init(&none_is_left, NULL, many + 1);
	no_memory = true;
	/* Threads need stacks, for which there is memory. */
	for (unsigned i = 0; i < many; i++) {
		pthread_create(&threads[i], NULL, hold_until_none_is_left, &blocks[i]);
	}
	pthread_barrier_wait(&none_is_left);
	no_memory = false;
	pthread_barrier_wait(&none_is_left);
	for (unsigned i = 0; i < many; i++) {
		void *block;

		pthread_join(threads[i], &block);
		assert_non_null(block);
		without += blocks[i] == NULL;
	}
	assert_in_range(without, 1, many - THREADS);
	free(threads);
	free(blocks);
}

/* ---- fork ---- */

static pthread_barrier_t child_is_made;

static void *hold_through_a_fork(void *arg)
{
	struct thread_block *block = take_one();

	(void)arg;
	pthread_barrier_wait(&child_is_made);
	pthread_barrier_wait(&child_is_made);
	return block;
}

static int look_in_child(const struct thread_block *own)
{
	thread_block_fork_child();
	if (thread_memory.block != own || own == NULL) {
		return 1;
	}
	/* Those of the parent's other threads are there to be taken; its own is not. */
	no_memory = true;
	for (int i = 0; i < 3; i++) {
		void *block = in_thread(take_and_look, NULL);

		if (block == NULL || block == own) {
			return 2;
		}
	}
	return 0;
}

static void a_child_keeps_its_own_alone(void **state)
{
	pthread_t threads[THREADS];
	struct thread_block *own = take_one();
	int status;
	pid_t child;

	(void)state;
#ifdef __SANITIZE_THREAD__
	/* It starts no threads in a child of several. */
	skip();
#endif
	pthread_barrier_init(&child_is_made, NULL, THREADS + 1);
	for (int i = 0; i < THREADS; i++) {
		pthread_create(&threads[i], NULL, hold_through_a_fork, NULL);
	}
	pthread_barrier_wait(&child_is_made);
	child = fork();
	if (child == 0) {
		_exit(look_in_child(own));
	}
	pthread_barrier_wait(&child_is_made);
	for (int i = 0; i < THREADS; i++) {
		pthread_join(threads[i], NULL);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
}

static void count_end(void)
{
	assert_non_null(thread_memory.block);
	ends++;
}

static int prepare(void **state)
{
	(void)state;
	pthread_key_create(&earlier, end_earlier);
	thread_block_configure();
	thread_block_at_end(count_end);
	return pthread_key_create(&later, end_later);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_thread_has_its_own),
		cmocka_unit_test(an_ended_thread_leaves_it_to_the_next),
		cmocka_unit_test(what_ends_later_has_none),
		cmocka_unit_test(a_thread_whose_end_is_not_told_has_none),
		cmocka_unit_test(without_memory_there_is_none_until_there_is),
		cmocka_unit_test(a_child_keeps_its_own_alone),
	};

	return cmocka_run_group_tests(tests, prepare, NULL);
}
