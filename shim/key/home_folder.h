/* SPDX-License-Identifier: PostgreSQL */
/*
 * The home folder that a libpq looks into: the one of HOME since version 15, of the password
 * database before and where HOME is empty.
 *
 * The password database may be slow, or be in PostgreSQL itself, behind a module that
 * connects with its lock held. So it is asked only where libpq would ask it at this very
 * point, and once per user; what it said is kept for good.
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

/* Whether the environment names it, so that the password database is not asked. */
bool home_folder_by_variable(const struct libpq *libpq);

/* Whether home_folder_recall would find one. */
bool home_folder_is_known(const struct libpq *libpq);

#endif
