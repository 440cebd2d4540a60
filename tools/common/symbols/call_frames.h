/* SPDX-License-Identifier: PostgreSQL */
/* The frames of a call stack as a log or a status page writes them. */
#ifndef PQPOOL_TOOLS_COMMON_SYMBOLS_CALL_FRAMES_H
#define PQPOOL_TOOLS_COMMON_SYMBOLS_CALL_FRAMES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The most that PQPOOL_STACK_DEPTH may ask for. */
#define FRAMES_MAX 64

struct frame {
	char *module;   /* path; "?" = none */
	char *build_id; /* "" = unknown */
	uint64_t offset;
	char *symbol; /* the exported function around it, "" = unknown */
};

struct frames {
	struct frame *all; /* innermost first */
	size_t count;
};

/*
 * Takes "module+0xoffset(symbol) ..." and "module=build id ..." apart. What is not of that
 * form is left out, and what is behind FRAMES_MAX: whoever wrote it, that takes no longer than
 * its length says. Owner: the caller, who gives it to frames_free.
 */
void frames_parse(struct frames *frames, const char *text, const char *build_ids);
void frames_free(struct frames *frames);

/* One frame of a script, "/srv/app.py:12(load)". */
struct script_frame {
	char *file; /* "..." = some are left out */
	unsigned long line;
	char *function; /* "" = unknown */
};

/*
 * Takes the next one off `*text`; false at the end. Owner: the caller, who gives it to
 * frames_free_script.
 */
bool frames_next_script(const char **text, struct script_frame *frame);
void frames_free_script(struct script_frame *frame);

#endif
