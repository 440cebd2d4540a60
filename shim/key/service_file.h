/* SPDX-License-Identifier: PostgreSQL */
/*
 * The service files (pg_service.conf) that a connect depends on, in libpq's order. Their
 * contents are read by libpq itself (effective_options.h).
 *
 *   1. the file that is named by the option servicefile (libpq 19) or PGSERVICEFILE, else
 *      ~/.pg_service.conf if that exists
 *   2. if the service is not in there, pg_service.conf in PGSYSCONFDIR, else in the folder
 *      that was compiled into libpq, which is one of the absolute paths among its constants
 *
 * Locks: none of ours; the dynamic linker's, while its list of objects is read.
 */
#ifndef PQPOOL_KEY_SERVICE_FILE_H
#define PQPOOL_KEY_SERVICE_FILE_H

#include <stdbool.h>

#include "key/conninfo.h"
#include "key/file_stamp.h"

/*
 * Adds the files that the service of `ci`, if any, depends on, before libpq reads them. False:
 * not to be pooled, because the service is in none of them, or comes from a directory server
 * (LDAP).
 */
bool service_file_watch(struct file_stamp_list *watches, const struct conninfo *ci);

#endif
