/* SPDX-License-Identifier: PostgreSQL */
/* Answers HTTP requests for the metrics. */
#include "metrics/http_server.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "metrics/http_request.h"

#define CONNECTION_NS (5 * NS_PER_SEC)
/* Without a descriptor to accept by, the next try is after so long. */
#define RETRY_MS      1000

struct connection {
	int fd; /* -1: the place is free */
	uint64_t deadline_ns;
	char request[HTTP_REQUEST_BYTES];
	size_t got;
	char *answer; /* NULL: its request is still coming */
	size_t length;
	size_t sent;
};

enum { SIGNALS, LISTENER, OTHERS };

static struct connection connections[HTTP_SERVER_CONNECTIONS];

/* ---- answers ---- */

static const char *reason_of(int status)
{
	switch (status) {
	case 200:
		return "OK";
	case 404:
		return "Not Found";
	case 405:
		return "Method Not Allowed";
	case 431:
		return "Request Header Fields Too Large";
	case 500:
		return "Internal Server Error";
	case 505:
		return "HTTP Version Not Supported";
	default:
		return "Bad Request";
	}
}

/* The body that goes with the request's status, which becomes 500 if there is none. */
static char *make_body(struct http_request *request, http_server_write *write_metrics,
                       size_t *length)
{
	char *body = NULL;
	FILE *to = open_memstream(&body, length);
	bool good = to != NULL;

	if (good && request->status == 200) {
		good = write_metrics(&(struct exposition){.to = to, .format = request->format});
	} else if (good) {
		fprintf(to, "%s\n", reason_of(request->status));
	}
	if (to != NULL && fclose(to) != 0) {
		good = false;
	}
	if (!good) {
		free(body);
		body = NULL;
		*length = 0;
		request->status = 500;
	}
	return body;
}

static void make_answer(struct connection *c, struct http_request *request,
                        http_server_write *write_metrics)
{
	size_t length = 0;
	char *body = make_body(request, write_metrics, &length);
	FILE *to = open_memstream(&c->answer, &c->length);

	if (to != NULL) {
		fprintf(to, "HTTP/1.1 %d %s\r\n", request->status, reason_of(request->status));
		fprintf(to, "Content-Type: %s\r\n",
		        request->status == 200 ? exposition_media_type(request->format)
		                               : "text/plain; charset=utf-8");
		if (request->status == 405) {
			fputs("Allow: GET, HEAD\r\n", to);
		}
		fprintf(to,
		        "Content-Length: %zu\r\nVary: Accept\r\nCache-Control: no-store\r\n"
		        "X-Content-Type-Options: nosniff\r\nConnection: close\r\n\r\n",
		        length);
		if (!request->head && body != NULL) {
			fwrite(body, 1, length, to);
		}
		if (fclose(to) != 0) {
			free(c->answer);
			c->answer = NULL;
		}
	}
	free(body);
}

/* ---- connections ---- */

static void end(struct connection *c)
{
	close(c->fd);
	free(c->answer);
	*c = (struct connection){.fd = -1};
}

static void send_answer(struct connection *c)
{
	ssize_t n = send(c->fd, c->answer + c->sent, c->length - c->sent, MSG_NOSIGNAL);

	if (n < 0) {
		if (errno != EAGAIN && errno != EINTR) {
			end(c);
		}
		return;
	}
	c->sent += (size_t)n;
	/*
	 * What the client still sends is read before the close: else the kernel would tell it
	 * that its connection was reset, and the answer might be lost.
	 */
	if (c->sent == c->length && shutdown(c->fd, SHUT_WR) != 0) {
		end(c);
	}
}

static void read_request(struct connection *c, http_server_write *write_metrics)
{
	struct http_request request;
	ssize_t n = recv(c->fd, c->request + c->got, sizeof(c->request) - c->got, 0);

	if (n <= 0) {
		if (n == 0 || (errno != EAGAIN && errno != EINTR)) {
			end(c);
		}
		return;
	}
	c->got += (size_t)n;
	if (!http_request_read(&request, c->request, c->got)) {
		return;
	}
	make_answer(c, &request, write_metrics);
	if (c->answer != NULL) {
		send_answer(c);
	} else {
		end(c);
	}
}

