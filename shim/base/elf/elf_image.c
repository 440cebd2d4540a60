/* SPDX-License-Identifier: PostgreSQL */
/*
 * What a module in memory says of itself: its addresses, its build id, its symbols.
 *
 * Nothing is taken for granted: whatever a module points to must lie in one of its
 * own readable segments before it is looked at.
 */
#include "base/elf/elf_image.h"

#include <string.h>

#include "base/elf/build_id.h"
#include "base/elf/symbol.h"

bool elf_image_covers(const struct elf_image *image, uintptr_t address)
{
	for (size_t i = 0; i < image->count; i++) {
		const ElfW(Phdr) *header = &image->headers[i];

		if (header->p_type == PT_LOAD &&
		    address - (image->bias + header->p_vaddr) < header->p_memsz) {
			return true;
		}
	}
	return false;
}

/* True if the `n` bytes at `address` lie in one loaded, readable segment. */
static bool holds(const struct elf_image *image, uintptr_t address, size_t n)
{
	for (size_t i = 0; i < image->count; i++) {
		const ElfW(Phdr) *header = &image->headers[i];
		uintptr_t at = address - (image->bias + header->p_vaddr);

		if (header->p_type == PT_LOAD && (header->p_flags & PF_R) != 0 &&
		    at < header->p_memsz && n <= header->p_memsz - at) {
			return true;
		}
	}
	return false;
}

void elf_image_build_id(const struct elf_image *image, struct strbuf *out)
{
	for (size_t i = 0; i < image->count; i++) {
		const ElfW(Phdr) *header = &image->headers[i];
		uintptr_t at = image->bias + header->p_vaddr;

		if (header->p_type == PT_NOTE && holds(image, at, header->p_memsz) &&
		    build_id_in_notes((const char *)at, header->p_memsz,
		                      header->p_align == 8 ? 8 : 4, out)) {
			return;
		}
	}
}

/* Loaders differ in whether they add the bias to these in place. */
static uintptr_t absolute(const struct elf_image *image, uintptr_t pointer)
{
	return holds(image, pointer, 1) ? pointer : image->bias + pointer;
}

bool elf_image_symbols(const struct elf_image *image, struct elf_image_symbols *symbols)
{
	const ElfW(Dyn) *dynamic = NULL;

	*symbols = (struct elf_image_symbols){0};
	for (size_t i = 0; i < image->count; i++) {
		if (image->headers[i].p_type == PT_DYNAMIC) {
			uintptr_t at = image->bias + image->headers[i].p_vaddr;

			dynamic = holds(image, at, image->headers[i].p_memsz)
			                  ? (const ElfW(Dyn) *)at
			                  : NULL;
		}
	}
	for (; dynamic != NULL && dynamic->d_tag != DT_NULL; dynamic++) {
		switch (dynamic->d_tag) {
		case DT_SYMTAB:
			symbols->table = absolute(image, dynamic->d_un.d_ptr);
			break;
		case DT_STRTAB:
			symbols->names = absolute(image, dynamic->d_un.d_ptr);
			break;
		case DT_STRSZ:
			symbols->names_size = dynamic->d_un.d_val;
			break;
		case DT_GNU_HASH:
			symbols->gnu_hash = absolute(image, dynamic->d_un.d_ptr);
			break;
		case DT_HASH:
			symbols->hash = absolute(image, dynamic->d_un.d_ptr);
			break;
		default:
			break;
		}
	}
	return symbols->table != 0 && symbols->names != 0;
}

/*
 * How many symbols there are is written down nowhere but in the hash tables: in the
 * old kind as a number, in GNU's as the end of the last chain.
 */
