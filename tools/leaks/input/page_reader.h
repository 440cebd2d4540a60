/* SPDX-License-Identifier: PostgreSQL */
/* Reads the leases of a process, living or dead, from its status page. */
#ifndef PQPOOL_TOOLS_LEAKS_INPUT_PAGE_READER_H
#define PQPOOL_TOOLS_LEAKS_INPUT_PAGE_READER_H

#include <stdbool.h>
#include <sys/types.h>

#include "common/leases/lease_list.h"
#include "common/pages/status_pages.h"

/*
 * Enters the leases of process `pid`; of several that had this pid those of the last.
 * False if it has no page that can be read.
 */
bool page_reader_read(struct lease_list *list, pid_t pid);

/* Enters one lease of a page. */
void page_reader_enter(struct lease_list *list, const struct page *page,
                       const struct page_session *session);

#endif
