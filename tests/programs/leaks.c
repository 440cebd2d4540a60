/* SPDX-License-Identifier: PostgreSQL */
/*
 * leaks MODE [FILE]: leaves connections open, and prints the backend and the thread of
 * each of them.
 */
#include "plain.h"

#include <fcntl.h>
#include <pthread.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static const char *file;

static void keep(PGconn *conn)
{
	printf("backend %d thread %ld\n", PQbackendPID(conn), syscall(SYS_gettid));
	fflush(stdout);
}

__attribute__((noinline)) static void *leak_here(void *arg)
{
	keep(open_second());
	return arg;
}

__attribute__((noinline)) static void *leak_there(void *arg)
{
	keep(open_second());
	keep(open_second());
	return arg;
}

static void none(void)
{
	PQfinish(open_database());
}

static void one(void)
{
	leak_here(NULL);
}

/* Taken once, for the life of the program. */
static void kept(void)
{
	keep(open_database());
}

static void in_threads(void)
{
	pthread_t threads[2];

	pthread_create(&threads[0], NULL, leak_here, NULL);
	pthread_create(&threads[1], NULL, leak_there, NULL);
	pthread_join(threads[0], NULL);
	pthread_join(threads[1], NULL);
}

static void unpooled(void)
{
	PGconn *conn = NULL;

	for (volatile int i = 0; i < 2; i++) {
		PQfinish(conn);
		conn = PQconnectdb("replication=database");
		if (PQstatus(conn) != CONNECTION_OK) {
			die("replication", conn);
		}
	}
	keep(conn);
}

/* ---- ends that must not report twice, or not at all -------------------------------------- */

static void vforked(void)
{
	pid_t child;

	leak_here(NULL);
	child = vfork();
	if (child == 0) {
		_exit(5);
	}
	waitpid(child, NULL, 0);
}

static void forked(void)
{
	pid_t child;

	leak_here(NULL);
	fflush(NULL);
	child = fork();
	if (child == 0) {
		_exit(5);
	}
	waitpid(child, NULL, 0);
}

/* The parent's are the parent's; the child is told of its own. */
static void in_child(void)
{
	pid_t child;

	PQfinish(open_database());
	fflush(NULL);
	child = fork();
	if (child == 0) {
		leak_there(NULL);
		exit(0);
	}
	waitpid(child, NULL, 0);
}

static void hurry(void)
{
	fflush(NULL);
	_exit(6);
}

static void exit_in_exit(void)
{
	leak_here(NULL);
	atexit(hurry);
}

static void exit_in_quick_exit(void)
{
	leak_here(NULL);
	at_quick_exit(hurry);
	quick_exit(7);
}

/* ---- descriptor 2 is not what it was ------------------------------------------------- */

static void file_for_stderr(int by_close)
{
	int fd;

	leak_here(NULL);
	if (by_close) {
		close(2);
	}
	fd = open(file, O_RDWR);
	if (fd != 2) {
		dup2(fd, 2);
		close(fd);
	}
}

static void stderr_replaced(void)
{
	file_for_stderr(0);
}

static void stderr_closed(void)
{
	file_for_stderr(1);
}

static void stderr_never(void)
{
	close(2);
	leak_here(NULL);
}

static const struct {
	const char *name;
	void (*use)(void);
} modes[] = {
	{"none", none},
	{"one", one},
	{"kept", kept},
	{"in_threads", in_threads},
	{"unpooled", unpooled},
	{"vforked", vforked},
	{"forked", forked},
	{"in_child", in_child},
	{"exit_in_exit", exit_in_exit},
	{"exit_in_quick_exit", exit_in_quick_exit},
	{"stderr_replaced", stderr_replaced},
	{"stderr_closed", stderr_closed},
	{"stderr_never", stderr_never},
};

int main(int argc, char **argv)
{
	file = argc > 2 ? argv[2] : "/dev/null";
	for (size_t i = 0; argc > 1 && i < sizeof(modes) / sizeof(modes[0]); i++) {
		if (strcmp(modes[i].name, argv[1]) == 0) {
			modes[i].use();
			return 0;
		}
	}
	return 64;
}
