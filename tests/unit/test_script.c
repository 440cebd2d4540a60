/* SPDX-License-Identifier: PostgreSQL */
/*
 * Where a script stands: this program passes for CPython 3.11, with frames of our making,
 * in order and out of it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h wants the four above. */
#include <cmocka.h>

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/dl.h"
#include "trace/script/interpreters.h"
#include "trace/script/script.h"
#include "trace/stack/stack.h"

/* ---- Python's structures, as far as they are read ---- */

struct type {
	char head[24];
	const char *name;
};

struct object {
	intptr_t references;
	const struct type *type;
	size_t size;
	intptr_t hash;
	uint32_t state; /* of a string; in bytes the data begin here */
	char ascii_pad[12];
	char ascii[24];
	char other[700];
};

struct code {
	intptr_t references;
	const struct type *type;
	char pad1[56];
	int first_line;
	char pad2[36];
	struct object *file;
	struct object *name;
	struct object *qualname;
	struct object *lines;
	char pad3[24];
	int traceable;
	char pad4[12];
	uint16_t instructions[64];
};

struct frame {
	char pad1[32];
	struct code *code;
	char pad2[8];
	struct frame *previous;
	uint16_t *instruction;
	char pad3[5];
	char owner;
	char pad4[2];
};

struct cframe {
	char pad[8];
	struct frame *current;
};

struct thread {
	char pad1[56];
	struct cframe *cframe;
	char pad2[88];
	uintptr_t id;
};

_Static_assert(offsetof(struct object, state) == 32, "");
_Static_assert(offsetof(struct object, ascii) == 48, "");
_Static_assert(offsetof(struct object, other) == 72, "");
_Static_assert(offsetof(struct code, first_line) == 72, "");
_Static_assert(offsetof(struct code, file) == 112, "");
_Static_assert(offsetof(struct code, traceable) == 168, "");
_Static_assert(offsetof(struct code, instructions) == 184, "");
_Static_assert(offsetof(struct frame, code) == 32, "");
_Static_assert(offsetof(struct frame, previous) == 48, "");
_Static_assert(offsetof(struct frame, owner) == 69, "");
_Static_assert(offsetof(struct thread, cframe) == 56, "");
_Static_assert(offsetof(struct thread, id) == 152, "");

/* ---- what Python exports ---- */

#define EXPORTED __attribute__((visibility("default")))

unsigned long Py_Version EXPORTED = 0x030b02f0;

static _Thread_local struct thread *this_thread;
static int finalizing;

EXPORTED struct thread *PyGILState_GetThisThreadState(void);
EXPORTED struct thread *PyGILState_GetThisThreadState(void)
{
	return this_thread;
}

EXPORTED int _Py_IsFinalizing(void);
EXPORTED int _Py_IsFinalizing(void)
{
	return finalizing;
}

static bool said_while_ending;

EXPORTED __attribute__((noinline)) int Py_FinalizeEx(void);
EXPORTED __attribute__((noinline)) int Py_FinalizeEx(void)
{
	said_while_ending = interpreters_ending(dl_changes());
	return 0;
}

/* ---- making them ---- */

#define FRAMES_MAX 200

static const struct type code_type = {.name = "code"};
static const struct type str_type = {.name = "str"};
static const struct type other_type = {.name = "strange"};

static struct thread thread;
static struct cframe cframe;
static struct frame frames[FRAMES_MAX];
static struct code codes[FRAMES_MAX];
static struct object files[FRAMES_MAX];
static struct object names[FRAMES_MAX];
static struct object lines[FRAMES_MAX];
static unsigned count;

static void set_text(struct object *object, const char *text)
{
	*object = (struct object){.type = &str_type, .size = strlen(text)};
	object->state = 1U << 2 | 1U << 5 | 1U << 6;
	memcpy(object->ascii, text, strlen(text));
}

static void set_wide(struct object *object, const uint32_t *chars, size_t n, unsigned width)
{
	*object = (struct object){.type = &str_type, .size = n};
	object->state = width << 2 | 1U << 5;
	for (size_t i = 0; i < n; i++) {
		memcpy(object->other + i * width, &chars[i], width);
	}
}

static void set_lines(struct object *object, const unsigned char *table, size_t n)
{
	*object = (struct object){.size = n};
	memcpy((char *)object + 32, table, n);
}

/* Another frame, outside those there are; it stands in the first line of its code. */
static struct frame *add(const char *file, int line, const char *function)
{
	static const unsigned char whole[] = {0x80 | 13 << 3 | 7, 0};
	struct frame *frame = &frames[count];

	codes[count] = (struct code){.type = &code_type,
	                             .first_line = line,
	                             .file = &files[count],
	                             .qualname = &names[count],
	                             .lines = &lines[count]};
	*frame =
		(struct frame){.code = &codes[count], .instruction = codes[count].instructions};
	set_text(&files[count], file);
	set_text(&names[count], function);
	set_lines(&lines[count], whole, sizeof(whole));
	if (count > 0) {
		frames[count - 1].previous = frame;
	}
	count++;
	return frame;
}

static int begin(void **state)
{
	(void)state;
	count = 0;
	finalizing = 0;
	Py_Version = 0x030b02f0;
	cframe.current = frames;
	thread.cframe = &cframe;
	thread.id = (uintptr_t)pthread_self();
	this_thread = &thread;
	return 0;
}

static bool look_depth(struct script *script, unsigned depth)
{
	assert_true(interpreters_readable(dl_changes()));
	memset(script, 'x', sizeof(*script));
	return script_capture(interpreters_at((uintptr_t)look_depth), depth, script);
}

static bool look(struct script *script)
{
	return look_depth(script, 16);
}

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

/* ---- what is not ---- */

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
		/* First: later it is known, and its layout proven. */
		cmocka_unit_test_setup(another_version_has_no_lines, begin),
		cmocka_unit_test_setup(damage_is_no_line_and_no_crash, begin),
		cmocka_unit_test_setup(names_the_innermost_frame_of_the_program, begin),
		cmocka_unit_test_setup(knows_libraries, begin),
		cmocka_unit_test_setup(libraries_alone_are_a_place_too, begin),
		cmocka_unit_test_setup(deep_libraries_leave_room, begin),
		cmocka_unit_test_setup(text_is_written_so_that_it_can_be_read, begin),
		cmocka_unit_test_setup(long_names_keep_their_end, begin),
		cmocka_unit_test_setup(lines_come_from_the_table, begin),
		cmocka_unit_test_setup(a_frame_in_the_making_is_left_out, begin),
		cmocka_unit_test_setup(other_threads_have_no_lines, begin),
		cmocka_unit_test_setup(threads_that_python_forgets_have_no_lines, begin),
		cmocka_unit_test_setup(a_ring_of_frames_ends, begin),
		cmocka_unit_test_setup(no_other_code_is_an_interpreters, begin),
		cmocka_unit_test_setup(tells_that_python_is_ending, begin),
		cmocka_unit_test_setup(stacks_differ_by_their_scripts, begin),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
