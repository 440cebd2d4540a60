/* SPDX-License-Identifier: PostgreSQL */
/*
 * Call stacks, interned.
 *
 * Two tables lead to a stack. `seen` is a cache, from the raw addresses as they were
 * unwound; a hit there costs no more than the unwinding. An address means something
 * else once a module is gone from there or has come, so the cache is emptied when the
 * loader's counts of loads and unloads have changed. `stacks` is keyed by the frames
 * themselves and lasts: the same place reached through a module that was loaded anew
 * elsewhere is the same stack. For that, strings and modules are interned, too, so
 * that equal frames are equal bytes.
 *
 * Locks: LOCK_STACK guards everything static. The unwinding comes before it.
 *
 * Not dladdr(3): it takes the loader's big lock, which dlopen(3) keeps while it runs
 * constructors, and those may wait for whatever the program likes, a session of ours
 * included. dl_iterate_phdr(3) takes only a lock that is never held for long; what it
 * leaves to do is done by image.c. The modules on our own stack cannot be unloaded
 * meanwhile.
 */
#include "trace/stack.h"

#include <errno.h>
#include <limits.h>
#include <link.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <unwind.h>

#include "base/lock.h"
#include "base/table.h"
#include "base/text.h"
#include "trace/image.h"

#define MAX_SKIPPED 64 /* frames of ours, and of who wraps us, below the caller */

struct string {
	UT_hash_handle hh;
	char text[];
};

struct module {
	struct stack_module shown; /* of interned strings, so its bytes are the key */
	UT_hash_handle hh;
};

struct known {
	struct stack *stack;
	bool logged; /* by this process */
	UT_hash_handle hh;
};

struct sight {
	uint32_t id;
	UT_hash_handle hh;
	uintptr_t addresses[];
};

static struct lock tables_lock = LOCK_INITIALIZER(LOCK_STACK);
static struct string *strings;
static struct module *modules;
static struct known *stacks;
static struct known *by_id[STACK_MAX + 1];
static uint32_t last_id;
static struct sight *seen;
static unsigned long long seen_changes; /* the loader's counts when `seen` was begun */

/* ---- unwinding ---- */

struct walk {
	uintptr_t caller;
	uintptr_t *addresses;
	unsigned max;
	unsigned depth;
	unsigned skipped;
};

/*
 * A return address is the one after the call, which may be another line's or even
 * another function's; one byte less is within the call. The frame that a signal
 * interrupted is no call, and its address is right as it is.
 */
static _Unwind_Reason_Code note_frame(struct _Unwind_Context *context, void *arg)
{
	struct walk *walk = arg;
	int exact = 0;
	uintptr_t address = _Unwind_GetIPInfo(context, &exact);

	if (address == 0) {
		return _URC_END_OF_STACK;
	}
	if (walk->depth == 0 && address != walk->caller) {
		return ++walk->skipped < MAX_SKIPPED ? _URC_NO_REASON : _URC_END_OF_STACK;
	}
	walk->addresses[walk->depth++] = exact ? address : address - 1;
	return walk->depth < walk->max ? _URC_NO_REASON : _URC_END_OF_STACK;
}

static unsigned unwind(const void *caller, unsigned depth, uintptr_t *addresses)
{
	struct walk walk = {
		.caller = (uintptr_t)caller,
		.addresses = addresses,
		.max = depth < STACK_MAX_DEPTH ? depth : STACK_MAX_DEPTH,
	};

	if (walk.max > 1) {
		_Unwind_Backtrace(note_frame, &walk);
	}
	if (walk.depth == 0) {
		addresses[walk.depth++] = (uintptr_t)caller - 1;
	}
	return walk.depth;
}

/* ---- modules ---- */

static int note_changes(struct dl_phdr_info *info, size_t size, void *arg)
{
	unsigned long long *changes = arg;

	if (size >= offsetof(struct dl_phdr_info, dlpi_subs) + sizeof(info->dlpi_subs)) {
		*changes = info->dlpi_adds + info->dlpi_subs;
	}
	return 1;
}

struct placing {
	const uintptr_t *addresses;
	struct image *images; /* one per address */
	unsigned depth;
};

static int place(struct dl_phdr_info *info, size_t size, void *arg)
{
	const struct placing *placing = arg;
	const struct image image = {
		.bias = info->dlpi_addr,
		.name = info->dlpi_name,
		.headers = info->dlpi_phdr,
		.count = info->dlpi_phnum,
	};

	(void)size;
	for (unsigned i = 0; i < placing->depth; i++) {
		if (placing->images[i].name == NULL &&
		    image_covers(&image, placing->addresses[i])) {
			placing->images[i] = image;
		}
	}
	return 0;
}

/* ---- interning ---- */

static const char *intern_string_locked(const char *text)
{
	struct string *string;
	size_t n = strlen(text);

	HASH_FIND(hh, strings, text, n, string);
	if (string != NULL) {
		return string->text;
	}
	string = calloc(1, sizeof(*string) + n + 1);
	if (string == NULL) {
		return NULL;
	}
	memcpy(string->text, text, n);
	HASH_ADD_KEYPTR(hh, strings, string->text, n, string);
	if (string->hh.tbl == NULL) {
		free(string);
		return NULL;
	}
	return string->text;
}

/* The loader knows the main program without a name. */
static const char *module_path(const struct image *image, char *buf, size_t size)
{
	ssize_t n;

	if (image->name[0] != '\0') {
		return image->name;
	}
	n = readlink("/proc/self/exe", buf, size - 1);
	if (n <= 0) {
		return program_invocation_name;
	}
	buf[n] = '\0';
	return buf;
}

