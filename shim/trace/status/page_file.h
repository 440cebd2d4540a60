/* SPDX-License-Identifier: PostgreSQL */
/*
 * The file behind the status page: made, grown, locked, mapped, removed. Only status_page.c
 * uses it.
 *
 * Touching a mapped block that the file does not have, or that a full file system cannot give
 * it, is a SIGBUS in the program. So blocks are allocated before they are touched
 * (posix_fallocate), or written first, and only the user can reach the file to cut it short. It
 * is in memory (page_dir.h), so that nothing here waits for a disk.
 *
 * Tried and dropped: MADV_DONTFORK, because a child that was forked past our handlers would die
 * of its first store; and sealing, for only files of memfd_create(2) can be sealed, and those
 * have no name for the tools to find.
 *
 * Locks: none of its own; every function but page_file_unlink is called with LOCK_STATUS held,
 * or in the forked child.
 */
#ifndef PQPOOL_TRACE_STATUS_PAGE_FILE_H
#define PQPOOL_TRACE_STATUS_PAGE_FILE_H

#include <stdbool.h>
#include <stddef.h>

#include "trace/status/page_dir.h"

struct page_blocks {
	size_t offset;
	size_t bytes;
};

/*
 * Makes the file and maps STATUS_BYTES of it, of which nothing may be touched but the `n`
 * ranges of `blocks`, which it allocates, before page_file_grow allowed it. Readers ignore its
 * name before page_file_show, with which, or page_file_undo, its making ends. NULL: `*why` gets
 * the errno of the failure.
 */
char *page_file_make(const struct page_blocks *blocks, size_t n, int *why);

/* Allocates the blocks of `bytes` from `offset` on; false: they must not be touched. */
bool page_file_grow(size_t offset, size_t bytes);

/*
 * Writes, which allocates the blocks. What is written once and not read again here needs no
 * memory of the process then. False: it could not, or not all of it.
 */
bool page_file_write(size_t offset, const void *bytes, size_t n);

/*
 * Gives the file its name, and removes what ended processes left beside it (page_dir_tidy),
 * unless somebody has just done so. `*paused`: as page_file_is_paused says from now on.
 */
bool page_file_show(bool *paused);

/* True if a file PAGE_DIR_PAUSED lies beside it. One system call. */
bool page_file_is_paused(void);

/* Unmaps and removes what page_file_make began. */
void page_file_undo(void);

/* Removes the file; the mapping stays. Safe in a signal handler. */
void page_file_unlink(void);

/* In a forked child: the file is the parent's. Unmaps it and closes the copy of it. */
void page_file_leave(void);

#endif
