/* SPDX-License-Identifier: PostgreSQL */
/* Where a script stands: its lines, libraries' and its own, and its end. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h wants the four above. */
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "python_frames.h"
#include "trace/stack/stack.h"

/* ---- what is told ---- */

static void names_the_innermost_frame_of_the_program(void **state)
{
	struct script script;

	(void)state;
	add("/usr/lib/python3/dist-packages/psycopg2/__init__.py", 122, "connect");
	add("/srv/app.py", 12, "App.load");
	add("/srv/app.py", 40, "<module>");
	assert_true(look(&script));
	assert_string_equal(script.place, "/srv/app.py:12");
	assert_string_equal(script.frames,
	                    "/usr/lib/python3/dist-packages/psycopg2/__init__.py:122(connect) "
	                    "/srv/app.py:12(App.load) /srv/app.py:40(<module>)");
}

static void knows_libraries(void **state)
{
	static const char *const theirs[] = {"/usr/lib/python3/dist-packages/x.py",
	                                     "/srv/venv/lib/python3.11/site-packages/x.py",
	                                     "/usr/lib/python3.11/threading.py",
	                                     "<frozen importlib._bootstrap>"};
	static const char *const ours[] = {"/srv/app.py", "app.py", "<string>", "<stdin>",
	                                   "/home/a/lib/x.py"};
	struct script script;

	(void)state;
	for (size_t i = 0; i < sizeof(theirs) / sizeof(theirs[0]); i++) {
		begin(NULL);
		add(theirs[i], 1, "f");
		add("/srv/a.py", 2, "g");
		assert_true(look(&script));
		assert_string_equal(script.place, "/srv/a.py:2");
	}
	for (size_t i = 0; i < sizeof(ours) / sizeof(ours[0]); i++) {
		char place[100];

		begin(NULL);
		add(ours[i], 7, "f");
		add("/srv/a.py", 2, "g");
		snprintf(place, sizeof(place), "%s:7", ours[i]);
		assert_true(look(&script));
		assert_string_equal(script.place, place);
	}
}

static void libraries_alone_are_a_place_too(void **state)
{
	struct script script;

	(void)state;
	add("/x/site-packages/a.py", 1, "f");
	add("/x/site-packages/b.py", 2, "g");
	assert_true(look(&script));
	assert_string_equal(script.place, "/x/site-packages/a.py:1");
	assert_string_equal(script.frames,
	                    "/x/site-packages/a.py:1(f) /x/site-packages/b.py:2(g)");
}

/* The program's frames must not be lost behind those of a library with many layers. */
static void deep_libraries_leave_room(void **state)
{
	struct script script;

	(void)state;
	for (int i = 1; i <= 25; i++) {
		add("/s-packages/site-packages/a.py", i, "f");
	}
	add("/srv/app.py", 1, "a");
	add("/srv/app.py", 2, "b");
	for (int i = 3; i < 30; i++) {
		add("/srv/app.py", i, "c");
	}
	assert_true(look(&script));
	assert_string_equal(script.place, "/srv/app.py:1");
	assert_string_equal(
		script.frames,
		"/s-packages/site-packages/a.py:1(f) /s-packages/site-packages/a.py:2(f) "
		"/s-packages/site-packages/a.py:3(f) ... /srv/app.py:1(a) "
		"/srv/app.py:2(b) /srv/app.py:3(c) /srv/app.py:4(c) /srv/app.py:5(c)");
	assert_true(look_depth(&script, 4));
	assert_string_equal(script.frames,
	                    "/s-packages/site-packages/a.py:1(f) ... "
	                    "/srv/app.py:1(a) /srv/app.py:2(b) /srv/app.py:3(c)");
	for (unsigned depth = 0; depth <= 1; depth++) {
		assert_true(look_depth(&script, depth));
		assert_string_equal(script.place, "/srv/app.py:1");
		assert_string_equal(script.frames, "... /srv/app.py:1(a)");
	}
}

static void text_is_written_so_that_it_can_be_read(void **state)
{
	static const uint32_t latin[] = {'/', 0xe4, '.', 'p', 'y'};
	static const uint32_t wide[] = {'/', 0x20ac, 0xdcff, 'b'};
	static const uint32_t widest[] = {'/', 0x1f418, 'c'};
	struct script script;

	(void)state;
	add("/srv/my app\n.py", 3, "f");
	set_wide(&files[(add("", 4, "a b"), count - 1)], latin, 5, 1);
	set_wide(&files[(add("", 5, "<lambda> (1)"), count - 1)], wide, 4, 2);
	set_wide(&files[(add("", 6, ""), count - 1)], widest, 3, 4);
	assert_true(look(&script));
	assert_string_equal(script.place, "/srv/my app?.py:3");
	assert_string_equal(script.frames, "/srv/my\\x20app?.py:3(f) /\xc3\xa4.py:4(a\\x20"
	                                   "b) "
	                                   "/\xe2\x82\xac\xff"
	                                   "b:5(<lambda>\\x20\\x281\\x29) /\xf0\x9f\x90\x98"
	                                   "c:6");
}

