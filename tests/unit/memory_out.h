/* SPDX-License-Identifier: PostgreSQL */
/*
 * Runs a scene again and again, each time in a child, and each time the next allocation in it
 * fails, until a run passes in which none does. After cmocka.h; the program is linked with
 * LDFLAGS_MEMORY_OUT, so that the calls of the shim's objects, and only those, come here.
 *
 * In each child the scene runs twice, the second time with memory: then it must get all that it
 * asks for, and no more blocks may be left than two runs leave in which nothing fails. Under
 * the address sanitizer those must be reachable, too.
 */
#ifndef PQPOOL_TESTS_MEMORY_OUT_H
#define PQPOOL_TESTS_MEMORY_OUT_H

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/lsan_interface.h>
#endif

/* Plays the scene; false: it did without something, as is documented for out of memory. */
typedef bool memory_scene(void);

#define BLOCKS_MAX 4096

/* What a child has. */
static long memory_point = -1; /* this allocation fails, counted from 0; -1: none */
static long memory_made;
static bool memory_failed;
static void *memory_blocks[BLOCKS_MAX]; /* that were not freed yet */
static size_t memory_live;

/* So many blocks more may be left: found out again in another way, and kept. */
static size_t memory_spare;

/* What a child tells. */
static struct {
	size_t live;
	bool failed;
} * memory_told;

static inline void memory_wrong(const char *what, int line)
{
	dprintf(STDERR_FILENO, "line %d: not so, with allocation %ld failing: %s\n", line,
	        memory_point, what);
	_exit(1);
}

#define require(holds) ((holds) ? (void)0 : memory_wrong(#holds, __LINE__))

/* ---- the allocator ---- */

static bool memory_refuses(void)
{
	if (memory_made++ != memory_point) {
		return false;
	}
	memory_failed = true;
	errno = ENOMEM;
	return true;
}

static void *memory_note(void *block)
{
	if (block != NULL && memory_live < BLOCKS_MAX) {
		memory_blocks[memory_live++] = block;
	}
	return block;
}

static void memory_forget(const void *block)
{
	for (size_t i = memory_live; block != NULL && i-- > 0;) {
		if (memory_blocks[i] == block) {
			memory_blocks[i] = memory_blocks[--memory_live];
			return;
		}
	}
}

/* The linker gives these names to the functions and to who calls them (--wrap). */
#define WRAPPED(type, name, params)                                                            \
	type __real_##name params;                                                             \
	type __wrap_##name params;                                                             \
	type __wrap_##name params

WRAPPED(void *, malloc, (size_t size))
{
	return memory_refuses() ? NULL : memory_note(__real_malloc(size));
}

WRAPPED(void *, calloc, (size_t count, size_t size))
{
	return memory_refuses() ? NULL : memory_note(__real_calloc(count, size));
}

WRAPPED(void *, realloc, (void *block, size_t size))
{
	void *moved = memory_refuses() ? NULL : __real_realloc(block, size);

	if (moved != NULL) {
		memory_forget(block);
	}
	return memory_note(moved);
}

WRAPPED(void *, reallocarray, (void *block, size_t count, size_t size))
{
	void *moved = memory_refuses() ? NULL : __real_reallocarray(block, count, size);

	if (moved != NULL) {
		memory_forget(block);
	}
	return memory_note(moved);
}

WRAPPED(char *, strdup, (const char *text))
{
	return memory_refuses() ? NULL : memory_note(__real_strdup(text));
}

WRAPPED(char *, strndup, (const char *text, size_t max))
{
	return memory_refuses() ? NULL : memory_note(__real_strndup(text, max));
}

/* It leaves the pointer undefined if it fails. */
WRAPPED(int, asprintf, (char **text, const char *format, ...))
{
	va_list arguments;
	int n;

	if (memory_refuses()) {
		*text = (char *)(uintptr_t)16;
		return -1;
	}
	va_start(arguments, format);
	n = vasprintf(text, format, arguments);
	va_end(arguments);
	if (n >= 0) {
		memory_note(*text);
	}
	return n;
}

WRAPPED(void, free, (void *block))
{
	memory_forget(block);
	__real_free(block);
}

/* ---- the runs ---- */

static inline void memory_play(memory_scene *scene, long point)
{
	bool whole;

	memory_point = point;
	memory_made = 0;
	whole = scene();
	require(whole || memory_failed);
	memory_told->failed = memory_failed;
	memory_point = -1;
	require(scene());
	memory_told->live = memory_live;
#ifdef __SANITIZE_ADDRESS__
	require(__lsan_do_recoverable_leak_check() == 0);
#endif
	_exit(0);
}

/* The exit status of a child in which the allocation of this number fails. */
static inline int memory_child(memory_scene *scene, long point)
{
	int status = -1;
	pid_t child = fork();

	if (child == 0) {
		memory_play(scene, point);
	}
	assert_true(child > 0 && waitpid(child, &status, 0) == child);
	return status;
}

static inline void memory_share(void)
{
	if (memory_told == NULL) {
		memory_told = mmap(NULL, sizeof(*memory_told), PROT_READ | PROT_WRITE,
		                   MAP_SHARED | MAP_ANONYMOUS, -1, 0);
		assert_ptr_not_equal(memory_told, MAP_FAILED);
	}
}

/* `points` is how many allocations there are at least. */
static inline void each_allocation_fails(memory_scene *scene, long points)
{
	size_t usual;
	long point = 0;

	memory_share();
	assert_int_equal(memory_child(scene, -1), 0);
	usual = memory_told->live;
	do {
		if (memory_child(scene, point) != 0 ||
		    memory_told->live > usual + memory_spare) {
			fail_msg(
				"allocation %ld of the scene fails, and %zu blocks are left in "
				"place of %zu, or see above",
				point, memory_told->live, usual);
		}
	} while (memory_told->failed && ++point > 0);
	assert_true(point >= points);
}

#endif
