/* SPDX-License-Identifier: PostgreSQL */
/* A socket that rings: when it is rung, when its time has come, and not before. */
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "pool/chime.h"

static bool rings(const struct chime *chime, int ms)
{
	struct pollfd p = {.fd = chime->fd, .events = POLLIN};

	return poll(&p, 1, ms) == 1;
}

static uint64_t later(uint64_t ms)
{
	return clock_monotonic_ns() + ms * NS_PER_MS;
}

static void it_is_a_socket(void **state)
{
	struct chime chime;
	struct stat st;

	(void)state;
	chime_init(&chime);
	assert_true(chime_make(&chime, later(60000)));
	assert_int_equal(fstat(chime.fd, &st), 0);
	assert_true(S_ISSOCK(st.st_mode));
	chime_close(&chime);
	assert_int_equal(chime.fd, -1);
	chime_ring(&chime);
	chime_close(&chime);
}

static void it_is_rung(void **state)
{
	struct chime chime;

	(void)state;
	chime_init(&chime);
	assert_true(chime_make(&chime, later(60000)));
	assert_false(rings(&chime, 0));
	chime_ring(&chime);
	assert_true(rings(&chime, 10000));
	assert_true(rings(&chime, 0));
	chime_ring(&chime);
	chime_close(&chime);
}

static void its_time_comes(void **state)
{
	struct chime chime;
	uint64_t at_ns = later(300);

	(void)state;
	chime_init(&chime);
	assert_true(chime_make(&chime, at_ns));
	assert_true(rings(&chime, 20000));
	assert_true(clock_monotonic_ns() >= at_ns);
	assert_true(rings(&chime, 0));
	chime_close(&chime);
}

static void a_time_that_has_passed(void **state)
{
	struct chime chime;

	(void)state;
	chime_init(&chime);
	assert_true(chime_make(&chime, 0));
	assert_true(rings(&chime, 20000));
	chime_close(&chime);
}

static int lowest_free(void)
{
	int fd = dup(0);

	close(fd);
	return fd;
}

/* Three descriptors are needed for a moment. */
static void no_descriptors(void **state)
{
	int free_fd = lowest_free();
	struct rlimit before;
	struct chime chime;

	(void)state;
	getrlimit(RLIMIT_NOFILE, &before);
	for (rlim_t spare = 0; spare < 3; spare++) {
		struct rlimit few = {.rlim_cur = (rlim_t)free_fd + spare,
		                     .rlim_max = before.rlim_max};

		setrlimit(RLIMIT_NOFILE, &few);
		chime_init(&chime);
		assert_false(chime_make(&chime, later(1000)));
		assert_int_equal(chime.fd, -1);
		assert_int_equal(lowest_free(), spare == 0 ? -1 : free_fd);
	}
	setrlimit(RLIMIT_NOFILE, &before);
	assert_int_equal(lowest_free(), free_fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(it_is_a_socket), cmocka_unit_test(it_is_rung),
		cmocka_unit_test(its_time_comes), cmocka_unit_test(a_time_that_has_passed),
		cmocka_unit_test(no_descriptors),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
