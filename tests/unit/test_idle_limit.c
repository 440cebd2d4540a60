/* SPDX-License-Identifier: PostgreSQL */
/* Which sessions the server is to limit while they lie idle, and what is asked of it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
/* cmocka.h wants the four above. */
#include <cmocka.h>

#include "base/clock.h"
#include "session/idle_limit.h"

#define LONG    NS_PER_SEC
#define QUICKLY NS_PER_MS
#define SLOWLY  (20 * NS_PER_MS)
#define MANY    1000

static int version;
static char *read_only;

static int server_version(const PGconn *conn)
{
	(void)conn;
	return version;
}

static const char *parameter(const PGconn *conn, const char *name)
{
	(void)conn;
	assert_string_equal(name, "default_transaction_read_only");
	return read_only;
}

/* A result is the number of its rows, less one; the server's error is NULL. */
static ExecStatusType result_status(const PGresult *result)
{
	return result != NULL ? PGRES_TUPLES_OK : PGRES_FATAL_ERROR;
}

static int tuples(const PGresult *result)
{
	return ((const char *)result)[0] - '0';
}

static struct libpq libpq = {
	.PQserverVersion = server_version,
	.PQparameterStatus = parameter,
	.PQresultStatus = result_status,
	.PQntuples = tuples,
};

static struct idle_limit limit;

static void connected(int number, bool can_pipeline)
{
	version = number;
	libpq.can_pipeline = can_pipeline;
	read_only = "off";
	idle_limit_note(&limit, &libpq, NULL);
}

static bool wanted(uint64_t since_ns)
{
	return idle_limit_wanted(&limit, &libpq, NULL, since_ns);
}

static void answered(const char *rows)
{
	limit.due = 1;
	idle_limit_answer(&limit, &libpq, (const PGresult *)rows);
	assert_int_equal(limit.due, 0);
}

static void only_where_server_and_libpq_can(void **state)
{
	(void)state;
	connected(140000, true);
	assert_true(wanted(LONG));
	connected(130023, true);
	assert_false(wanted(LONG));
	connected(140000, false);
	assert_false(wanted(LONG));
}

static void not_where_a_select_may_wait(void **state)
{
	(void)state;
	connected(150000, true);
	read_only = "on";
	assert_false(wanted(LONG));
	read_only = NULL;
	assert_false(wanted(LONG));
	read_only = "off";
	assert_true(wanted(LONG));
}

static void one_in_constant_use_is_spared_it(void **state)
{
	unsigned spared = 0;

	(void)state;
	connected(150000, true);
	for (unsigned i = 0; i < MANY; i++) {
		bool now = wanted(QUICKLY);

		assert_true(!now || spared == 0);
		spared += now ? 0 : 1;
	}
	/* A burst, such as the connects of a page, is no constant use. */
	assert_in_range(MANY - spared, 32, 128);
	assert_true(wanted(LONG));
	assert_true(wanted(QUICKLY));
}

static void a_slow_one_among_quick_ones_is_no_break(void **state)
{
	unsigned limited = 0;

	(void)state;
	connected(150000, true);
	for (unsigned i = 0; i < MANY; i++) {
		limited += wanted(i % (MANY / 4) == 0 ? SLOWLY : QUICKLY) ? 1 : 0;
	}
	assert_in_range(limited, 64, 128);
	/* But many are. */
	for (unsigned i = 0; i < MANY; i++) {
		bool now = wanted(i % 8 == 0 ? SLOWLY : QUICKLY);

		assert_true(now || i < 64);
	}
}

static void it_is_set_if_the_server_says_so(void **state)
{
	(void)state;
	connected(150000, true);
	answered("1");
	assert_true(limit.set && wanted(LONG));
	/* It has one of its own, or is another. */
	answered("0");
	assert_false(limit.set || wanted(LONG));
	connected(150000, true);
	answered(NULL);
	assert_false(limit.set || wanted(LONG));
}

static void the_longest_statement_fits(void **state)
{
	static const char end[] = " OPERATOR(pg_catalog.=) 2147483647";
	char text[IDLE_LIMIT_TEXT];

	(void)state;
	idle_limit_write(text, INT32_MAX, INT32_MAX);
	assert_non_null(strstr(text, "'2147483647', false"));
	assert_string_equal(text + strlen(text) - strlen(end), end);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(only_where_server_and_libpq_can),
		cmocka_unit_test(not_where_a_select_may_wait),
		cmocka_unit_test(one_in_constant_use_is_spared_it),
		cmocka_unit_test(a_slow_one_among_quick_ones_is_no_break),
		cmocka_unit_test(it_is_set_if_the_server_says_so),
		cmocka_unit_test(the_longest_statement_fits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
