/* SPDX-License-Identifier: PostgreSQL */
/*
 * Reads the frames of CPython, of the versions in tables/python.def, and tells its end.
 *
 * A thread's state leads to its innermost frame and each frame to its caller. Drivers release
 * the GIL around a connect, so that other threads run meanwhile; they do not change this
 * thread's frames, and what these refer to (code objects, and from there names and line tables)
 * is neither changed nor freed. Python is asked for nothing but the thread's state, which is
 * thread-specific data.
 *
 * From 3.13 on Python publishes the offsets within its structures, for debuggers, at the
 * beginning of _PyRuntime: builds with unusual ones are read correctly, too. The build without
 * the GIL is not known.
 *
 * Lines are decoded here from the code's table, which never changes. PyCode_Addr2Line() would
 * prefer a table that another thread may be filling at that moment (sys.settrace).
 */
#include "trace/script/interpreter.h"

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#include "base/thread/pid.h"
#include "base/unwind/unwind.h"
#include "trace/script/python_lines.h"

/* VERSION is a number from 3.11 on, before that a function that gives a text. */
enum symbol { GET_THIS_THREAD_STATE, VERSION, IS_FINALIZING, FINALIZE, RUNTIME, EVAL_CODE };

typedef uintptr_t (*state_function)(void);
typedef int (*finalizing_function)(void);
typedef const char *(*version_function)(void);

enum offset {
	STATE_CFRAME, /* which has the frame; 0: the state has it */
	STATE_FRAME,  /* of the frame in either */
	STATE_THREAD,
	FRAME_CODE,
	FRAME_PREVIOUS,
	FRAME_INSTRUCTION, /* a pointer to it; before 3.11 its number of bytes */
	FRAME_OWNER,       /* 0: a frame is an object */
	CODE_FLAGS,
	CODE_FIRST_LINE,
	CODE_FILE,
	CODE_NAME,
	CODE_LINES,
	CODE_INSTRUCTIONS,
	UNICODE_ASCII_DATA,
	UNICODE_OTHER_DATA,
	OFFSETS
};

_Static_assert(OFFSETS <= SCRIPT_OFFSETS_MAX, "there is room for all");

#define NUMBER(major, minor) ((major) << 8 | (minor)) /* 0x030b: 3.11 */

static const struct script_version versions[] = {
#define VERSION_TABLE(major, minor, ...) {NUMBER(major, minor), {__VA_ARGS__}},
#define VERSION_PUBLISHED(...)
#include "trace/script/tables/python.def"
#undef VERSION_TABLE
#undef VERSION_PUBLISHED
	{0}};

/* Where in _PyRuntime the offsets stand that are published. */
static const struct script_version published[] = {
#define VERSION_TABLE(...)
#define VERSION_PUBLISHED(major, minor, ...) {NUMBER(major, minor), {__VA_ARGS__}},
#include "trace/script/tables/python.def"
#undef VERSION_TABLE
#undef VERSION_PUBLISHED
	{0}};

#define COOKIE           "xdebugpy" /* eight bytes, without a NUL */
#define PUBLISHED_NUMBER 8          /* the version as in Py_Version */
#define PUBLISHED_NO_GIL 16
#define PUBLISHED_MAX    1024 /* no structure of these has its members farther off */

/* The same in all of them, on machines of 64 bits. */
#define OBJECT_TYPE        8
#define OBJECT_SIZE        16
#define TYPE_NAME          24
#define UNICODE_STATE      32
#define FRAME_BYTES_MAX    112
#define FLAGS_OF_FUNCTIONS 3
#define FRAMES_MAX         1024
#define INSTRUCTION_BYTES  2
#define REFERENCE_TAG      1 /* of a reference that is not counted, from 3.14 on */

/* Before the instructions stand a pointer and, before that, the first that is traced. */
#define TRACEABLE_BEFORE_INSTRUCTIONS 16

/* Who owns a frame. */
#define OWNED_BY_GENERATOR 1
#define OWNED_BY_C_STACK   3 /* and what comes after it: no frame of a script */

/* The state of a unicode object. */
#define STATE_KIND(state)       ((state) >> 2 & 7)
#define STATE_IS_COMPACT(state) (((state) >> 5 & 1) != 0)
#define STATE_IS_ASCII(state)   (((state) >> 6 & 1) != 0)

static const char libraries[][SCRIPT_LIBRARY_BYTES] = {
	"/site-packages/", "/dist-packages/", "/lib/python3.", "<frozen ", "",
};

/* ---- which version ---- */

