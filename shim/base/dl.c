/* SPDX-License-Identifier: PostgreSQL */
/*
 * The dynamic linker's own functions, for the shim's own use.
 *
 * With RTLD_NEXT the linker goes by the address that its function returns to. Such a
 * call must therefore never become a jump: `kept` comes after each.
 */
#include "base/dl.h"

#include <dlfcn.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "base/lock.h"

typedef void *(*symbol_function)(void *handle, const char *name);
typedef void *(*open_function)(const char *name, int mode);

/* Something is left to do after the call that yielded `found`. */
static inline void *kept(void *found)
{
	__asm__ volatile("" : "+r"(found));
	return found;
}

#if DL_INTERPOSED

/* From 2.34 on the functions live in libc.so.6 itself, before that in libdl.so.2. */
#define VERSION_NOW "GLIBC_2.34"
#if defined(__x86_64__)
#define VERSION_BASE "GLIBC_2.2.5"
#else
#define VERSION_BASE "GLIBC_2.17"
#endif

static _Atomic(void *) real_symbol;
static _Atomic(void *) real_open;

/* Threads that come at once find the same. */
static void *find(_Atomic(void *) *known, const char *name)
{
	void *found = atomic_load_explicit(known, memory_order_relaxed);

	if (found == NULL) {
		found = kept(dlvsym(RTLD_NEXT, name, VERSION_NOW));
		if (found == NULL) {
			found = kept(dlvsym(RTLD_NEXT, name, VERSION_BASE));
		}
		atomic_store_explicit(known, found, memory_order_relaxed);
	}
	return found;
}

void *dl_next_base(const char *name)
{
	void *found = kept(dlvsym(RTLD_NEXT, name, VERSION_BASE));

	return found != NULL ? found : dl_next(name);
}

static symbol_function symbol(void)
{
	symbol_function function;

	*(void **)&function = find(&real_symbol, "dlsym");
	return function;
}

static open_function opener(void)
{
	open_function function;

	*(void **)&function = find(&real_open, "dlopen");
	return function;
}

#else

static symbol_function symbol(void)
{
	return dlsym;
}

static open_function opener(void)
{
	return dlopen;
}

void *dl_next_base(const char *name)
{
	return dl_next(name);
}

#endif

void *dl_open(const char *name, int mode)
{
	open_function function = opener();

	return function != NULL ? kept(function(name, mode)) : NULL;
}

void *dl_symbol(void *handle, const char *name)
{
	symbol_function function = symbol();

	return function != NULL ? kept(function(handle, name)) : NULL;
}

void *dl_next(const char *name)
{
	return dl_symbol(RTLD_NEXT, name);
}

static struct lock loader_lock = LOCK_INITIALIZER(LOCK_LOADER);

static _Thread_local struct {
	bool iterating;     /* in dl_iterate */
	const void *caller; /* whose call is answered; NULL: nobody's is noted */
	unsigned long long changes;
} here;

int dl_iterate(int (*each)(struct dl_phdr_info *info, size_t size, void *arg), void *arg)
{
	int result = 0;

	/*
	 * In a signal handler the lock may be this thread's already, as the loader's may, which
	 * is not to be taken twice in the instant when it is taken.
	 */
	if (here.iterating) {
		return 0;
	}
	here.iterating = true;
	lock_take(&loader_lock);
	/* Else the loader's may be that of a thread which is not here. */
	if (!lock_forsaken()) {
		result = dl_iterate_phdr(each, arg);
	}
	lock_drop(&loader_lock);
	here.iterating = false;
	return result;
}

struct extent {
	uintptr_t base;
	uintptr_t end;
};

static int find_end(struct dl_phdr_info *info, size_t size, void *arg)
{
	struct extent *extent = arg;

	(void)size;
	if (info->dlpi_addr != extent->base) {
		return 0;
	}
	for (size_t i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *segment = &info->dlpi_phdr[i];
		uintptr_t end = extent->base + segment->p_vaddr + segment->p_memsz;

		if (segment->p_type == PT_LOAD && end > extent->end) {
			extent->end = end;
		}
	}
	return 1;
}

uintptr_t dl_end_of(uintptr_t base)
{
	struct extent extent = {.base = base};

	dl_iterate(find_end, &extent);
	return extent.end;
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

void dl_note_call(const void *caller, unsigned long long changes)
{
	here.caller = caller;
	here.changes = changes;
}

unsigned long long dl_changes_of_call(const void *caller)
{
	return caller != NULL && here.caller == caller ? here.changes : dl_changes();
}

void dl_forget_error(void)
{
	dlerror();
}
