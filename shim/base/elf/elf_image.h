/* SPDX-License-Identifier: PostgreSQL */
/*
 * Addresses, build id and symbols of a loaded module, read from its memory.
 *
 * What a module points to is looked at only if it lies in one of the module's readable
 * segments. Locks: none, and none of the loader's. The module must stay loaded meanwhile.
 */
#ifndef PQPOOL_BASE_ELF_ELF_IMAGE_H
#define PQPOOL_BASE_ELF_ELF_IMAGE_H

#include <link.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/text/strbuf.h"

/* A module as dl_iterate_phdr(3) shows it. */
struct elf_image {
	uintptr_t bias;   /* what the loader added to the addresses in the ELF file */
	const char *name; /* "" is the main program; NULL: no module */
	const ElfW(Phdr) * headers;
	size_t count;
};

static inline struct elf_image elf_image_of(const struct dl_phdr_info *info)
{
	return (struct elf_image){.bias = info->dlpi_addr,
	                          .name = info->dlpi_name,
	                          .headers = info->dlpi_phdr,
	                          .count = info->dlpi_phnum};
}

/* True if `address` lies in one of the loaded segments, readable or not. */
bool elf_image_covers(const struct elf_image *image, uintptr_t address);

/* Adds the build id in lower-case hex to `id`; nothing if there is none. */
void elf_image_build_id(const struct elf_image *image, struct strbuf *id);

/*
 * The exported function that contains `offset`, an address of the ELF file; NULL if
 * there is none. The name is the module's own, gone when that is unloaded.
 */
const char *elf_image_symbol(const struct elf_image *image, uintptr_t offset);

/* GNU's hash table: four numbers, a Bloom filter, each bucket's first symbol, each symbol's
 * hash. */
struct elf_image_hashes {
	const ElfW(Addr) * filter;
	uint32_t filter_words;
	uint32_t filter_shift;
	const uint32_t *buckets;
	uint32_t bucket_count; /* 0: the module has no such table */
	uint32_t first;        /* symbols before it are in no bucket */
	const uint32_t *hashes;
};

/* The dynamic symbol table of a module. */
struct elf_image_symbols {
	uintptr_t table;
	uintptr_t names;
	size_t names_size;
	struct elf_image_hashes by_name;
	uintptr_t old_hash; /* the older kind of hash table */
};

/* Finds a module's table, for elf_image_find(); false if it has none. */
bool elf_image_symbols(const struct elf_image *image, struct elf_image_symbols *symbols);

/*
 * What dlsym(3) would find in this module alone: the address of an exported function or
 * variable; of a thread-local one, where it lies in its module's block. False if there is
 * none, or one that is yet to be chosen by code (IFUNC). Modules without GNU's hash table have
 * none.
 */
bool elf_image_find(const struct elf_image *image, const struct elf_image_symbols *symbols,
                    const char *name, uintptr_t *value);

#endif
