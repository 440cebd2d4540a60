/* SPDX-License-Identifier: PostgreSQL */
/*
 * The status page in memory: made with its first row, grown, which rows are taken, its stacks.
 *
 * Any program that can write the file may change the page, so which rows are taken is noted in
 * bits beside it and never read back. A bit hands a row from one owner to the next.
 *
 * Locks: LOCK_STATUS for making and growing the page, and for its stacks. Taking and giving
 * back a row that exists needs none.
 */
#ifndef PQPOOL_TRACE_STATUS_STATUS_PAGE_H
#define PQPOOL_TRACE_STATUS_STATUS_PAGE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/config/config.h"
#include "trace/status/status_format.h"

/*
 * What the head of a page says. `reason` names the numbers below `reasons` that status_closed
 * takes. Called once, first; makes nothing, and keeps the pointers.
 */
void status_configure(const struct config *config, const char *program,
                      const char *(*reason)(unsigned number), unsigned reasons);

/*
 * Makes the page if there is none: the first row would, but there may be a better moment before
 * that. No lock may be held that ranks above LOCK_STATUS.
 */
void status_make(void);

/* Puts a stack into the page, once. No lock may be held that ranks above LOCK_STATUS. */
void status_stack(uint32_t stack);

/* A lease of this stack was given back: marks the stack if the page has it. */
void status_given_back(uint32_t stack);

/* True if new connects are to wait. Looks at the page's directory. */
bool status_is_paused(void);

/* The program ends: removes the page. Safe in a signal handler. */
void status_remove(void);

void status_fork_prepare(void);
void status_fork_parent(void);
/* With `usable` false, because the locks were not taken, the child gets no page. */
void status_fork_child(bool usable);

/* ---- for status.c ---- */

extern _Atomic(char *) status_page_base;

/* The page; NULL: none yet, or none at all. */
static inline char *status_page(void)
{
	return atomic_load_explicit(&status_page_base, memory_order_acquire);
}

static inline struct status_head *status_page_head(char *base)
{
	return (struct status_head *)(void *)base;
}

enum status_area { STATUS_AREA_POOLS, STATUS_AREA_SESSIONS, STATUS_AREAS };

/*
 * Takes a row, making or growing the page for it; its number from 1, 0 if there is none. No
 * lock may be held that ranks above LOCK_STATUS.
 */
uint32_t status_page_take(enum status_area area);
void status_page_give(enum status_area area, uint32_t row);

/* Around the change of a row: readers see that it changes before it does, its end after it. */
static inline void status_row_begin(uint32_t *generation)
{
	uint32_t odd = (__atomic_load_n(generation, __ATOMIC_RELAXED) + 1) | 1;

	__atomic_exchange_n(generation, odd, __ATOMIC_ACQ_REL);
}

static inline void status_row_end(uint32_t *generation)
{
	__atomic_store_n(generation, __atomic_load_n(generation, __ATOMIC_RELAXED) + 1,
	                 __ATOMIC_RELEASE);
}

/* `text` cut to `size` bytes. */
void status_put_string(char *to, size_t size, const char *text);

#endif