static bool read_published(struct script_interpreter *python, struct safe_read *p,
                           const struct script_version *version)
{
	for (unsigned i = 0; i < OFFSETS; i++) {
		uintptr_t value = 0;

		if (version->offsets[i] != 0) {
			value = safe_read_pointer(p, python->symbols[RUNTIME] +
			                                     version->offsets[i]);
		}
		if (value > PUBLISHED_MAX) {
			return false;
		}
		python->offsets[i] = (uint16_t)value;
	}
	/* Not published: the flags, which never moved, and what follows an object's head. */
	python->offsets[CODE_FLAGS] = 48;
	python->offsets[UNICODE_OTHER_DATA] = python->offsets[UNICODE_ASCII_DATA] + 16;
	return python->offsets[FRAME_PREVIOUS] < python->offsets[FRAME_INSTRUCTION] &&
	       python->offsets[FRAME_CODE] < python->offsets[FRAME_INSTRUCTION] &&
	       python->offsets[FRAME_INSTRUCTION] < python->offsets[FRAME_OWNER] &&
	       python->offsets[FRAME_OWNER] < FRAME_BYTES_MAX &&
	       python->offsets[CODE_INSTRUCTIONS] > TRACEABLE_BEFORE_INSTRUCTIONS;
}

/* From 3.13 on. */
static bool publishes(struct script_interpreter *python, struct safe_read *p)
{
	uintptr_t runtime = python->symbols[RUNTIME];
	uint32_t number = safe_read_u32(p, python->symbols[VERSION]);
	const struct script_version *version = script_version_find(published, number >> 16);
	char cookie[sizeof(COOKIE) - 1];

	return version != NULL && safe_read(p, cookie, runtime, sizeof(cookie)) &&
	       memcmp(cookie, COOKIE, sizeof(cookie)) == 0 &&
	       safe_read_u32(p, runtime + PUBLISHED_NUMBER) == number &&
	       safe_read_pointer(p, runtime + PUBLISHED_NO_GIL) == 0 &&
	       read_published(python, p, version);
}

/* From 3.11 on, before it publishes. */
static bool has_number(struct script_interpreter *python, struct safe_read *p)
{
	return script_version_use(python, versions,
	                          safe_read_u32(p, python->symbols[VERSION]) >> 16);
}

/* Before 3.11: "3.9.2 (default, ...". */
static bool has_text(struct script_interpreter *python, struct safe_read *p)
{
	uintptr_t text = (uintptr_t)((version_function)python->symbols[VERSION])();

	return safe_read_starts(p, text, "3.9.") &&
	       script_version_use(python, versions, NUMBER(3, 9));
}

static bool is_finalizing(const struct script_interpreter *python)
{
	return ((finalizing_function)python->symbols[IS_FINALIZING])() != 0;
}

/*
 * While Python is finalizing it frees the states and frames of all other threads, though those
 * (daemons) may still be in a connect.
 */
static bool may_be_freed(const struct script_cursor *cursor)
{
	return is_finalizing(cursor->interpreter) && tid_self() != pid_self();
}

/* The calling thread's state; 0 if Python does not know this thread. */
static uintptr_t thread_state(struct script_cursor *cursor)
{
	state_function get =
		(state_function)cursor->interpreter->symbols[GET_THIS_THREAD_STATE];
	uintptr_t state = get();

	if (state == 0 || may_be_freed(cursor) ||
	    safe_read_pointer(&cursor->memory, state + script_offset(cursor, STATE_THREAD)) !=
	            (uintptr_t)pthread_self()) {
		return 0;
	}
	return state;
}

static bool begin(struct script_cursor *cursor)
{
	uintptr_t state = thread_state(cursor);

	if (state == 0) {
		return false;
	}
	if (script_offset(cursor, STATE_CFRAME) != 0) {
		state = safe_read_pointer(&cursor->memory,
		                          state + script_offset(cursor, STATE_CFRAME));
	}
	cursor->frame =
		safe_read_pointer(&cursor->memory, state + script_offset(cursor, STATE_FRAME));
	return cursor->frame != 0;
}

/* True if the object is of the type with this name, which `seen` remembers. */
static bool is_of_type(struct safe_read *p, uintptr_t object, const char *name,
                       _Atomic(uintptr_t) *seen)
{
	uintptr_t type = safe_read_pointer(p, object + OBJECT_TYPE);

	if (type == 0) {
		return false;
	}
	if (type == atomic_load_explicit(seen, memory_order_relaxed)) {
		return true;
	}
	if (!safe_read_is(p, safe_read_pointer(p, type + TYPE_NAME), name)) {
		return false;
	}
	atomic_store_explicit(seen, type, memory_order_relaxed);
	return true;
}

static bool is_code(struct safe_read *p, uintptr_t object)
{
	static _Atomic(uintptr_t) seen;

	return is_of_type(p, object, "code", &seen);
}

