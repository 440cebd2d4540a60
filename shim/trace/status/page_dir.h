/* SPDX-License-Identifier: PostgreSQL */
/*
 * The directories that hold this user's status pages, and the life of a page's file.
 *
 * Where: $XDG_RUNTIME_DIR/pqpool if that variable names a directory of this user's, else
 * /dev/shm/pqpool-UID, else /tmp/pqpool-UID. A directory counts only if it is a real one, the
 * effective user's own, and closed to everybody else; whatever else is found in its place is
 * left alone. Pages are made in memory only (tmpfs): on a disk the kernel writes them back and
 * protects them, and a store that comes while the file system stands still (frozen, or a
 * server's that does not answer) would wait for it.
 *
 *   RANDOM.new    being made: not locked yet
 *   RANDOM.page   of a process that lives, or of one whose end nobody has noticed
 *   RANDOM.dead   of a process that ended with leases open: kept for a post-mortem
 *
 * Who lives: the process holds a lock (F_OFD_SETLK) on its page from before it is called
 * .page until it ends or executes another program. Such a lock belongs to the open file,
 * which the mapping holds on to: a program that closes descriptors which it does not know
 * cannot lose it, and a forked child gives its copy up with the mapping.
 *
 * Who removes: the process itself at a clean exit. What is left behind is removed by the
 * tools and by the next process that makes a page (page_dir_tidy): at once if no lease was
 * open, else it becomes .dead, the moment of which is its mtime, and goes 24 hours later, or
 * earlier when there are more than PAGE_DIR_DEAD_KEPT.
 *
 * Locks: none. Nothing here waits for anybody. errno is the caller's concern.
 */
#ifndef PQPOOL_TRACE_STATUS_PAGE_DIR_H
#define PQPOOL_TRACE_STATUS_PAGE_DIR_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#define PAGE_DIR_DEAD_KEPT  16
#define PAGE_DIR_DEAD_HOURS 24
#define PAGE_DIR_NEW        ".new"
#define PAGE_DIR_PAGE       ".page"
#define PAGE_DIR_DEAD       ".dead"
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
 * Opens a place, making it first with `make`; its path goes into `path`. -1: it is not
 * there, or not to be trusted, or with `make` not in memory (EOPNOTSUPP).
 */
int page_dir_open(enum page_dir_place place, bool make, char path[PAGE_DIR_PATH_BYTES]);

/* True if what this directory is on is in memory. */
bool page_dir_is_memory(int dir);

/* True if `name` ends as a page's does: ".page", ".dead". */
bool page_dir_is_page(const char *name);
bool page_dir_is_dead(const char *name);

/* Takes the lock on a page of one's own; false if that cannot be. */
bool page_dir_lock(int fd);

/* True if the process whose page `fd` is has it in use still. */
bool page_dir_is_live(int fd);

/* True if the page opened as `fd` says that leases are open. */
typedef bool page_dir_holds(int fd);

/*
 * Clears out what ended processes left in the directory `dir`, looking at no more than
 * `max` files. Allocates.
 */
void page_dir_tidy(int dir, size_t max, page_dir_holds *holds_leases);

#endif
