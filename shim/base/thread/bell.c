/* SPDX-License-Identifier: PostgreSQL */
/* A descriptor that one thread sleeps on until another rings. */
#include "base/thread/bell.h"

#include <stdint.h>
#include <sys/eventfd.h>
#include <unistd.h>

/* (descriptor + 1) << FD_SHIFT | the sleeper has closed it | the number of claims */
#define FD_SHIFT 8
#define CLOSED   0x80u
#define CLAIMS   0x7fu
#define FD_MAX   ((1 << (31 - FD_SHIFT)) - 2)

static int fd_of(unsigned state)
{
	return (int)(state >> FD_SHIFT) - 1;
}

static int hang(struct bell *bell)
{
	int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

	if (fd > FD_MAX) {
		close(fd);
		fd = -1;
	}
	atomic_store(&bell->state, (unsigned)(fd + 1) << FD_SHIFT);
	return fd;
}

int bell_open(struct bell *bell)
{
	unsigned state = atomic_load(&bell->state);
	uint64_t rung;
	ssize_t done;

	while (state != 0 &&
	       !atomic_compare_exchange_weak(&bell->state, &state, state & ~CLOSED)) {
	}
	if (state == 0) {
		return hang(bell);
	}
	/* What rang before is over; there may be nothing. */
	done = read(fd_of(state), &rung, sizeof(rung));
	(void)done;
	return fd_of(state);
}

void bell_close(struct bell *bell)
{
	unsigned state = atomic_load(&bell->state);
	unsigned after;

	do {
		after = (state & CLAIMS) == 0 ? 0 : state | CLOSED;
	} while (state != 0 && !atomic_compare_exchange_weak(&bell->state, &state, after));
	if (state != 0 && after == 0) {
		close(fd_of(state));
	}
}

bool bell_claim(struct bell *bell)
{
	unsigned state = atomic_load(&bell->state);

	do {
		/* One of so many will ring. */
		if (state == 0 || (state & CLOSED) != 0 || (state & CLAIMS) == CLAIMS) {
			return false;
		}
	} while (!atomic_compare_exchange_weak(&bell->state, &state, state + 1));
	return true;
}

static unsigned without_a_claim(unsigned state)
{
	/* In a child that a signal handler forked since it was claimed it is forgotten. */
	return state == 0 || (state & (CLOSED | CLAIMS)) == (CLOSED | 1) ? 0 : state - 1;
}

void bell_ring(struct bell *bell)
{
	const uint64_t one = 1;
	unsigned state = atomic_load(&bell->state);
	unsigned after;
	/* It fails only if it rings already. */
	ssize_t done = write(fd_of(state), &one, sizeof(one));

	(void)done;
	do {
		after = without_a_claim(state);
	} while (!atomic_compare_exchange_weak(&bell->state, &state, after));
	if (state != 0 && after == 0) {
		close(fd_of(state));
	}
}

void bell_forget(struct bell *bell)
{
	unsigned state = atomic_exchange(&bell->state, 0);

	if (state != 0) {
		close(fd_of(state));
	}
}
