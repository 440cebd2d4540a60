/* SPDX-License-Identifier: PostgreSQL */
/*
 * What script.c asks of each kind of interpreter; only it and they use this.
 *
 * A kind knows the layouts of some minor versions, which stand in trace/script/ in tables
 * that are made from the interpreters' headers. Whatever it reads it reads by safe_read.h, and
 * it looks a frame over before it believes it.
 */
#ifndef PQPOOL_TRACE_SCRIPT_INTERPRETER_H
#define PQPOOL_TRACE_SCRIPT_INTERPRETER_H

#include <link.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/unwind/safe_read.h"

#define SCRIPT_SYMBOLS_MAX   6
#define SCRIPT_LIBRARY_BYTES 24
#define SCRIPT_OFFSETS_MAX   15

struct script_interpreter;

/* Text as an interpreter keeps it. */
struct script_text {
	uintptr_t at;  /* 0: none */
	size_t length; /* in characters */
	enum script_encoding {
		SCRIPT_UTF8, /* or whatever the interpreter takes for it; a character is a byte
		              */
		SCRIPT_LATIN1,
		SCRIPT_UCS2,
		SCRIPT_UCS4
	} encoding;
};

struct script_frame {
	struct script_text file;
	struct script_text scope; /* the class of a method */
	struct script_text function;
	/* For the kind's line(). */
	uintptr_t code;
	uintptr_t at;
};

/* A walk along the frames, from the innermost outwards. */
struct script_cursor {
	struct safe_read memory;
	const struct script_interpreter *interpreter;
	uintptr_t context; /* what all frames belong to */
	uintptr_t frame;   /* the next one; 0: no more */
	uintptr_t end;
	unsigned level;
};

enum script_step {
	SCRIPT_FRAME,
	SCRIPT_NOTHING, /* not a frame of a script, but there may be more */
	SCRIPT_END,
	SCRIPT_DOUBT, /* something is not as it should be */
};

struct script_kind {
	/* The first marks the interpreter; all must be there. */
	const char *names[SCRIPT_SYMBOLS_MAX];
	/* A file with one of these in its name belongs to a library; the last one is empty. */
	const char (*libraries)[SCRIPT_LIBRARY_BYTES];
	/* True if pointers may be followed unasked once its layout has proved to be known. */
	bool may_trust;
	/* True if other threads may move or protect what a frame refers to at any time. */
	bool moves;
	/* True if its frames can be found without any of its code on the C stack. */
	bool has_jit;
	/* Is this a version whose layout is known? Fills in the interpreter's offsets. */
	bool (*known)(struct script_interpreter *interpreter, struct safe_read *p);
	/* Finds the calling thread's innermost frame; false if it runs no script. */
	bool (*begin)(struct script_cursor *cursor);
	enum script_step (*next)(struct script_cursor *cursor, struct script_frame *frame);
	/* The line of a frame that next() has just found; 0 if it has none. */
	uint32_t (*line)(struct script_cursor *cursor, const struct script_frame *frame);
	/* See script_interpreter_ending(). */
	bool (*ending)(struct script_cursor *cursor);
};

/* An interpreter in this process. */
struct script_interpreter {
	struct script_kind kind;
	uintptr_t low; /* where its module begins */
	uintptr_t high;
	uintptr_t symbols[SCRIPT_SYMBOLS_MAX]; /* as the kind's names; thread-local ones:
	                                          offsets */
	uint16_t offsets[SCRIPT_OFFSETS_MAX];  /* where things are in this version, by kind */
	const ElfW(Phdr) * headers;            /* which module */
	bool is_program;                       /* its module is the program itself */
	atomic_bool proven;                    /* a frame was read and was in order */
};

/* Said by code: addresses in data are work for the linker when any program starts. */
struct script_kind script_python(void); /* from 3.13 on */
struct script_kind script_python_3_11(void);
struct script_kind script_python_3_9(void);
struct script_kind script_perl(void);
struct script_kind script_php(void);
struct script_kind script_ruby(void); /* from 3.2 on */
struct script_kind script_ruby_3_1(void);

#endif
