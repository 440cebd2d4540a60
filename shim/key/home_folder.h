/* SPDX-License-Identifier: PostgreSQL */
/*
 * The home folder in which libpq looks for files: HOME since version 15; before, and where HOME
 * is empty, the one in the password database.
 *
 * The password database may be slow, or be in PostgreSQL itself, behind a module that connects
 * with its lock held. So it is asked only where libpq would ask it at this very point, and once
 * per user.
 *
 * Locks: none; an atomic list that only grows.
 */
#ifndef PQPOOL_KEY_HOME_FOLDER_H
#define PQPOOL_KEY_HOME_FOLDER_H

#include <stdbool.h>

#include "base/libpq/libpq.h"

/* The folder, malloc'ed; the password database may be asked. NULL: there is none. */
char *home_folder_find(const struct libpq *libpq);

/* The same without asking the password database: NULL if it has not been asked before. */
char *home_folder_recall(const struct libpq *libpq);

/* Whether the environment names it. */
bool home_folder_by_variable(const struct libpq *libpq);

/* Whether home_folder_recall would find one. */
bool home_folder_is_known(const struct libpq *libpq);

#endif
