/* SPDX-License-Identifier: PostgreSQL */
/* Where no script's line is told: other threads, other versions, and frames out of order. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h wants the four above. */
#include <cmocka.h>

#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "python_frames.h"

static void other_threads_have_no_lines(void **state)
{
	struct script script;

	(void)state;
	add("/a.py", 1, "f");
	thread.id++;
	assert_false(look(&script));
	thread.id--;
	assert_true(look(&script));
	cframe.current = NULL;
	assert_false(look(&script));
	this_thread = NULL;
	assert_false(look(&script));
}

static void *look_from_another(void *arg)
{
	struct script script;

	(void)arg;
	this_thread = &thread;
	thread.id = (uintptr_t)pthread_self();
	return look(&script) ? "yes" : NULL;
}

/* Python frees the states of its daemon threads then, frames and all. */
static void threads_that_python_forgets_have_no_lines(void **state)
{
	struct script script;
	pthread_t other;
	void *found;

	(void)state;
	add("/a.py", 1, "f");
	for (finalizing = 0; finalizing <= 1; finalizing++) {
		assert_int_equal(pthread_create(&other, NULL, look_from_another, NULL), 0);
		assert_int_equal(pthread_join(other, &found), 0);
		assert_int_equal(found != NULL, finalizing == 0);
	}
	finalizing = 1;
	thread.id = (uintptr_t)pthread_self();
	assert_true(look(&script));
}

/*
 * Each pointer in turn leads to where nothing is, or to something else. In children: one
 * that has seen frames in order trusts them.
 */
static void damage_is_no_line_and_no_crash(void **state)
{
	char *nowhere = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	const uintptr_t bad[] = {1,
	                         4096,
	                         (uintptr_t)nowhere,
	                         UINTPTR_MAX - 7,
	                         (uintptr_t)0x8000000000000000,
	                         (uintptr_t)&other_type};
	void *const places[] = {&cframe.current,     &frames[0].code,    &codes[0].type,
	                        &codes[0].file,      &codes[0].qualname, &files[0].type,
	                        &names[0].type,      &frames[1].code,    &frames[0].previous,
	                        &frames[1].previous, &thread.cframe};

	(void)state;
	add("/a.py", 1, "f");
	add("/b.py", 2, "g");
	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
		for (size_t j = 0; j < sizeof(bad) / sizeof(bad[0]); j++) {
			pid_t child = fork();
			int status = -1;

			if (child == 0) {
				struct script script;

				memcpy(places[i], &bad[j], sizeof(bad[j]));
				_exit(look(&script) ? 1 : 0);
			}
			assert_true(child > 0 && waitpid(child, &status, 0) == child);
			assert_int_equal(status, 0);
		}
	}
}

static void another_version_has_no_lines(void **state)
{
	pid_t child;
	int status = -1;

	(void)state;
	add("/a.py", 1, "f");
	child = fork();
	if (child == 0) {
		Py_Version = 0x030c01f0;
		_exit(interpreters_readable(dl_changes()) ? 1 : 0);
	}
	assert_true(child > 0 && waitpid(child, &status, 0) == child);
	assert_int_equal(status, 0);
}

static void a_ring_of_frames_ends(void **state)
{
	struct script script;

	(void)state;
	add("/a/site-packages/a.py", 1, "f");
	add("/a/site-packages/b.py", 2, "g");
	frames[1].previous = &frames[0];
	assert_true(look(&script));
	assert_string_equal(script.place, "/a/site-packages/a.py:1");
}

static void no_other_code_is_an_interpreters(void **state)
{
	(void)state;
	assert_true(interpreters_readable(dl_changes()));
	assert_non_null(interpreters_at((uintptr_t)look));
	assert_null(interpreters_at((uintptr_t)dl_changes & 4095));
	assert_null(interpreters_at((uintptr_t)getppid));
	assert_null(interpreters_at((uintptr_t) & (int){0}));
	assert_false(script_capture(NULL, 8, &(struct script){0}));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		/* First: later it is known, and its layout proven. */
		cmocka_unit_test_setup(another_version_has_no_lines, begin),
		cmocka_unit_test_setup(damage_is_no_line_and_no_crash, begin),
		cmocka_unit_test_setup(other_threads_have_no_lines, begin),
		cmocka_unit_test_setup(threads_that_python_forgets_have_no_lines, begin),
		cmocka_unit_test_setup(a_ring_of_frames_ends, begin),
		cmocka_unit_test_setup(no_other_code_is_an_interpreters, begin),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
