/* SPDX-License-Identifier: PostgreSQL */
/*
 * The frames of CPython 3.11.
 *
 * A thread's state leads to its innermost frame and each frame to the one that called
 * it. Drivers give the GIL up around a connect, so that other threads run meanwhile;
 * they do not change this thread's frames, and what these hold references to (code
 * objects, and from there names and line tables) is neither changed nor freed. Nothing
 * is asked of Python but the thread's state, which is thread-specific data.
 *
 * The line is decoded here from co_linetable, which never changes. PyCode_Addr2Line()
 * would prefer a table that another thread may be filling at that moment (sys.settrace).
 */
#include "trace/script_kind.h"

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#include "base/self.h"

enum symbol { GET_THIS_THREAD_STATE, VERSION, IS_FINALIZING, FINALIZE };

typedef uintptr_t (*state_function)(void);
typedef int (*finalizing_function)(void);

#define VERSION_KNOWN 0x030b0000
#define VERSION_MASK  0xffff0000

/* Offsets within the structures of 3.11 on machines of 64 bits. */
#define OBJECT_TYPE        8
#define OBJECT_SIZE        16
#define TYPE_NAME          24
#define BYTES_DATA         32
#define STATE_CFRAME       56
#define STATE_THREAD       152
#define CFRAME_FRAME       8
#define FRAME_CODE         32
#define FRAME_PREVIOUS     48
#define FRAME_INSTRUCTION  56
#define FRAME_OWNER        69
#define FRAME_BYTES        72
#define CODE_FLAGS         48
#define CODE_FIRST_LINE    72
#define CODE_FILE          112
#define CODE_QUALNAME      128
#define CODE_LINES         136
#define CODE_TRACEABLE     168
#define CODE_INSTRUCTIONS  184
#define UNICODE_STATE      32
#define UNICODE_ASCII_DATA 48
#define UNICODE_OTHER_DATA 72
#define FLAGS_OF_FUNCTIONS 3
#define FRAMES_MAX         1024
#define OWNED_BY_GENERATOR 1
#define INSTRUCTION_BYTES  2

/* The state of a unicode object. */
#define STATE_KIND(state)       ((state) >> 2 & 7)
#define STATE_IS_COMPACT(state) (((state) >> 5 & 1) != 0)
#define STATE_IS_ASCII(state)   (((state) >> 6 & 1) != 0)

/* What an entry of the line table says. */
#define ENTRY_START      0x80
#define ENTRY_NONE       15
#define ENTRY_LONG       14
#define ENTRY_NO_COLUMNS 13
#define ENTRY_ONE_LINE   10

static const char libraries[][SCRIPT_LIBRARY_BYTES] = {
	"/site-packages/", "/dist-packages/", "/lib/python3.11/", "<frozen ", "",
};

static bool known(const struct script_interpreter *python, struct peek *p)
{
	return (peek_u32(p, python->symbols[VERSION]) & VERSION_MASK) == VERSION_KNOWN;
}

static bool is_finalizing(const struct script_interpreter *python)
{
	return ((finalizing_function)python->symbols[IS_FINALIZING])() != 0;
}

/*
 * Once Python is finalizing it frees the states of all threads but the one that does
 * it, the frames with them, though those threads (daemons) may still be in a connect.
 */
static bool may_be_freed(const struct script_cursor *cursor)
{
	return is_finalizing(cursor->interpreter) && self_tid() != self_pid();
}

/* The calling thread's state; 0 if Python does not know this thread. */
static uintptr_t thread_state(struct script_cursor *cursor)
{
	state_function get =
		(state_function)cursor->interpreter->symbols[GET_THIS_THREAD_STATE];
	uintptr_t state = get();

	if (state == 0 || may_be_freed(cursor) ||
	    peek_pointer(&cursor->peek, state + STATE_THREAD) != (uintptr_t)pthread_self()) {
		return 0;
	}
	return state;
}

static bool begin(struct script_cursor *cursor)
{
	uintptr_t state = thread_state(cursor);
	uintptr_t cframe;

	if (state == 0) {
		return false;
	}
	cframe = peek_pointer(&cursor->peek, state + STATE_CFRAME);
	cursor->frame = peek_pointer(&cursor->peek, cframe + CFRAME_FRAME);
	return cursor->frame != 0;
}

/* True if the object is of the type with this name, which `seen` remembers. */
static bool is_of_type(struct peek *p, uintptr_t object, const char *name,
                       _Atomic(uintptr_t) *seen)
{
	uintptr_t type = peek_pointer(p, object + OBJECT_TYPE);

	if (type == 0) {
		return false;
	}
	if (type == atomic_load_explicit(seen, memory_order_relaxed)) {
		return true;
	}
	if (!peek_is(p, peek_pointer(p, type + TYPE_NAME), name)) {
		return false;
	}
	atomic_store_explicit(seen, type, memory_order_relaxed);
	return true;
}

static bool is_code(struct peek *p, uintptr_t object)
{
	static _Atomic(uintptr_t) seen;

	return is_of_type(p, object, "code", &seen);
}

