/* SPDX-License-Identifier: PostgreSQL */
/* What of the C library is looked up on first use. */
#include "base/late.h"

#include <dlfcn.h>

#include "base/dl.h"

static const char names[LATES][32] = {
#define LATE(name) #name,
#include "base/late.def"
#undef LATE
};
_Atomic(void *) late_found[LATES];

/* Threads that come at once find the same. */
void *late_look_up(enum late which)
{
	void *address = dl_symbol(RTLD_DEFAULT, names[which]);

	atomic_store_explicit(&late_found[which], address, memory_order_relaxed);
	return address;
}

void late_find(void)
{
	for (unsigned which = 0; which < LATES; which++) {
		late((enum late)which);
	}
	dl_forget_error();
}
