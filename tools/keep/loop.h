/* SPDX-License-Identifier: PostgreSQL */
/*
 * The event loop: descriptors to be watched, and the time of the next thing to be done. One
 * thread, no signal handlers.
 */
#ifndef PQPOOL_TOOLS_KEEP_LOOP_H
#define PQPOOL_TOOLS_KEEP_LOOP_H

#include <stdbool.h>
#include <stdint.h>

/* A watched descriptor; embedded in what owns it. */
struct watch {
	int fd; /* -1: not watched */
	void (*ready)(struct watch *watch);
};

/* Makes the loop; false: see errno. */
bool loop_begin(void);

/*
 * `ready` is called while `fd` can be read or its other end is closed. False: see errno.
 * loop_unwatch before the descriptor is closed or lent: the kernel watches the open file, of
 * which others have copies.
 */
bool loop_watch(struct watch *watch, int fd, void (*ready)(struct watch *watch));
void loop_unwatch(struct watch *watch);

/* From now on `ready` is called while the descriptor can be written. */
void loop_watch_output(struct watch *watch);

/* The loop's `due` is called at this time of clock_monotonic_ns() or earlier. */
void loop_call_at(uint64_t ns);

/*
 * Runs until loop_end(). `due` does what there is to do at this time, and asks by loop_call_at
 * for all that comes later: it is called once for all.
 */
void loop_run(void (*due)(uint64_t now_ns));
void loop_end(void);

#endif
