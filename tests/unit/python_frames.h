/* SPDX-License-Identifier: PostgreSQL */
/*
 * A program that passes for CPython 3.11, with frames of our making; after cmocka.h, once a
 * program.
 */
#ifndef PQPOOL_TESTS_PYTHON_FRAMES_H
#define PQPOOL_TESTS_PYTHON_FRAMES_H

#include <pthread.h>
#include <string.h>

#include "base/dl.h"
#include "trace/script/interpreters.h"
#include "trace/script/script.h"

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

/* By this one it is known to be a Python. */
EXPORTED int PyEval_EvalCode(void);
EXPORTED int PyEval_EvalCode(void)
{
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

static inline void set_text(struct object *object, const char *text)
{
	*object = (struct object){.type = &str_type, .size = strlen(text)};
	object->state = 1U << 2 | 1U << 5 | 1U << 6;
	memcpy(object->ascii, text, strlen(text));
}

static inline void set_wide(struct object *object, const uint32_t *chars, size_t n,
                            unsigned width)
{
	*object = (struct object){.type = &str_type, .size = n};
	object->state = width << 2 | 1U << 5;
	for (size_t i = 0; i < n; i++) {
		memcpy(object->other + i * width, &chars[i], width);
	}
}

static inline void set_lines(struct object *object, const unsigned char *table, size_t n)
{
	*object = (struct object){.size = n};
	memcpy((char *)object + 32, table, n);
}

/* Another frame, outside those there are; it stands in the first line of its code. */
static inline struct frame *add(const char *file, int line, const char *function)
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

static inline int begin(void **state)
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

static inline bool look_depth(struct script *script, unsigned depth)
{
	assert_true(interpreters_readable(dl_changes()));
	memset(script, 'x', sizeof(*script));
	return script_capture(interpreters_at((uintptr_t)look_depth), depth, script);
}

static inline bool look(struct script *script)
{
	return look_depth(script, 16);
}

#endif