/* Until the client has closed it, too. */
static void read_rest(struct connection *c)
{
	ssize_t n = recv(c->fd, c->request, sizeof(c->request), 0);

	if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) {
		end(c);
	}
}

static void serve(struct connection *c, http_server_write *write_metrics)
{
	if (c->answer == NULL) {
		read_request(c, write_metrics);
	} else if (c->sent < c->length) {
		send_answer(c);
	} else {
		read_rest(c);
	}
}

static struct connection *free_place(void)
{
	for (size_t i = 0; i < HTTP_SERVER_CONNECTIONS; i++) {
		if (connections[i].fd < 0) {
			return &connections[i];
		}
	}
	return NULL;
}

/* False: not now, for want of a descriptor or memory. */
static bool accept_one(int listener)
{
	struct connection *place = free_place();
	int fd;

	if (place == NULL) {
		return true;
	}
	fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	if (fd < 0) {
		return errno != EMFILE && errno != ENFILE && errno != ENOBUFS &&
		       errno != ENOMEM;
	}
	place->fd = fd;
	place->deadline_ns = clock_monotonic_ns() + CONNECTION_NS;
	return true;
}

/* ---- waiting ---- */

/* Ends the connections whose time is up; milliseconds until the next one's is, or -1. */
static int end_late_ones(void)
{
	uint64_t now_ns = clock_monotonic_ns();
	uint64_t next_ns = DEADLINE_NEVER;

	for (size_t i = 0; i < HTTP_SERVER_CONNECTIONS; i++) {
		struct connection *c = &connections[i];

		if (c->fd >= 0 && c->deadline_ns <= now_ns) {
			end(c);
		}
		if (c->fd >= 0 && c->deadline_ns < next_ns) {
			next_ns = c->deadline_ns;
		}
	}
	return next_ns == DEADLINE_NEVER ? -1 : clock_ms_until(now_ns, next_ns);
}

static short events_of(const struct connection *c)
{
	return c->answer != NULL && c->sent < c->length ? POLLOUT : POLLIN;
}

/* Until a signal comes. False: see errno. */
static bool loop(int signals, int listener, http_server_write *write_metrics)
{
	struct pollfd fds[OTHERS + HTTP_SERVER_CONNECTIONS];
	bool accepting = true;

	for (;;) {
		int timeout = end_late_ones();

		fds[SIGNALS] = (struct pollfd){.fd = signals, .events = POLLIN};
		fds[LISTENER] =
			(struct pollfd){.fd = accepting && free_place() != NULL ? listener : -1,
		                        .events = POLLIN};
		for (size_t i = 0; i < HTTP_SERVER_CONNECTIONS; i++) {
			fds[OTHERS + i] = (struct pollfd){.fd = connections[i].fd,
			                                  .events = events_of(&connections[i])};
		}
		if (!accepting && (timeout < 0 || timeout > RETRY_MS)) {
			timeout = RETRY_MS;
		}
		if (poll(fds, OTHERS + HTTP_SERVER_CONNECTIONS, timeout) < 0) {
			if (errno != EINTR) {
				return false;
			}
			continue;
		}
		if (fds[SIGNALS].revents != 0) {
			return true;
		}
		for (size_t i = 0; i < HTTP_SERVER_CONNECTIONS; i++) {
			if (fds[OTHERS + i].revents != 0) {
				serve(&connections[i], write_metrics);
			}
		}
		accepting = fds[LISTENER].revents == 0 || accept_one(listener);
	}
}

int http_server_signals(void)
{
	sigset_t ends;

	sigemptyset(&ends);
	sigaddset(&ends, SIGTERM);
	sigaddset(&ends, SIGINT);
	sigprocmask(SIG_BLOCK, &ends, NULL);
	return signalfd(-1, &ends, SFD_CLOEXEC | SFD_NONBLOCK);
}

bool http_server_run(int signals, int listener, http_server_write *write_metrics)
{
	bool good;

	for (size_t i = 0; i < HTTP_SERVER_CONNECTIONS; i++) {
		connections[i].fd = -1;
	}
	good = loop(signals, listener, write_metrics);
	for (size_t i = 0; i < HTTP_SERVER_CONNECTIONS; i++) {
		if (connections[i].fd >= 0) {
			end(&connections[i]);
		}
	}
	return good;
}
