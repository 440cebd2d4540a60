/* SPDX-License-Identifier: PostgreSQL */
/*
 * The processes and leases that a log or a status page names, and what became of them.
 *
 * Its size depends on the number of processes, of distinct call stacks, and of leases that are
 * open or leaked at one time, not on the length of the log: a lease that was given back in time
 * is removed.
 *
 * No locks, no threads. If memory runs out, the tool ends.
 */
#ifndef PQPOOL_TOOLS_COMMON_LEASES_LEASE_LIST_H
#define PQPOOL_TOOLS_COMMON_LEASES_LEASE_LIST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/text/hash.h"

enum holding {
	HOLDING_OPEN,           /* when what is known ends; a leak unless the process lives */
	HOLDING_NEVER_RELEASED, /* said by the process itself */
	HOLDING_RELEASED_BY_EXIT,
	HOLDING_NEVER_FINISHED, /* a connect in steps, which never became a lease */
	HOLDING_KEPT,           /* to the end, and no leak */
	HOLDING_SUPPRESSED      /* a leak that PQPOOL_SUPPRESS names */
};

/* A call stack as the log spells it out; one for all processes that have it. */
struct place {
	const char *frames;    /* "module+0xoffset(symbol) ...", a space in a path is \x20 */
	const char *build_ids; /* "module=hex ..." */
	const char *script;    /* "/srv/app.py:12", "" if no script called */
	const char *script_frames; /* "/usr/lib/x.py:7(get) /srv/app.py:12(load)", likewise */
	size_t number;             /* in the order of their coming */
	UT_hash_handle hh;         /* lease_list.c's */
};

/* Whose lines these are. Without padding: it is hashed as it lies. */
struct owner {
	int64_t pid;
	uint64_t family; /* of the log, see log_files.h: two logs may be two machines' */
};

/* What a process means by a stack's number. */
struct numbered {
	uint64_t stack;
	const struct place *place; /* NULL = not spelled out */
	const char *script; /* the script's own line in it; NULL = no script, or unknown */
	bool given_back;    /* a lease that it took, while the process went on */
	UT_hash_handle hh;  /* lease_list.c's */
};

/* One process; a pid that comes again is another one. */
struct process {
	struct owner owner;
	uint64_t number; /* in the order of their coming */
	const char *program;
	uint64_t first_us; /* what is known begins and ends; wall clock */
	uint64_t last_us;
	uint64_t lost; /* lines that the process could not write */
	uint64_t acquired;
	uint64_t released;
	uint64_t late;   /* held ones that were released at an end, of the process or not */
	bool configured; /* it has said event=config */
	bool ended;      /* another one has its pid, or it has reported its leaks */
	bool replaced;   /* by exec, as far as is known */
	bool running;    /* as far as can be told from here */

	struct numbered *stacks;
	struct held *held;    /* leases open or leaked, by number */
	struct process *prev; /* of all, in the order of their coming */
	struct process *next;
	UT_hash_handle hh; /* lease_list.c's: the present owner of its pid */
};

struct held {
	const struct process *process;
	enum holding holding;
	bool said;      /* by the process, at its end */
	bool by_keeper; /* lease, session and thread are not known; `lease` is the backend's pid
	                 */
	uint64_t lease;
	uint64_t session;
	int64_t backend;
	int64_t thread;
	const char *pool; /* "user@host:port/db", or why it is not pooled */
	bool pooled;
	uint64_t began_us;         /* wall clock; 0 = unknown */
	uint64_t hold_us;          /* how long it was held, as far as is known */
	uint64_t stack;            /* its number in the process; 0 = unknown */
	const struct place *place; /* NULL = not spelled out */
	char *script;              /* "/srv/app.py:12", NULL = none */
	char *transaction;         /* NULL = unknown, as the next */
	char *statement;
	UT_hash_handle hh; /* lease_list.c's */
};

/* The sums of what processes reported at their ends. */
struct totals {
	uint64_t processes; /* that did; those that were killed do not */
	uint64_t opened;
	uint64_t closed;
	const char *reasons; /* why they were closed, if it was one process */
	uint64_t peak;       /* the highest */
	uint64_t limit;      /* of that pool; 0 = none */
	uint64_t waits;
	uint64_t longest_us;
	uint64_t timeouts;
};

struct lease_list {
	bool foreign; /* another user tells, to root: what he names is not opened */
	struct process *all;
	struct process *by_pid;
	uint64_t processes;          /* that ever were */
	uint64_t forgotten_acquired; /* by those that ended with nothing held */
	uint64_t forgotten_released;
	struct totals totals;
	struct place *places;
	struct word *words;
};

/* The process that is `owner` now; made if need be. A list begins zeroed. */
struct process *lease_list_process(struct lease_list *list, struct owner owner);

/* It has ended, and its pid is free for another one. `process` may be gone afterwards. */
void lease_list_end_process(struct lease_list *list, struct process *process);

/* `text`, kept once however often it comes, as long as the list. */
const char *lease_list_word(struct lease_list *list, const char *text);

/* The place that is described by its four texts, in their order; NULL: nothing is known. */
#define LEASE_LIST_TEXTS 4
const struct place *lease_list_place(struct lease_list *list,
                                     const char *const texts[LEASE_LIST_TEXTS]);

/*
 * From now on the number `stack` stands for `place` in this process. False, and nothing is
 * changed, if it already stands for another one: then this is another process.
 */
bool lease_list_number(struct process *process, uint64_t stack, const struct place *place);

/* What the number `stack` stands for in this process; NULL: nothing as yet. */
const struct place *lease_list_place_of(const struct process *process, uint64_t stack);

/* `script`, a word of the list's, is the script's own line in this stack. */
void lease_list_note_script(struct process *process, uint64_t stack, const char *script);

/* The process gave back a lease that the stack with this number took, and went on. */
void lease_list_note_given_back(struct process *process, uint64_t stack);

/* A lease that is new; its members but process, lease and place are the caller's to set. */
struct held *lease_list_add(struct process *process, uint64_t lease);

/* The lease with this number, open or leaked; NULL if there is none. */
struct held *lease_list_find(const struct process *process, uint64_t lease);

/* Removes a lease that is no longer held. */
void lease_list_forget(struct process *process, struct held *held);

/* Looks up the stacks that leases name; to be called after the last line. */
void lease_list_settle(struct lease_list *list);

#endif
