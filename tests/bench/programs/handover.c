/* SPDX-License-Identifier: PostgreSQL */
/*
 * The least that sharing sessions between processes could cost. What is above it is what pqpool
 * costs.
 *
 * handover keep PATH    opens sessions, prints a line, and lends them at a socket until it is
 *                       ended; whoever comes is lent one, and whoever ends has given it back
 * handover take PATH    is lent one, asks it SELECT 1, has it reset, and ends. It has libpq
 *                       loaded and does not use it: no identity, no options, no proof of life,
 *                       no record, no connection that a program could use.
 */
#include <errno.h>
#include <fcntl.h>
#include <libpq-fe.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define SESSIONS 16

union control {
	struct cmsghdr header;
	char room[CMSG_SPACE(sizeof(int))];
};

static int free_sessions[SESSIONS];
static int count;
static int lent_to[1024]; /* by the descriptor of the borrower's connection */

static int fail(const char *what)
{
	fprintf(stderr, "handover: %s: %s\n", what, strerror(errno));
	return 1;
}

/* All that the server has said; the last of it is ReadyForQuery, "Z", its length, "I". */
static int take_answer(int session)
{
	char answer[4096];
	ssize_t n;

	do {
		n = recv(session, answer, sizeof(answer), 0);
	} while (n == (ssize_t)sizeof(answer) || (n > 6 && answer[n - 6] != 'Z'));
	return n > 6;
}

static int ask(int session, const char *statement)
{
	char message[64] = "Q";
	size_t len = strlen(statement) + 1;

	message[4] = (char)(len + 4);
	memcpy(message + 5, statement, len);
	return send(session, message, len + 5, MSG_NOSIGNAL) == (ssize_t)len + 5;
}

static int lend(int to, int session)
{
	char byte = 0;
	struct iovec piece = {&byte, 1};
	union control control = {.header = {.cmsg_level = SOL_SOCKET,
	                                    .cmsg_type = SCM_RIGHTS,
	                                    .cmsg_len = CMSG_LEN(sizeof(int))}};
	struct msghdr message = {.msg_iov = &piece,
	                         .msg_iovlen = 1,
	                         .msg_control = control.room,
	                         .msg_controllen = sizeof(control.room)};

	memcpy(CMSG_DATA(&control.header), &session, sizeof(session));
	return sendmsg(to, &message, MSG_NOSIGNAL) == 1;
}

static int borrow(int from)
{
	char byte;
	struct iovec piece = {&byte, 1};
	union control control;
	struct msghdr message = {.msg_iov = &piece,
	                         .msg_iovlen = 1,
	                         .msg_control = control.room,
	                         .msg_controllen = sizeof(control.room)};
	int session;

	if (recvmsg(from, &message, 0) != 1 || CMSG_FIRSTHDR(&message) == NULL) {
		return -1;
	}
	memcpy(&session, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof(session));
	return session;
}

static int socket_at(const char *path, struct sockaddr_un *address)
{
	address->sun_family = AF_UNIX;
	snprintf(address->sun_path, sizeof(address->sun_path), "%s", path);
	return socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
}

static int watch(int events, int fd)
{
	struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};

	return epoll_ctl(events, EPOLL_CTL_ADD, fd, &event);
}

/* A borrower's connection tells something: it came, or it ended. */
static void serve(int fd)
{
	char byte;

	if (count > 0 && recv(fd, &byte, 1, 0) == 1) {
		lent_to[fd] = free_sessions[--count];
		lend(fd, lent_to[fd]);
		return;
	}
	if (lent_to[fd] > 0 && take_answer(lent_to[fd])) {
		free_sessions[count++] = lent_to[fd];
		lent_to[fd] = 0;
	}
	close(fd);
}

static int keep(const char *path)
{
	struct sockaddr_un address;
	int listener = socket_at(path, &address);
	int events = epoll_create1(EPOLL_CLOEXEC);

	if (bind(listener, (struct sockaddr *)&address, sizeof(address)) != 0 ||
	    listen(listener, 64) != 0 || watch(events, listener) != 0) {
		return fail(path);
	}
	while (count < SESSIONS) {
		PGconn *conn = PQconnectdb("");

		if (PQstatus(conn) != CONNECTION_OK) {
			fprintf(stderr, "handover: %s", PQerrorMessage(conn));
			return 1;
		}
		free_sessions[count++] = PQsocket(conn);
		fcntl(PQsocket(conn), F_SETFL, 0); /* it is waited for where it is asked */
	}
	puts("ready");
	fflush(stdout);
	for (;;) {
		struct epoll_event event;

		if (epoll_wait(events, &event, 1, -1) != 1) {
			continue;
		}
		if (event.data.fd == listener) {
			watch(events, accept(listener, NULL, NULL));
		} else {
			serve(event.data.fd);
		}
	}
}

static int take(const char *path)
{
	struct sockaddr_un address;
	int keeper = socket_at(path, &address);
	int session;

	if (connect(keeper, (struct sockaddr *)&address, sizeof(address)) != 0 ||
	    send(keeper, "", 1, MSG_NOSIGNAL) != 1 || (session = borrow(keeper)) < 0) {
		return fail(path);
	}
	if (!ask(session, "SELECT 1") || !take_answer(session) ||
	    !ask(session, "DISCARD ALL")) {
		return fail("the session");
	}
	return 0;
}

int main(int argc, char **argv)
{
	if (argc != 3) {
		return 2;
	}
	return argv[1][0] == 'k' ? keep(argv[2]) : take(argv[2]);
}
