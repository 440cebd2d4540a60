/* SPDX-License-Identifier: PostgreSQL */
/* Names the frames of a stack: functions, and the files and lines of scripts. */
#ifndef PQPOOL_TRACE_STACK_FRAME_NAMES_H
#define PQPOOL_TRACE_STACK_FRAME_NAMES_H

#include <stdbool.h>
#include <stddef.h>

#include "base/text/strbuf.h"
#include "trace/stack/stack.h"

/* Long enough for the names of C functions; others are cut. */
#define FRAME_NAME_FUNCTION_MAX 256

/*
 * The function around a frame, in `buf` or never freed; NULL if it is not known. The module's
 * file is read, if it can be, as that names static functions, too. No malloc.
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

/* Adds a part of it, with its escapes (\x20, \x28, \x29) undone. */
void frame_name_put_script(struct strbuf *t, const char *part, size_t len);

/* A path's last component. */
const char *frame_name_base(const char *path);

#endif
