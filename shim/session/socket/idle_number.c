/* SPDX-License-Identifier: PostgreSQL */
/* The descriptors of idle sessions, which to the program are closed. */
#include "session/socket/idle_number.h"

#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/thread/pid.h"

struct idle_number idle_numbers[IDLE_NUMBER_MAX] SPARSE;

/* The code of all libpqs that have noted one, from the lowest to the highest address. */
static atomic_uintptr_t from = UINTPTR_MAX;
static atomic_uintptr_t to;
static atomic_int noted_by; /* the process */

static void widen_down(atomic_uintptr_t *bound, uintptr_t value)
{
	uintptr_t now = atomic_load_explicit(bound, memory_order_relaxed);

	while (value < now && !atomic_compare_exchange_weak(bound, &now, value)) {
	}
}

static void widen_up(atomic_uintptr_t *bound, uintptr_t value)
{
	uintptr_t now = atomic_load_explicit(bound, memory_order_relaxed);

	while (value > now && !atomic_compare_exchange_weak(bound, &now, value)) {
	}
}

void idle_number_note(const struct libpq *libpq, int fd, ino_t socket)
{
	if (libpq->end == 0 || fd < 0 || fd >= IDLE_NUMBER_MAX) {
		return;
	}
	widen_down(&from, libpq->base);
	widen_up(&to, libpq->end);
	if (atomic_load_explicit(&noted_by, memory_order_relaxed) != pid_self()) {
		atomic_store(&noted_by, pid_self());
	}
	atomic_store_explicit(&idle_numbers[fd].socket, socket, memory_order_release);
}

bool idle_number_refuses(const void *caller, int fd)
{
	uintptr_t at = (uintptr_t)caller;
	int saved_errno = errno;
	struct stat st;
	bool there;

	/* getpid and not pid_self: the child may be one of vfork, or of a raw clone. */
	if (!idle_number_may_be(fd) || getpid() != atomic_load(&noted_by) ||
	    (at >= atomic_load(&from) && at < atomic_load(&to))) {
		return false;
	}
	there = fstat(fd, &st) == 0 && S_ISSOCK(st.st_mode) &&
	        st.st_ino == atomic_load(&idle_numbers[fd].socket);
	errno = saved_errno;
	return there;
}
