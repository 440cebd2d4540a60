/* SPDX-License-Identifier: PostgreSQL */
/* What of the C library is looked up on first use. */
#include "base/late.h"

#include <dlfcn.h>
#include <stdatomic.h>
#include <stddef.h>

#include "base/dl.h"

static const char names[LATES][32] = {
#define LATE(name) #name,
#include "base/late.def"
#undef LATE
};
static _Atomic(void *) found[LATES];

/* Threads that come at once find the same. */
void *late(enum late which)
{
	void *address = atomic_load_explicit(&found[which], memory_order_relaxed);

	if (address == NULL) {
		address = dl_symbol(RTLD_DEFAULT, names[which]);
		atomic_store_explicit(&found[which], address, memory_order_relaxed);
	}
	return address;
}

void late_find(void)
{
	for (unsigned which = 0; which < LATES; which++) {
		late((enum late)which);
	}
	dl_forget_error();
}
