/* SPDX-License-Identifier: PostgreSQL */
/* A descriptor that becomes readable when somebody rings or a time has come. */
#include "pool/doorbell.h"

#include <sys/epoll.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "base/clock.h"

static bool control(const struct doorbell *bell, int operation, int fd, uint32_t events)
{
	struct epoll_event event = {.events = events};

	/* Not by epoll_ctl, which may be watched for what the program does with it. */
	return syscall(SYS_epoll_ctl, bell->fd, operation, fd, &event) == 0;
}

bool doorbell_make(struct doorbell *bell)
{
	bell->fd = epoll_create1(EPOLL_CLOEXEC);
	bell->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	return bell->fd >= 0 && bell->timer_fd >= 0 &&
	       control(bell, EPOLL_CTL_ADD, bell->timer_fd, EPOLLIN);
}

static void close_if_open(int fd)
{
	if (fd >= 0) {
		close(fd);
	}
}

void doorbell_close(struct doorbell *bell)
{
	close_if_open(bell->fd);
	close_if_open(bell->timer_fd);
	*bell = DOORBELL_NONE;
}

void doorbell_set(const struct doorbell *bell, uint64_t at_ns)
{
	struct itimerspec when = {
		.it_value.tv_sec = (time_t)(at_ns / NS_PER_SEC),
		/* All zero would disarm it. */
		.it_value.tv_nsec = (long)(at_ns % NS_PER_SEC) | 1,
	};

	timerfd_settime(bell->timer_fd, TFD_TIMER_ABSTIME, &when, NULL);
}

void doorbell_ring(const struct doorbell *bell)
{
	doorbell_set(bell, 0);
}

void doorbell_watch(const struct doorbell *bell, int fd, uint32_t events)
{
	if (!control(bell, EPOLL_CTL_ADD, fd, events)) {
		control(bell, EPOLL_CTL_MOD, fd, events);
	}
}
