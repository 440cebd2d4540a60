/* SPDX-License-Identifier: PostgreSQL */
/*
 * Reads the frames of Ruby, of the versions in tables/ruby.def, and tells its end.
 *
 * A thread-local variable or, from 3.2 on, where that is not exported, the thread's object
 * leads to the calling thread's execution context, where its control frames lie one after the
 * other. ruby-pg releases the GVL around a connect, so another thread may collect garbage
 * meanwhile: what our frames refer to stays alive, but a compaction may move it, and makes the
 * pages that it works on unreadable. So each page is asked for every time, and an object must
 * be of its kind. Read are only things that do not move: the body of an instruction sequence
 * and the names in it.
 */
#include "trace/script/interpreter.h"

#include <string.h>

#include "base/dl.h"
#include "base/thread/pid.h"
#include "base/unwind/unwind.h"

/* CURRENT is the variable, or a function that gives the thread's object. */
enum symbol { CURRENT, API_VERSION, LINE_NUMBER, FINALIZE, CLEANUP, IS_RUBYS };

typedef unsigned (*line_function)(const void *sequence, size_t position);
typedef uintptr_t (*thread_function)(void);
typedef int (*is_rubys_function)(void);

enum offset {
	FRAME_BYTES,
	STRING_EMBEDDED,        /* the text within the object */
	STRING_EMBEDDED_LENGTH, /* 0: in the flags */
	OFFSETS
};

_Static_assert(OFFSETS <= SCRIPT_OFFSETS_MAX, "there is room for all");

#define NUMBER(major, minor) ((major) << 8 | (minor))

static const struct script_version versions[] = {
#define VERSION_TABLE(major, minor, ...) {NUMBER(major, minor), {__VA_ARGS__}},
#include "trace/script/tables/ruby.def"
#undef VERSION_TABLE
	{0}};

/* The same in all of them, on machines of 64 bits. */
#define TYPED_DATA         32
#define THREAD_SELF        16
#define THREAD_CONTEXT     48
#define CONTEXT_THREAD     48
#define CONTEXT_STACK      0
#define CONTEXT_STACK_SIZE 8
#define CONTEXT_FRAME      16
#define FRAME_PC           0
#define FRAME_SEQUENCE     16
#define OBJECT_FLAGS       0
#define SEQUENCE_BODY      16
#define SEQUENCE_BYTES     40
#define BODY_SIZE          4
#define BODY_CODE          8
#define BODY_PATH          64
#define BODY_LABEL         80
#define STRING_LENGTH      16
#define STRING_POINTER     24
#define ARRAY_EMBEDDED     16

#define TYPE_MASK          0x1f
#define TYPE_STRING        0x05
#define TYPE_ARRAY         0x07
#define TYPE_INTERNAL      0x1a
#define FLAGS_SHIFT        12
#define INTERNAL_KIND_MASK 15
#define INTERNAL_SEQUENCE  7
#define STRING_NO_EMBED    0x2000
#define STRING_EMBED_SHIFT 14
#define STRING_EMBED_MASK  0x1f
#define ARRAY_IS_EMBEDDED  0x2000

/* No more lies between two functions of one of Ruby's files. */
#define BETWEEN_MAX 16384

static const char libraries[][SCRIPT_LIBRARY_BYTES] = {"/gems/", "/lib/ruby/",
                                                       "<internal:", ""};

static bool known(struct script_interpreter *ruby, struct safe_read *p)
{
	uintptr_t version = ruby->symbols[API_VERSION];
	uint32_t major = safe_read_u32(p, version);
	uint32_t minor = safe_read_u32(p, version + sizeof(int));

	return major < 256 && minor < 256 &&
	       script_version_use(ruby, versions, NUMBER(major, minor));
}

/* Those that do not export the variable. */
static bool known_by_thread(struct script_interpreter *ruby, struct safe_read *p)
{
	return safe_read_u32(p, ruby->symbols[API_VERSION] + sizeof(int)) > 1 && known(ruby, p);
}

/* ---- the context ---- */

struct local {
	const ElfW(Phdr) * headers;
	uintptr_t at;
};

