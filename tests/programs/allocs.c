/* SPDX-License-Identifier: PostgreSQL */
/*
 * allocs HOW TIMES [STATEMENT]: connects and finishes, a few times to begin with and then TIMES
 * more, and prints who asked for memory in these: "OBJECT COUNT", a line each, and the sum.
 *
 *   once    PQconnectdb
 *   steps   PQconnectStart and PQconnectPoll
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <libgen.h>

#include "plain.h"

#define FIRST      50
#define ASKED_MAX  100000
#define OBJECT_MAX 32

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *old, size_t size);

static const void *asked[ASKED_MAX]; /* the return address of each */
static int asked_count;
static int counting;

static void note(const void *caller)
{
	if (counting && asked_count < ASKED_MAX) {
		asked[asked_count++] = caller;
	}
}

void *malloc(size_t size)
{
	note(__builtin_return_address(0));
	return __libc_malloc(size);
}

void *calloc(size_t count, size_t size)
{
	note(__builtin_return_address(0));
	return __libc_calloc(count, size);
}

void *realloc(void *old, size_t size)
{
	note(__builtin_return_address(0));
	return __libc_realloc(old, size);
}

static void cycles(int in_steps, int times, const char *statement)
{
	for (int i = 0; i < FIRST + times; i++) {
		PGconn *conn;

		counting = i >= FIRST;
		conn = in_steps ? open_in_steps("") : open_database();
		if (statement != NULL) {
			ask(conn, statement);
		}
		PQfinish(conn);
	}
	counting = 0;
}

static const char *object_of(const void *address)
{
	Dl_info info;

	return dladdr(address, &info) != 0 ? basename((char *)info.dli_fname) : "?";
}

static void print_askers(void)
{
	const char *objects[OBJECT_MAX];
	int counts[OBJECT_MAX] = {0};
	int known = 0;

	for (int i = 0; i < asked_count; i++) {
		const char *object = object_of(asked[i]);
		int j = 0;

		while (j < known && strcmp(objects[j], object) != 0) {
			j++;
		}
		if (j == known && known < OBJECT_MAX) {
			objects[known++] = object;
		}
		if (j < OBJECT_MAX) {
			counts[j]++;
		}
	}
	for (int j = 0; j < known; j++) {
		printf("%s %d\n", objects[j], counts[j]);
	}
	printf("all %d\n", asked_count);
}

int main(int argc, char **argv)
{
	int in_steps = argc > 1 && strcmp(argv[1], "steps") == 0;
	int times = argc > 2 ? atoi(argv[2]) : 0;
	const char *statement = argc > 3 ? argv[3] : NULL;

	cycles(in_steps, times, statement);
	print_askers();
	return 0;
}
