/* SPDX-License-Identifier: PostgreSQL */
/*
 * Orders to programs by their status pages (trace/status/status_format.h), which they obey at
 * their next pool call.
 */
#ifndef PQPOOL_TOOLS_DRAIN_PAGE_ORDERS_H
#define PQPOOL_TOOLS_DRAIN_PAGE_ORDERS_H

#include <stdbool.h>

#include "common/pages/status_pages.h"

/* True if the page's process takes orders; false: its pqpool is too old. */
bool page_orders_are_taken(const struct page *page);

/*
 * Drains the pools with this label, or all (NULL). False: the page could not be written, see
 * errno.
 */
bool page_orders_drain(const struct page *page, const char *label);

/* Has it look whether connects are paused; likewise. */
bool page_orders_look(const struct page *page);

/*
 * Pauses the programs of this user, those that begin later, too, or ends that: by a file in
 * each directory of status pages, and in the first that can be made. For root with PAGES_OF_ALL
 * also in those of others. False, after a line on stderr: there is no directory, or a file
 * could be neither made nor removed.
 */
bool page_orders_pause(enum pages_whose whose, bool paused);

#endif
