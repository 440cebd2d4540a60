/* SPDX-License-Identifier: PostgreSQL */
/*
 * Call stacks, each kept once under a number.
 *
 * Two tables lead to a stack. `seen` is a cache from the raw addresses as they were unwound,
 * and the script's text; it is emptied when the loader's counts have changed, as an address may
 * mean something else then. `stacks` is keyed by the frames themselves and lasts: the same
 * place reached through a module that was loaded again elsewhere is the same stack.
 *
 * Locks: LOCK_STACK guards everything static, but `by_id` is read without it: an entry is set
 * once, and stays. Unwinding takes no lock.
 */
#include "trace/stack/stack.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/cold.h"
#include "base/dl.h"
#include "base/lock.h"
#include "base/scratch.h"
#include "base/text/hash.h"
#include "base/thread/thread_block.h"
#include "base/unwind/unwind.h"
#include "trace/script/interpreters.h"
#include "trace/script/script.h"
#include "trace/stack/module_table.h"
#include "trace/stack/stack_cache.h"
#include "trace/stack/stack_place.h"

#define MAX_SKIPPED 64 /* frames of ours and of wrappers, below the caller */
#define MAX_BEYOND  64 /* frames looked at behind the last one kept, for an interpreter */

struct known {
	struct stack *stack;
	atomic_uint logged;     /* in which part of the log, by this process */
	atomic_bool shown;      /* on the status page */
	atomic_bool given_back; /* of a place's first stack: this process did so */
	UT_hash_handle hh;
};

struct sight {
	uint32_t id;
	UT_hash_handle hh;
	unsigned char key[];
};

/* What one call of stack_capture() has found. */
struct capture {
	unsigned depth;
	bool scripted;
	struct script script;
	uintptr_t addresses[STACK_MAX_DEPTH];
};

static struct lock tables_lock = LOCK_INITIALIZER(LOCK_STACK);
static struct known *stacks;
static _Atomic(struct known *) by_id[STACK_MAX + 1] SPARSE;
static uint32_t last_id;
static struct sight *seen;
static unsigned long long seen_changes; /* the loader's counts when `seen` was begun */

/* ---- unwinding ---- */

struct walk {
	uintptr_t caller;
	unsigned max;
	bool scripts; /* look for an interpreter's frames, too */
	const struct script_interpreter *tried;
	struct capture *capture;
	unsigned skipped;
	unsigned beyond;
};

/*
 * The interpreter's own frames differ from one call to the next of the same line (code is
 * specialised as it runs) and would make many stacks of one: the script's replace them.
 */
static bool ends_in_script(struct walk *walk, uintptr_t address)
{
	struct script_interpreter *interpreter = interpreters_at(address);

	if (interpreter == NULL || interpreter == walk->tried) {
		return false;
	}
	walk->tried = interpreter;
	walk->capture->scripted =
		script_capture(interpreter, walk->max, &walk->capture->script);
	return walk->capture->scripted;
}

/*
 * A return address may belong to the next line or function; one byte less is within the call.
 * The address of a frame that a signal interrupted is right as it is. False: this was the last
 * one.
 */
static bool note_frame(struct walk *walk, const struct unwind *frame)
{
	struct capture *capture = walk->capture;
	uintptr_t address = frame->address - !frame->interrupted;
	bool first = capture->depth == 0;

	if (first && frame->address != walk->caller) {
		return ++walk->skipped < MAX_SKIPPED;
	}
	if (first) {
		capture->addresses[capture->depth++] = address;
	}
	if (walk->scripts && ends_in_script(walk, address)) {
		return false;
	}
	if (!first && capture->depth < walk->max) {
		capture->addresses[capture->depth++] = address;
	} else if (!first && ++walk->beyond == MAX_BEYOND) {
		return false;
	}
	return capture->depth < walk->max || walk->scripts;
}

static void unwind(const struct stack_cache_key *key, bool scripts, const struct unwind *begun,
                   struct capture *capture, struct stack_cache_walk *recall)
{
	struct walk walk = {
		.caller = (uintptr_t)key->caller,
		.max = key->depth < STACK_MAX_DEPTH ? key->depth : STACK_MAX_DEPTH,
		.scripts = scripts,
		.capture = capture,
	};
	struct unwind frame = *begun;
	bool walks = walk.max > 1 || scripts;
	bool more = walks;

