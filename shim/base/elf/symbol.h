/* SPDX-License-Identifier: PostgreSQL */
/*
 * The function symbol that covers an address of an ELF module.
 *
 * dladdr() knows exported symbols only; symbol_nearest() reads the file (elf_file.h), where
 * .symtab names the others. Used for reports only, and by the tool.
 *
 * Addresses are the ELF file's own, without the load bias, as in the log and for addr2line(1).
 */
#ifndef PQPOOL_BASE_ELF_SYMBOL_H
#define PQPOOL_BASE_ELF_SYMBOL_H

#include <link.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Writes the name of the function that contains `offset` of the ELF file `path` into
 * `name`, cut to `size`. A function without a size (assembly) counts as reaching to the next
 * one or the end of its section. An empty string if there is no such function, or the file
 * cannot be read. Allocates nothing; errno is kept.
 */
void symbol_nearest(const char *path, uintptr_t offset, char *name, size_t size);

/* A search through a symbol table, wherever that is; zeroed but for `offset`. */
struct symbol_search {
	uintptr_t offset;
	bool held;
	ElfW(Sym) holder; /* if held: the innermost function that contains `offset` */
	bool followed;
	ElfW(Sym) below; /* if followed: the last function that begins at or below it */
};

/* Takes one symbol into account; anything but a defined function is ignored. */
void symbol_consider(struct symbol_search *search, const ElfW(Sym) * symbol);

#endif
