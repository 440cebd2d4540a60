/* SPDX-License-Identifier: PostgreSQL */
/*
 * The program's epoll registrations of our sockets.
 *
 * An element of `instances` is a descriptor plus one in the lower half, and in the upper a
 * count that grows with every note: an outdated one is cleared only if the number was not noted
 * again meanwhile.
 */
#include "session/socket/epoll_registrations.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cold.h"
#include "base/dl.h"
#include "base/text/strbuf.h"
#include "base/thread/pid.h"

/* Beyond either of these a session is closed instead of kept. */
#define FDS_MAX       65536
#define INSTANCES_MAX 128

#define NOTED_ONCE (UINT64_C(1) << 32)

static atomic_bool armed;
static atomic_uint_fast64_t added[FDS_MAX / 64] SPARSE; /* a bit per descriptor */
static atomic_uint_fast64_t instances[INSTANCES_MAX] SPARSE;
static atomic_uint_fast64_t copied[FDS_MAX / 64] SPARSE;
static atomic_int copied_by;       /* the process that they are of; 0 = there are none */
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

int epoll_control(int epfd, int op, int fd, struct epoll_event *event)
{
	return real_control()(epfd, op, fd, event);
}

void epoll_arm(void)
{
	/* Found now, not by the first call, which may be in a signal handler. */
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

bool epoll_noted(int fd)
{
	return fd >= 0 && fd < FDS_MAX && (atomic_load(&added[fd / 64]) & bit_of(fd)) != 0;
}

void epoll_note(int epfd, int fd)
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

	if ((uint32_t)slot == 0 || epoll_control(epfd, EPOLL_CTL_DEL, fd, &unused) == 0) {
		return;
	}
	/* EINVAL: a number that something else has now. */
	if (errno == EBADF || errno == EINVAL) {
		atomic_compare_exchange_strong(instance, &slot, slot - (uint32_t)slot);
	}
}

bool epoll_forget(int fd)
{
	if (fd < 0 || fd >= FDS_MAX) {
		return fd < 0 || !atomic_load(&more_fds);
	}
	if (!epoll_noted(fd)) {
		return true;
	}
	for (size_t i = 0; i < INSTANCES_MAX; i++) {
		delete_from(&instances[i], fd);
	}
	/* Still noted: the same is true when the session is closed. */
	if (atomic_load(&more_instances)) {
		return false;
	}
	atomic_fetch_and(&added[fd / 64], ~bit_of(fd));
	return true;
}

/* ---- copies in other processes ---------------------------------------------------------- */

void epoll_note_copied(int fd)
{
	if (fd >= 0 && fd < FDS_MAX) {
		atomic_fetch_or(&copied[fd / 64], bit_of(fd));
		atomic_store(&copied_by, pid_self());
	}
}

bool epoll_is_copied(int fd)
{
	return atomic_load_explicit(&copied_by, memory_order_relaxed) != 0 && fd >= 0 &&
	       fd < FDS_MAX && (atomic_load(&copied[fd / 64]) & bit_of(fd)) != 0;
}

void epoll_close_copied(int fd)
{
	int saved_errno = errno;

	/* Not pid_self(): a child of vfork(2) closes what it has of its parent. */
	if (getpid() == atomic_load(&copied_by)) {
		atomic_fetch_and(&copied[fd / 64], ~bit_of(fd));
		epoll_forget(fd);
	}
	errno = saved_errno;
}

void epoll_fork_child(void)
{
	if (atomic_load(&copied_by) != 0) {
		memset(copied, 0, sizeof(copied));
		atomic_store(&copied_by, 0);
	}
}

/* ---- another file at the same number --------------------------------------------------- */

/*
 * The number behind `name` in a line of /proc/PID/fdinfo/FD. Not by strtoull(3): built with a
 * C library of 2.38 or newer that would be a function that no older one has.
 */
static uint64_t field(const char *line, const char *name, unsigned base)
{
	static const char digits[] = "0123456789abcdef";
	const char *at = strstr(line, name);
	uint64_t value = 0;

	if (at != NULL) {
		const char *digit;

		at += strlen(name);
		at += strspn(at, " \t");
		while (*at != '\0' && (digit = strchr(digits, *at)) != NULL &&
		       (size_t)(digit - digits) < base) {
			value = value * base + (size_t)(digit - digits);
			at++;
		}
	}
	return value;
}

static void take_line(const char *line, int epfd, int fd, ino_t ino, struct epoll_taken *taken)
{
	struct epoll_event event = {.events = (uint32_t)field(line, "events:", 16),
	                            .data.u64 = field(line, "data:", 16)};

	if (strncmp(line, "tfd:", 4) != 0 || field(line, "tfd:", 10) != (uint64_t)fd ||
	    field(line, " ino:", 16) != ino || taken->count == EPOLL_TAKEN_MAX) {
		return;
	}
	taken->of[taken->count].epfd = epfd;
	taken->of[taken->count].event = event;
	taken->count++;
}

/* What one instance has of it. A line is shorter than the buffer. */
static void take_from(int epfd, int fd, ino_t ino, struct epoll_taken *taken)
{
	char buf[1024];
	size_t used = 0;
	ssize_t n = 0;
	struct strbuf path;
	int info;

	strbuf_init(&path, buf, sizeof(buf));
	strbuf_str(&path, "/proc/self/fdinfo/");
	strbuf_u64(&path, (uint64_t)epfd);
	info = open(buf, O_RDONLY | O_CLOEXEC);
	while (info >= 0 && (n = read(info, buf + used, sizeof(buf) - 1 - used)) > 0) {
		char *line = buf;
		char *end;

		buf[used + (size_t)n] = '\0';
		while ((end = strchr(line, '\n')) != NULL) {
			*end = '\0';
			take_line(line, epfd, fd, ino, taken);
			line = end + 1;
		}
		used = strlen(line);
		memmove(buf, line, used);
	}
	if (info >= 0) {
		close(info);
	}
}

void epoll_take(int fd, int file, struct epoll_taken *taken)
{
	struct stat st;

	taken->count = 0;
	if (!epoll_noted(fd) || fstat(file, &st) != 0) {
		return;
	}
	for (size_t i = 0; i < INSTANCES_MAX; i++) {
		uint64_t slot = atomic_load(&instances[i]);

		if ((uint32_t)slot != 0) {
			take_from((int)((uint32_t)slot - 1), fd, st.st_ino, taken);
		}
	}
	for (unsigned i = 0; i < taken->count; i++) {
		epoll_control(taken->of[i].epfd, EPOLL_CTL_DEL, fd, &taken->of[i].event);
	}
}

void epoll_put(int fd, const struct epoll_taken *taken)
{
	for (unsigned i = 0; i < taken->count; i++) {
		struct epoll_event event = taken->of[i].event;

		epoll_control(taken->of[i].epfd, EPOLL_CTL_ADD, fd, &event);
	}
}