	stack_cache_begin(recall);
	capture->depth = 0;
	capture->scripted = false;
	while (more && unwind_next(&frame)) {
		stack_cache_note(recall, &frame, begun);
		more = note_frame(&walk, &frame);
	}
	if (more) {
		stack_cache_note(recall, &frame, begun);
	}
	if (capture->depth == 0) {
		/* The caller was not met, or not looked for: it alone is the stack. */
		if (walks) {
			stack_cache_give_up(recall);
		}
		capture->addresses[capture->depth++] = walk.caller - 1;
	}
	if (scripts && !capture->scripted) {
		capture->scripted = script_capture(NULL, walk.max, &capture->script);
	}
}

/* ---- interning ---- */

/* The bytes by which stacks are compared. */
static size_t key_bytes(const struct stack *stack)
{
	return sizeof(*stack) - offsetof(struct stack, script) +
	       stack->depth * sizeof(stack->frames[0]);
}

/* Keeps `stack` under a new number; 0, and it stays the caller's: out of memory. */
static uint32_t keep_locked(struct stack *stack)
{
	struct known *known = calloc(1, sizeof(*known));

	if (known == NULL) {
		return 0;
	}
	known->stack = stack;
	HASH_ADD_KEYPTR(hh, stacks, &stack->script, key_bytes(stack), known);
	if (known->hh.tbl == NULL) {
		free(known);
		return 0;
	}
	stack->id = ++last_id;
	stack->place = script_place(stack);
	atomic_store_explicit(&by_id[stack->id], known, memory_order_release);
	return stack->id;
}

static bool describe_script_locked(struct stack *stack, const struct capture *capture)
{
	if (!capture->scripted) {
		return true;
	}
	/* Code that the interpreter made is part of it. */
	while (stack->depth > 1 && stack->frames[stack->depth - 1].module == NULL) {
		stack->depth--;
	}
	stack->script = module_table_string(capture->script.place);
	stack->script_frames = module_table_string(capture->script.frames);
	return stack->script != NULL && stack->script_frames != NULL;
}

static uint32_t intern_locked(const struct capture *capture)
{
	struct stack *stack = NULL;
	struct known *known = NULL;
	uint32_t id = 0;

	if (last_id < STACK_MAX) {
		stack = calloc(1, sizeof(*stack) + capture->depth * sizeof(stack->frames[0]));
	}
	if (stack == NULL) {
		return 0;
	}
	stack->depth = capture->depth;
	if (module_table_describe(stack, capture->addresses) &&
	    describe_script_locked(stack, capture)) {
		HASH_FIND(hh, stacks, &stack->script, key_bytes(stack), known);
		id = known != NULL ? known->stack->id : keep_locked(stack);
	}
	if (id == 0 || known != NULL) {
		free(stack);
	}
	return id;
}

static void forget_sights_locked(void)
{
	struct sight *sight;
	struct sight *next;

	HASH_ITER (hh, seen, sight, next) {
		/* The next is not freed. NOLINTNEXTLINE(clang-analyzer-unix.Malloc) */
		HASH_DEL(seen, sight);
		free(sight);
	}
}

/* If memory runs out, this stack only takes longer the next time. */
static void note_sight_locked(const void *key, size_t bytes, uint32_t id)
{
	struct sight *sight = calloc(1, sizeof(*sight) + bytes);

	if (sight == NULL) {
		return;
	}
	sight->id = id;
	memcpy(sight->key, key, bytes);
	HASH_ADD_KEYPTR(hh, seen, sight->key, bytes, sight);
	if (sight->hh.tbl == NULL) {
		free(sight);
	}
}

/* Its addresses, and what it says of a script. */
static size_t make_key(const struct capture *capture, unsigned char *key)
{
	size_t bytes = capture->depth * sizeof(capture->addresses[0]);

	memcpy(key, capture->addresses, bytes);
	if (capture->scripted) {
		size_t place = strlen(capture->script.place) + 1;
		size_t frames = strlen(capture->script.frames) + 1;

		memcpy(key + bytes, capture->script.place, place);
		memcpy(key + bytes + place, capture->script.frames, frames);
		bytes += place + frames;
	}
	return bytes;
}

