/* SPDX-License-Identifier: PostgreSQL */
/*
 * forks MODE: forks with connections open and finished, and prints what becomes of them:
 * "same" where a connection is on the backend it was on before.
 */
#define _GNU_SOURCE
#include "plain.h"

#include <fcntl.h>
#include <pthread.h>
#include <spawn.h>
#include <stdatomic.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

static void expect(const char *what, int is)
{
	printf("%s: %s\n", what, is ? "yes" : "no");
	fflush(stdout);
}

static int status_of(pid_t child)
{
	int status = -1;

	while (waitpid(child, &status, 0) < 0) {
	}
	return status;
}

static pid_t fork_flushed(void)
{
	fflush(NULL);
	return fork();
}

static void leave(int by_exit)
{
	if (by_exit) {
		exit(0);
	}
	fflush(NULL);
	_exit(0);
}

/* How many descriptors up to 1023 are sockets. */
static int sockets(void)
{
	struct stat st;
	int n = 0;

	for (int fd = 3; fd < 1024; fd++) {
		n += fstat(fd, &st) == 0 && S_ISSOCK(st.st_mode);
	}
	return n;
}

/* ---- the child has connections of its own ------------------------------------------ */

static void child_connects(int by_exit)
{
	PGconn *leased = open_database();
	int backend = PQbackendPID(leased);
	int idle = touch();
	pid_t child = fork_flushed();

	if (child == 0) {
		int inherited = sockets();
		int own = touch();

		expect("child has no socket but the lease's", inherited == 1);
		expect("child is on a backend of its own", own != backend && own != idle);
		expect("child's second connect works", touch() > 0);
		leave(by_exit);
	}
	expect("child ended well", status_of(child) == 0);
	expect("lease is on the same backend",
	       ask(leased, "SELECT pg_backend_pid()") == backend);
	touch();
	PQfinish(leased);
}

static void child_exit(void)
{
	child_connects(1);
}

static void child__exit(void)
{
	child_connects(0);
}

/* The child does with its copies what it does with everything: it finishes them. */
static void inherited(void)
{
	PGconn *leased = open_database();
	int backend = PQbackendPID(leased);
	pid_t child = fork_flushed();

	if (child == 0) {
		PQfinish(leased);
		touch();
		exit(0);
	}
	expect("child ended well", status_of(child) == 0);
	expect("lease is on the same backend",
	       ask(leased, "SELECT pg_backend_pid()") == backend);
	PQfinish(leased);
}

/* The child leaves the parent's connection open, which is not a leak of its own. */
static void not_finished(void)
{
	PGconn *leased = open_database();
	pid_t child = fork_flushed();

	if (child == 0) {
		exit(0);
	}
	expect("child ended well", status_of(child) == 0);
	PQfinish(leased);
}

static void crossed(void)
{
	PGconn *leased = open_database();
	int backend = PQbackendPID(leased);
	pid_t child = fork_flushed();

	if (child == 0) {
		_exit(0);
	}
	status_of(child);
	PQfinish(leased);
	expect("backend is used again", touch() == backend);
}

/* ---- the parent goes first ----------------------------------------------------------- */

static void parent_first(void)
{
	PGconn *conn = open_database();
	int backend = PQbackendPID(conn);
	int gone[2];
	char c;

	touch();
	if (pipe(gone) != 0 || fork_flushed() != 0) {
		_exit(0);
	}
	close(gone[1]);
	expect("parent is gone", read(gone[0], &c, 1) == 0);
	expect("connection is on the same backend",
	       ask(conn, "SELECT pg_backend_pid()") == backend);
	PQfinish(conn);
	touch();
	expect("new connections work", touch() > 0);
}

/* ---- many children --------------------------------------------------------------------- */

#define CHILDREN 4
#define CONNECTS 50

static void serve(void)
{
	for (int i = 0; i < CONNECTS; i++) {
		touch();
	}
	exit(0);
}

static void prefork(void)
{
	pid_t children[CHILDREN];
	int backend = touch();

	for (int i = 0; i < CHILDREN; i++) {
		children[i] = fork_flushed();
		if (children[i] == 0) {
			serve();
		}
	}
	for (int i = 0; i < CHILDREN; i++) {
		expect("child ended well", status_of(children[i]) == 0);
	}
	expect("idle session is still there", touch() == backend);
}

static atomic_int stop;
static atomic_int cycled; /* threads that have */

static void *cycle(void *arg)
{
	(void)arg;
	touch();
	cycled++;
	while (!stop) {
		touch();
	}
	return NULL;
}

static void among_threads(void)
{
	pthread_t threads[4];
	int good = 0;

	for (int i = 0; i < 4; i++) {
		pthread_create(&threads[i], NULL, cycle, NULL);
	}
	/* A child that is forked while libpq opens a connection may find libpq's own lock
	 * taken. */
	while (cycled < 4) {
	}
	for (int i = 0; i < 50; i++) {
		pid_t child = fork();

		if (child == 0) {
			alarm(20);
			touch();
			_exit(0);
		}
		good += status_of(child) == 0;
	}
	stop = 1;
	for (int i = 0; i < 4; i++) {
		pthread_join(threads[i], NULL);
	}
	printf("%d children ended well\n", good);
}

