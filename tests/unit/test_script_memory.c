/* SPDX-License-Identifier: PostgreSQL */
/* Interpreters that are found while memory is out: they are looked for again. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h wants the four above. */
#include <cmocka.h>

#include "memory_out.h"
#include "python_frames.h"

static bool find_line(void)
{
	struct script script;
	bool readable = interpreters_readable(dl_changes());

	if (!readable) {
		require(!script_capture(interpreters_at((uintptr_t)find_line), 8, &script));
		return false;
	}
	require(script_capture(interpreters_at((uintptr_t)find_line), 8, &script));
	require(strcmp(script.place, "/a.py:1") == 0);
	return true;
}

static void a_script_has_no_line(void **state)
{
	(void)state;
	add("/a.py", 1, "f");
	each_allocation_fails(find_line, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(a_script_has_no_line, begin),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
