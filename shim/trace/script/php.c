/* SPDX-License-Identifier: PostgreSQL */
/*
 * Reads the frames of PHP without thread safety, of the versions in tables/php.def, and tells
 * its end. There is one engine, in one thread, with its state in the exported
 * `executor_globals`.
 */
#include "trace/script/interpreter.h"

#include <string.h>

#include "base/thread/pid.h"
#include "base/unwind/unwind.h"

enum symbol { GLOBALS, VERSION, SERVER_INTERFACE, REQUEST_SHUTDOWN };

typedef const char *(*version_function)(void);

enum offset {
	GLOBALS_CURRENT,
	GLOBALS_THROWN_AT,
	GLOBALS_FLAGS,
	FUNCTION_FILE,
	FUNCTION_LINE,
	OFFSETS
};

static const struct version {
	char engine[24]; /* how the engine's text begins */
	uint16_t offsets[OFFSETS];
} versions[] = {
#define VERSION_TABLE(php, engine, ...) {"Zend Engine v" engine ".", {__VA_ARGS__}},
#include "trace/script/tables/php.def"
#undef VERSION_TABLE
};

/* The same in all of them, on machines of 64 bits. */
#define DATA_OPLINE    0
#define DATA_FUNCTION  24
#define DATA_PREVIOUS  48
#define OPLINE_LINE    24
#define OPLINE_CODE    28
#define FUNCTION_TYPE  0
#define FUNCTION_NAME  8
#define FUNCTION_SCOPE 16
#define CLASS_NAME     8
#define STRING_LENGTH  16
#define STRING_DATA    24

#define TYPE_USER        2
#define TYPE_EVAL        4
#define HANDLE_EXCEPTION 149
#define IN_SHUTDOWN      1

static const char libraries[][SCRIPT_LIBRARY_BYTES] = {"/vendor/", "/usr/share/php/", ""};

static bool known(struct script_interpreter *php, struct safe_read *p)
{
	uintptr_t text = (uintptr_t)((version_function)php->symbols[VERSION])();

	for (size_t i = 0; i < sizeof(versions) / sizeof(versions[0]); i++) {
		if (safe_read_starts(p, text, versions[i].engine)) {
			memcpy(php->offsets, versions[i].offsets, sizeof(versions[i].offsets));
			return true;
		}
	}
	return false;
}

static bool begin(struct script_cursor *cursor)
{
	uintptr_t globals = cursor->interpreter->symbols[GLOBALS];

	cursor->frame = safe_read_pointer(&cursor->memory,
	                                  globals + script_offset(cursor, GLOBALS_CURRENT));
	return cursor->frame != 0;
}

static void read_string(struct safe_read *p, uintptr_t string, struct script_text *text)
{
	if (string != 0) {
		text->at = string + STRING_DATA;
		text->length = safe_read_pointer(p, string + STRING_LENGTH);
	}
}

static enum script_step next(struct script_cursor *cursor, struct script_frame *frame)
{
	struct safe_read *p = &cursor->memory;
	uintptr_t data = cursor->frame;
	uintptr_t function;
	uintptr_t scope;
	unsigned char type = 0;

	if (data == 0) {
		return SCRIPT_END;
	}
	function = safe_read_pointer(p, data + DATA_FUNCTION);
	cursor->frame = safe_read_pointer(p, data + DATA_PREVIOUS);
	if (function == 0) {
		return SCRIPT_NOTHING;
	}
	if (!safe_read(p, &type, function + FUNCTION_TYPE, 1)) {
		return SCRIPT_DOUBT;
	}
	if (type != TYPE_USER && type != TYPE_EVAL) {
		return SCRIPT_NOTHING; /* a function of PHP's own */
	}
	frame->code = function;
	frame->at = safe_read_pointer(p, data + DATA_OPLINE);
	read_string(p, safe_read_pointer(p, function + script_offset(cursor, FUNCTION_FILE)),
	            &frame->file);
	read_string(p, safe_read_pointer(p, function + FUNCTION_NAME), &frame->function);
	scope = safe_read_pointer(p, function + FUNCTION_SCOPE);
	if (scope != 0 && frame->function.at != 0) {
		read_string(p, safe_read_pointer(p, scope + CLASS_NAME), &frame->scope);
	}
	return frame->file.at != 0 ? SCRIPT_FRAME : SCRIPT_DOUBT;
}

/* While an exception is handled the frame points outside its function. */
static uint32_t line(struct script_cursor *cursor, const struct script_frame *frame)
{
	struct safe_read *p = &cursor->memory;
	uintptr_t globals = cursor->interpreter->symbols[GLOBALS];
	uintptr_t opline = frame->at;
	unsigned char code = 0;

	if (opline == 0 || !safe_read(p, &code, opline + OPLINE_CODE, 1)) {
		return safe_read_u32(p, frame->code + script_offset(cursor, FUNCTION_LINE));
	}
	if (code == HANDLE_EXCEPTION && safe_read_u32(p, opline + OPLINE_LINE) == 0) {
		opline = safe_read_pointer(p,
		                           globals + script_offset(cursor, GLOBALS_THROWN_AT));
	}
	return safe_read_u32(p, opline + OPLINE_LINE);
}

/*
 * On the command line the end of the request is the end of the script. A web server's PHP ends
 * after each request, and goes on.
 */
static bool is_for_one_script(struct script_cursor *cursor)
{
	struct safe_read *p = &cursor->memory;
	uintptr_t interface = cursor->interpreter->symbols[SERVER_INTERFACE];

	return tid_self() == pid_self() &&
	       safe_read_is(p, safe_read_pointer(p, interface), "cli");
}

static bool ending(struct script_cursor *cursor)
{
	uintptr_t globals = cursor->interpreter->symbols[GLOBALS];
	unsigned char flags = 0;

	return safe_read(&cursor->memory, &flags,
	                 globals + script_offset(cursor, GLOBALS_FLAGS), 1) &&
	       (flags & IN_SHUTDOWN) != 0 && is_for_one_script(cursor);
}

static bool any_ending(struct script_cursor *cursor)
{
	uintptr_t shutdown = cursor->interpreter->symbols[REQUEST_SHUTDOWN];

	return is_for_one_script(cursor) && unwind_called_from(shutdown, shutdown + 1, 0);
}

struct script_kind script_php(void)
{
	return (struct script_kind){
		.names = {"executor_globals", "get_zend_version", "sapi_module"},
		.libraries = libraries,
		.has_jit = true,
		.known = known,
		.begin = begin,
		.next = next,
		.line = line,
		.ending = ending,
	};
}

struct script_kind script_any_php(void)
{
	return (struct script_kind){
		.names = {[SERVER_INTERFACE] = "sapi_module",
	                  [REQUEST_SHUTDOWN] = "php_request_shutdown"},
		.libraries = libraries,
		.ending = any_ending,
	};
}
