/* SPDX-License-Identifier: PostgreSQL */
/* Gives the keeper a command. */
#ifndef PQPOOL_TOOLS_KEEP_CLIENT_H
#define PQPOOL_TOOLS_KEEP_CLIENT_H

/*
 * The keeper at `path` (NULL: the usual one) executes `text` (server/command.h); its answer
 * goes to standard output, an error to standard error. The exit status.
 */
int client_command(const char *path, const char *text);

/* The same with a text of these words. */
int client_words(const char *path, int count, const char *const *words);

#endif
