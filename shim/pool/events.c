/* SPDX-License-Identifier: PostgreSQL */
/*
 * The program's epoll registrations of our sockets.
 *
 * A slot of `instances` is the descriptor of one, plus one, in the lower half and a count
 * in the upper, which grows with every note: so a slot found to be out of date is emptied
 * only if nobody has noted the same number again meanwhile.
 */
#include "pool/events.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cold.h"
#include "base/dl.h"

/* Beyond either of these a session is closed instead of kept. */
#define FDS_MAX       65536
#define INSTANCES_MAX 128

#define NOTED_ONCE (UINT64_C(1) << 32)

static atomic_bool armed;
static atomic_uint_fast64_t added[FDS_MAX / 64]; /* a bit per descriptor */
static atomic_uint_fast64_t instances[INSTANCES_MAX];
static atomic_bool more_fds;       /* one beyond FDS_MAX was added */
static atomic_bool more_instances; /* one did not fit */

typedef int control_function(int epfd, int op, int fd, struct epoll_event *event);

static int control_by_system_call(int epfd, int op, int fd, struct epoll_event *event)
{
	return (int)syscall(SYS_epoll_ctl, epfd, op, fd, event);
}

/* The next definition after ours, found once: that of libc, or of another shim. */
static control_function *real_control(void)
{
	static _Atomic(control_function *) known;
	control_function *found = atomic_load_explicit(&known, memory_order_relaxed);
	int saved_errno = errno;

	if (found == NULL) {
		*(void **)&found = dl_next("epoll_ctl");
		found = found != NULL ? found : control_by_system_call;
		atomic_store_explicit(&known, found, memory_order_relaxed);
		errno = saved_errno;
	}
	return found;
}

int events_control(int epfd, int op, int fd, struct epoll_event *event)
{
	return real_control()(epfd, op, fd, event);
}

void events_arm(void)
{
	/* Found now, so that a signal handler's first call has nothing to look up. */
	real_control();
	atomic_store(&armed, true);
}

static uint64_t bit_of(int fd)
{
	return UINT64_C(1) << (fd % 64);
}

static bool is_instance(uint64_t slot, int epfd)
{
	return (uint32_t)slot == (uint32_t)epfd + 1;
}

static bool note_again(int epfd)
{
	for (size_t i = 0; i < INSTANCES_MAX; i++) {
		uint64_t slot = atomic_load(&instances[i]);

		while (is_instance(slot, epfd)) {
			if (atomic_compare_exchange_weak(&instances[i], &slot,
			                                 slot + NOTED_ONCE)) {
				return true;
			}
		}
	}
	return false;
}

static bool note_first(int epfd)
{
	for (size_t i = 0; i < INSTANCES_MAX; i++) {
		uint64_t slot = atomic_load(&instances[i]);

		while ((uint32_t)slot == 0) {
			uint64_t taken = slot + NOTED_ONCE + (uint32_t)epfd + 1;

			if (atomic_compare_exchange_weak(&instances[i], &slot, taken)) {
				return true;
			}
		}
	}
	return false;
}

bool events_noted(int fd)
{
	return fd >= 0 && fd < FDS_MAX && (atomic_load(&added[fd / 64]) & bit_of(fd)) != 0;
}

void events_note(int epfd, int fd)
{
	if (!atomic_load_explicit(&armed, memory_order_relaxed) || epfd < 0 || fd < 0) {
		return;
	}
	if (fd >= FDS_MAX) {
		atomic_store(&more_fds, true);
	} else {
		atomic_fetch_or(&added[fd / 64], bit_of(fd));
	}
	if (!note_again(epfd) && !note_first(epfd)) {
		atomic_store(&more_instances, true);
	}
}

/* Deletes the registration with one instance; forgets the instance if it is none. */
static COLD void delete_from(atomic_uint_fast64_t *instance, int fd)
{
	uint64_t slot = atomic_load(instance);
	struct epoll_event unused = {0};
	int epfd = (int)((uint32_t)slot - 1);

	if ((uint32_t)slot == 0 || events_control(epfd, EPOLL_CTL_DEL, fd, &unused) == 0) {
		return;
	}
	/* EINVAL: a number that something else has now. */
	if (errno == EBADF || errno == EINVAL) {
		atomic_compare_exchange_strong(instance, &slot, slot - (uint32_t)slot);
	}
}

bool events_forget(int fd)
{
	if (fd < 0 || fd >= FDS_MAX) {
		return fd < 0 || !atomic_load(&more_fds);
	}
	if ((atomic_load(&added[fd / 64]) & bit_of(fd)) == 0) {
		return true;
	}
	for (size_t i = 0; i < INSTANCES_MAX; i++) {
		delete_from(&instances[i], fd);
	}
	/* Still noted, so that whoever closes the session is told the same. */
	if (atomic_load(&more_instances)) {
		return false;
	}
	atomic_fetch_and(&added[fd / 64], ~bit_of(fd));
	return true;
}