/* ---- a thread is in its first connect --------------------------------------------------- */

static __thread int holds; /* the thread that is to stop */
static atomic_int held;
static atomic_int go_on;

/* In place of the C library's, for all: PQPOOL_PING_QUERY is copied while we start. */
char *strdup(const char *text)
{
	char *copy = malloc(strlen(text) + 1);

	if (holds && strcmp(text, "SELECT 1") == 0) {
		holds = 0;
		held = 1;
		while (!go_on) {
		}
	}
	return copy != NULL ? strcpy(copy, text) : NULL;
}

static void *start(void *arg)
{
	(void)arg;
	holds = 1;
	touch();
	return NULL;
}

static void starting(void)
{
	pthread_t thread;
	pid_t child;

	pthread_create(&thread, NULL, start, NULL);
	while (!held) {
	}
	child = fork();
	if (child == 0) {
		alarm(20);
		touch();
		_exit(0);
	}
	expect("child ended well", status_of(child) == 0);
	go_on = 1;
	pthread_join(thread, NULL);
	expect("connects work", touch() > 0);
}

/* ---- a thread is in the middle of a call, of whatever kind ------------------------------ */

static void *look(void *conn)
{
	while (!stop) {
		PQstatus(conn);
	}
	return NULL;
}

static void while_looking(void)
{
	PGconn *conn = open_database();
	pthread_t threads[4];
	int good = 0;

	for (int i = 0; i < 4; i++) {
		pthread_create(&threads[i], NULL, look, conn);
	}
	for (int i = 0; i < 100; i++) {
		pid_t child = fork();

		if (child == 0) {
			alarm(20);
			_exit(PQstatus(conn) != CONNECTION_OK);
		}
		if (status_of(child) != 0) {
			break;
		}
		good++;
	}
	stop = 1;
	for (int i = 0; i < 4; i++) {
		pthread_join(threads[i], NULL);
	}
	PQfinish(conn);
	printf("%d children ended well\n", good);
}

/* ---- other ways to start a program ----------------------------------------------------- */

static int by_vfork(char **argv)
{
	pid_t child = vfork();

	if (child == 0) {
		execv(argv[0], argv);
		_exit(127);
	}
	return status_of(child);
}

static int by_spawn(char **argv)
{
	pid_t child;

	return posix_spawn(&child, argv[0], NULL, NULL, argv, environ) == 0 ? status_of(child)
	                                                                    : -1;
}

static int by_popen(const char *command)
{
	FILE *pipe = popen(command, "r");
	char line[16] = "";

	expect("popen's output", fgets(line, sizeof(line), pipe) && strcmp(line, "42\n") == 0);
	return pclose(pipe);
}

static void spawn(void)
{
	char shell[] = "/bin/sh";
	char dash_c[] = "-c";
	char command[] = "exit 3";
	char nothing[] = "/nonexistent";
	char *argv[] = {shell, dash_c, command, NULL};
	char *none[] = {nothing, NULL};
	PGconn *leased = open_database();
	int backend = PQbackendPID(leased);
	int idle = touch();

	expect("vfork", WEXITSTATUS(by_vfork(argv)) == 3);
	expect("vfork and no such program", WEXITSTATUS(by_vfork(none)) == 127);
	expect("posix_spawn", WEXITSTATUS(by_spawn(argv)) == 3);
	expect("system", WEXITSTATUS(system("exit 4")) == 4);
	expect("popen", WEXITSTATUS(by_popen("echo 42; exit 5")) == 5);
	expect("lease is on the same backend",
	       ask(leased, "SELECT pg_backend_pid()") == backend);
	expect("idle session is still there", touch() == idle);
	PQfinish(leased);
}

/* Whoever registers them before the first connect has them run while all locks are held. */
static void before_fork(void)
{
	expect("connects before the fork", touch() > 0);
}

static void after_fork(void)
{
	expect("connects after the fork", touch() > 0);
}

static void in_child(void)
{
	expect("connects in the child", touch() > 0);
}

static void handlers(void)
{
	pid_t child;

	pthread_atfork(before_fork, after_fork, in_child);
	expect("first", touch() > 0);
	child = fork_flushed();
	if (child == 0) {
		expect("child connects", touch() > 0);
		leave(1);
	}
	expect("child ended well", status_of(child) == 0);
	expect("connects later", touch() > 0);
}

static const struct {
	const char *name;
	void (*use)(void);
} modes[] = {
	{"child_exit", child_exit}, {"child__exit", child__exit},
	{"inherited", inherited},   {"not_finished", not_finished},
	{"crossed", crossed},       {"parent_first", parent_first},
	{"prefork", prefork},       {"among_threads", among_threads},
	{"spawn", spawn},           {"while_looking", while_looking},
	{"starting", starting},     {"handlers", handlers},
};

int main(int argc, char **argv)
{
	for (size_t i = 0; argc == 2 && i < sizeof(modes) / sizeof(modes[0]); i++) {
		if (strcmp(modes[i].name, argv[1]) == 0) {
			modes[i].use();
			return 0;
		}
	}
	return 64;
}
