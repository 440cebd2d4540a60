/* SPDX-License-Identifier: PostgreSQL */
/* A socket that is rung, or set to a time: readable then, and not much before. */
#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "acquire/async/wakeup_socket.h"
#include "base/clock.h"

int __wrap_socket(int domain, int type, int protocol);
int __real_socket(int domain, int type, int protocol);

/* As in a sandbox, or where there is no loopback interface. */
static bool no_network;

int __wrap_socket(int domain, int type, int protocol)
{
	return no_network && domain == AF_INET ? -1 : __real_socket(domain, type, protocol);
}

ssize_t __wrap_send(int fd, const void *bytes, size_t count, int flags);
ssize_t __real_send(int fd, const void *bytes, size_t count, int flags);

/* How many are sent before one that is not, for want of memory; -1: all are. */
static int sends_left = -1;

ssize_t __wrap_send(int fd, const void *bytes, size_t count, int flags)
{
	if (sends_left >= 0 && sends_left-- == 0) {
		errno = ENOBUFS;
		return -1;
	}
	return __real_send(fd, bytes, count, flags);
}

static short events_of(const struct wakeup_socket *wakeup, int ms)
{
	struct pollfd p = {.fd = wakeup->shown.fd, .events = POLLIN};

	return poll(&p, 1, ms) == 1 ? p.revents : 0;
}

static bool is_writable(const struct wakeup_socket *wakeup)
{
	struct pollfd p = {.fd = wakeup->shown.fd, .events = POLLOUT};

	return poll(&p, 1, 0) == 1 && p.revents == POLLOUT;
}

static uint64_t later(uint64_t ms)
{
	return clock_monotonic_ns() + ms * NS_PER_MS;
}

static void it_is_a_socket(void **state)
{
	struct wakeup_socket wakeup;
	struct stat st;

	(void)state;
	assert_true(wakeup_make(&wakeup, later(60000)));
	assert_int_equal(fstat(wakeup.shown.fd, &st), 0);
	assert_true(S_ISSOCK(st.st_mode));
	assert_true(is_writable(&wakeup));
	assert_true(wakeup.timed);
	wakeup_close(&wakeup);
	assert_int_equal(wakeup.shown.fd, -1);
	wakeup_ring(&wakeup);
	wakeup_close(&wakeup);
}

static void it_is_rung(void **state)
{
	struct wakeup_socket wakeup;

	(void)state;
	assert_true(wakeup_make(&wakeup, later(60000)));
	assert_int_equal(events_of(&wakeup, 0), 0);
	assert_false(wakeup_is_due(&wakeup));
	wakeup_ring(&wakeup);
	assert_int_equal(events_of(&wakeup, 10000), POLLIN);
	assert_true(wakeup_is_due(&wakeup));
	assert_true(is_writable(&wakeup));
	wakeup_ring(&wakeup);
	wakeup_close(&wakeup);
}

/* Without an error or a hang-up. */
static void its_time_comes(void **state)
{
	struct wakeup_socket wakeup;
	uint64_t begun_ns = clock_monotonic_ns();

	(void)state;
	assert_true(wakeup_make(&wakeup, later(300)));
	assert_int_equal(events_of(&wakeup, 20000), POLLIN);
	assert_true(clock_monotonic_ns() >= begun_ns + 100 * NS_PER_MS);
	assert_int_equal(events_of(&wakeup, 0), POLLIN);
	assert_true(is_writable(&wakeup));
	wakeup_close(&wakeup);
}

/* Then at once: a byte less, and it would never come. */
static void its_time_cannot_be_set(void **state)
{
	struct wakeup_socket wakeup;
	int n = 0;

	(void)state;
	assert_true(wakeup_make(&wakeup, later(60000)));
	do {
		sends_left = n++;
		wakeup_set(&wakeup, later(60000));
		assert_true(sends_left >= 0 || wakeup_is_due(&wakeup));
	} while (sends_left < 0);
	assert_true(n > 2);
	sends_left = -1;
	wakeup_close(&wakeup);
}

