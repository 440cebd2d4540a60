/* SPDX-License-Identifier: PostgreSQL */
/* One status page, read from its file. Only status_pages.c uses it. */
#ifndef PQPOOL_TOOLS_COMMON_PAGES_PAGE_FILE_H
#define PQPOOL_TOOLS_COMMON_PAGES_PAGE_FILE_H

#include "common/pages/status_pages.h"

/*
 * Fills a page from its file. `head` has been read from `fd` and is that of a page. All but the
 * file's whereabouts and the process is zero before.
 */
void page_file_read(struct page *page, int fd, const struct status_head *head);

/* Frees what page_file_read allocated. */
void page_file_free(struct page *page);

#endif
