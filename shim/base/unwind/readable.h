/* SPDX-License-Identifier: PostgreSQL */
/*
 * Whether a page of memory can be read, as the kernel says.
 *
 * Asked by futex(2), a wait that ends at once: every program that uses threads may call it,
 * whatever a sandbox forbids otherwise, and it has no effect. Where even that is forbidden no
 * page counts as readable.
 *
 * Locks: none. errno is changed.
 */
#ifndef PQPOOL_BASE_UNWIND_READABLE_H
#define PQPOOL_BASE_UNWIND_READABLE_H

#include <stdbool.h>
#include <stdint.h>

/* The smallest there is; where pages are larger some questions are asked twice. */
#define READABLE_PAGE 4096

/* True if the page that begins at `page` can be read now. Some 100 ns. */
bool readable_page(uintptr_t page);

#endif
