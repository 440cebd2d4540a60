/* SPDX-License-Identifier: PostgreSQL */
/* The socket options that a program may set on its connection. */
#include "session/socket/socket_options.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stddef.h>
#include <string.h>

/* From <asm-generic/socket.h>, which older C libraries do not pass on. */
#ifndef SO_BUF_LOCK
#define SO_BUF_LOCK 72
#endif

#define NUMBER sizeof(int)

/* In an order in which they can be put back: the kernel derives the priority from IP_TOS. */
static const struct {
	int level;
	int name;
	socklen_t size;
} listed[] = {
	{IPPROTO_IP, IP_TOS, NUMBER},
	{IPPROTO_IP, IP_TTL, NUMBER},
	{IPPROTO_IP, IP_MTU_DISCOVER, NUMBER},
	{IPPROTO_IPV6, IPV6_TCLASS, NUMBER},
	{IPPROTO_IPV6, IPV6_UNICAST_HOPS, NUMBER},
	{IPPROTO_TCP, TCP_USER_TIMEOUT, NUMBER},
	{IPPROTO_TCP, TCP_KEEPIDLE, NUMBER},
	{IPPROTO_TCP, TCP_KEEPINTVL, NUMBER},
	{IPPROTO_TCP, TCP_KEEPCNT, NUMBER},
	{IPPROTO_TCP, TCP_NODELAY, NUMBER},
	{IPPROTO_TCP, TCP_CORK, NUMBER},
	{IPPROTO_TCP, TCP_NOTSENT_LOWAT, NUMBER},
	{IPPROTO_TCP, TCP_CONGESTION, sizeof(((union socket_option *)0)->name)},
	{SOL_SOCKET, SO_KEEPALIVE, NUMBER},
	{SOL_SOCKET, SO_LINGER, sizeof(struct linger)},
	{SOL_SOCKET, SO_OOBINLINE, NUMBER},
	{SOL_SOCKET, SO_PRIORITY, NUMBER},
	{SOL_SOCKET, SO_MARK, NUMBER},
	{SOL_SOCKET, SO_RCVLOWAT, NUMBER},
	{SOL_SOCKET, SO_RCVTIMEO, sizeof(struct timeval)},
	{SOL_SOCKET, SO_SNDTIMEO, sizeof(struct timeval)},
	{SOL_SOCKET, SO_BUF_LOCK, NUMBER},
};

_Static_assert(sizeof(listed) / sizeof(listed[0]) == SOCKET_OPTIONS, "one value each");

atomic_uint socket_options_calls;

static bool get(int fd, size_t i, union socket_option *value)
{
	socklen_t size = listed[i].size;

	memset(value, 0, sizeof(*value));
	return getsockopt(fd, listed[i].level, listed[i].name, value, &size) == 0;
}

void socket_options_note(struct socket_options *options, int fd)
{
	options->known = 0;
	for (size_t i = 0; i < SOCKET_OPTIONS; i++) {
		if (get(fd, i, &options->values[i])) {
			options->known |= UINT32_C(1) << i;
		}
	}
}

static bool put_back(int fd, size_t i, const union socket_option *value)
{
	union socket_option now;

	return get(fd, i, &now) &&
	       (memcmp(&now, value, listed[i].size) == 0 ||
	        setsockopt(fd, listed[i].level, listed[i].name, value, listed[i].size) == 0);
}

bool socket_options_put_back(const struct socket_options *options, int fd)
{
	for (size_t i = 0; i < SOCKET_OPTIONS; i++) {
		if ((options->known >> i & 1) != 0 && !put_back(fd, i, &options->values[i])) {
			return false;
		}
	}
	/* libpq sets neither. */
	return (fcntl(fd, F_GETOWN) == 0 || fcntl(fd, F_SETOWN, 0) == 0) &&
	       (fcntl(fd, F_GETSIG) == 0 || fcntl(fd, F_SETSIG, 0) == 0);
}

bool socket_options_set_timeout(int fd, unsigned timeout_ms, unsigned *before_ms)
{
	socklen_t size = sizeof(*before_ms);

	return getsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, before_ms, &size) == 0 &&
	       setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &timeout_ms, sizeof(timeout_ms)) ==
	               0;
}