static void a_time_that_has_passed(void **state)
{
	struct wakeup_socket wakeup;

	(void)state;
	assert_true(wakeup_make(&wakeup, 0));
	assert_int_equal(events_of(&wakeup, 20000), POLLIN);
	wakeup_close(&wakeup);
}

/* The file stays the same, for whoever watches it. */
static void set_again(void **state)
{
	struct wakeup_socket wakeup;
	struct stat before;
	struct stat after;

	(void)state;
	assert_true(wakeup_make(&wakeup, later(10)));
	fstat(wakeup.shown.fd, &before);
	assert_int_equal(events_of(&wakeup, 20000), POLLIN);
	wakeup_set(&wakeup, later(60000));
	assert_int_equal(events_of(&wakeup, 0), 0);
	assert_true(is_writable(&wakeup));
	wakeup_ring(&wakeup);
	wakeup_set(&wakeup, later(60000));
	assert_int_equal(events_of(&wakeup, 0), 0);
	wakeup_set(&wakeup, later(10));
	assert_int_equal(events_of(&wakeup, 20000), POLLIN);
	fstat(wakeup.shown.fd, &after);
	assert_int_equal(before.st_ino, after.st_ino);
	wakeup_close(&wakeup);
}

static void without_a_network(void **state)
{
	struct wakeup_socket wakeup;

	(void)state;
	no_network = true;
	assert_true(wakeup_make(&wakeup, later(1)));
	assert_false(wakeup.timed);
	assert_true(is_writable(&wakeup));
	assert_int_equal(events_of(&wakeup, 50), 0);
	wakeup_set(&wakeup, later(1));
	wakeup_ring(&wakeup);
	assert_true(events_of(&wakeup, 10000) & POLLIN);
	wakeup_close(&wakeup);
	no_network = false;
}

/* A program may close what it does not know, and open something of its own there. */
static void closed_by_the_program(void **state)
{
	struct wakeup_socket wakeup;
	int ends[2];
	int fd;

	(void)state;
	assert_true(wakeup_make(&wakeup, later(60000)));
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
	fd = wakeup.shown.fd;
	assert_int_equal(dup2(ends[0], fd), fd);
	wakeup_ring(&wakeup);
	assert_int_equal(events_of(&wakeup, 0), 0);
	wakeup_close(&wakeup);
	assert_int_equal(write(fd, "", 1), 1);
	close(fd);
	close(ends[0]);
	close(ends[1]);
}

static int lowest_free(void)
{
	int fd = dup(0);

	close(fd);
	return fd;
}

static void no_descriptors(void **state)
{
	int free_fd = lowest_free();
	struct rlimit before;
	struct wakeup_socket wakeup;

	(void)state;
	getrlimit(RLIMIT_NOFILE, &before);
	for (rlim_t spare = 0; spare < 2; spare++) {
		struct rlimit few = {.rlim_cur = (rlim_t)free_fd + spare,
		                     .rlim_max = before.rlim_max};

		setrlimit(RLIMIT_NOFILE, &few);
		assert_false(wakeup_make(&wakeup, later(1000)));
		assert_int_equal(wakeup.shown.fd, -1);
		assert_int_equal(lowest_free(), spare == 0 ? -1 : free_fd);
	}
	setrlimit(RLIMIT_NOFILE, &before);
	assert_int_equal(lowest_free(), free_fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(it_is_a_socket),
		cmocka_unit_test(it_is_rung),
		cmocka_unit_test(its_time_comes),
		cmocka_unit_test(its_time_cannot_be_set),
		cmocka_unit_test(a_time_that_has_passed),
		cmocka_unit_test(set_again),
		cmocka_unit_test(without_a_network),
		cmocka_unit_test(closed_by_the_program),
		cmocka_unit_test(no_descriptors),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
