/* SPDX-License-Identifier: PostgreSQL */
/* How long the kernel waits for a network peer that acknowledges nothing. */
#include "session/socket/user_timeout.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include "base/clock.h"

void user_timeout_limit(struct session *session, uint64_t limit_ns)
{
	unsigned limit_ms = (unsigned)(limit_ns / NS_PER_MS);
	unsigned before_ms = 0;
	socklen_t size = sizeof(before_ms);
	int fd = session->libpq->PQsocket(session->conn);

	session->check.silence_limited =
		!session->local &&
		getsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &before_ms, &size) == 0 &&
		setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &limit_ms, sizeof(limit_ms)) == 0;
	session->check.silence_before_ms = before_ms;
}

void user_timeout_lift(struct session *session)
{
	if (session->check.silence_limited) {
		session->check.silence_limited = false;
		setsockopt(session->libpq->PQsocket(session->conn), IPPROTO_TCP,
		           TCP_USER_TIMEOUT, &session->check.silence_before_ms,
		           sizeof(session->check.silence_before_ms));
	}
}
