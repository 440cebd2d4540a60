/* SPDX-License-Identifier: PostgreSQL */
/*
 * The directories of this user's status pages, and how long a page's file stays.
 *
 * Where: $XDG_RUNTIME_DIR/pqpool if that variable names a directory of this user's, else
 * /dev/shm/pqpool-UID, else /tmp/pqpool-UID. Only a real directory counts that is the effective
 * user's own and closed to all others; anything else in its place is left alone. Pages are made
 * in memory only (tmpfs): on a disk the kernel writes them back and protects them meanwhile,
 * and a store would wait for a file system that stands still (frozen, or a server's that does
 * not answer).
 *
 *   NUMBER.new    being made, not locked yet
 *   NUMBER.page   of a process that lives, or whose end was not noticed yet
 *   NUMBER.dead   of a process that ended with leases open: kept for a post-mortem
 *   paused        empty: new connects wait (`pqpool pause`), of processes that begin later, too
 *
 * Who lives: the process holds a lock (F_OFD_SETLK) on its page, from before the page is called
 * .page, until it ends or executes another program. Such a lock belongs to the open file, which
 * the mapping keeps open: a program that closes descriptors cannot lose it, and a forked child
 * gives up its copy with the mapping.
 *
 * Who removes: the process itself at a clean exit. What is left behind is removed by the tools
 * and by the next process that makes a page (page_dir_tidy): at once if no lease was open; else
 * it becomes .dead, its mtime being that moment, and goes after 24 hours, or earlier if there
 * are more than PAGE_DIR_DEAD_KEPT. Where programs follow each other quickly not each of them
 * looks, but one in a second (page_dir_was_tidied).
 *
 * Locks: none. Nothing here blocks. errno is the caller's concern.
 */
#ifndef PQPOOL_TRACE_STATUS_PAGE_DIR_H
#define PQPOOL_TRACE_STATUS_PAGE_DIR_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/stat.h>
#include <sys/types.h>

#define PAGE_DIR_DEAD_KEPT  16
#define PAGE_DIR_DEAD_HOURS 24
#define PAGE_DIR_NEW        ".new"
#define PAGE_DIR_PAGE       ".page"
#define PAGE_DIR_DEAD       ".dead"
#define PAGE_DIR_PAUSED     "paused"
#define PAGE_DIR_NAME_BYTES 40 /* of a file's name with its NUL, at most */
#define PAGE_DIR_PATH_BYTES 512

/* The places in the order in which they are tried; PAGE_DIR_RUN_USER is for readers only. */
enum page_dir_place {
	PAGE_DIR_XDG,
	PAGE_DIR_SHM,
	PAGE_DIR_TMP,
	PAGE_DIR_MAKERS,
	PAGE_DIR_RUN_USER = PAGE_DIR_MAKERS,
	PAGE_DIR_PLACES
};

/*
 * Opens a place, with `make` after making it; `path` gets its path. -1: it is missing, not to
 * be trusted, or with `make` not in memory (EOPNOTSUPP).
 */
int page_dir_open(enum page_dir_place place, bool make, char path[PAGE_DIR_PATH_BYTES]);

/*
 * The same, but by what it returns only names can be looked up (O_PATH), which is cheaper;
 * `st` gets the directory's state. page_dir_read opens it to be read, or returns -1.
 */
int page_dir_find(enum page_dir_place place, bool make, char path[PAGE_DIR_PATH_BYTES],
                  struct stat *st);
int page_dir_read(int handle);

/* True if this directory is in memory. */
bool page_dir_is_memory(int dir);

/* True if `name` ends as a page's does: ".page", ".dead". */
bool page_dir_is_page(const char *name);
bool page_dir_is_dead(const char *name);

/* Takes the lock on the process's own page; false: it could not. */
bool page_dir_lock(int fd);

/* True if the process of the page `fd` still lives. */
bool page_dir_is_live(int fd);

/* True if the page opened as `fd` says that leases are open. */
typedef bool page_dir_holds(int fd);
page_dir_holds page_dir_holds_leases;

/*
 * Removes or renames what ended processes left in the directory `dir`, of `max` files at most,
 * and leaves its offset anywhere.
 */
void page_dir_tidy(int dir, size_t max, page_dir_holds *holds_leases);

/*
 * True if a process that makes a page need not tidy: the directory was read less than a second
 * ago, as whoever tidies does, and has `max` files at most. More of them, and each process
 * looks, so that programs that are killed as quickly as they start leave no more behind. Where
 * the kernel does not note that a directory is read, nothing counts as tidied.
 */
bool page_dir_was_tidied(const struct stat *dir, size_t max);

#endif
