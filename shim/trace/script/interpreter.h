/* SPDX-License-Identifier: PostgreSQL */
/*
 * What is known of one kind of interpreter: which functions it exports, how its frames are
 * read, and how one tells that it ends. For the files of this folder only.
 *
 * A kind knows the layouts of some versions, by tables that are made from the interpreters'
 * headers (tables/). It reads memory by safe_read.h only, and checks a frame before it believes
 * it. For other versions there is a kind that can tell the end alone, by its exports.
 */
#ifndef PQPOOL_TRACE_SCRIPT_INTERPRETER_H
#define PQPOOL_TRACE_SCRIPT_INTERPRETER_H

#include <link.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/unwind/safe_read.h"

#define SCRIPT_SYMBOLS_MAX   6
#define SCRIPT_LIBRARY_BYTES 24
#define SCRIPT_OFFSETS_MAX   15

struct script_interpreter;

/* A version whose layout is known. */
struct script_version {
	uint32_t number; /* as the kind counts them */
	uint16_t offsets[SCRIPT_OFFSETS_MAX];
};

/* Text as an interpreter keeps it. */
struct script_text {
	uintptr_t at;  /* 0: none */
	size_t length; /* in characters */
	enum script_encoding {
		SCRIPT_UTF8, /* or what the interpreter takes for it; a character is a byte */
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
	/* The kind's own numbering, with gaps; all must be exported. */
	const char *names[SCRIPT_SYMBOLS_MAX];
	/* A file with one of these in its name belongs to a library; the last one is empty. */
	const char (*libraries)[SCRIPT_LIBRARY_BYTES];
	/* True if pointers may be followed unasked once its layout has proved to be known. */
	bool may_trust;
	/* True if other threads may move or protect what a frame refers to at any time. */
	bool moves;
	/* True if its frames can be found without any of its code on the C stack. */
	bool has_jit;
	/*
	 * Is this a version whose layout is known? Fills in the interpreter's offsets. NULL for
	 * the kind of all versions, which has none of the next three either.
	 */
	bool (*known)(struct script_interpreter *interpreter, struct safe_read *p);
	/* Finds the calling thread's innermost frame; false if it runs no script. */
	bool (*begin)(struct script_cursor *cursor);
	enum script_step (*next)(struct script_cursor *cursor, struct script_frame *frame);
	/* The line of a frame that next() has just found; 0 if it has none. */
	uint32_t (*line)(struct script_cursor *cursor, const struct script_frame *frame);
	/* Is what the calling thread does now the interpreter's clean-up after its script? */
	bool (*ending)(struct script_cursor *cursor);
};

/* An interpreter in this process. */
struct script_interpreter {
	struct script_kind kind;
	uintptr_t low; /* where its module begins */
	uintptr_t high;
	uintptr_t
		symbols[SCRIPT_SYMBOLS_MAX];  /* as the kind's names; offsets if thread-local */
	uint16_t offsets[SCRIPT_OFFSETS_MAX]; /* where things are in this version, by kind */
	const ElfW(Phdr) * headers;           /* which module */
	bool is_program;                      /* its module is the program itself */
	atomic_bool proven;                   /* a frame was read and was in order */
};

/* A cursor that is nowhere yet. */
static inline struct script_cursor script_cursor(const struct script_interpreter *interpreter)
{
	return (struct script_cursor){
		.interpreter = interpreter,
		.memory.doubting = interpreter->kind.moves,
		.memory.trusting =
			interpreter->kind.may_trust &&
			atomic_load_explicit(&interpreter->proven, memory_order_relaxed),
	};
}

/* The one of that number in a list that ends with 0; NULL: there is none. */
static inline const struct script_version *
script_version_find(const struct script_version *versions, uint32_t number)
{
	while (versions->number != 0 && versions->number != number) {
		versions++;
	}
	return versions->number != 0 ? versions : NULL;
}

/* Takes its offsets from the list; false if its version is not there. */
static inline bool script_version_use(struct script_interpreter *interpreter,
                                      const struct script_version *versions, uint32_t number)
{
	const struct script_version *version = script_version_find(versions, number);

	if (version != NULL) {
		memcpy(interpreter->offsets, version->offsets, sizeof(version->offsets));
	}
	return version != NULL;
}

static inline size_t script_offset(const struct script_cursor *cursor, unsigned which)
{
	return cursor->interpreter->offsets[which];
}

/* Given by code: addresses in data are work for the linker when any program starts. */
struct script_kind script_python(void); /* from 3.13 on */
struct script_kind script_python_3_11(void);
struct script_kind script_python_3_9(void);
struct script_kind script_perl(void);
struct script_kind script_php(void);
struct script_kind script_ruby(void); /* from 3.2 on */
struct script_kind script_ruby_3_1(void);

/* Of all versions, for those that are not known. */
struct script_kind script_any_python(void); /* from 3.13 on */
struct script_kind script_any_python_3_8(void);
struct script_kind script_any_perl(void);
struct script_kind script_any_php(void);
struct script_kind script_any_ruby(void);

#endif