/* Not __tls_get_addr(), which would make the variables of a thread that has none yet. */
static int find_local(struct dl_phdr_info *info, size_t size, void *arg)
{
	struct local *local = arg;

	if (info->dlpi_phdr != local->headers) {
		return 0;
	}
	if (size >=
	    offsetof(struct dl_phdr_info, dlpi_tls_data) + sizeof(info->dlpi_tls_data)) {
		local->at = (uintptr_t)info->dlpi_tls_data;
	}
	return 1;
}

/* Ruby's thread-local variables in this thread; 0 if it has none. */
static uintptr_t locals(const struct script_interpreter *ruby)
{
	struct local local = {.headers = ruby->headers};

	dl_iterate(find_local, &local);
	return local.at;
}

static bool begin_at(struct script_cursor *cursor, uintptr_t context)
{
	struct safe_read *p = &cursor->memory;

	cursor->context = context;
	cursor->frame = safe_read_pointer(p, context + CONTEXT_FRAME);
	cursor->end = safe_read_pointer(p, context + CONTEXT_STACK) +
	              safe_read_pointer(p, context + CONTEXT_STACK_SIZE) * sizeof(uintptr_t);
	return cursor->frame != 0 && cursor->frame < cursor->end;
}

static bool begin_by_variable(struct script_cursor *cursor)
{
	const struct script_interpreter *ruby = cursor->interpreter;
	uintptr_t at = locals(ruby);

	return at != 0 && begin_at(cursor, safe_read_pointer(&cursor->memory,
	                                                     at + ruby->symbols[CURRENT]));
}

/* The function looks at nothing but a thread-local variable, which a thread of Ruby's has. */
static bool begin_by_thread(struct script_cursor *cursor)
{
	const uintptr_t *symbols = cursor->interpreter->symbols;
	struct safe_read *p = &cursor->memory;
	uintptr_t object;
	uintptr_t thread;
	uintptr_t context;

	if (locals(cursor->interpreter) == 0 || !((is_rubys_function)symbols[IS_RUBYS])()) {
		return false;
	}
	object = ((thread_function)symbols[CURRENT])();
	thread = safe_read_pointer(p, object + TYPED_DATA);
	context = safe_read_pointer(p, thread + THREAD_CONTEXT);
	return safe_read_pointer(p, thread + THREAD_SELF) == object &&
	       safe_read_pointer(p, context + CONTEXT_THREAD) == thread &&
	       begin_at(cursor, context);
}

/* ---- frames ---- */

static bool is_of_type(struct safe_read *p, uintptr_t object, unsigned type)
{
	return (safe_read_pointer(p, object + OBJECT_FLAGS) & TYPE_MASK) == type;
}

static bool read_string(struct script_cursor *cursor, uintptr_t object,
                        struct script_text *text)
{
	struct safe_read *p = &cursor->memory;
	uintptr_t flags = safe_read_pointer(p, object + OBJECT_FLAGS);

	if ((flags & TYPE_MASK) != TYPE_STRING) {
		return false;
	}
	if ((flags & STRING_NO_EMBED) != 0) {
		text->at = safe_read_pointer(p, object + STRING_POINTER);
		text->length = safe_read_pointer(p, object + STRING_LENGTH);
	} else {
		text->at = object + script_offset(cursor, STRING_EMBEDDED);
		text->length =
			script_offset(cursor, STRING_EMBEDDED_LENGTH) != 0
				? safe_read_pointer(
					  p, object + script_offset(cursor,
		                                                    STRING_EMBEDDED_LENGTH))
				: flags >> STRING_EMBED_SHIFT & STRING_EMBED_MASK;
	}
	return text->at != 0;
}

/* The path as the script was called by, alone or in an array with the real one. */
static bool read_path(struct script_cursor *cursor, uintptr_t object, struct script_text *text)
{
	struct safe_read *p = &cursor->memory;
	uintptr_t flags = safe_read_pointer(p, object + OBJECT_FLAGS);

	if ((flags & TYPE_MASK) == TYPE_ARRAY) {
		if ((flags & ARRAY_IS_EMBEDDED) == 0) {
			return false;
		}
		object = safe_read_pointer(p, object + ARRAY_EMBEDDED);
	}
	return read_string(cursor, object, text);
}

