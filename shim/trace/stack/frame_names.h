/* SPDX-License-Identifier: PostgreSQL */
/* What the frames of a stack are called: functions, modules and the lines of scripts. */
#ifndef PQPOOL_TRACE_STACK_FRAME_NAMES_H
#define PQPOOL_TRACE_STACK_FRAME_NAMES_H

#include <stdbool.h>
#include <stddef.h>

#include "base/text/strbuf.h"
#include "trace/stack/stack.h"

/* Long enough for the names of C functions; others are cut. */
#define FRAME_NAME_FUNCTION_MAX 256

/*
 * The function around a frame, in `buf` or immortal; NULL if it has none that is known. The
 * module's file is read for it, if it can be, for that knows static functions, too. No malloc.
 */
const char *frame_name_function(const struct stack_frame *frame, char *buf, size_t size);

/* One frame of a script, parts of stack->script_frames. */
struct frame_name_script {
	const char *line; /* "/srv/app.py:12" */
	size_t line_len;
	size_t file_len; /* of it, without the number */
	const char *function;
	size_t function_len; /* 0 = none */
};

/*
 * Takes the next frame off `*frames`, NULL or as in struct stack; false at the end. "..." is a
 * frame, too, a line without a function.
 */
bool frame_name_next_script(const char **frames, struct frame_name_script *script);

/* Adds a part of it, with the characters that stand for others there as they are. */
void frame_name_put_script(struct strbuf *t, const char *part, size_t len);

/* What is behind a path's last slash. */
const char *frame_name_base(const char *path);

#endif
