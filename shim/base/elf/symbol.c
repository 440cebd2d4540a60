/* SPDX-License-Identifier: PostgreSQL */
/* The function symbol that covers an address of an ELF module. */
#include "base/elf/symbol.h"

#include <errno.h>
#include <string.h>

#include "base/elf/elf_file.h"

#define PIECE 64 /* symbols read at a time */

void symbol_consider(struct symbol_search *search, const ElfW(Sym) * symbol)
{
	unsigned type = symbol->st_info & 0xf;
	uintptr_t begin = symbol->st_value;

	if ((type != STT_FUNC && type != STT_GNU_IFUNC) || symbol->st_shndx == SHN_UNDEF ||
	    symbol->st_name == 0 || begin > search->offset) {
		return;
	}
	if (search->offset - begin < symbol->st_size &&
	    (!search->held || begin > search->holder.st_value)) {
		search->held = true;
		search->holder = *symbol;
	}
	if (!search->followed || begin > search->below.st_value ||
	    (begin == search->below.st_value && symbol->st_size == 0)) {
		search->followed = true;
		search->below = *symbol;
	}
}

/* Ends with the first section that cannot be read, however many a damaged file claims. */
static bool find_section(const struct elf_file *elf, uint32_t type, ElfW(Shdr) * section)
{
	for (uint64_t i = 1; elf_file_section(elf, i, section); i++) {
		if (section->sh_type == type) {
			return true;
		}
	}
	return false;
}

static bool search_table(const struct elf_file *elf, const ElfW(Shdr) * table,
                         struct symbol_search *search)
{
	ElfW(Sym) symbols[PIECE];
	uint64_t count = table->sh_size / sizeof(symbols[0]);

	if (table->sh_entsize != sizeof(symbols[0]) || table->sh_offset > INT64_MAX ||
	    table->sh_size > INT64_MAX - table->sh_offset) {
		return false;
	}
	for (uint64_t at = 0; at < count; at += PIECE) {
		size_t n = count - at < PIECE ? (size_t)(count - at) : PIECE;

		if (!elf_file_read(elf, symbols, n * sizeof(symbols[0]),
		                   table->sh_offset + at * sizeof(symbols[0]))) {
			return false;
		}
		for (size_t i = 0; i < n; i++) {
			symbol_consider(search, &symbols[i]);
		}
	}
	return true;
}

/* A symbol without a size must at least share the section with what it is to name. */
static bool shares_section(const struct elf_file *elf, const ElfW(Sym) * symbol,
                           uintptr_t offset)
{
	ElfW(Shdr) section;

	return elf_file_section(elf, symbol->st_shndx, &section) && offset >= section.sh_addr &&
	       offset - section.sh_addr < section.sh_size;
}

static bool read_name(const struct elf_file *elf, const ElfW(Shdr) * strings, uint64_t at,
                      char *name, size_t size)
{
	size_t n = size - 1;
	size_t got;

	if (strings->sh_type != SHT_STRTAB || strings->sh_offset > INT64_MAX ||
	    at >= strings->sh_size || at > INT64_MAX - strings->sh_offset) {
		return false;
	}
	if (n > strings->sh_size - at) {
		n = (size_t)(strings->sh_size - at);
	}
	got = elf_file_read_some(elf, name, n, strings->sh_offset + at);
	name[got] = '\0';
	/* Without its NUL it is a name cut to size, or the end of a damaged table. */
	if (strlen(name) == got && got < size - 1) {
		return false;
	}
	for (char *c = name; *c != '\0'; c++) {
		if ((unsigned char)*c <= ' ' || *c == 0x7f) {
			*c = '?';
		}
	}
	return true;
}

static bool name_from(const struct elf_file *elf, uint32_t table_type, uintptr_t offset,
                      char *name, size_t size)
{
	struct symbol_search search = {.offset = offset};
	const ElfW(Sym) * symbol;
	ElfW(Shdr) table;
	ElfW(Shdr) strings;

	if (!find_section(elf, table_type, &table) || !search_table(elf, &table, &search)) {
		return false;
	}
	if (search.held) {
		symbol = &search.holder;
	} else if (search.followed && search.below.st_size == 0 &&
	           shares_section(elf, &search.below, offset)) {
		symbol = &search.below;
	} else {
		return false;
	}
	return elf_file_section(elf, table.sh_link, &strings) &&
	       read_name(elf, &strings, symbol->st_name, name, size);
}

void symbol_nearest(const char *path, uintptr_t offset, char *name, size_t size)
{
	int saved_errno = errno;
	struct elf_file elf;
	bool found = false;

	if (size == 0) {
		return;
	}
	if (elf_file_open(&elf, path)) {
		found = name_from(&elf, SHT_SYMTAB, offset, name, size) ||
		        name_from(&elf, SHT_DYNSYM, offset, name, size);
		elf_file_close(&elf);
	}
	if (!found) {
		name[0] = '\0';
	}
	errno = saved_errno;
}
