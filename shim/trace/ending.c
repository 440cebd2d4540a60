/* SPDX-License-Identifier: PostgreSQL */
/*
 * Whether a call of the program's is part of its end.
 *
 * A program connects and finishes from a few places, again and again, each time with its
 * stack as high as before. A thread remembers where it called from when it was not in
 * exit(3), so that this costs next to nothing. An exit handler that gets to the same call,
 * by way of a function that it shares with the rest of the program, and by chance at the
 * same height, is mistaken for it.
 */
#include "trace/ending.h"

#include <link.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unwind.h>

#include "base/cold.h"
#include "base/dl.h"
#include "trace/image.h"
#include "trace/script.h"

#define FRAMES_MAX 1000
#define PLACES     6 /* remembered by each thread */

struct place {
	const void *caller;
	const void *height;
};

struct walk {
	uintptr_t function; /* that is looked for */
	unsigned frames;
	bool found;
};

static _Unwind_Reason_Code look_at_frame(struct _Unwind_Context *context, void *arg)
{
	struct walk *walk = arg;

	if (_Unwind_GetIP(context) == 0 || ++walk->frames > FRAMES_MAX) {
		return _URC_END_OF_STACK;
	}
	walk->found = _Unwind_GetRegionStart(context) == walk->function;
	return walk->found ? _URC_END_OF_STACK : _URC_NO_REASON;
}

static int look_at_module(struct dl_phdr_info *info, size_t size, void *arg)
{
	static const char libc[] = "/libc.so.6";
	const struct image image = {
		.bias = info->dlpi_addr,
		.name = info->dlpi_name,
		.headers = info->dlpi_phdr,
		.count = info->dlpi_phnum,
	};
	size_t len = strlen(info->dlpi_name);
	struct image_symbols symbols;

	(void)size;
	return len >= strlen(libc) && strcmp(info->dlpi_name + len - strlen(libc), libc) == 0 &&
	       image_symbols(&image, &symbols) && image_find(&image, &symbols, "exit", arg);
}

/*
 * libc's own, whoever else defines one; 0 if there is none. Not by dlsym(3): a thread that
 * loads a library may hold the loader's lock, and wait for what the caller is to give back.
 */
static COLD uintptr_t address_of_exit(void)
{
	static _Atomic(uintptr_t) known;
	uintptr_t address = atomic_load_explicit(&known, memory_order_relaxed);

	if (address == 0) {
		dl_iterate(look_at_module, &address);
		atomic_store_explicit(&known, address, memory_order_relaxed);
	}
	return address;
}

static bool is_in_exit(const void *caller)
{
	static _Thread_local struct {
		struct place places[PLACES];
		unsigned next; /* the one to be replaced */
	} known;
	const struct place here = {caller, __builtin_frame_address(0)};
	struct walk walk = {0};

	for (size_t i = 0; i < PLACES; i++) {
		if (known.places[i].caller == here.caller &&
		    known.places[i].height == here.height) {
			return false;
		}
	}
	walk.function = address_of_exit();
	if (walk.function != 0) {
		_Unwind_Backtrace(look_at_frame, &walk);
	}
	if (!walk.found) {
		known.places[known.next++ % PLACES] = here;
	}
	return walk.found;
}

bool ending_now(const void *caller)
{
	return is_in_exit(caller) || script_interpreter_ending(dl_changes_of_call(caller));
}
