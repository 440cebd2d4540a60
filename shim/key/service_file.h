/* SPDX-License-Identifier: PostgreSQL */
/*
 * Where libpq finds a service: the files it looks into, in its order. What a service says
 * libpq itself tells (effective_options.h); here is only which files that depends on.
 *
 *   1. the file that is named by the option servicefile (libpq 19) or PGSERVICEFILE, else
 *      ~/.pg_service.conf if that exists
 *   2. if the service is not in there, pg_service.conf in PGSYSCONFDIR, else in the folder
 *      that was compiled into libpq, which is one of the absolute paths among its constants
 *
 * Locks: none; the loader's list is gone through.
 */
#ifndef PQPOOL_KEY_SERVICE_FILE_H
#define PQPOOL_KEY_SERVICE_FILE_H

#include <stdbool.h>

#include "key/conninfo.h"
#include "key/file_stamp.h"

/*
 * Adds the files that the service named by `ci`, if any, depends on, as they are before
 * libpq reads them. False: it is not to be pooled, because the service is in none of them,
 * or a directory server (LDAP) is to be asked for it.
 */
bool service_file_watch(struct file_stamp_list *watches, const struct conninfo *ci);

#endif