static COLD uint32_t intern(const struct capture *capture, unsigned long long changes)
{
	unsigned char *key = scratch_take();
	size_t bytes = key != NULL ? make_key(capture, key) : 0;
	struct sight *sight = NULL;
	uint32_t id;

	if (key == NULL) {
		return 0;
	}
	lock_take(&tables_lock);
	if (changes != seen_changes) {
		forget_sights_locked();
		seen_changes = changes;
	}
	/* None that was freed is found. NOLINTNEXTLINE(clang-analyzer-unix.Malloc) */
	HASH_FIND(hh, seen, key, bytes, sight);
	if (sight != NULL) {
		id = sight->id;
	} else {
		id = intern_locked(capture);
		if (id != 0) {
			note_sight_locked(key, bytes, id);
		}
	}
	lock_drop(&tables_lock);
	scratch_give(key);
	return id;
}

/* A stack that was not recognised. */
struct sighting {
	struct capture capture;
	struct stack_cache_walk recall;
};

_Static_assert(sizeof(struct sighting) <= SCRATCH_BYTES, "a sighting fits into scratch");

static COLD uint32_t look(const struct stack_cache_key *key, const struct unwind *begun)
{
	unsigned long long changes = dl_changes_of_call(key->caller);
	/* A script may have gone on to another line meanwhile, so its stack is not kept. */
	bool scripts = interpreters_readable(changes);
	struct sighting *sighting = scratch_take();
	uint32_t id;

	if (sighting == NULL) {
		return 0;
	}
	unwind(key, scripts, begun, &sighting->capture, &sighting->recall);
	id = intern(&sighting->capture, changes);
	if (!scripts) {
		stack_cache_keep(key, &sighting->recall, id);
	}
	scratch_give(sighting);
	return id;
}

uint32_t stack_capture(const void *caller, unsigned depth)
{
	int saved_errno = errno;
	struct stack_cache_key key;
	uint32_t id;
	struct unwind begun;

	thread_block_take();
	unwind_begin(&begun);
	key = (struct stack_cache_key){
		.pointer = begun.pointer,
		.caller = caller,
		.depth = depth,
		.loads = dl_loads(caller),
	};
	id = stack_cache_find(&key, &begun);
	if (id == 0) {
		id = look(&key, &begun);
	}
	errno = saved_errno;
	return id;
}

static struct known *known_by(uint32_t id)
{
	return id <= STACK_MAX ? atomic_load_explicit(&by_id[id], memory_order_acquire) : NULL;
}

const struct stack *stack_get(uint32_t id)
{
	const struct known *known = known_by(id);

	return known != NULL ? known->stack : NULL;
}

uint32_t stack_place(uint32_t id)
{
	const struct stack *stack = stack_get(id);

	return stack != NULL ? stack->place : 0;
}

bool stack_note_given_back(uint32_t id)
{
	struct known *place = known_by(stack_place(id));

	return place != NULL &&
	       !atomic_load_explicit(&place->given_back, memory_order_relaxed) &&
	       !atomic_exchange(&place->given_back, true);
}

bool stack_gives_back(uint32_t id)
{
	struct known *place = known_by(stack_place(id));

	return place != NULL && atomic_load(&place->given_back);
}

bool stack_claim_for_log(uint32_t id, unsigned part)
{
	struct known *known = known_by(id);

	return known != NULL &&
	       atomic_load_explicit(&known->logged, memory_order_relaxed) != part &&
	       atomic_exchange(&known->logged, part) != part;
}

bool stack_claim_for_page(uint32_t id)
{
	struct known *known = known_by(id);

	return known != NULL && !atomic_load_explicit(&known->shown, memory_order_relaxed) &&
	       !atomic_exchange(&known->shown, true);
}

void stack_fork_prepare(void)
{
	lock_take(&tables_lock);
}

void stack_fork_parent(void)
{
	lock_drop(&tables_lock);
}

void stack_fork_child(void)
{
	lock_drop(&tables_lock);
	for (uint32_t id = 1; id <= last_id; id++) {
		struct known *known = atomic_load_explicit(&by_id[id], memory_order_relaxed);

		atomic_store_explicit(&known->logged, 0, memory_order_relaxed);
		atomic_store_explicit(&known->shown, false, memory_order_relaxed);
		atomic_store_explicit(&known->given_back, false, memory_order_relaxed);
	}
}
