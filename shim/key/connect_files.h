/* SPDX-License-Identifier: PostgreSQL */
/*
 * The files that libpq reads while it connects, beside a service file: the passfile, TLS
 * certificates and keys, the Kerberos credential cache. No state, no locks.
 */
#ifndef PQPOOL_KEY_CONNECT_FILES_H
#define PQPOOL_KEY_CONNECT_FILES_H

#include "key/conninfo.h"
#include "key/file_stamp.h"

/*
 * Adds them as they are now. Sets ci->home_unknown if there may be more, in a home folder that
 * cannot be known before.
 */
void connect_files_watch(struct file_stamp_list *files, struct conninfo *ci);

#endif