static const struct stack_module *intern_module_locked(const struct image *image)
{
	char path[PATH_MAX];
	char hex[IMAGE_BUILD_ID_MAX];
	struct stack_module shown;
	struct module *module;
	struct text id;

	text_init(&id, hex, sizeof(hex));
	image_build_id(image, &id);
	shown.path = intern_string_locked(module_path(image, path, sizeof(path)));
	shown.build_id = intern_string_locked(hex);
	if (shown.path == NULL || shown.build_id == NULL) {
		return NULL;
	}
	HASH_FIND(hh, modules, &shown, sizeof(shown), module);
	if (module != NULL) {
		return &module->shown;
	}
	module = calloc(1, sizeof(*module));
	if (module == NULL) {
		return NULL;
	}
	module->shown = shown;
	HASH_ADD(hh, modules, shown, sizeof(shown), module);
	if (module->hh.tbl == NULL) {
		free(module);
		return NULL;
	}
	return &module->shown;
}

/* Fills the frames of `stack` from their addresses; false if memory ran out. */
static bool describe_locked(struct stack *stack, const uintptr_t *addresses)
{
	struct image images[STACK_MAX_DEPTH] = {0};
	struct placing placing = {addresses, images, stack->depth};

	dl_iterate_phdr(place, &placing);
	for (uint32_t i = 0; i < stack->depth; i++) {
		struct stack_frame *frame = &stack->frames[i];
		const char *symbol;

		frame->offset = addresses[i] - images[i].bias;
		if (images[i].name == NULL) {
			continue;
		}
		for (uint32_t j = 0; j < i && frame->module == NULL; j++) {
			frame->module = images[j].headers == images[i].headers
			                        ? stack->frames[j].module
			                        : NULL;
		}
		if (frame->module == NULL) {
			frame->module = intern_module_locked(&images[i]);
		}
		if (frame->module == NULL) {
			return false;
		}
		symbol = image_symbol(&images[i], frame->offset);
		frame->symbol = symbol != NULL ? intern_string_locked(symbol) : NULL;
	}
	return true;
}

/* Keeps `stack` under a new number; 0, and it is still the caller's, if that cannot be. */
static uint32_t keep_locked(struct stack *stack)
{
	struct known *known = calloc(1, sizeof(*known));

	if (known == NULL) {
		return 0;
	}
	known->stack = stack;
	HASH_ADD_KEYPTR(hh, stacks, stack->frames, stack->depth * sizeof(stack->frames[0]),
	                known);
	if (known->hh.tbl == NULL) {
		free(known);
		return 0;
	}
	stack->id = ++last_id;
	by_id[stack->id] = known;
	return stack->id;
}

static uint32_t intern_locked(const uintptr_t *addresses, unsigned depth)
{
	struct stack *stack = NULL;
	struct known *known = NULL;
	uint32_t id = 0;

	if (last_id < STACK_MAX) {
		stack = calloc(1, sizeof(*stack) + depth * sizeof(stack->frames[0]));
	}
	if (stack == NULL) {
		return 0;
	}
	stack->depth = depth;
	if (describe_locked(stack, addresses)) {
		HASH_FIND(hh, stacks, stack->frames, depth * sizeof(stack->frames[0]), known);
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
		HASH_DEL(seen, sight);
		free(sight);
	}
}

/* Without memory for it the next sight of this stack takes longer, that is all. */
static void note_sight_locked(const uintptr_t *addresses, size_t bytes, uint32_t id)
{
	struct sight *sight = calloc(1, sizeof(*sight) + bytes);

	if (sight == NULL) {
		return;
	}
	sight->id = id;
	memcpy(sight->addresses, addresses, bytes);
	HASH_ADD_KEYPTR(hh, seen, sight->addresses, bytes, sight);
	if (sight->hh.tbl == NULL) {
		free(sight);
	}
}

uint32_t stack_capture(const void *caller, unsigned depth)
{
	int saved_errno = errno;
	uintptr_t addresses[STACK_MAX_DEPTH];
	unsigned found = unwind(caller, depth, addresses);
	size_t bytes = found * sizeof(addresses[0]);
	unsigned long long changes = 0;
	struct sight *sight = NULL;
	uint32_t id;

	dl_iterate_phdr(note_changes, &changes);
	lock_take(&tables_lock);
	if (changes != seen_changes) {
		forget_sights_locked();
		seen_changes = changes;
	}
	HASH_FIND(hh, seen, addresses, bytes, sight);
	if (sight != NULL) {
		id = sight->id;
	} else {
		id = intern_locked(addresses, found);
		if (id != 0) {
			note_sight_locked(addresses, bytes, id);
		}
	}
	lock_drop(&tables_lock);
	errno = saved_errno;
	return id;
}

const struct stack *stack_get(uint32_t id)
{
	const struct stack *stack = NULL;

	lock_take(&tables_lock);
	if (id != 0 && id <= last_id) {
		stack = by_id[id]->stack;
	}
	lock_drop(&tables_lock);
	return stack;
}

bool stack_claim_for_log(uint32_t id)
{
	bool claimed = false;

	lock_take(&tables_lock);
	if (id != 0 && id <= last_id) {
		claimed = !by_id[id]->logged;
		by_id[id]->logged = true;
	}
	lock_drop(&tables_lock);
	return claimed;
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
		by_id[id]->logged = false;
	}
}
