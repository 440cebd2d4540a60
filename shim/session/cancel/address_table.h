/* SPDX-License-Identifier: PostgreSQL */
/*
 * A table from the addresses of other people's objects to what we know of them, which a signal
 * handler may read: no lock, and a look-up allocates nothing.
 *
 *   empty ──put──► claimed ──► listed ──take──► empty, for another address
 *
 * A chain only grows: an entry stays where it is for the life of the process, and a reader that
 * another thread or a signal handler overtakes never meets freed memory. So the table needs as
 * many entries as it ever held at once.
 *
 * It is zero when it is empty. Of one address at most one thread or handler may put or take at
 * a time, which libpq demands of the objects themselves. Fork: the child's is as it was; what
 * another thread had claimed is lost to it.
 */
#ifndef PQPOOL_SESSION_CANCEL_ADDRESS_TABLE_H
#define PQPOOL_SESSION_CANCEL_ADDRESS_TABLE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define ADDRESS_TABLE_BITS 6

struct address_entry {
	_Atomic(uintptr_t) address;
	_Atomic(void *) value;
	struct address_entry *next;
};

struct address_table {
	_Atomic(struct address_entry *) chains[1 << ADDRESS_TABLE_BITS];
};

/*
 * Lists `value`, which is not NULL, under `address`. What was listed under it comes back in
 * `*old` (NULL: nothing). False: out of memory, and nothing has changed.
 */
bool address_table_put(struct address_table *table, const void *address, void *value,
                       void **old);

/* NULL if it is not listed. Async-signal-safe. */
void *address_table_find(const struct address_table *table, const void *address);

/* Takes it out; NULL if it is not listed. Async-signal-safe. */
void *address_table_take(struct address_table *table, const void *address);

#endif
