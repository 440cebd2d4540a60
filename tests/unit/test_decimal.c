/* SPDX-License-Identifier: PostgreSQL */
/* Numbers as decimal digits, against the C library's. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h wants the four above. */
#include <cmocka.h>

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/text/decimal.h"

static void check(uint64_t v)
{
	char wanted[DECIMAL_MAX + 2];
	char found[DECIMAL_MAX + 2];

	snprintf(wanted, sizeof(wanted), "%" PRIu64 "|", v);
	memset(found, '|', sizeof(found));
	decimal_put(found, v)[1] = '\0';
	assert_string_equal(found, wanted);
}

static void every_short_number(void **state)
{
	(void)state;
	for (uint64_t v = 0; v < 200000; v++) {
		check(v);
	}
}

static void around_each_power_of_ten(void **state)
{
	uint64_t power = 1;

	(void)state;
	for (unsigned digits = 1; digits <= DECIMAL_MAX; digits++) {
		for (uint64_t times = 1; times < 10 && times <= UINT64_MAX / power; times++) {
			check(power * times - 1);
			check(power * times);
			check(power * times + power / 7);
		}
		power *= 10;
	}
	check(UINT64_MAX);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_short_number),
		cmocka_unit_test(around_each_power_of_ten),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
