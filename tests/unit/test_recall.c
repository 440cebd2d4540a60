/* SPDX-License-Identifier: PostgreSQL */
/* Stacks recognised without unwinding: only the same, and those of several places. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/thread_block.h"
#include "trace/recall.h"

#define DEPTH 8

/* As it lies in memory: each word a return address. */
static uintptr_t words[RECALL_MAX + 1];

static struct recall_key key_of(uintptr_t caller)
{
	return (struct recall_key){
		.frame = words, .caller = (const void *)caller, .depth = 16, .modules = 7};
}

static void walk_up(struct recall_walk *walk, unsigned depth)
{
	recall_begin(walk);
	for (unsigned i = 0; i < depth; i++) {
		words[i] = 1000 + i;
		recall_note(walk, words[i], (uintptr_t)&words[i + 1]);
	}
}

static void keep(uintptr_t caller, uint32_t id)
{
	struct recall_key key = key_of(caller);
	struct recall_walk walk;

	walk_up(&walk, DEPTH);
	recall_keep(&key, &walk, id);
}

static uint32_t find(uintptr_t caller)
{
	struct recall_key key = key_of(caller);

	return recall_find(&key);
}

static void recognises_several_places(void **state)
{
	(void)state;
	for (uint32_t id = 1; id <= 4; id++) {
		keep(100 + id, id);
	}
	for (uint32_t id = 1; id <= 4; id++) {
		assert_int_equal(find(100 + id), id);
	}
	keep(105, 5);
	assert_int_equal(find(101), 0);
	assert_int_equal(find(102), 2);
	assert_int_equal(find(105), 5);
}

static void notices_another_way(void **state)
{
	(void)state;
	keep(200, 6);
	for (unsigned i = 0; i < DEPTH; i++) {
		words[i]++;
		assert_int_equal(find(200), 0);
		words[i]--;
	}
	assert_int_equal(find(200), 6);
}

static void goes_by_all_of_the_key(void **state)
{
	struct recall_key key = key_of(300);

	(void)state;
	keep(300, 7);
	key.depth++;
	assert_int_equal(recall_find(&key), 0);
	key = key_of(300);
	key.modules++;
	assert_int_equal(recall_find(&key), 0);
	key = key_of(300);
	key.frame = &words[1];
	assert_int_equal(recall_find(&key), 0);
	key = key_of(300);
	assert_int_equal(recall_find(&key), 7);
}

static void keeps_only_what_it_can_recognise(void **state)
{
	struct recall_key key = key_of(400);
	struct recall_walk walk;

	(void)state;
	walk_up(&walk, DEPTH);
	recall_give_up(&walk);
	recall_keep(&key, &walk, 8);
	assert_int_equal(find(400), 0);
	walk_up(&walk, RECALL_MAX);
	recall_keep(&key, &walk, 8);
	assert_int_equal(find(400), 0);
	walk_up(&walk, DEPTH);
	recall_note(&walk, 1, (uintptr_t)&words[DEPTH + 1]);
	recall_keep(&key, &walk, 8);
	assert_int_equal(find(400), 0);
	/* No number, for want of memory: to be asked again. */
	keep(400, 0);
	assert_int_equal(find(400), 0);
	keep(400, 8);
	assert_int_equal(find(400), 8);
}

static int prepare(void **state)
{
	(void)state;
	thread_block_configure();
	thread_block_take();
	return thread_memory.block == NULL;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(recognises_several_places),
		cmocka_unit_test(notices_another_way),
		cmocka_unit_test(goes_by_all_of_the_key),
		cmocka_unit_test(keeps_only_what_it_can_recognise),
	};

	return cmocka_run_group_tests(tests, prepare, NULL);
}