static bool is_sequence(struct safe_read *p, uintptr_t object)
{
	return is_of_type(p, object, TYPE_INTERNAL) &&
	       (safe_read_pointer(p, object + OBJECT_FLAGS) >> FLAGS_SHIFT &
	        INTERNAL_KIND_MASK) == INTERNAL_SEQUENCE;
}

static enum script_step next(struct script_cursor *cursor, struct script_frame *frame)
{
	struct safe_read *p = &cursor->memory;
	uintptr_t now = cursor->frame;
	uintptr_t sequence;
	uintptr_t code;

	if (now + script_offset(cursor, FRAME_BYTES) > cursor->end) {
		return SCRIPT_END;
	}
	cursor->frame += script_offset(cursor, FRAME_BYTES);
	frame->at = safe_read_pointer(p, now + FRAME_PC);
	sequence = safe_read_pointer(p, now + FRAME_SEQUENCE);
	if (frame->at == 0 || sequence == 0) {
		return SCRIPT_NOTHING; /* a method in C */
	}
	if (!is_sequence(p, sequence)) {
		return SCRIPT_DOUBT;
	}
	frame->code = safe_read_pointer(p, sequence + SEQUENCE_BODY);
	code = safe_read_pointer(p, frame->code + BODY_CODE);
	frame->at = (frame->at - code) / sizeof(uintptr_t);
	if (code == 0 || frame->at > safe_read_u32(p, frame->code + BODY_SIZE) ||
	    !read_path(cursor, safe_read_pointer(p, frame->code + BODY_PATH), &frame->file) ||
	    !read_string(cursor, safe_read_pointer(p, frame->code + BODY_LABEL),
	                 &frame->function)) {
		return SCRIPT_DOUBT;
	}
	return SCRIPT_FRAME;
}

/*
 * The function looks at nothing but the body, which is given to it in a sequence of our
 * own: the real one may be moving. A frame's position is that of its next instruction.
 */
static uint32_t line(struct script_cursor *cursor, const struct script_frame *frame)
{
	line_function line_number = (line_function)cursor->interpreter->symbols[LINE_NUMBER];
	unsigned char sequence[SEQUENCE_BYTES] = {0};

	memcpy(sequence + SEQUENCE_BODY, &frame->code, sizeof(frame->code));
	return line_number(sequence, frame->at > 0 ? frame->at - 1 : 0);
}

/* ---- the end ---- */

/*
 * Ruby's main thread runs exit handlers and finalizers in a function that is not exported, but
 * lies between two that are, as in the source.
 */
static bool ending(struct script_cursor *cursor)
{
	const uintptr_t *symbols = cursor->interpreter->symbols;

	return tid_self() == pid_self() && symbols[CLEANUP] - symbols[FINALIZE] < BETWEEN_MAX &&
	       unwind_called_from(symbols[FINALIZE] + 1, symbols[CLEANUP], 0);
}

struct script_kind script_ruby_3_1(void)
{
	return (struct script_kind){
		.names = {"ruby_current_ec", "ruby_api_version", "rb_iseq_line_no",
	                  "ruby_finalize", "ruby_cleanup"},
		.libraries = libraries,
		.moves = true,
		.known = known,
		.begin = begin_by_variable,
		.next = next,
		.line = line,
		.ending = ending,
	};
}

struct script_kind script_ruby(void)
{
	struct script_kind ruby = script_ruby_3_1();

	ruby.names[CURRENT] = "rb_thread_current";
	ruby.names[IS_RUBYS] = "ruby_native_thread_p";
	ruby.known = known_by_thread;
	ruby.begin = begin_by_thread;
	return ruby;
}

struct script_kind script_any_ruby(void)
{
	return (struct script_kind){
		.names = {[FINALIZE] = "ruby_finalize", [CLEANUP] = "ruby_cleanup"},
		.libraries = libraries,
		.ending = ending,
	};
}
