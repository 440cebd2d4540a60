/* SPDX-License-Identifier: PostgreSQL */
/*
 * The files that an identity depends on, with a stamp of each, to see whether they changed.
 *
 * A file's stamp is its device, inode, size, times, mode and owner, or the error that stat(2)
 * gives; a folder's is its device and inode, if only its place matters (the working directory
 * that relative paths start from), else also its times and, up to FILE_STAMP_ENTRIES_MAX of
 * them, the files in it.
 */
#ifndef PQPOOL_KEY_FILE_STAMP_H
#define PQPOOL_KEY_FILE_STAMP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/text/keybuf.h"

#define FILE_STAMP_MAX         32
#define FILE_STAMP_ENTRIES_MAX 64

struct file_stamp_print {
	uint64_t dev;
	uint64_t ino;
	int64_t size;
	int64_t mtime_ns;
	int64_t ctime_ns;
	uint32_t mode;
	uint32_t uid;
	int32_t error;
	uint32_t unused; /* no hidden padding: prints are compared and hashed as bytes */
};

/* What of a folder matters. */
enum file_stamp_depth {
	FILE_STAMP_WHICH, /* only which one it is */
	FILE_STAMP_TIMES, /* what its own times tell of what is in it */
	FILE_STAMP_ENTRIES
};

struct file_stamp_list {
	size_t count;
	bool failed; /* out of memory, or too many files */
	struct {
		char *path;
		enum file_stamp_depth depth;
		bool for_password; /* it matters only to a server that asks for one */
		struct file_stamp_print print;
	} files[FILE_STAMP_MAX];
};

/*
 * Adds a file, stamped now, once. In place of one that does not exist: the first folder that is
 * missing on the way to it.
 */
void file_stamp_add(struct file_stamp_list *list, const char *path);

/* The same for a folder with its contents. */
void file_stamp_add_contents(struct file_stamp_list *list, const char *path);

/* The same for a file that matters only to a server that asks for a password. */
void file_stamp_add_for_password(struct file_stamp_list *list, const char *path);

/*
 * True if every file is as it was when it was added; `passwords`: those for a password, too.
 * errno is kept.
 */
bool file_stamp_unchanged(const struct file_stamp_list *list, bool passwords);

/* True if both have the same files, with the same stamps. */
bool file_stamp_equal(const struct file_stamp_list *a, const struct file_stamp_list *b);

/* Adds paths and prints to a key. */
void file_stamp_describe(const struct file_stamp_list *list, struct keybuf *key);

void file_stamp_free(struct file_stamp_list *list);

#endif
