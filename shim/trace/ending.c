/* SPDX-License-Identifier: PostgreSQL */
/*
 * Whether a call of the program's is part of its end.
 */
#include "trace/ending.h"

#include <link.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/cold.h"
#include "base/dl.h"
#include "base/unwind.h"
#include "trace/image.h"
#include "trace/script.h"

#define FRAMES_MAX 1000

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

static bool is_in_exit(void)
{
	uintptr_t function = address_of_exit();
	unsigned frames = 0;
	struct unwind u;

	unwind_begin(&u);
	while (unwind_next(&u) && frames++ < FRAMES_MAX) {
		if (u.entry.function == function) {
			return true;
		}
	}
	return false;
}

bool ending_now(const void *caller)
{
	return is_in_exit() || script_interpreter_ending(dl_changes_of_call(caller));
}
