/* SPDX-License-Identifier: PostgreSQL */
/*
 * Reads the frames of Perl with interpreter threads, as Debian builds it, of the versions in
 * tables/perl.def, and tells its end.
 *
 * Each thread that may run Perl has its interpreter in thread-specific data. A frame is a
 * statement (PL_curcop, or where a sub was called) and the sub that it is in; caller_cx(),
 * which only reads, finds the calls. No driver lets another thread run meanwhile: an
 * interpreter has one thread.
 */
#include "trace/script/interpreter.h"

#include <pthread.h>
#include <string.h>

#include "base/thread/pid.h"
#include "base/unwind/unwind.h"

enum symbol { THREAD_KEY, VERSION, CALLER_CX, DESTRUCT, CALL_LIST };

typedef uintptr_t (*caller_cx_function)(uintptr_t perl, int32_t level, uintptr_t *debugger);

enum offset {
	PERL_CURCOP,
	PERL_COMPILING,
	PERL_PHASE,
	/* Not offsets, but the numbers of two operations. */
	OP_NEXTSTATE,
	OP_DBSTATE,
	OFFSETS
};

_Static_assert(OFFSETS <= SCRIPT_OFFSETS_MAX, "there is room for all");

static const struct script_version versions[] = {
#define VERSION_TABLE(minor, ...) {minor, {__VA_ARGS__}},
#include "trace/script/tables/perl.def"
#undef VERSION_TABLE
	{0}};

/* The same in all of them, on machines of 64 bits. */
#define COP_TYPE        32
#define COP_TYPE_MASK   0x1ff
#define COP_LINE        36
#define COP_FILE        48
#define CONTEXT_TYPE    0
#define CONTEXT_OLD_COP 16
#define CONTEXT_CV      72
#define SV_ANY          0
#define SV_FLAGS        12
#define SV_TYPE_MASK    0xff
#define CV_NAME         56
#define CV_FLAGS        92
#define GV_NAME         32
#define HEK_LENGTH      4
#define HEK_KEY         8

#define CONTEXT_KIND    15
#define CONTEXT_SUB     9
#define CONTEXT_EVAL    11
#define CV_IS_NAMED     0x8000
#define TYPE_GV         9
#define TYPE_CV         13
#define PHASE_END       5
#define PHASE_DESTRUCT  6
#define FILE_LENGTH_MAX 4096

static const char libraries[][SCRIPT_LIBRARY_BYTES] = {
	"/perl5/", "/share/perl/", "/perl/5.", "/perl-base/", "",
};

static const char evaluated[] = "eval";

static bool known(struct script_interpreter *perl, struct safe_read *p)
{
	unsigned char minor;

	return safe_read(p, &minor, perl->symbols[VERSION], 1) &&
	       script_version_use(perl, versions, minor);
}

static uintptr_t own_interpreter(struct script_cursor *cursor)
{
	pthread_key_t key;

	if (!safe_read(&cursor->memory, &key, cursor->interpreter->symbols[THREAD_KEY],
	               sizeof(key))) {
		return 0;
	}
	return (uintptr_t)pthread_getspecific(key);
}

static bool begin(struct script_cursor *cursor)
{
	cursor->context = own_interpreter(cursor);
	if (cursor->context == 0) {
		return false;
	}
	cursor->frame = safe_read_pointer(&cursor->memory,
	                                  cursor->context + script_offset(cursor, PERL_CURCOP));
	return cursor->frame != 0;
}

/* The name of a sub, from itself or by its glob. */
static void read_name(struct safe_read *p, uintptr_t cv, struct script_text *name)
{
	uintptr_t body = safe_read_pointer(p, cv + SV_ANY);
	uintptr_t key = safe_read_pointer(p, body + CV_NAME);

	if ((safe_read_u32(p, cv + SV_FLAGS) & SV_TYPE_MASK) != TYPE_CV || key == 0) {
		return;
	}
	if ((safe_read_u32(p, body + CV_FLAGS) & CV_IS_NAMED) == 0) {
		if ((safe_read_u32(p, key + SV_FLAGS) & SV_TYPE_MASK) != TYPE_GV) {
			return;
		}
		key = safe_read_pointer(p, safe_read_pointer(p, key + SV_ANY) + GV_NAME);
	}
	if (key != 0) {
		name->at = key + HEK_KEY;
		name->length = safe_read_u32(p, key + HEK_LENGTH);
	}
}