static bool read_text(struct script_cursor *cursor, uintptr_t object, struct script_text *text)
{
	static _Atomic(uintptr_t) seen;
	struct safe_read *p = &cursor->memory;
	uint32_t state;

	if (!is_of_type(p, object, "str", &seen)) {
		return false;
	}
	state = safe_read_u32(p, object + UNICODE_STATE);
	if (!STATE_IS_COMPACT(state)) {
		return false;
	}
	text->length = safe_read_pointer(p, object + OBJECT_SIZE);
	text->at = object + script_offset(cursor, STATE_IS_ASCII(state) ? UNICODE_ASCII_DATA
	                                                                : UNICODE_OTHER_DATA);
	switch (STATE_KIND(state)) {
	case 1:
		text->encoding = SCRIPT_LATIN1;
		return true;
	case 2:
		text->encoding = SCRIPT_UCS2;
		return true;
	case 4:
		text->encoding = SCRIPT_UCS4;
		return true;
	default:
		return false;
	}
}

static uintptr_t pointer_at(const unsigned char *bytes, size_t offset)
{
	uintptr_t value;

	memcpy(&value, bytes + offset, sizeof(value));
	return value;
}

/* Up to its last member that is used: its owner, or its position. */
static bool read_frame(struct script_cursor *cursor, unsigned char *bytes)
{
	size_t owner = script_offset(cursor, FRAME_OWNER);
	size_t n = owner != 0 ? owner + 1
	                      : script_offset(cursor, FRAME_INSTRUCTION) + sizeof(int32_t);

	return safe_read(&cursor->memory, bytes, cursor->frame, n);
}

/* The code of a frame. From 3.14 on the lowest bit tells how it is referenced. */
static uintptr_t code_at(const struct script_cursor *cursor, const unsigned char *bytes)
{
	return pointer_at(bytes, script_offset(cursor, FRAME_CODE)) & ~(uintptr_t)REFERENCE_TAG;
}

/* Where C called Python; no frame of a script. */
static bool is_of_c(const struct script_cursor *cursor, const unsigned char *bytes)
{
	size_t owner = script_offset(cursor, FRAME_OWNER);

	return owner != 0 && bytes[owner] >= OWNED_BY_C_STACK;
}

static int32_t int_at(const unsigned char *bytes, size_t offset)
{
	int32_t value;

	memcpy(&value, bytes + offset, sizeof(value));
	return value;
}

static bool read_names(struct script_cursor *cursor, struct script_frame *frame)
{
	struct safe_read *p = &cursor->memory;
	uintptr_t code = frame->code;

	return read_text(cursor, safe_read_pointer(p, code + script_offset(cursor, CODE_FILE)),
	                 &frame->file) &&
	       read_text(cursor, safe_read_pointer(p, code + script_offset(cursor, CODE_NAME)),
	                 &frame->function);
}

/* The number of the instruction run last; false if the frame is still being made. */
static bool read_position(struct script_cursor *cursor, const unsigned char *bytes,
                          struct script_frame *frame)
{
	size_t instructions = frame->code + script_offset(cursor, CODE_INSTRUCTIONS);
	int32_t first;

	if (script_offset(cursor, FRAME_OWNER) == 0) {
		frame->at = (uintptr_t)(intptr_t)int_at(
			bytes, script_offset(cursor, FRAME_INSTRUCTION));
		return (intptr_t)frame->at >= 0;
	}
	first = (int32_t)safe_read_u32(&cursor->memory,
	                               instructions - TRACEABLE_BEFORE_INSTRUCTIONS);
	frame->at = (uintptr_t)((intptr_t)(pointer_at(bytes, script_offset(cursor,
	                                                                   FRAME_INSTRUCTION)) -
	                                   instructions) /
	                        INSTRUCTION_BYTES);
	return bytes[script_offset(cursor, FRAME_OWNER)] == OWNED_BY_GENERATOR ||
	       (intptr_t)frame->at >= first;
}

static enum script_step next(struct script_cursor *cursor, struct script_frame *frame)
{
	struct safe_read *p = &cursor->memory;
	unsigned char bytes[FRAME_BYTES_MAX];

	if (cursor->frame == 0) {
		return SCRIPT_END;
	}
	if (may_be_freed(cursor) || !read_frame(cursor, bytes)) {
		return SCRIPT_DOUBT;
	}
	cursor->frame = pointer_at(bytes, script_offset(cursor, FRAME_PREVIOUS));
	if (is_of_c(cursor, bytes)) {
		return SCRIPT_NOTHING;
	}
	frame->code = code_at(cursor, bytes);
	if (!is_code(p, frame->code)) {
		return SCRIPT_DOUBT;
	}
	if (!read_position(cursor, bytes, frame)) {
		return SCRIPT_NOTHING;
	}
	return read_names(cursor, frame) ? SCRIPT_FRAME : SCRIPT_DOUBT;
}

