/* SPDX-License-Identifier: PostgreSQL */
/* One session, or the room for one. */
#include "keep/session/session.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "common/xalloc.h"
#include "keep/settings.h"

#define ADDRESS_MAX sizeof(struct sockaddr_storage)

/* ---- the record ---- */

uint32_t session_record_length(const struct keeper_record *record)
{
	return record->address_len + record->startup_len + record->reply_len;
}

bool session_record_is_sound(const struct keeper_record *record, size_t n)
{
	return record->facts_len <= sizeof(record->facts) &&
	       record->address_len <= ADDRESS_MAX && record->startup_len <= KEEPER_RECORD_MAX &&
	       record->reply_len <= KEEPER_RECORD_MAX &&
	       session_record_length(record) <= KEEPER_RECORD_MAX &&
	       session_record_length(record) <= n;
}

static bool set_parameter(void *arg, const char *name, const char *value)
{
	struct session *session = arg;
	struct keeper_record *record = &session->record;
	size_t before = record->address_len + record->startup_len;

	/* Behind a pooler: what the program connected with is lost (start_settings.h). */
	if (session->reply.resets > 0 &&
	    reply_start_differs(session->bytes + before, record->reply_len, name, value)) {
		return false;
	}
	session->bytes = xalloc_resize(session->bytes, KEEPER_RECORD_MAX, 1);
	return reply_start_set(session->bytes + before, &record->reply_len,
	                       KEEPER_RECORD_MAX - before, name, value);
}

/* ---- keepalive ---- */

static bool is_tcp(const struct session *session)
{
	return !session->record.local;
}

static int get_option(int fd, int level, int option)
{
	int value = 0;
	socklen_t n = sizeof(value);

	getsockopt(fd, level, option, &value, &n);
	return value;
}

static void set_keepalive(int fd, int on, int idle_s, int interval_s)
{
	setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle_s, sizeof(idle_s));
	setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval_s, sizeof(interval_s));
	setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
}

static void begin_keepalive(struct session *session)
{
	struct keepalive *k = &session->keepalive;
	int seconds = (int)((settings.keepalive_ns + NS_PER_SEC - 1) / NS_PER_SEC);

	if (!is_tcp(session) || seconds == 0) {
		return;
	}
	k->on = get_option(session->fd, SOL_SOCKET, SO_KEEPALIVE);
	k->idle_s = get_option(session->fd, IPPROTO_TCP, TCP_KEEPIDLE);
	k->interval_s = get_option(session->fd, IPPROTO_TCP, TCP_KEEPINTVL);
	k->replaced = true;
	/* The kernel allows no more than nine hours. */
	seconds = seconds < 32767 ? seconds : 32767;
	set_keepalive(session->fd, 1, seconds, seconds < 10 ? seconds : 10);
}

/* ---- held ---- */

bool session_hold(struct session *session, unsigned answers, uint64_t now_ns,
                  void (*ready)(struct watch *watch))
{
	session->reply = (struct reply){.resets = answers};
	session->patience_ns = now_ns + settings.ping_timeout_ns;
	session->held_ns = now_ns;
	session->unanswered_ns = 0;
	session->proved_ns = 0;
	begin_keepalive(session);
	if (!loop_watch(&session->watch, session->fd, ready)) {
		return false;
	}
	loop_call_at(session->patience_ns);
	return true;
}

void session_let_go(struct session *session)
{
	struct keepalive *k = &session->keepalive;

	loop_unwatch(&session->watch);
	if (k->replaced) {
		set_keepalive(session->fd, k->on, k->idle_s, k->interval_s);
		k->replaced = false;
	}
}

bool session_ping(struct session *session, uint64_t now_ns)
{
	session->reply.ping = true;
	session->unanswered_ns = now_ns;
	session->patience_ns = now_ns + settings.ping_timeout_ns;
	loop_call_at(session->patience_ns);
	return send(session->fd, REPLY_PING, REPLY_PING_LEN, MSG_DONTWAIT | MSG_NOSIGNAL) ==
	       REPLY_PING_LEN;
}

/* Reads the messages in `bytes`, and keeps the rest of them for later. */
static enum reply_outcome digest(struct session *session, const uint8_t *bytes, size_t n)
{
	size_t used;
	enum reply_outcome outcome =
		reply_read(&session->reply, bytes, n, &used, set_parameter, session);
	uint8_t *rest = NULL;

	if (outcome == REPLY_GOOD && used < n) {
		rest = xalloc_new(n - used, 1);
		memcpy(rest, bytes + used, n - used);
	}
	free(session->rest);
	session->rest = rest;
	session->rest_len = rest != NULL ? n - used : 0;
	return outcome;
}

bool session_read(struct session *session, uint64_t now_ns, const char **why, bool *suspect)
{
	static uint8_t buffer[2 * REPLY_MESSAGE_MAX];
	bool was_due = reply_is_due(&session->reply);
	bool came = session->rest_len > 0 || session->reply.begun;

	*why = session->reply.resets > 0 ? "reset_failed" : "ping_failed";
	*suspect = false;
	for (;;) {
		size_t rest = session->rest_len;
		ssize_t n;

		if (rest > 0) {
			memcpy(buffer, session->rest, rest);
		}
		n = recv(session->fd, buffer + rest, sizeof(buffer) - rest, MSG_DONTWAIT);
		if (n < 0 && errno == EINTR) {
			continue;
		}
		if (n < 0 && errno == EAGAIN) {
			break;
		}
		if (n <= 0) {
			*suspect = true;
			return false;
		}
		came = true;
		switch (digest(session, buffer, rest + (size_t)n)) {
		case REPLY_GOOD:
			break;
		case REPLY_ENDED:
			*suspect = true;
			return false;
		case REPLY_BAD:
			return false;
		}
	}
	if (!came && was_due) {
		session->unanswered_ns = now_ns;
	}
	if (was_due && !reply_is_due(&session->reply)) {
		session->proved_ns = session->unanswered_ns;
	}
	return true;
}

bool session_is_ended(const struct session *session)
{
	struct pollfd look = {.fd = session->fd, .events = POLLRDHUP};

	return poll(&look, 1, 0) > 0;
}

void session_terminate(struct session *session)
{
	loop_unwatch(&session->watch);
	send(session->fd, REPLY_TERMINATE, REPLY_TERMINATE_LEN, MSG_DONTWAIT | MSG_NOSIGNAL);
	shutdown(session->fd, SHUT_WR);
}

bool session_has_ended(struct session *session)
{
	uint8_t unread[4096];
	ssize_t n;

	do {
		n = recv(session->fd, unread, sizeof(unread), MSG_DONTWAIT);
	} while (n > 0 || (n < 0 && errno == EINTR));
	return n == 0 || errno != EAGAIN;
}

/* A program may have had close(2) wait for the peer. */
static void close_at_once(int fd)
{
	const struct linger no = {.l_onoff = 0};

	setsockopt(fd, SOL_SOCKET, SO_LINGER, &no, sizeof(no));
	close(fd);
}

void session_free(struct session *session, enum session_end how)
{
	loop_unwatch(&session->watch);
	if (session->fd >= 0) {
		if (how != SESSION_FORGET) {
			shutdown(session->fd, SHUT_RDWR);
		}
		close_at_once(session->fd);
	}
	free(session->rest);
	free(session->bytes);
	free(session->place);
	free(session);
}
