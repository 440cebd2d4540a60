/* SPDX-License-Identifier: PostgreSQL */
/*
 * Many connections at once in one thread, by an event loop of the documented form.
 *
 *   async COUNT LOOP [QUERY]     LOOP: poll, select or epoll
 *
 * Each connects, asks QUERY (default: its backend's number), and finishes. Prints one line
 * per connection in the order of their numbers, and on stderr the longest time that a
 * single call of the loop's took, in milliseconds.
 */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <time.h>
#include <unistd.h>

#include <libpq-fe.h>

#define MAX 1000

enum step { CONNECTING, ASKING, DONE };

struct client {
	PGconn *conn;
	enum step step;
	PostgresPollingStatusType wants;
	int epoll_fd; /* the descriptor that is in the epoll set, -1 = none */
	char line[256];
};

static struct client clients[MAX];
static int count;
static const char *loop;
static const char *query;
static int epoll;
static double longest_ms;

static double now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static void note(double began_ms)
{
	double took_ms = now_ms() - began_ms;

	longest_ms = took_ms > longest_ms ? took_ms : longest_ms;
}

static void finish(struct client *c)
{
	double began_ms = now_ms();

	PQfinish(c->conn);
	note(began_ms);
	c->conn = NULL;
	c->epoll_fd = -1;
	c->step = DONE;
}

static void ask(struct client *c)
{
	if (PQstatus(c->conn) != CONNECTION_OK || !PQsendQuery(c->conn, query)) {
		snprintf(c->line, sizeof(c->line), "cannot ask: %s", PQerrorMessage(c->conn));
		finish(c);
		return;
	}
	c->step = ASKING;
	c->wants = PGRES_POLLING_READING;
}

static void go_on_connecting(struct client *c)
{
	double began_ms = now_ms();

	if (PQstatus(c->conn) == CONNECTION_OK && c->wants == PGRES_POLLING_READING) {
		snprintf(c->line, sizeof(c->line), "OK before the last poll");
	}
	c->wants = PQconnectPoll(c->conn);
	note(began_ms);
	if (c->wants == PGRES_POLLING_FAILED) {
		snprintf(c->line, sizeof(c->line), "failed (status %d, socket %d): %s",
		         PQstatus(c->conn) == CONNECTION_BAD, PQsocket(c->conn),
		         PQerrorMessage(c->conn));
		finish(c);
	} else if (c->wants == PGRES_POLLING_OK) {
		ask(c);
	}
}

static void go_on_asking(struct client *c)
{
	PGresult *result;

	if (!PQconsumeInput(c->conn)) {
		snprintf(c->line, sizeof(c->line), "lost: %s", PQerrorMessage(c->conn));
		finish(c);
		return;
	}
	while (!PQisBusy(c->conn)) {
		result = PQgetResult(c->conn);
		if (result == NULL) {
			finish(c);
			return;
		}
		if (PQresultStatus(result) == PGRES_TUPLES_OK && PQntuples(result) > 0) {
			snprintf(c->line, sizeof(c->line), "%s", PQgetvalue(result, 0, 0));
		} else {
			snprintf(c->line, sizeof(c->line), "%s", PQresultErrorMessage(result));
		}
		PQclear(result);
	}
}

static void go_on(struct client *c)
{
	if (c->step == CONNECTING) {
		go_on_connecting(c);
	} else if (c->step == ASKING) {
		go_on_asking(c);
	}
}

static int wants_write(const struct client *c)
{
	return c->step == CONNECTING && c->wants == PGRES_POLLING_WRITING;
}

static void turn_poll(void)
{
	static struct pollfd polls[MAX];

	for (int i = 0; i < count; i++) {
		polls[i].fd = clients[i].step == DONE ? -1 : PQsocket(clients[i].conn);
		polls[i].events = wants_write(&clients[i]) ? POLLOUT : POLLIN;
		polls[i].revents = 0;
	}
	poll(polls, (nfds_t)count, -1);
	for (int i = 0; i < count; i++) {
		if (polls[i].revents != 0) {
			go_on(&clients[i]);
		}
	}
}

static void turn_select(void)
{
	fd_set readable;
	fd_set writable;
	int fds[MAX];
	int top = -1;

	FD_ZERO(&readable);
	FD_ZERO(&writable);
	for (int i = 0; i < count; i++) {
		fds[i] = clients[i].step == DONE ? -1 : PQsocket(clients[i].conn);
		if (fds[i] >= 0) {
			FD_SET(fds[i], wants_write(&clients[i]) ? &writable : &readable);
			top = fds[i] > top ? fds[i] : top;
		}
	}
	select(top + 1, &readable, &writable, NULL, NULL);
	for (int i = 0; i < count; i++) {
		if (fds[i] >= 0 &&
		    (FD_ISSET(fds[i], &readable) || FD_ISSET(fds[i], &writable))) {
			go_on(&clients[i]);
		}
	}
}

/* Registers each anew at every turn, as a loop must that cannot know when it changes. */
static void turn_epoll(void)
{
	struct epoll_event ready[MAX];
	int n;

	for (int i = 0; i < count; i++) {
		struct client *c = &clients[i];
		struct epoll_event event = {.events = wants_write(c) ? EPOLLOUT : EPOLLIN,
		                            .data.u32 = (unsigned)i};

		if (c->epoll_fd >= 0) {
			epoll_ctl(epoll, EPOLL_CTL_DEL, c->epoll_fd, NULL);
			c->epoll_fd = -1;
		}
		if (c->step != DONE) {
			c->epoll_fd = PQsocket(c->conn);
			if (epoll_ctl(epoll, EPOLL_CTL_ADD, c->epoll_fd, &event) != 0) {
				perror("epoll_ctl");
				exit(1);
			}
		}
	}
	n = epoll_wait(epoll, ready, MAX, -1);
	for (int i = 0; i < n; i++) {
		go_on(&clients[ready[i].data.u32]);
	}
}

static int all_done(void)
{
	for (int i = 0; i < count; i++) {
		if (clients[i].step != DONE) {
			return 0;
		}
	}
	return 1;
}

static void start_all(void)
{
	for (int i = 0; i < count; i++) {
		double began_ms = now_ms();
		struct client *c = &clients[i];

		c->epoll_fd = -1;
		c->wants = PGRES_POLLING_WRITING;
		c->conn = PQconnectStart("");
		note(began_ms);
		if (c->conn == NULL || PQstatus(c->conn) == CONNECTION_BAD) {
			snprintf(c->line, sizeof(c->line), "no start: %s",
			         PQerrorMessage(c->conn));
			finish(c);
		}
	}
}

int main(int argc, char **argv)
{
	if (argc < 3 || (count = atoi(argv[1])) > MAX) {
		return 2;
	}
	loop = argv[2];
	query = argc > 3 ? argv[3] : "SELECT pg_backend_pid()";
	epoll = epoll_create1(EPOLL_CLOEXEC);
	start_all();
	while (!all_done()) {
		if (strcmp(loop, "poll") == 0) {
			turn_poll();
		} else if (strcmp(loop, "select") == 0) {
			turn_select();
		} else {
			turn_epoll();
		}
	}
	for (int i = 0; i < count; i++) {
		printf("%s%s", clients[i].line, strchr(clients[i].line, '\n') ? "" : "\n");
	}
	fprintf(stderr, "longest %.0f ms\n", longest_ms);
	return 0;
}
