/* SPDX-License-Identifier: PostgreSQL */
/*
 * Call stacks, each kept once under a number.
 *
 * A frame is kept as module and offset, not as an address, so that it still means something
 * after the module was unloaded, in the log, and in another process. pqpool's own frames are
 * left out: the first frame is the place in the program that called libpq. At a coroutine's
 * outermost frame a stack ends (base/unwind/unwind.h).
 *
 * Locks: LOCK_STACK, held for a hash look-up, or for the look-up of modules when a
 * stack is new; none to find a stack by its number. Stacks and modules are never freed;
 * at most STACK_MAX distinct ones are kept, later ones are 0, "unknown".
 */
#ifndef PQPOOL_TRACE_STACK_STACK_H
#define PQPOOL_TRACE_STACK_STACK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define STACK_MAX_DEPTH 64
#define STACK_MAX       65536

struct stack_module {
	const char *path;     /* absolute where the loader knows it; never freed */
	const char *build_id; /* lower-case hex, "" if the module has none */
};

struct stack_frame {
	const struct stack_module *module; /* NULL: no module holds the address (JIT) */
	/*
	 * An address within the call (the return address less one), as in the ELF file; without
	 * a module, the address itself.
	 */
	uintptr_t offset;
	const char *symbol; /* the exported function around it, NULL if none; never freed */
};

struct stack {
	uint32_t id;
	uint32_t depth;
	uint32_t place; /* stack_place */
	/*
	 * The script's place ("/srv/app.py:12") and frames, as in script.h; never freed. Both
	 * NULL if no script made the call; else the frames of the interpreter and its callers
	 * are left out.
	 */
	const char *script;
	const char *script_frames;
	struct stack_frame frames[];
};

/*
 * Captures the calling thread's stack from the frame with the return address `caller` upwards,
 * `depth` frames at most (0 to STACK_MAX_DEPTH; 0 gives just `caller`). If `caller` is not met,
 * it alone is the stack. Returns its number, 0 if memory ran out. Nothing blocks but
 * LOCK_STACK.
 */
uint32_t stack_capture(const void *caller, unsigned depth);

/* The stack with this number, constant and never freed; NULL for 0 and unknown ones. */
const struct stack *stack_get(uint32_t id);

/*
 * The place that a stack belongs to (stack_place.h), by the number of its first stack. 0 for 0
 * and unknown ones.
 */
uint32_t stack_place(uint32_t id);

/*
 * Notes that this process gave back what it took at the stack's place, and went on. True if it
 * is the first time; costs two loads otherwise.
 */
bool stack_note_given_back(uint32_t id);

/* True if it did so. A forked child starts without. */
bool stack_gives_back(uint32_t id);

/*
 * True once per stack, process and `part` of the log, a number above 0: the caller is to write
 * the stack there.
 */
bool stack_claim_for_log(uint32_t id, unsigned part);

/* True once per stack and process: the caller is to put it on the status page. */
bool stack_claim_for_page(uint32_t id);

void stack_fork_prepare(void);
void stack_fork_parent(void);
void stack_fork_child(void);

#endif
