/* SPDX-License-Identifier: PostgreSQL */
/*
 * execs FUNCTION [CASE [FILE [ARGUMENT]]]: leaves two connections finished and becomes another
 * program, /bin/echo, by one of exec's functions.
 *
 * CASE: plain     (the default)
 *       handler   from a signal handler, and unblocks the signal first
 *       thread    from another thread than the main one
 *       searched  having tried three places where it is not
 *       failed    it cannot be started; connects again and goes on
 *       child     fork: the child does it; the parent goes on
 *       vchild    vfork, likewise
 *       leaking   with two connections open, FILE, which ARGUMENT is given to; if it cannot
 *                 be started, waits for the end of its input
 */
#define _GNU_SOURCE
#include "plain.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

static const char *function;
static const char *path = "/bin/echo";

static char *argv[] = {"echo", "one", "two", NULL};
static char *const own_environ[] = {"EXECS=1", NULL};

static int become(void)
{
	const char *file = strrchr(path, '/') + 1;

	if (strcmp(function, "execv") == 0) {
		return execv(path, argv);
	} else if (strcmp(function, "execve") == 0) {
		return execve(path, argv, own_environ);
	} else if (strcmp(function, "execvp") == 0) {
		return execvp(file, argv);
	} else if (strcmp(function, "execvpe") == 0) {
		return execvpe(file, argv, own_environ);
	} else if (strcmp(function, "fexecve") == 0) {
		return fexecve(open(path, O_RDONLY | O_CLOEXEC), argv, own_environ);
	} else if (strcmp(function, "execveat") == 0) {
		return execveat(AT_FDCWD, path, argv, own_environ, 0);
	} else if (strcmp(function, "execl") == 0) {
		return execl(path, "echo", "one", "two", NULL);
	} else if (strcmp(function, "execlp") == 0) {
		return execlp(file, "echo", "one", "two", NULL);
	} else if (strcmp(function, "execle") == 0) {
		return execle(path, "echo", "one", "two", NULL, own_environ);
	}
	exit(64);
}

static void make_idle(void)
{
	PGconn *first = open_database();
	PGconn *second = open_database();

	PQclear(PQexec(first, "BEGIN; SELECT 1"));
	PQfinish(second);
	PQfinish(first);
}

static void in_handler(int number)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, number);
	sigprocmask(SIG_UNBLOCK, &set, NULL);
	become();
}

static void *in_thread(void *arg)
{
	(void)arg;
	become();
	return NULL;
}

static void search(void)
{
	const char *const places[] = {"/no/such/folder/echo", "/etc/passwd", "/no/such"};

	for (int i = 0; i < 3; i++) {
		if (execve(places[i], argv, environ) == 0) {
			exit(65);
		}
	}
}

static void go_on(void)
{
	PGconn *conn = open_database();

	printf("%d\n", ask(conn, "SELECT 7"));
	PQfinish(conn);
	make_idle();
	fflush(stdout);
}

static void fail_and_go_on(void)
{
	path = "/no/such/folder/echo-that-is-not-there";
	printf("%d ", become());
	printf("%s\n", strerror(errno));
	go_on();
	exit(0);
}

static void leak(int argc, char **arguments)
{
	open_second();
	open_second();
	path = argc > 3 ? arguments[3] : path;
	argv[1] = argc > 4 ? arguments[4] : NULL;
	argv[2] = NULL;
}

static void in_child(pid_t child)
{
	int status = -1;

	if (child == 0) {
		become();
		_exit(66);
	}
	waitpid(child, &status, 0);
	printf("child %d\n", status);
	go_on();
	exit(0);
}

int main(int argc, char **arguments)
{
	const char *how = argc > 2 ? arguments[2] : "plain";
	pthread_t thread;

	function = argc > 1 ? arguments[1] : "";
	make_idle();
	if (strcmp(how, "handler") == 0) {
		signal(SIGUSR1, in_handler);
		raise(SIGUSR1);
	} else if (strcmp(how, "thread") == 0) {
		pthread_create(&thread, NULL, in_thread, NULL);
		pthread_join(thread, NULL);
	} else if (strcmp(how, "searched") == 0) {
		search();
	} else if (strcmp(how, "failed") == 0) {
		fail_and_go_on();
	} else if (strcmp(how, "child") == 0) {
		in_child(fork());
	} else if (strcmp(how, "vchild") == 0) {
		in_child(vfork());
	}
	if (strcmp(how, "leaking") == 0) {
		leak(argc, arguments);
		become();
		getchar();
		return 67;
	}
	return become();
}