static size_t count_symbols(const struct elf_image *image,
                            const struct elf_image_symbols *symbols)
{
	const uint32_t *head = (const uint32_t *)symbols->gnu_hash;
	const uint32_t *buckets;
	const uint32_t *chains;
	uint32_t last = 0;

	if (symbols->gnu_hash == 0 || !holds(image, symbols->gnu_hash, 16)) {
		head = (const uint32_t *)symbols->hash;
		return symbols->hash != 0 && holds(image, symbols->hash, 8) ? head[1] : 0;
	}
	buckets = head + 4 + head[2] * (sizeof(ElfW(Addr)) / sizeof(uint32_t));
	chains = buckets + head[0];
	if (!holds(image, (uintptr_t)buckets, head[0] * sizeof(uint32_t))) {
		return 0;
	}
	for (uint32_t i = 0; i < head[0]; i++) {
		last = buckets[i] > last ? buckets[i] : last;
	}
	if (last < head[1]) {
		return head[1];
	}
	while (holds(image, (uintptr_t)&chains[last - head[1]], sizeof(uint32_t)) &&
	       (chains[last - head[1]] & 1) == 0) {
		last++;
	}
	return (size_t)last + 1;
}

const char *elf_image_symbol(const struct elf_image *image, uintptr_t offset)
{
	struct symbol_search search = {.offset = offset};
	struct elf_image_symbols symbols;
	const ElfW(Sym) * table;
	size_t count;

	if (!elf_image_symbols(image, &symbols)) {
		return NULL;
	}
	table = (const ElfW(Sym) *)symbols.table;
	count = count_symbols(image, &symbols);
	if (!holds(image, symbols.table, count * sizeof(*table)) ||
	    !holds(image, symbols.names, symbols.names_size)) {
		return NULL;
	}
	for (size_t i = 0; i < count; i++) {
		symbol_consider(&search, &table[i]);
	}
	if (!search.held || search.holder.st_name >= symbols.names_size) {
		return NULL;
	}
	return (const char *)symbols.names + search.holder.st_name;
}

/* ---- by name ---- */

static uint32_t gnu_hash(const char *name)
{
	uint32_t hash = 5381;

	for (; *name != '\0'; name++) {
		hash = hash * 33 + (unsigned char)*name;
	}
	return hash;
}

static bool is_named(const struct elf_image_symbols *symbols, const ElfW(Sym) * symbol,
                     const char *name)
{
	size_t n = strlen(name) + 1;

	return symbol->st_name < symbols->names_size &&
	       n <= symbols->names_size - symbol->st_name &&
	       memcmp((const char *)symbols->names + symbol->st_name, name, n) == 0;
}

/* The table: four numbers, a Bloom filter, a bucket's first symbol each, a hash a symbol. */
bool elf_image_find(const struct elf_image *image, const struct elf_image_symbols *symbols,
                    const char *name, uintptr_t *value)
{
	const uint32_t *head = (const uint32_t *)symbols->gnu_hash;
	const ElfW(Sym) *table = (const ElfW(Sym) *)symbols->table;
	uint32_t hash = gnu_hash(name);
	const uint32_t *buckets;
	const uint32_t *chain;
	uint32_t i;

	if (symbols->gnu_hash == 0 || !holds(image, symbols->gnu_hash, 16) || head[0] == 0) {
		return false;
	}
	buckets = head + 4 + head[2] * (sizeof(ElfW(Addr)) / sizeof(uint32_t));
	if (!holds(image, (uintptr_t)buckets, head[0] * sizeof(uint32_t)) ||
	    !holds(image, symbols->names, symbols->names_size)) {
		return false;
	}
	for (i = buckets[hash % head[0]]; i >= head[1] && i != 0; i++) {
		chain = buckets + head[0] + (i - head[1]);
		if (!holds(image, (uintptr_t)chain, sizeof(*chain)) ||
		    !holds(image, (uintptr_t)&table[i], sizeof(*table))) {
			return false;
		}
		if ((*chain | 1) == (hash | 1) && table[i].st_shndx != SHN_UNDEF &&
		    is_named(symbols, &table[i], name)) {
			*value = table[i].st_value;
			*value += ELF64_ST_TYPE(table[i].st_info) == STT_TLS ? 0 : image->bias;
			return true;
		}
		if ((*chain & 1) != 0) {
			return false;
		}
	}
	return false;
}