static uint32_t line(struct script_cursor *cursor, const struct script_frame *frame)
{
	struct safe_read *p = &cursor->memory;

	return python_line(
		p, safe_read_pointer(p, frame->code + script_offset(cursor, CODE_LINES)),
		safe_read_u32(p, frame->code + script_offset(cursor, CODE_FIRST_LINE)),
		(intptr_t)frame->at);
}

static uint32_t line_by_pairs(struct script_cursor *cursor, const struct script_frame *frame)
{
	struct safe_read *p = &cursor->memory;

	return python_line_by_pairs(
		p, safe_read_pointer(p, frame->code + script_offset(cursor, CODE_LINES)),
		safe_read_u32(p, frame->code + script_offset(cursor, CODE_FIRST_LINE)),
		(intptr_t)frame->at);
}

/* ---- the end ---- */

/*
 * True if the calling thread runs the program's main module, or code called by it: its
 * outermost frame is a module's then, not a function's. Cheaper than walking the C stack.
 */
static bool runs_a_module(struct script_cursor *cursor)
{
	unsigned char bytes[FRAME_BYTES_MAX];
	uintptr_t code = 0;

	if (!begin(cursor)) {
		return false;
	}
	for (unsigned i = 0; cursor->frame != 0; i++) {
		if (i == FRAMES_MAX || !read_frame(cursor, bytes)) {
			return false;
		}
		if (!is_of_c(cursor, bytes)) {
			code = code_at(cursor, bytes);
		}
		cursor->frame = pointer_at(bytes, script_offset(cursor, FRAME_PREVIOUS));
	}
	return code != 0 &&
	       (safe_read_u32(&cursor->memory, code + script_offset(cursor, CODE_FLAGS)) &
	        FLAGS_OF_FUNCTIONS) == 0;
}

/*
 * Before Python sets its finalizing flag, its main thread waits for the threads that are no
 * daemons, which go on as before, and runs the exit handlers.
 *
 * From 3.13 on the function that does it is part of Py_RunMain(), which runs the script by
 * PyEval_EvalCode(): so what it does without that is the end.
 */
static bool is_called_by_finalizer(const struct script_interpreter *python)
{
	const uintptr_t *symbols = python->symbols;

	return tid_self() == pid_self() &&
	       unwind_called_from(symbols[FINALIZE], symbols[FINALIZE] + 1, symbols[EVAL_CODE]);
}

static bool ending(struct script_cursor *cursor)
{
	return is_finalizing(cursor->interpreter) ||
	       (tid_self() == pid_self() && !runs_a_module(cursor) &&
	        is_called_by_finalizer(cursor->interpreter));
}

static bool any_ending(struct script_cursor *cursor)
{
	return is_finalizing(cursor->interpreter) ||
	       is_called_by_finalizer(cursor->interpreter);
}

/* ---- the kinds ---- */

static struct script_kind kind(bool (*known)(struct script_interpreter *, struct safe_read *))
{
	return (struct script_kind){
		.names = {"PyGILState_GetThisThreadState", "Py_Version", "_Py_IsFinalizing",
	                  "Py_FinalizeEx"},
		.libraries = libraries,
		.may_trust = true,
		.known = known,
		.begin = begin,
		.next = next,
		.line = line,
		.ending = ending,
	};
}

struct script_kind script_python(void)
{
	struct script_kind python = kind(publishes);

	python.names[IS_FINALIZING] = "Py_IsFinalizing";
	python.names[FINALIZE] = "Py_RunMain";
	python.names[RUNTIME] = "_PyRuntime";
	python.names[EVAL_CODE] = "PyEval_EvalCode";
	return python;
}

struct script_kind script_python_3_11(void)
{
	return kind(has_number);
}

struct script_kind script_python_3_9(void)
{
	struct script_kind python = kind(has_text);

	python.names[VERSION] = "Py_GetVersion";
	python.line = line_by_pairs;
	return python;
}

struct script_kind script_any_python(void)
{
	return (struct script_kind){
		.names = {[IS_FINALIZING] = "Py_IsFinalizing",
	                  [FINALIZE] = "Py_RunMain",
	                  [EVAL_CODE] = "PyEval_EvalCode"},
		.libraries = libraries,
		.ending = any_ending,
	};
}

struct script_kind script_any_python_3_8(void)
{
	struct script_kind python = script_any_python();

	python.names[IS_FINALIZING] = "_Py_IsFinalizing";
	return python;
}
