/* SPDX-License-Identifier: PostgreSQL */
/*
 * A running process as /proc shows it: what is loaded into it, in which order, and how it was
 * started. It is not stopped, and nothing of it is believed: sizes are bounded, and text is for
 * terminal_text_put.
 */
#ifndef PQPOOL_TOOLS_DOCTOR_LIVE_PROCESS_VIEW_H
#define PQPOOL_TOOLS_DOCTOR_LIVE_PROCESS_VIEW_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

enum process_view_outcome {
	PROCESS_VIEW_DONE,
	PROCESS_VIEW_GONE,   /* there is no such process, or it has ended */
	PROCESS_VIEW_DENIED, /* it may not be looked at */
};

/* A file of its memory. */
struct mapped_file {
	char *path;
	bool deleted; /* there is another file of that name by now, or none */
	/* Its place in the dynamic linker's list, the program's is 0; -1 = not in it, or
	 * unknown. */
	int place;
};

/* Zeroed: nothing. */
struct process_view {
	pid_t pid;
	uid_t user;
	pid_t parent;
	char *name; /* the kernel's, of the program */
	struct mapped_file *files;
	size_t count;
	bool order_known;  /* the linker's list could be read */
	bool secure;       /* it was started with raised privileges: variables were ignored */
	bool namespaces;   /* its mounts or its root are others than ours: paths are its own */
	char *environment; /* at its start: strings one behind the other; NULL = not to be read
	                    */
	size_t environment_bytes;
};

/* Owner: the caller, who gives it to process_view_free whatever the outcome. */
enum process_view_outcome process_view_read(struct process_view *view, pid_t pid);
void process_view_free(struct process_view *view);

/* The next string of its environment at its start: NULL at first, and at the end. */
const char *process_view_next(const struct process_view *view, const char *string);

/* The value of a variable at its start; NULL if it was not set. */
const char *process_view_variable(const struct process_view *view, const char *name);

/* The first file whose name begins so; NULL if there is none. */
const struct mapped_file *process_view_find(const struct process_view *view, const char *name);

#endif
