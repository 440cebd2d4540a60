/* SPDX-License-Identifier: PostgreSQL */
/*
 * A table that a signal handler may read.
 *
 * An entry's value is written before its address, and its address taken away before the next
 * value: so a value is only ever found under its own address.
 */
#include "session/cancel/address_table.h"

#include <stdlib.h>

#include "base/text/hash.h"

/* No object lies at either. */
#define EMPTY   0
#define CLAIMED 1

static size_t chain_of(const void *address)
{
	return hash_address(address, ADDRESS_TABLE_BITS);
}

static struct address_entry *find(const struct address_table *table, const void *address)
{
	struct address_entry *entry;

	if (address == NULL) {
		return NULL;
	}
	entry = atomic_load_explicit(&table->chains[chain_of(address)], memory_order_acquire);
	while (entry != NULL && atomic_load(&entry->address) != (uintptr_t)address) {
		entry = entry->next;
	}
	return entry;
}

/* An entry of the chain that was empty, and is this caller's now; NULL: out of memory. */
static struct address_entry *claim(_Atomic(struct address_entry *) *chain)
{
	struct address_entry *first = atomic_load_explicit(chain, memory_order_acquire);
	struct address_entry *entry;

	for (entry = first; entry != NULL; entry = entry->next) {
		uintptr_t empty = EMPTY;

		if (atomic_compare_exchange_strong(&entry->address, &empty, CLAIMED)) {
			return entry;
		}
	}
	entry = calloc(1, sizeof(*entry));
	if (entry != NULL) {
		atomic_store(&entry->address, CLAIMED);
		entry->next = first;
		while (!atomic_compare_exchange_weak(chain, &entry->next, entry)) {
		}
	}
	return entry;
}

bool address_table_put(struct address_table *table, const void *address, void *value,
                       void **old)
{
	struct address_entry *entry = find(table, address);

	*old = NULL;
	if (entry != NULL) {
		*old = atomic_exchange(&entry->value, value);
		return true;
	}
	entry = claim(&table->chains[chain_of(address)]);
	if (entry == NULL) {
		return false;
	}
	atomic_store(&entry->value, value);
	atomic_store(&entry->address, (uintptr_t)address);
	return true;
}

void *address_table_find(const struct address_table *table, const void *address)
{
	struct address_entry *entry = find(table, address);
	void *value = entry != NULL ? atomic_load(&entry->value) : NULL;

	/* It may have become another address's entry between the two looks. */
	return entry != NULL && atomic_load(&entry->address) == (uintptr_t)address ? value
	                                                                           : NULL;
}

void *address_table_take(struct address_table *table, const void *address)
{
	struct address_entry *entry = find(table, address);
	void *value = NULL;

	if (entry != NULL) {
		value = atomic_load(&entry->value);
		atomic_store(&entry->address, EMPTY);
	}
	return value;
}
