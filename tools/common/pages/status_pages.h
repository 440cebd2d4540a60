/* SPDX-License-Identifier: PostgreSQL */
/*
 * The status pages of this user's processes, for root of everybody's, as consistent copies.
 *
 *   struct pages pages;
 *   if (pages_read(&pages, 0, PAGES_OF_ALL, pages_warn)) {
 *           for (size_t i = 0; i < pages.count; i++) { ... pages.all[i] ... }
 *   }
 *   pages_free(&pages);
 *
 * Whatever the files hold, the copies are valid: strings end, pointers are not NULL unless
 * said below, and rows that changed during every reading are left out and counted. A file that
 * is no page is reported and skipped.
 *
 * Of another user's live page root believes only what that user may say: it is of a process
 * that runs as this user (processes.h), else it is skipped. What such a page names is not
 * opened: `foreign`. Of each user so many are read that he cannot exhaust our memory.
 */
#ifndef PQPOOL_TOOLS_COMMON_PAGES_STATUS_PAGES_H
#define PQPOOL_TOOLS_COMMON_PAGES_STATUS_PAGES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "trace/status/status_format.h"

/* A call stack as the process saw it; no pointer is NULL, what is unknown is "". */
struct page_stack {
	uint32_t id;
	char *text;      /* the pairs as in the log's event=stack line */
	char *frames;    /* "module+0xoffset(symbol) ...", innermost first; a space is \x20 */
	char *build_ids; /* "module=hex ..." */
	char *script;    /* the place in a script that made the call: "/srv/app.py:12" */
	char *script_frames; /* all of the script's frames, as in the log */
	bool given_back;     /* a lease that it took */
	bool foreign;        /* the page is */
};

struct page_pool {
	uint32_t number;        /* its place on the page */
	struct status_pool row; /* the numbers */
	char *label;
};

struct page_session {
	struct status_session row;      /* row.state is never FREE */
	const struct page_pool *pool;   /* NULL: not pooled */
	const char *label;              /* the pool's, or "not pooled" */
	const struct page_stack *stack; /* NULL: none or unknown */
	char *statement;                /* "" = unknown */
};

struct page {
	char *path;
	dev_t device; /* the file, whatever the path leads to by now */
	ino_t inode;
	uid_t owner;
	bool foreign;      /* another user's, or another namespace's: for root */
	bool paused;       /* new connects are to wait, says the folder */
	bool live;         /* false: the process has ended, by force or by exec */
	uint64_t read_us;  /* when it was read: wall clock */
	uint64_t ended_us; /* not live: when that was first noticed; 0 = just now */
	pid_t pid;
	uint32_t version; /* of its layout */
	uint64_t created_us;
	uint64_t acquired; /* leases, by the process */
	uint64_t released;
	uint64_t untold; /* leases begun for which the page had no room */
	size_t torn;     /* rows left out because they were being written */
	char *program;
	char *config; /* its effective settings, as pairs of the log */
	char reasons[STATUS_REASONS][STATUS_REASON_BYTES]; /* "" = not in use */

	struct page_pool *pools;
	size_t pool_count;
	struct page_session *sessions; /* leased and idle ones */
	size_t session_count;
	struct page_stack *stacks;
	size_t stack_count;
};

struct pages {
	struct page *all; /* by pid */
	size_t count;
};

/* Called for each file that cannot be read; `what` is the reason, without a newline. */
typedef void pages_complain(const char *path, const char *what);

/* One that warns on stderr. */
void pages_warn(const char *path, const char *what);

/* Whose pages: this user's, or for root those of all users. */
enum pages_whose { PAGES_OF_USER, PAGES_OF_ALL };

/*
 * Reads the pages of `pid`, or of all processes (0), ended ones included. Of a live process
 * there is one at most. `complain` may be NULL; of each folder of another user's it gets one
 * line at most. False, after a line on stderr, if memory ran out. No page at all is true.
 * Owner: the caller; pages_free takes what either outcome left.
 */
bool pages_read(struct pages *pages, pid_t pid, enum pages_whose whose,
                pages_complain *complain);
void pages_free(struct pages *pages);

/* Removes this user's pages of ended processes that page_dir.h no longer keeps. */
void pages_tidy(void);

/*
 * How long the lease has been held by the time the page was read, in nanoseconds; of an
 * ended process, until that was noticed.
 */
uint64_t pages_held_ns(const struct page *page, const struct page_session *session);

#endif
