/* SPDX-License-Identifier: PostgreSQL */
/* TCP keepalive of a session that lies idle. */
#include "session/socket/keepalive.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

/* The kernel's. */
#define COUNT_MAX    127
#define INTERVAL_MAX 32767

static int get(int fd, int level, int option)
{
	int value = 0;
	socklen_t size = sizeof(value);

	return getsockopt(fd, level, option, &value, &size) == 0 ? value : 0;
}

static void set(int fd, const struct keepalive_options *to)
{
	setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &to->idle_s, sizeof(to->idle_s));
	setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &to->interval_s, sizeof(to->interval_s));
	setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &to->count, sizeof(to->count));
}

/* When the kernel gives up, after the last byte from the other side. */
static long gives_up_after(const struct keepalive_options *o)
{
	return o->idle_s + (long)o->interval_s * o->count;
}

static void look(struct keepalive *k, int fd, int idle_s)
{
	long interval_s;

	k->looked = true;
	k->before.idle_s = get(fd, IPPROTO_TCP, TCP_KEEPIDLE);
	k->before.interval_s = get(fd, IPPROTO_TCP, TCP_KEEPINTVL);
	k->before.count = get(fd, IPPROTO_TCP, TCP_KEEPCNT);
	/* Rounded up. */
	interval_s = (gives_up_after(&k->before) - idle_s + COUNT_MAX - 1) / COUNT_MAX;
	k->idle = (struct keepalive_options){idle_s, (int)interval_s, COUNT_MAX};
	k->left_be = get(fd, SOL_SOCKET, SO_KEEPALIVE) == 0 || k->before.idle_s <= idle_s ||
	             interval_s > INTERVAL_MAX || get(fd, IPPROTO_TCP, TCP_USER_TIMEOUT) != 0;
}

bool keepalive_lower(struct keepalive *keepalive, int fd, int idle_s)
{
	if (!keepalive->looked) {
		look(keepalive, fd, idle_s);
	}
	if (keepalive->left_be || keepalive->lowered) {
		return false;
	}
	keepalive->lowered = true;
	set(fd, &keepalive->idle);
	return true;
}

void keepalive_put_back(struct keepalive *keepalive, int fd)
{
	keepalive->lowered = false;
	set(fd, &keepalive->before);
}
