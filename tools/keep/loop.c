/* SPDX-License-Identifier: PostgreSQL */
/* The event loop. */
#include "keep/loop.h"

#include <errno.h>
#include <sys/epoll.h>

#include "base/clock.h"

static int epoll = -1;
static uint64_t next_ns = DEADLINE_NEVER;
static bool ended;

bool loop_begin(void)
{
	epoll = epoll_create1(EPOLL_CLOEXEC);
	return epoll >= 0;
}

bool loop_watch(struct watch *watch, int fd, void (*ready)(struct watch *watch))
{
	struct epoll_event event = {.events = EPOLLIN | EPOLLRDHUP, .data.ptr = watch};

	watch->ready = ready;
	watch->fd = epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) == 0 ? fd : -1;
	return watch->fd >= 0;
}

void loop_unwatch(struct watch *watch)
{
	if (watch->fd >= 0) {
		epoll_ctl(epoll, EPOLL_CTL_DEL, watch->fd, NULL);
		watch->fd = -1;
	}
}

void loop_watch_output(struct watch *watch)
{
	/* Not EPOLLRDHUP: it would be true all the time once the other end's writing is closed.
	 */
	struct epoll_event event = {.events = EPOLLOUT, .data.ptr = watch};

	epoll_ctl(epoll, EPOLL_CTL_MOD, watch->fd, &event);
}

void loop_call_at(uint64_t ns)
{
	if (ns < next_ns) {
		next_ns = ns;
	}
}

void loop_run(void (*due)(uint64_t now_ns))
{
	/* One event at a time: what it does may free the owners of others. */
	struct epoll_event event;

	for (ended = false; !ended;) {
		uint64_t now_ns = clock_monotonic_ns();
		int n;

		if (now_ns >= next_ns) {
			next_ns = DEADLINE_NEVER;
			due(now_ns);
			continue;
		}
		n = epoll_wait(epoll, &event, 1,
		               next_ns == DEADLINE_NEVER ? -1
		                                         : clock_ms_until(now_ns, next_ns));
		if (n > 0) {
			struct watch *watch = event.data.ptr;

			watch->ready(watch);
		}
	}
}

void loop_end(void)
{
	ended = true;
}