/* Goes on to the calling frame; what it called is this frame's function. */
static void ascend(struct script_cursor *cursor, struct script_frame *frame)
{
	struct safe_read *p = &cursor->memory;
	caller_cx_function caller_cx =
		(caller_cx_function)cursor->interpreter->symbols[CALLER_CX];
	uintptr_t context;
	uint32_t type;

	context = caller_cx(cursor->context, (int32_t)cursor->level++, NULL);
	cursor->frame = context != 0 ? safe_read_pointer(p, context + CONTEXT_OLD_COP) : 0;
	type = context != 0 ? safe_read_u32(p, context + CONTEXT_TYPE) & CONTEXT_KIND : 0;
	if (type == CONTEXT_SUB) {
		read_name(p, safe_read_pointer(p, context + CONTEXT_CV), &frame->function);
	} else if (type == CONTEXT_EVAL) {
		frame->function.at = (uintptr_t)evaluated;
		frame->function.length = strlen(evaluated);
	}
}

static bool is_statement(struct script_cursor *cursor, uintptr_t cop)
{
	uint32_t type = safe_read_u32(&cursor->memory, cop + COP_TYPE) & COP_TYPE_MASK;

	return type == script_offset(cursor, OP_NEXTSTATE) ||
	       type == script_offset(cursor, OP_DBSTATE) ||
	       cop == cursor->context + script_offset(cursor, PERL_COMPILING);
}

static uint32_t line(struct script_cursor *cursor, const struct script_frame *frame)
{
	return safe_read_u32(&cursor->memory, frame->code + COP_LINE);
}

static enum script_step next(struct script_cursor *cursor, struct script_frame *frame)
{
	uintptr_t cop = cursor->frame;
	ptrdiff_t length;

	if (cop == 0) {
		return SCRIPT_END;
	}
	if (!is_statement(cursor, cop)) {
		return SCRIPT_DOUBT;
	}
	frame->code = cop;
	frame->file.at = safe_read_pointer(&cursor->memory, cop + COP_FILE);
	ascend(cursor, frame);
	if (frame->file.at == 0) {
		return SCRIPT_NOTHING;
	}
	length = safe_read_length(&cursor->memory, frame->file.at, FILE_LENGTH_MAX);
	frame->file.length = length > 0 ? (size_t)length : 0;
	return length > 0 ? SCRIPT_FRAME : SCRIPT_DOUBT;
}

/* END blocks, then what is destroyed after the last statement. */
static bool ending(struct script_cursor *cursor)
{
	uintptr_t perl = own_interpreter(cursor);
	uint32_t phase = perl != 0 ? safe_read_u32(&cursor->memory,
	                                           perl + script_offset(cursor, PERL_PHASE))
	                           : 0;

	return phase == PHASE_END || phase == PHASE_DESTRUCT;
}

/* In an exported function. A thread has an interpreter of its own, which ends with it. */
static bool any_ending(struct script_cursor *cursor)
{
	uintptr_t destruct = cursor->interpreter->symbols[DESTRUCT];

	return tid_self() == pid_self() && unwind_called_from(destruct, destruct + 1, 0);
}

struct script_kind script_perl(void)
{
	return (struct script_kind){
		.names = {"PL_thr_key", "PL_version", "Perl_caller_cx"},
		.libraries = libraries,
		.known = known,
		.begin = begin,
		.next = next,
		.line = line,
		.ending = ending,
	};
}

struct script_kind script_any_perl(void)
{
	return (struct script_kind){
		.names = {[DESTRUCT] = "perl_destruct", [CALL_LIST] = "Perl_call_list"},
		.libraries = libraries,
		.ending = any_ending,
	};
}
