/* SPDX-License-Identifier: PostgreSQL */
/* Stacks recognised without unwinding: only the same, and those of several places. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/thread/thread_block.h"
#include "trace/stack/stack_cache.h"

#define DEPTH 8

/* As it lies in memory: each word a return address. */
static uintptr_t words[STACK_CACHE_MAX + 1];

static struct unwind begun = {.stack = {.low = 0, .high = UINTPTR_MAX}};

static struct stack_cache_key key_of(uintptr_t caller)
{
	return (struct stack_cache_key){
		.pointer = 1, .caller = (const void *)caller, .depth = 16, .loads = 7};
}

static void note_word(struct stack_cache_walk *walk, uintptr_t address, uintptr_t base)
{
	const struct unwind frame = {.plain = true, .address_word = address, .base_word = base};

	stack_cache_note(walk, &frame, &begun);
}

static void walk_up(struct stack_cache_walk *walk, unsigned depth)
{
	stack_cache_begin(walk);
	for (unsigned i = 0; i < depth; i++) {
		words[i] = 1000 + i;
		note_word(walk, (uintptr_t)&words[i], 0);
	}
}

static void keep(uintptr_t caller, uint32_t id)
{
	struct stack_cache_key key = key_of(caller);
	struct stack_cache_walk walk;

	walk_up(&walk, DEPTH);
	stack_cache_keep(&key, &walk, id);
}

static uint32_t find(uintptr_t caller)
{
	struct stack_cache_key key = key_of(caller);

	return stack_cache_find(&key, &begun);
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

/* A function that goes by a frame pointer; the first one's is in a register. */
static void notices_another_frame_pointer(void **state)
{
	struct stack_cache_key key = key_of(250);
	struct stack_cache_walk walk;

	(void)state;
	begun.registers[6] = 66;
	walk_up(&walk, DEPTH);
	note_word(&walk, (uintptr_t)&words[DEPTH], 6);
	note_word(&walk, (uintptr_t)&words[DEPTH], (uintptr_t)&words[DEPTH + 1]);
	stack_cache_keep(&key, &walk, 9);
	assert_int_equal(find(250), 9);
	begun.registers[6]++;
	assert_int_equal(find(250), 0);
	begun.registers[6]--;
	words[DEPTH + 1]++;
	assert_int_equal(find(250), 0);
	words[DEPTH + 1]--;
	assert_int_equal(find(250), 9);
}

/* The same words, but the stack does not reach as far, or cannot be read there. */
static void looks_no_higher_than_the_stack(void **state)
{
	(void)state;
	keep(260, 10);
	begun.stack.high = (uintptr_t)&words[DEPTH - 1];
	begun.stack.low = begun.stack.high - sizeof(uintptr_t);
	assert_int_equal(find(260), 0);
	begun.stack.low = 0;
	begun.stack.high = UINTPTR_MAX;
	assert_int_equal(find(260), 10);
}

static void goes_by_all_of_the_key(void **state)
{
	struct stack_cache_key key = key_of(300);

	(void)state;
	keep(300, 7);
	key.depth++;
	assert_int_equal(stack_cache_find(&key, &begun), 0);
	key = key_of(300);
	key.loads++;
	assert_int_equal(stack_cache_find(&key, &begun), 0);
	key = key_of(300);
	key.pointer++;
	assert_int_equal(stack_cache_find(&key, &begun), 0);
	key = key_of(300);
	assert_int_equal(stack_cache_find(&key, &begun), 7);
}

static void keeps_only_what_it_can_recognise(void **state)
{
	const struct unwind odd = {.plain = false};
	struct stack_cache_key key = key_of(400);
	struct stack_cache_walk walk;

	(void)state;
	walk_up(&walk, DEPTH);
	stack_cache_give_up(&walk);
	stack_cache_keep(&key, &walk, 8);
	assert_int_equal(find(400), 0);
	walk_up(&walk, STACK_CACHE_MAX + 1);
	stack_cache_keep(&key, &walk, 8);
	assert_int_equal(find(400), 0);
	walk_up(&walk, DEPTH);
	stack_cache_note(&walk, &odd, &begun);
	stack_cache_keep(&key, &walk, 8);
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
		cmocka_unit_test(notices_another_frame_pointer),
		cmocka_unit_test(looks_no_higher_than_the_stack),
		cmocka_unit_test(goes_by_all_of_the_key),
		cmocka_unit_test(keeps_only_what_it_can_recognise),
	};

	return cmocka_run_group_tests(tests, prepare, NULL);
}
