/* SPDX-License-Identifier: PostgreSQL */
/*
 * roads STEP...: comes by libpq in the ways that are told. It is not linked to any.
 *
 *   open NAME FILE FLAGS    dlopen; FLAGS of l (local), g (global), d (deepbind)
 *   call NAME FUNCTION      calls int FUNCTION(void), found by dlsym
 *   look NAME SYMBOL        whether dlsym finds it, and what dlerror says
 *   cycle NAME TIMES        connects and finishes by functions found by dlsym
 *   threads NAME COUNT      the same in threads, which look up for themselves
 *   past NAME WAY ADDRESS   connects and finishes; one of them by ADDRESS in the file
 *   loaded FILE             whether it is loaded
 *   close NAME              dlclose
 *
 * NAME is one letter for a handle; "default", "next" and "program" are there already.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <libpq-fe.h>
#include <link.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define THREADS_MAX 64

static void *handles[128];

static void *handle_called(const char *name)
{
	if (strcmp(name, "default") == 0) {
		return RTLD_DEFAULT;
	}
	if (strcmp(name, "next") == 0) {
		return RTLD_NEXT;
	}
	return strcmp(name, "program") == 0 ? dlopen(NULL, RTLD_LAZY) : handles[name[0] & 127];
}

static int flags_of(const char *letters)
{
	return RTLD_LAZY | (strchr(letters, 'g') != NULL ? RTLD_GLOBAL : RTLD_LOCAL) |
	       (strchr(letters, 'd') != NULL ? RTLD_DEEPBIND : 0);
}

static void *must_find(void *handle, const char *name)
{
	void *found = dlsym(handle, name);

	if (found == NULL) {
		printf("no %s: %s\n", name, dlerror());
		exit(1);
	}
	return found;
}

static void say_error(const char *what, int good)
{
	const char *error = dlerror();

	printf("%s: %s, %s", what, good ? "yes" : "no", error != NULL ? error : "no error");
	printf(", %s\n", dlerror() != NULL ? "and another" : "no other");
}

/* ---- libpq by dlsym ------------------------------------------------------------- */

static struct {
	__typeof__(PQconnectdb) *connectdb;
	__typeof__(PQfinish) *finish;
	__typeof__(PQerrorMessage) *error_message;
	__typeof__(PQexec) *exec;
	__typeof__(PQgetvalue) *getvalue;
	__typeof__(PQclear) *clear;
} pq;

static void look_all_up(void *handle)
{
	*(void **)&pq.connectdb = must_find(handle, "PQconnectdb");
	*(void **)&pq.finish = must_find(handle, "PQfinish");
	*(void **)&pq.error_message = must_find(handle, "PQerrorMessage");
	*(void **)&pq.exec = must_find(handle, "PQexec");
	*(void **)&pq.getvalue = must_find(handle, "PQgetvalue");
	*(void **)&pq.clear = must_find(handle, "PQclear");
}

/* One connection; what its server answers, and how a connection fails. */
static int cycle(void)
{
	PGconn *conn = pq.connectdb("");
	PGconn *bad = pq.connectdb("host=/nonexistent");
	PGresult *result = pq.exec(conn, "SELECT 6 * 7");
	const char *value = pq.getvalue(result, 0, 0);
	int good = value != NULL && strcmp(value, "42") == 0;

	if (!good) {
		printf("%s", pq.error_message(conn));
	}
	printf("%s: %.20s\n", good ? "good" : "bad", pq.error_message(bad));
	pq.clear(result);
	pq.finish(conn);
	pq.finish(bad);
	return good;
}

static void *thread(void *handle)
{
	/* All find the same, which makes the race harmless. */
	look_all_up(handle);
	for (int i = 0; i < 5; i++) {
		cycle();
	}
	return NULL;
}

static void run_threads(void *handle, int count)
{
	pthread_t threads[THREADS_MAX];

	for (int i = 0; i < count; i++) {
		pthread_create(&threads[i], NULL, thread, handle);
	}
	for (int i = 0; i < count; i++) {
		pthread_join(threads[i], NULL);
	}
}

/* What lies at `address` of the file that the handle's PQlibVersion is in. */
static void *past_the_linker(void *handle, const char *address)
{
	Dl_info info;
	struct link_map *map = NULL;

	dladdr1(must_find(handle, "PQlibVersion"), &info, (void **)&map, RTLD_DL_LINKMAP);
	return (void *)(map->l_addr + strtoul(address, NULL, 16));
}

static void run_past(void *handle, const char *way, const char *address)
{
	look_all_up(handle);
	if (strcmp(way, "connect") == 0) {
		*(void **)&pq.connectdb = past_the_linker(handle, address);
	} else {
		*(void **)&pq.finish = past_the_linker(handle, address);
	}
	for (int i = 0; i < 5; i++) {
		cycle();
	}
	/* And then by the book. */
	look_all_up(handle);
	cycle();
}

/* ---- steps ----------------------------------------------------------------------- */

/* How many words the step took. */
static int step(char **words)
{
	const char *what = words[0];
	void *handle = strcmp(what, "loaded") == 0 ? NULL : handle_called(words[1]);

	if (strcmp(what, "open") == 0) {
		handle = dlopen(words[2], flags_of(words[3]));
		handles[words[1][0] & 127] = handle;
		say_error("open", handle != NULL);
		return 4;
	}
	if (strcmp(what, "call") == 0) {
		int (*function)(void);

		*(void **)&function = must_find(handle, words[2]);
		printf("%s: %d\n", words[2], function());
		return 3;
	}
	if (strcmp(what, "look") == 0) {
		say_error(words[2], dlsym(handle, words[2]) != NULL);
		return 3;
	}
	if (strcmp(what, "cycle") == 0) {
		look_all_up(handle);
		for (int i = atoi(words[2]); i > 0; i--) {
			cycle();
		}
		return 3;
	}
	if (strcmp(what, "threads") == 0) {
		run_threads(handle, atoi(words[2]));
		return 3;
	}
	if (strcmp(what, "past") == 0) {
		run_past(handle, words[2], words[3]);
		return 4;
	}
	if (strcmp(what, "loaded") == 0) {
		printf("loaded: %d\n", dlopen(words[1], RTLD_LAZY | RTLD_NOLOAD) != NULL);
		return 2;
	}
	printf("close: %d\n", dlclose(handle));
	return 2;
}

int main(int argc, char **argv)
{
	(void)argc;
	setvbuf(stdout, NULL, _IOLBF, 0);
	for (char **words = argv + 1; *words != NULL;) {
		words += step(words);
	}
	return 0;
}
