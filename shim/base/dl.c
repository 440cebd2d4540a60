/* SPDX-License-Identifier: PostgreSQL */
/*
 * The dynamic linker's own functions, for the shim's own use.
 *
 * With RTLD_NEXT the linker looks from the object that its function returns to. Such a call
 * must therefore never become a jump: `kept` comes after each.
 */
#include "base/dl.h"

#include <dlfcn.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "base/lock.h"

static _Atomic(void *) real_symbol;
static _Atomic(void *) real_open;

/* Something is left to do after the call that yielded `found`. */
static inline void *kept(void *found)
{
	__asm__ volatile("" : "+r"(found));
	return found;
}

/* Threads that look at once find the same. */
static void *find(_Atomic(void *) *known, const char *name)
{
	void *found = atomic_load_explicit(known, memory_order_relaxed);

	if (found == NULL) {
#if DL_INTERPOSED
		found = kept(dlvsym(RTLD_NEXT, name, "GLIBC_2.34"));
#else
		found = kept(dlsym(RTLD_NEXT, name));
#endif
		atomic_store_explicit(known, found, memory_order_relaxed);
	}
	return found;
}

void *dl_open(const char *name, int mode)
{
	void *(*function)(const char *name, int mode);

	*(void **)&function = find(&real_open, "dlopen");
	return function != NULL ? kept(function(name, mode)) : NULL;
}

void *dl_symbol(void *handle, const char *name)
{
	void *(*function)(void *handle, const char *name);

	*(void **)&function = find(&real_symbol, "dlsym");
	return function != NULL ? kept(function(handle, name)) : NULL;
}

void *dl_next(const char *name)
{
	return dl_symbol(RTLD_NEXT, name);
}

static struct lock loader_lock = LOCK_INITIALIZER(LOCK_LOADER);

static _Thread_local struct {
	bool iterating;     /* in dl_iterate */
	const void *caller; /* whose call is answered; NULL: none is noted */
	bool counted;       /* changes is of this call */
	unsigned long long changes;
} here;

int dl_iterate(int (*each)(struct dl_phdr_info *info, size_t size, void *arg), void *arg)
{
	int result = 0;

	/* In a signal handler this thread may have either lock already. */
	if (here.iterating) {
		return 0;
	}
	here.iterating = true;
	lock_take(&loader_lock);
	/* In a forsaken child a thread that does not exist may have the loader's lock. */
	if (!lock_forsaken()) {
		result = dl_iterate_phdr(each, arg);
	}
	lock_drop(&loader_lock);
	here.iterating = false;
	return result;
}

void dl_fork_prepare(void)
{
	lock_take(&loader_lock);
}

void dl_fork_done(void)
{
	lock_drop(&loader_lock);
}

static int read_changes(struct dl_phdr_info *info, size_t size, void *arg)
{
	unsigned long long *changes = arg;

	if (size >= offsetof(struct dl_phdr_info, dlpi_subs) + sizeof(info->dlpi_subs)) {
		*changes = info->dlpi_adds + info->dlpi_subs;
	}
	return 1;
}

unsigned long long dl_changes(void)
{
	unsigned long long changes = 0;

	dl_iterate(read_changes, &changes);
	return changes;
}

/* Whether each load of the program's is told to dl_note_load(). */
enum telling { UNTOLD, TOLD, NOT_ALL };

#define LOADS_BIT (1ULL << 63) /* tells a number of loads from the loader's counts */

static atomic_int telling;
static atomic_ullong loads;

void dl_expect_loads(void)
{
	int untold = UNTOLD;

	if (DL_INTERPOSED) {
		atomic_compare_exchange_strong(&telling, &untold, TOLD);
	}
}

void dl_note_load(bool tells_of_others)
{
	if (!tells_of_others) {
		atomic_store(&telling, NOT_ALL);
	}
	atomic_fetch_add(&loads, 1);
}

unsigned long long dl_loads(const void *caller)
{
	return atomic_load(&telling) == TOLD ? LOADS_BIT | atomic_load(&loads)
	                                     : dl_changes_of_call(caller);
}

void dl_begin_call(const void *caller)
{
	here.caller = caller;
	here.counted = false;
}

unsigned long long dl_changes_of_call(const void *caller)
{
	if (caller == NULL || here.caller != caller) {
		return dl_changes();
	}
	if (!here.counted) {
		here.changes = dl_changes();
		here.counted = true;
	}
	return here.changes;
}

unsigned long long dl_changes_asked(const void *caller)
{
	bool unasked = caller != NULL && here.caller == caller && !here.counted;

	return unasked && atomic_load(&telling) == TOLD ? 0 : dl_changes_of_call(caller);
}

void dl_forget_error(void)
{
	dlerror();
}
