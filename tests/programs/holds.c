/* SPDX-License-Identifier: PostgreSQL */
/*
 * holds END: takes ten connections, gives three back, holds seven, taken at three
 * places, one of them in a thread and one in an inlined function; prints "backend thread"
 * of each that it holds, and ends by END: return, kill, _exit (straight to the kernel), or
 * wait: when its input ends.
 */
#include "plain.h"

#include <pthread.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

static PGconn *opened(PGconn *conn)
{
	if (PQstatus(conn) != CONNECTION_OK) {
		die("connect", conn);
	}
	printf("%d %ld\n", PQbackendPID(conn), syscall(SYS_gettid));
	fflush(stdout);
	return conn;
}

__attribute__((noinline)) static void four_times(void)
{
	for (volatile int i = 0; i < 4; i++) { /* so that it is not unrolled */
		opened(PQconnectdb(""));       /* place: four */
	}
}

static inline __attribute__((always_inline)) PGconn *inlined(void)
{
	return opened(PQconnectdb("")); /* place: inlined */
}

__attribute__((noinline)) static void twice(void)
{
	for (volatile int i = 0; i < 2; i++) {
		inlined(); /* place: two */
	}
}

__attribute__((noinline)) static void *once(void *arg)
{
	PGconn *conn = NULL;

	for (volatile int i = 0; i < 2; i++) {
		PQfinish(conn);
		conn = PQconnectdb(""); /* place: one */
	}
	opened(conn);
	return arg;
}

static void end(const char *how)
{
	char buf[64];

	if (strcmp(how, "kill") == 0) {
		kill(getpid(), SIGKILL);
	} else if (strcmp(how, "_exit") == 0) {
		syscall(SYS_exit_group, 0);
	} else if (strcmp(how, "wait") == 0) {
		while (read(STDIN_FILENO, buf, sizeof(buf)) > 0) {
		}
	}
}

int main(int argc, char **argv)
{
	pthread_t thread;

	PQfinish(PQconnectdb(""));
	four_times();
	twice();
	pthread_create(&thread, NULL, once, NULL);
	pthread_join(thread, NULL);
	PQfinish(PQconnectdb(""));
	end(argc > 1 ? argv[1] : "return");
	return 0;
}
