/* SPDX-License-Identifier: PostgreSQL */
/*
 * A library to be preloaded, which wraps some functions by RTLD_NEXT, and at the end says
 * on stdout how often each was called. It is not linked to libpq.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <libpq-fe.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

static unsigned execs;
static unsigned finishes;
static atomic_uint mallocs;

PGresult *PQexec(PGconn *conn, const char *query)
{
	__typeof__(PQexec) *next;

	*(void **)&next = dlsym(RTLD_NEXT, "PQexec");
	/* Those of the pool's own that pass here are not the program's. */
	execs++;
	return next(conn, query);
}

void PQfinish(PGconn *conn)
{
	__typeof__(PQfinish) *next;

	*(void **)&next = dlsym(RTLD_NEXT, "PQfinish");
	finishes++;
	next(conn);
}

void *malloc(size_t n)
{
	static void *(*_Atomic next)(size_t);
	void *(*function)(size_t) = next;

	if (function == NULL) {
		*(void **)&function = dlsym(RTLD_NEXT, "malloc");
		next = function;
	}
	mallocs++;
	return function(n);
}

__attribute__((destructor)) static void say(void)
{
	printf("wrapper: %u execs, finishes: %s, mallocs: %s\n", execs,
	       finishes > 0 ? "some" : "none", mallocs > 0 ? "some" : "none");
}
