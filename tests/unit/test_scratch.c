/* SPDX-License-Identifier: PostgreSQL */
/* Room to work in: each has its own, what is given back is taken again, and some is there. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>

#include <cmocka.h>

#include "base/scratch.h"

#define THREADS 8
#define ROUNDS  2000
#define MANY    50

static bool no_memory;

void *__real_mmap(void *at, size_t size, int prot, int flags, int fd, off_t offset);
void *__wrap_mmap(void *at, size_t size, int prot, int flags, int fd, off_t offset);
void *__wrap_mmap(void *at, size_t size, int prot, int flags, int fd, off_t offset)
{
	return no_memory ? MAP_FAILED : __real_mmap(at, size, prot, flags, fd, offset);
}

static void some_is_there_without_memory(void **state)
{
	void *rooms[MANY];
	unsigned count = 0;

	(void)state;
	no_memory = true;
	while (count < MANY && (rooms[count] = scratch_take()) != NULL) {
		memset(rooms[count++], 1, SCRATCH_BYTES);
	}
	no_memory = false;
	assert_in_range(count, 3, MANY - 1);
	for (unsigned i = 0; i < count; i++) {
		scratch_give(rooms[i]);
	}
	scratch_give(NULL);
	assert_ptr_equal(scratch_take(), rooms[0]);
	scratch_give(rooms[0]);
}

static void each_is_its_own(void **state)
{
	unsigned char *rooms[MANY];

	(void)state;
	for (unsigned i = 0; i < MANY; i++) {
		rooms[i] = scratch_take();
		assert_non_null(rooms[i]);
		assert_int_equal((uintptr_t)rooms[i] % 64, 0);
		memset(rooms[i], (int)i, SCRATCH_BYTES);
	}
	for (unsigned i = 0; i < MANY; i++) {
		assert_int_equal(rooms[i][0], i);
		assert_int_equal(rooms[i][SCRATCH_BYTES - 1], i);
		scratch_give(rooms[i]);
	}
	/* No more than that is ever needed again. */
	no_memory = true;
	for (unsigned i = 0; i < MANY; i++) {
		rooms[i] = scratch_take();
		assert_non_null(rooms[i]);
	}
	for (unsigned i = 0; i < MANY; i++) {
		scratch_give(rooms[i]);
	}
	no_memory = false;
}

static void *use(void *arg)
{
	for (int i = 0; i < ROUNDS; i++) {
		unsigned char *a = scratch_take();
		unsigned char *b = scratch_take();

		memset(a, *(const int *)arg, 64);
		memset(b, *(const int *)arg, 64);
		if (a == b || a[63] != *(const int *)arg || b[0] != *(const int *)arg) {
			return arg;
		}
		scratch_give(a);
		scratch_give(b);
	}
	return NULL;
}

static void threads_do_not_meet(void **state)
{
	pthread_t threads[THREADS];
	int numbers[THREADS];

	(void)state;
	for (int i = 0; i < THREADS; i++) {
		numbers[i] = i;
		pthread_create(&threads[i], NULL, use, &numbers[i]);
	}
	for (int i = 0; i < THREADS; i++) {
		void *wrong;

		pthread_join(threads[i], &wrong);
		assert_null(wrong);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(some_is_there_without_memory),
		cmocka_unit_test(each_is_its_own),
		cmocka_unit_test(threads_do_not_meet),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
