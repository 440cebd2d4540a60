/* SPDX-License-Identifier: PostgreSQL */
/*
 * clones MODE: children that are made by clone(2) itself, past fork(3) and its handlers,
 * connect; prints what each finds, and what is left to the parent.
 *
 *   copied    a child with a copy of the memory
 *   shared    one that has the parent's memory while the parent waits (CLONE_VM, CLONE_VFORK)
 *   beside    the same, but the parent goes on
 */
#define _GNU_SOURCE
#include "plain.h"

#include <sched.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define STACK_BYTES (1 << 20)

static int parents; /* the backend of the session that the parent has left idle */

/*
 * Two connections at once, each on a backend of its own, from their beginning to their end; one
 * with a copy of the memory has none of the parent's.
 */
static int connect_in_child(void *copy)
{
	PGconn *conns[2];
	int pids[2];

	for (int i = 0; i < 2; i++) {
		conns[i] = PQconnectdb("");
		if (PQstatus(conns[i]) != CONNECTION_OK) {
			return 1;
		}
		pids[i] = ask(conns[i], "SELECT pg_backend_pid()");
	}
	PQfinish(conns[0]);
	PQfinish(conns[1]);
	if (pids[0] <= 0 || pids[1] <= 0 || pids[0] == pids[1]) {
		return 2;
	}
	return copy != NULL && (pids[0] == parents || pids[1] == parents) ? 3 : 0;
}

static void await(pid_t child)
{
	int status = -1;

	while (waitpid(child, &status, __WALL) < 0) {
	}
	printf("child: %s %d\n", WIFEXITED(status) ? "exit" : "signal",
	       WIFEXITED(status) ? WEXITSTATUS(status) : WTERMSIG(status));
}

static void copied(void)
{
	long child = syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL, NULL);

	if (child == 0) {
		_exit(connect_in_child("copy"));
	}
	await((pid_t)child);
}

static void shared(int flags)
{
	char *stack = malloc(STACK_BYTES);

	await(clone(connect_in_child, stack + STACK_BYTES, CLONE_VM | flags | SIGCHLD, NULL));
	free(stack);
}

int main(int argc, char **argv)
{
	const char *mode = argc > 1 ? argv[1] : "";
	PGconn *held = open_database();
	PGconn *conns[3];
	int backend = PQbackendPID(held);

	parents = touch();
	fflush(stdout);
	if (strcmp(mode, "copied") == 0) {
		copied();
	} else if (strcmp(mode, "shared") == 0) {
		shared(CLONE_VFORK);
	} else if (strcmp(mode, "beside") == 0) {
		shared(0);
	} else {
		return 2;
	}
	printf("held: %s\n",
	       ask(held, "SELECT pg_backend_pid()") == backend ? "same" : "another");
	PQfinish(held);
	/* With what the child may have left. */
	for (int i = 0; i < 3; i++) {
		conns[i] = open_database();
		printf("%d\n", ask(conns[i], "SELECT 1"));
	}
	for (int i = 0; i < 3; i++) {
		PQfinish(conns[i]);
	}
	return 0;
}
