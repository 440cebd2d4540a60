/* SPDX-License-Identifier: PostgreSQL */
/*
 * Tells which libpq a call of the program's means, by the return address.
 *
 * It is the one that the dynamic linker would have bound the calling object to without us: the
 * first definition in the global scope after ours, else the one that the object's own
 * dependencies hold (an extension loaded with RTLD_LOCAL). What an object meant first it means
 * for as long as it is loaded, whatever is loaded later: it may hold connections.
 *
 * A caller that has neither, such as generated code or a foreign function interface, got its
 * functions by dlsym. Nothing in its call tells of which libpq, so there is one for all such
 * callers, the common one: that of the first such answer, or the only one of the process.
 * hooks/loader.c asks libpq_judge() before it answers.
 *
 * Locks: the dynamic linker's own, for an object that is new; none for one that called before.
 */
#ifndef PQPOOL_BASE_LIBPQ_CALLER_H
#define PQPOOL_BASE_LIBPQ_CALLER_H

#include <stdbool.h>

#include "base/libpq/libpq.h"

struct libpq_caller {
	const struct libpq *libpq; /* NULL: no libpq to be found */
	bool inside;               /* the caller is a libpq itself: pass through */
};

/*
 * Whose call returns to `return_address`. Some 100 ns if the object called before. Never blocks
 * but for the dynamic linker's own lock; errno is kept, and no dlerror(3) left behind.
 */
struct libpq_caller libpq_of_caller(const void *return_address);

/*
 * Around a call of ours to a function of a libpq that may jump to another one at its end, which
 * the program may call, too. The other one is then called with a return address of ours, which
 * tells neither that it is libpq's own call nor which libpq's; so the thread remembers it. The
 * jump comes before anything that could block: no other stack runs on the thread in between.
 */
void libpq_enter(const struct libpq *libpq);
void libpq_leave(void);

/* What a function is that a caller looked up itself. */
enum libpq_finding {
	LIBPQ_NOT,    /* it lies in no libpq */
	LIBPQ_AGREED, /* in one that the calls to come will be understood to mean */
	LIBPQ_OTHER,  /* in one that they would not: the caller needs `function` itself */
};

/*
 * Judges `function`, found by a look-up of `caller`'s, before the shim's own is given in
 * its place. Once agreed upon the library stays loaded.
 */
enum libpq_finding libpq_judge(const void *caller, const void *function);

#endif
