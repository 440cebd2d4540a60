/* SPDX-License-Identifier: PostgreSQL */
/* What the status page of a process, living or dead, tells of its leases. */
#ifndef PQPOOL_TOOLS_LEAKS_INPUT_PAGE_READER_H
#define PQPOOL_TOOLS_LEAKS_INPUT_PAGE_READER_H

#include <stdbool.h>
#include <sys/types.h>

#include "leaks/lease_list.h"

/*
 * Enters the leases of process `pid`; of several that had this pid those of the last.
 * False, after a warning, if it has no page that can be read.
 */
bool page_reader_read(struct lease_list *list, pid_t pid);

#endif
