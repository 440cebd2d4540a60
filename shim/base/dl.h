/* SPDX-License-Identifier: PostgreSQL */
/*
 * The dynamic linker's own functions, for the shim's own use.
 *
 * hooks/loader.c answers for dlsym and dlopen, so a plain call of ours would come back to us.
 * These go to the C library's, found on first use by their version: a name looked up without
 * one might be another preloaded library's.
 *
 * Like the originals they leave an error text behind when they fail and may change errno. The
 * program must see neither: a call of the program's that looks something up ends with
 * dl_forget_error(). No locks but the linker's, and LOCK_LOADER around dl_iterate_phdr(3),
 * whose own lock fork(2) does not take: a child would wait for ever for a thread that was in
 * it.
 */
#ifndef PQPOOL_BASE_DL_H
#define PQPOOL_BASE_DL_H

#include <link.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The machines for which there are thunks in hooks/loader.c. Elsewhere nothing of the
 * linker's is interposed, and plain calls are the C library's. */
#if defined(__LP64__) && (defined(__x86_64__) || defined(__aarch64__))
#define DL_INTERPOSED 1
#else
#define DL_INTERPOSED 0
#endif

/* dlopen(3). A name without a slash is searched for as the shim's own dependency. */
void *dl_open(const char *name, int mode);

/* dlsym(3) on a real handle; what RTLD_NEXT and RTLD_DEFAULT mean depends on the caller. */
void *dl_symbol(void *handle, const char *name);

/* The next definition in the global scope after the shim's; NULL if there is none. */
void *dl_next(const char *name);

/* dl_iterate_phdr(3). `each` takes no lock. */
int dl_iterate(int (*each)(struct dl_phdr_info *info, size_t size, void *arg), void *arg);

void dl_fork_prepare(void);
void dl_fork_done(void); /* in the parent and in the child */

/*
 * How many objects the process has loaded and unloaded so far; 0: the C library does not
 * tell. As long as it stays the same, an address means what it meant.
 */
unsigned long long dl_changes(void);

/*
 * The same, asked once in a call of the program's that returns to `caller` and came in by
 * dl_begin_call, until the next one (NULL: the call is over). What is on the thread's stack
 * cannot be unloaded meanwhile.
 */
unsigned long long dl_changes_of_call(const void *caller);
void dl_begin_call(const void *caller);

/* The same, or 0 if it was not asked in this call because dl_loads() had not changed. */
unsigned long long dl_changes_asked(const void *caller);

/*
 * Changes whenever an address on the calling thread's stack may have come to mean another
 * object: with each dlopen(3) of the program's, before it, where another object is loaded in
 * the place of one. Unlike the loader's counts it is read without a lock, so that threads do
 * not wait for each other. It is the loader's counts where not all loads are told.
 *
 * One case is not seen: a thread unloads an object while another is in a dlopen that began
 * before and puts its own in the same place, and a third connected from the first object in
 * between. Nor is what the C library loads by itself, such as name services.
 */
unsigned long long dl_loads(const void *caller);

/* dl_note_load() is called for each load from now on. */
void dl_expect_loads(void);

/* The program loads something. False: what is loaded may load more that is not told. */
void dl_note_load(bool tells_of_others);

/* Drops an error text of ours, and with it one that the program has not asked for. */
void dl_forget_error(void);

#endif
