/* SPDX-License-Identifier: PostgreSQL */
/*
 * events MODE: watches the sockets of connections with epoll, as event loops do, and
 * prints what comes of it. Nothing it prints differs from one connection to the next.
 */
#define _GNU_SOURCE /* strerrorname_np */
#include "plain.h"

#include <errno.h>
#include <libpq-events.h>
#include <sys/epoll.h>
#include <sys/wait.h>
#include <unistd.h>

#define ROUNDS     4
#define STRAYS_MS  100
#define EVENTS_MAX 16

static int make_loop(void)
{
	int loop = epoll_create1(EPOLL_CLOEXEC);

	if (loop < 0) {
		perror("epoll_create1");
		exit(99);
	}
	return loop;
}

static void control(int loop, int op, int fd, uint32_t mask)
{
	static const char *const names[] = {"?", "add", "del", "mod"};
	struct epoll_event event = {.events = mask, .data.u32 = 42};
	int result;

	errno = 0;
	result = epoll_ctl(loop, op, fd, &event);
	printf("%s %d %s\n", names[op], result, strerrorname_np(errno));
}

static void watch(int loop, PGconn *conn)
{
	control(loop, EPOLL_CTL_ADD, PQsocket(conn), EPOLLIN);
}

/* What a loop reports of connections that are gone. */
static void tell_strays(int loop)
{
	struct epoll_event events[EVENTS_MAX];

	printf("%d strays\n", epoll_wait(loop, events, EVENTS_MAX, STRAYS_MS));
}

/* One statement, whose answer the loop announces. */
static void converse(int loop, PGconn *conn)
{
	struct epoll_event event = {0};
	int ready;

	PQsendQuery(conn, "SELECT 'through the loop' AS way");
	ready = epoll_wait(loop, &event, 1, 10000);
	printf("%d ready, in %d, data %u\n", ready, (event.events & EPOLLIN) != 0,
	       event.data.u32);
	show(PQgetResult(conn));
	while (PQgetResult(conn) != NULL) {
	}
}

/* Finished without a word to the loop, which is how closing a socket lets one do it. */
static void use_again(void)
{
	int loop = make_loop();

	for (int i = 0; i < ROUNDS; i++) {
		PGconn *conn = open_database();

		watch(loop, conn);
		control(loop, EPOLL_CTL_ADD, PQsocket(conn), EPOLLIN);
		converse(loop, conn);
		PQfinish(conn);
		tell_strays(loop);
	}
}

/* libuv adds, and on EEXIST modifies; it takes out what it knows. */
static void use_tidy(void)
{
	int loop = make_loop();

	for (int i = 0; i < ROUNDS; i++) {
		PGconn *conn = open_database();
		int fd = PQsocket(conn);

		watch(loop, conn);
		control(loop, EPOLL_CTL_MOD, fd, EPOLLIN | EPOLLONESHOT);
		converse(loop, conn);
		control(loop, EPOLL_CTL_DEL, fd, 0);
		control(loop, EPOLL_CTL_DEL, fd, 0);
		PQfinish(conn);
		/* Late, as some do it: EBADF if the number is free, which is not promised. */
		printf("late del %d\n",
		       epoll_ctl(loop, EPOLL_CTL_DEL, fd, &(struct epoll_event){0}));
		tell_strays(loop);
	}
}

/* Several at once, some of them gone, and one number that is no loop any more. */
static void use_loops(void)
{
	int lasting = make_loop();
	int other = make_loop();

	for (int i = 0; i < ROUNDS; i++) {
		PGconn *conn = open_database();
		int passing = make_loop();

		watch(passing, conn);
		watch(lasting, conn);
		watch(other, conn);
		close(passing);
		if (i == 1) {
			dup2(STDOUT_FILENO, other);
		}
		if (i == 2) {
			close(other);
			other = make_loop();
			watch(other, conn);
		}
		PQfinish(conn);
		tell_strays(lasting);
		tell_strays(other);
	}
	control(lasting, EPOLL_CTL_ADD, -1, EPOLLIN);
	control(-1, EPOLL_CTL_ADD, 0, EPOLLIN);
	control(lasting, EPOLL_CTL_ADD, lasting, EPOLLIN);
}

/* More loops than anybody keeps count of. */
static void use_many(void)
{
	int loops[200];

	for (int i = 0; i < 200; i++) {
		loops[i] = make_loop();
	}
	for (int i = 0; i < ROUNDS; i++) {
		PGconn *conn = open_database();
		struct epoll_event event = {.events = EPOLLIN};
		int added = 0;

		for (int j = 0; j < 200; j++) {
			added +=
				epoll_ctl(loops[j], EPOLL_CTL_ADD, PQsocket(conn), &event) == 0;
		}
		PQfinish(conn);
		printf("added %d\n", added);
		tell_strays(loops[0]);
		tell_strays(loops[199]);
	}
}

static int nothing(PGEventId id, void *info, void *arg)
{
	(void)id;
	(void)info;
	(void)arg;
	return 1;
}

/* Connections that nobody would keep, or that are broken. */
static void use_dropped(void)
{
	int loop = make_loop();

	for (int i = 0; i < ROUNDS; i++) {
		PGconn *conn = open_database();

		watch(loop, conn);
		if (i % 2 == 0) {
			PQregisterEventProc(conn, nothing, "nothing", NULL);
		} else {
			PQclear(PQexec(conn, "SELECT pg_terminate_backend(pg_backend_pid())"));
		}
		PQfinish(conn);
		tell_strays(loop);
	}
}

/* A child has the loop in common with its parent, and may have the same numbers. */
static void use_fork(void)
{
	int loop = make_loop();
	PGconn *conn = open_database();
	pid_t child;

	watch(loop, conn);
	fflush(stdout);
	child = fork();
	if (child == 0) {
		close(PQsocket(conn));
		use_again();
		for (int i = 0; i < ROUNDS; i++) {
			PGconn *own = open_database();

			/* The parent's number, and the parent's loop. */
			printf("same number %d\n", PQsocket(own) == PQsocket(conn));
			watch(loop, own);
			PQfinish(own);
		}
		fflush(stdout);
		_exit(0);
	}
	waitpid(child, NULL, 0);
	tell_strays(loop);
	converse(loop, conn);
	PQfinish(conn);
	tell_strays(loop);
}

static const struct {
	const char *name;
	void (*use)(void);
} modes[] = {
	{"again", use_again}, {"tidy", use_tidy},       {"loops", use_loops},
	{"many", use_many},   {"dropped", use_dropped}, {"fork", use_fork},
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
