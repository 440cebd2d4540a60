/* SPDX-License-Identifier: PostgreSQL */
/*
 * The commands that the keeper answers, as words with spaces between:
 *
 *   show              everything, as logfmt lines
 *   set NAME=VALUE    changes a setting until the next SIGHUP
 *   drain all | drain PID | drain LABEL
 *   pause, resume     new connects wait meanwhile
 *   wait              is answered when what was drained is closed and, while paused, all is
 *                     idle
 *   room              closes what is idle, as a server is full, and is answered when that has
 *                     ended; an error if nothing is. Said by the shim.
 */
#ifndef PQPOOL_TOOLS_KEEP_SERVER_COMMAND_H
#define PQPOOL_TOOLS_KEEP_SERVER_COMMAND_H

#include <stdbool.h>
#include <stddef.h>

/* A command on its connection: what is still to be written of its answer. */
struct command {
	bool (*awaits)(void); /* it is answered when that is true; NULL: it does not wait */
	bool failed;
	char *text; /* malloc'ed; NULL: there is no answer yet */
	size_t length;
	size_t written;
};

/* Whether a command has this name. */
bool command_exists(const char *name);

/* Executes it. False: its connection is over. */
bool command_run(struct command *command, int socket, const char *text);

/* Whether its socket must become writable for the rest. */
bool command_has_output(const struct command *command);

/* Writes what can be written; false: that was all, or it cannot. */
bool command_write(struct command *command, int socket);

/* Of one that waits: answers it if it is time; false: its connection is over. */
bool command_look(struct command *command, int socket);

void command_free(struct command *command);

#endif
