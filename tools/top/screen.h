/* SPDX-License-Identifier: PostgreSQL */
/*
 * A terminal that is drawn on repeatedly, and restored at the end: also after Ctrl-C or another
 * signal that ends the program, and while it is stopped by Ctrl-Z.
 *
 * One screen a program, one thread.
 */
#ifndef PQPOOL_TOOLS_TOP_SCREEN_H
#define PQPOOL_TOOLS_TOP_SCREEN_H

#include <stdbool.h>
#include <stdint.h>

/* True if standard input and output are a terminal that can be drawn on. */
bool screen_is_there(void);

/* Takes the terminal over; false: its kind (TERM) is not known. */
bool screen_open(void);

/* Restores it. If a signal asked the program to end, that signal ends it here. */
void screen_close(void);

struct screen_size {
	unsigned lines;
	unsigned columns;
};
struct screen_size screen_size(void);

/*
 * Shows `text` from the top, in place of what was there. It has no more lines than there
 * are, and none is wider than the screen. UTF-8.
 */
void screen_draw(const char *text);

enum screen_event {
	SCREEN_TIME,    /* it is time to draw again */
	SCREEN_RESIZED, /* likewise, and the size is another one */
	SCREEN_KEY,     /* `*key` was pressed */
	SCREEN_END      /* a signal, or the terminal is gone */
};

/* Waits for one of these, CLOCK_MONOTONIC until `deadline_ns` at most. */
enum screen_event screen_wait(uint64_t deadline_ns, char *key);

#endif
