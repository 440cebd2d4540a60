/* SPDX-License-Identifier: PostgreSQL */
/*
 * What of the C library is looked up on first use.
 *
 * What code names the linker sees to when the program starts, whether it will use libpq or
 * not. A function is bound when it is called, but its slot is made ready at once, which takes
 * some 15 instructions, and the version that it is of is looked for: some 300 for each that we
 * need. A variable is looked up at once, which takes some 800.
 *
 * So base/late.def has the variables, the functions of versions that nothing else needs, and
 * those that are called rarely. Left to the linker are those on the way of a connect, a query,
 * a finish or a line of the log, which would take a few instructions more each time; and those
 * that a call of the program's may come by before late_find().
 */
#ifndef PQPOOL_BASE_LATE_H
#define PQPOOL_BASE_LATE_H

#include <stdatomic.h>
#include <stddef.h>

enum late {
#define LATE(name) LATE_##name,
#include "base/cold.h"
#include "base/late.def"
#undef LATE
	LATES
};

/* For late() alone: what was found so far, and looking one up. */
extern _Atomic(void *) late_found[LATES];
COLD void *late_look_up(enum late which);

/* Its address; NULL if this C library lacks it. */
static inline void *late(enum late which)
{
	void *address = atomic_load_explicit(&late_found[which], memory_order_relaxed);

	return address != NULL ? address : late_look_up(which);
}

/*
 * Looks everything up that was not asked for yet: before any lock of ours is taken, for
 * whoever holds the linker's may be waiting for it. Leaves no dlerror(3) behind.
 */
COLD void late_find(void);

#endif