static bool read_text(struct peek *p, uintptr_t object, struct script_text *text)
{
	static _Atomic(uintptr_t) seen;
	uint32_t state;

	if (!is_of_type(p, object, "str", &seen)) {
		return false;
	}
	state = peek_u32(p, object + UNICODE_STATE);
	if (!STATE_IS_COMPACT(state)) {
		return false;
	}
	text->length = peek_pointer(p, object + OBJECT_SIZE);
	text->at = object + (STATE_IS_ASCII(state) ? UNICODE_ASCII_DATA : UNICODE_OTHER_DATA);
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

static enum script_step next(struct script_cursor *cursor, struct script_frame *frame)
{
	struct peek *p = &cursor->peek;
	unsigned char bytes[FRAME_BYTES];
	int32_t first;
	intptr_t at;

	if (cursor->frame == 0) {
		return SCRIPT_END;
	}
	if (may_be_freed(cursor) || !peek(p, bytes, cursor->frame, sizeof(bytes))) {
		return SCRIPT_DOUBT;
	}
	frame->code = pointer_at(bytes, FRAME_CODE);
	if (!is_code(p, frame->code)) {
		return SCRIPT_DOUBT;
	}
	cursor->frame = pointer_at(bytes, FRAME_PREVIOUS);
	/* The instruction run last: one before the first if none was. */
	at = (intptr_t)(pointer_at(bytes, FRAME_INSTRUCTION) - frame->code -
	                CODE_INSTRUCTIONS) /
	     INSTRUCTION_BYTES;
	first = (int32_t)peek_u32(p, frame->code + CODE_TRACEABLE);
	if (bytes[FRAME_OWNER] != OWNED_BY_GENERATOR && at < first) {
		return SCRIPT_NOTHING; /* still being made */
	}
	frame->at = (uintptr_t)at;
	if (!read_text(p, peek_pointer(p, frame->code + CODE_FILE), &frame->file) ||
	    !read_text(p, peek_pointer(p, frame->code + CODE_QUALNAME), &frame->function)) {
		return SCRIPT_DOUBT;
	}
	return SCRIPT_FRAME;
}

/* ---- the line table ---- */

struct table {
	struct peek *p;
	uintptr_t at; /* of what comes after the buffer */
	uintptr_t end;
	size_t count;
	size_t next;
	unsigned char buf[128];
};

/* The next byte, which stays the next one if it is not `taken`; -1 at the end. */
static int look(struct table *table, bool taken)
{
	if (table->next == table->count) {
		size_t n = table->end - table->at;

		n = n < sizeof(table->buf) ? n : sizeof(table->buf);
		if (n == 0 || !peek(table->p, table->buf, table->at, n)) {
			return -1;
		}
		table->at += n;
		table->count = n;
		table->next = 0;
	}
	return taken ? table->buf[table->next++] : table->buf[table->next];
}

/* Six bits a byte, the lowest first; 0x40 says that more follow. The sign is the last bit. */
static int32_t take_signed(struct table *table)
{
	uint32_t value = 0;
	unsigned shift = 0;
	int byte;

	do {
		byte = look(table, true);
		if (byte < 0) {
			return 0;
		}
		value |= (uint32_t)(byte & 0x3f) << shift;
		shift += 6;
	} while ((byte & 0x40) != 0 && shift < 30);
	return (value & 1) != 0 ? -(int32_t)(value >> 1) : (int32_t)(value >> 1);
}

static int32_t take_delta(struct table *table, unsigned code)
{
	switch (code) {
	case ENTRY_LONG:
	case ENTRY_NO_COLUMNS:
		return take_signed(table);
	case ENTRY_ONE_LINE:
	case ENTRY_ONE_LINE + 1:
	case ENTRY_ONE_LINE + 2:
		return (int32_t)code - ENTRY_ONE_LINE;
	default:
		return 0;
	}
}

/*
 * Each entry covers one to eight instructions, and says how far their line is from the
 * one before: 1cccclll, then bytes below 0x80.
 */
static uint32_t line(struct script_cursor *cursor, const struct script_frame *frame)
{
	struct peek *p = &cursor->peek;
	uintptr_t lines = peek_pointer(p, frame->code + CODE_LINES);
	uint32_t first = peek_u32(p, frame->code + CODE_FIRST_LINE);
	int64_t now = first;
	intptr_t left = (intptr_t)frame->at;
	struct table table = {.p = p, .at = lines + BYTES_DATA};

	table.end = table.at + peek_pointer(p, lines + OBJECT_SIZE);
	while (left >= 0) {
		int start = look(&table, true);
		unsigned code = (unsigned)start >> 3 & 15;

		if (start < ENTRY_START) {
			return 0;
		}
		now += take_delta(&table, code);
		left -= (start & 7) + 1;
		if (left < 0 && code == ENTRY_NONE) {
			return first;
		}
		while (left >= 0 && look(&table, false) >= 0 &&
		       look(&table, false) < ENTRY_START) {
			look(&table, true);
		}
	}
	return now > 0 ? (uint32_t)now : 0;
}

/* ---- the end ---- */

/*
 * True if the calling thread runs the program's main module, or what that calls: its
 * outermost frame is a module's then, not a function's. Cheaper than to look at the C
 * stack, and enough nearly always.
 */
static bool runs_a_module(struct script_cursor *cursor)
{
	struct peek *p = &cursor->peek;
	uintptr_t outermost = 0;

	if (begin(cursor)) {
		for (unsigned i = 0; i < FRAMES_MAX && cursor->frame != 0; i++) {
			outermost = cursor->frame;
			cursor->frame = peek_pointer(p, outermost + FRAME_PREVIOUS);
		}
	}
	return outermost != 0 && cursor->frame == 0 &&
	       (peek_u32(p, peek_pointer(p, outermost + FRAME_CODE) + CODE_FLAGS) &
	        FLAGS_OF_FUNCTIONS) == 0;
}

/*
 * Before Python says that it is finalizing it waits for the threads that are no daemons,
 * which go on as before, and runs the exit handlers: in the thread that ends it, which
 * is the main one.
 */
static bool ending(struct script_cursor *cursor)
{
	const uintptr_t *symbols = cursor->interpreter->symbols;

	return is_finalizing(cursor->interpreter) ||
	       (self_tid() == self_pid() && !runs_a_module(cursor) &&
	        script_called_from(symbols[FINALIZE], symbols[FINALIZE] + 1));
}

struct script_kind script_python(void)
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
