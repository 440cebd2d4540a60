/* SPDX-License-Identifier: PostgreSQL */
/*
 * An allocator that can be told to fail, once, for what libpqpool.so asks of it, and to give
 * a certain block out again next. Preloaded behind that, it is where its calls arrive.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <malloc.h>
#include <stdatomic.h>
#include <stddef.h>
#include <string.h>

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *block, size_t size);

void __libc_free(void *block);

static atomic_int left;
static void *wanted; /* and what of it was freed; a program of one thread asks for it */
static void *kept;

/* The n-th allocation from now on fails. Returns how many were to come of those before. */
int scarce_arm(int n)
{
	return atomic_exchange(&left, n);
}

static int fails(const void *caller)
{
	Dl_info info;

	if (atomic_load(&left) <= 0 || dladdr(caller, &info) == 0 ||
	    strstr(info.dli_fname, "libpqpool") == NULL || atomic_fetch_sub(&left, 1) != 1) {
		return 0;
	}
	errno = ENOMEM;
	return 1;
}

/* Whoever asks for this much after `block` was freed gets it. */
void hoard(void *block)
{
	wanted = block;
}

void free(void *block)
{
	if (block != NULL && block == wanted) {
		kept = wanted;
		wanted = NULL;
		return;
	}
	__libc_free(block);
}

static void *reuse(size_t size)
{
	void *block = kept;
	size_t room = block != NULL ? malloc_usable_size(block) : 0;

	if (size > room || size + 2 * sizeof(size_t) <= room) {
		return NULL;
	}
	kept = NULL;
	return block;
}

void *malloc(size_t size)
{
	void *block = reuse(size);

	if (block != NULL) {
		return block;
	}
	return fails(__builtin_return_address(0)) ? NULL : __libc_malloc(size);
}

void *calloc(size_t count, size_t size)
{
	void *block = reuse(count * size);

	if (block != NULL) {
		return memset(block, 0, count * size);
	}
	return fails(__builtin_return_address(0)) ? NULL : __libc_calloc(count, size);
}

void *realloc(void *block, size_t size)
{
	return fails(__builtin_return_address(0)) ? NULL : __libc_realloc(block, size);
}

char *strdup(const char *text)
{
	size_t size = strlen(text) + 1;
	char *copy = fails(__builtin_return_address(0)) ? NULL : __libc_malloc(size);

	return copy != NULL ? memcpy(copy, text, size) : NULL;
}