static void long_names_keep_their_end(void **state)
{
	uint32_t name[650];
	struct script script;

	(void)state;
	for (size_t i = 0; i < 650; i++) {
		name[i] = i < 640 ? 'x' : (uint32_t)('0' + i % 10);
	}
	for (int i = 1; i <= 20; i++) {
		add("", i, "f");
		set_wide(&files[count - 1], name, 650, 1);
	}
	assert_true(look(&script));
	assert_int_equal(strlen(script.place), 402);
	assert_string_equal(script.place + 400 - 10, "0123456789:1");
	assert_int_equal(strlen(script.frames), 2 * 405 + 1); /* a third does not fit */
}

/* ---- lines ---- */

/* Four entries: 2 instructions in line 100, 3 in none, 1 in 97, 8 in 98. */
static void lines_come_from_the_table(void **state)
{
	static const unsigned char table[] = {
		0x80 | 0 << 3 | 1,  0x11,                    /* short form */
		0x80 | 15 << 3 | 2,                          /* no line */
		0x80 | 14 << 3 | 0, 0x07,        0,    1, 1, /* long form: -3 */
		0x80 | 11 << 3 | 7, 3,           4,          /* one line down */
		0x80 | 13 << 3 | 0, 0x40 | 0x08, 0x02, /* no columns: 6 bits, then more: +68 */
	};
	static const int expected[] = {100, 100, 100, 100, 100, 97, 98, 98,
	                               98,  98,  98,  98,  98,  98, 166};
	struct script script;

	(void)state;
	add("/a.py", 100, "f");
	set_lines(&lines[0], table, sizeof(table));
	for (size_t i = 0; i < sizeof(expected) / sizeof(expected[0]); i++) {
		char place[32];

		frames[0].instruction = codes[0].instructions + i;
		snprintf(place, sizeof(place), "/a.py:%d", expected[i]);
		assert_true(look(&script));
		assert_string_equal(script.place, place);
	}
}

static void a_frame_in_the_making_is_left_out(void **state)
{
	struct script script;

	(void)state;
	add("/a.py", 1, "f");
	add("/b.py", 2, "g");
	frames[0].instruction = codes[0].instructions + 1;
	codes[0].traceable = 2;
	assert_true(look(&script));
	assert_string_equal(script.frames, "/b.py:2(g)");
	frames[0].owner = 1; /* a generator's */
	assert_true(look(&script));
	assert_string_equal(script.frames, "/a.py:1(f) /b.py:2(g)");
}

/* ---- the end ---- */

static void tells_that_python_is_ending(void **state)
{
	(void)state;
	add("/a.py", 1, "f");
	codes[0].pad1[32] = 3; /* co_flags: a function's, so it may be an exit handler's */
	assert_false(interpreters_ending(dl_changes()));
	Py_FinalizeEx();
	assert_true(said_while_ending);
	codes[0].pad1[32] = 0; /* a module's: the program is still running */
	Py_FinalizeEx();
	assert_false(said_while_ending);
	finalizing = 1;
	assert_true(interpreters_ending(dl_changes()));
}

/* ---- stacks ---- */

static __attribute__((noinline)) uint32_t here(unsigned depth)
{
	uint32_t id = stack_capture(__builtin_return_address(0), depth);

	__asm__ volatile("" ::: "memory");
	return id;
}

/* From one place, however often a compiler unrolls the caller's loop. */
static __attribute__((noinline)) uint32_t here_in_line(int line)
{
	uint32_t id;

	codes[0].first_line = line;
	id = here(16);
	__asm__ volatile("" ::: "memory");
	return id;
}

static void stacks_differ_by_their_scripts(void **state)
{
	uint32_t ids[4] = {0};
	const struct stack *stack;

	(void)state;
	add("/a.py", 1, "f");
	add("/a.py", 9, "g");
	for (int i = 0; i < 4; i++) {
		ids[i] = here_in_line(1 + i % 2);
	}
	assert_true(ids[0] != 0 && ids[1] != 0 && ids[0] != ids[1]);
	assert_int_equal(ids[2], ids[0]);
	assert_int_equal(ids[3], ids[1]);
	stack = stack_get(ids[1]);
	assert_string_equal(stack->script, "/a.py:2");
	assert_string_equal(stack->script_frames, "/a.py:2(f) /a.py:9(g)");
	assert_int_equal(stack->depth, 1); /* the rest is the interpreter's */
	stack = stack_get(here(0));
	assert_string_equal(stack->script, "/a.py:2");
	assert_string_equal(stack->script_frames, "/a.py:2(f)");
	this_thread = NULL;
	stack = stack_get(here(16));
	assert_null(stack->script);
	assert_null(stack->script_frames);
	assert_true(stack->depth > 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(names_the_innermost_frame_of_the_program, begin),
		cmocka_unit_test_setup(knows_libraries, begin),
		cmocka_unit_test_setup(libraries_alone_are_a_place_too, begin),
		cmocka_unit_test_setup(deep_libraries_leave_room, begin),
		cmocka_unit_test_setup(text_is_written_so_that_it_can_be_read, begin),
		cmocka_unit_test_setup(long_names_keep_their_end, begin),
		cmocka_unit_test_setup(lines_come_from_the_table, begin),
		cmocka_unit_test_setup(a_frame_in_the_making_is_left_out, begin),
		cmocka_unit_test_setup(tells_that_python_is_ending, begin),
		cmocka_unit_test_setup(stacks_differ_by_their_scripts, begin),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
