/* SPDX-License-Identifier: PostgreSQL */
/* Addresses, build id and symbols of a loaded module. */
#include "base/elf/elf_image.h"

#include <string.h>

#include "base/elf/build_id.h"

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

/* As a linker makes each table. */
static bool is_aligned(uintptr_t address)
{
	return address % sizeof(ElfW(Addr)) == 0;
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

static void open_hashes(const struct elf_image *image, uintptr_t at,
                        struct elf_image_hashes *table)
{
	const uint32_t *head = (const uint32_t *)at;
	uintptr_t end;

	if (head == NULL || !is_aligned(at) || !holds(image, at, 16)) {
		return;
	}
	table->first = head[1];
	table->filter_words = head[2];
	table->filter_shift = head[3];
	table->filter = (const ElfW(Addr) *)(const void *)(head + 4);
	table->buckets = head + 4 + head[2] * (sizeof(ElfW(Addr)) / sizeof(uint32_t));
	table->hashes = table->buckets + head[0];
	end = (uintptr_t)table->hashes;
	if (holds(image, (uintptr_t)table->filter, end - (uintptr_t)table->filter)) {
		table->bucket_count = head[0];
	}
}

bool elf_image_symbols(const struct elf_image *image, struct elf_image_symbols *symbols)
{
	const ElfW(Dyn) *dynamic = NULL;
	size_t count = 0;
	uintptr_t hashes = 0;

	*symbols = (struct elf_image_symbols){0};
	for (size_t i = 0; i < image->count; i++) {
		if (image->headers[i].p_type == PT_DYNAMIC) {
			uintptr_t at = image->bias + image->headers[i].p_vaddr;

			dynamic = is_aligned(at) && holds(image, at, image->headers[i].p_memsz)
			                  ? (const ElfW(Dyn) *)at
			                  : NULL;
			count = image->headers[i].p_memsz / sizeof(*dynamic);
		}
	}
	for (; dynamic != NULL && count > 0 && dynamic->d_tag != DT_NULL; dynamic++, count--) {
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
			hashes = absolute(image, dynamic->d_un.d_ptr);
			break;
		case DT_HASH:
			symbols->old_hash = absolute(image, dynamic->d_un.d_ptr);
			break;
		default:
			break;
		}
	}
	open_hashes(image, hashes, &symbols->by_name);
	return symbols->table != 0 && is_aligned(symbols->table) && symbols->names != 0;
}

/* False: no symbol has this hash. */
static bool filter_passes(const struct elf_image_hashes *table, uint32_t hash)
{
	const uint32_t bits = 8 * sizeof(ElfW(Addr));
	ElfW(Addr) word;

	if (table->filter_words == 0) {
		return true;
	}
	word = table->filter[hash / bits % table->filter_words];
	return (word >> hash % bits & 1) != 0 &&
	       (word >> (hash >> table->filter_shift % 32) % bits & 1) != 0;
}

/* Only the hash tables tell: the old kind as a number, GNU's by the end of the last chain. */
static size_t count_symbols(const struct elf_image *image,
                            const struct elf_image_symbols *symbols)
{
	const uint32_t *old = (const uint32_t *)symbols->old_hash;
	const struct elf_image_hashes *table = &symbols->by_name;
	uint32_t last = 0;

	if (table->bucket_count == 0) {
		return old != NULL && symbols->old_hash % sizeof(*old) == 0 &&
		                       holds(image, symbols->old_hash, 8)
		               ? old[1]
		               : 0;
	}
	for (uint32_t i = 0; i < table->bucket_count; i++) {
		last = table->buckets[i] > last ? table->buckets[i] : last;
	}
	if (last < table->first) {
		return table->first;
	}
	while (holds(image, (uintptr_t)&table->hashes[last - table->first], sizeof(uint32_t)) &&
	       (table->hashes[last - table->first] & 1) == 0) {
		last++;
	}
	return (size_t)last + 1;
}

/* One that is defined here, and has a name. */
static bool is_function(const ElfW(Sym) * symbol)
{
	unsigned type = ELF64_ST_TYPE(symbol->st_info);

	return (type == STT_FUNC || type == STT_GNU_IFUNC) && symbol->st_shndx != SHN_UNDEF &&
	       symbol->st_name != 0;
}

const char *elf_image_symbol(const struct elf_image *image, uintptr_t offset)
{
	const ElfW(Sym) *holder = NULL;
	struct elf_image_symbols symbols;
	const ElfW(Sym) * table;
	const char *name;
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
		/* Few get past the first comparison. */
		if (offset - table[i].st_value < table[i].st_size && is_function(&table[i]) &&
		    (holder == NULL || table[i].st_value > holder->st_value)) {
			holder = &table[i];
		}
	}
	if (holder == NULL || holder->st_name >= symbols.names_size) {
		return NULL;
	}
	name = (const char *)symbols.names + holder->st_name;
	return memchr(name, '\0', symbols.names_size - holder->st_name) != NULL ? name : NULL;
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

static const ElfW(Sym) * find_entry(const struct elf_image *image,
                                    const struct elf_image_symbols *symbols, const char *name)
{
	const ElfW(Sym) *entries = (const ElfW(Sym) *)symbols->table;
	const struct elf_image_hashes *table = &symbols->by_name;
	uint32_t wanted = gnu_hash(name);

	if (table->bucket_count == 0 || !filter_passes(table, wanted) ||
	    !holds(image, symbols->names, symbols->names_size)) {
		return NULL;
	}
	for (uint32_t i = table->buckets[wanted % table->bucket_count];
	     i >= table->first && i != 0; i++) {
		const uint32_t *hash = &table->hashes[i - table->first];
		const ElfW(Sym) *entry = &entries[i];

		if (!holds(image, (uintptr_t)hash, sizeof(*hash)) ||
		    !holds(image, (uintptr_t)entry, sizeof(*entry))) {
			return NULL;
		}
		if ((*hash | 1) == (wanted | 1) && entry->st_shndx != SHN_UNDEF &&
		    ELF64_ST_TYPE(entry->st_info) != STT_GNU_IFUNC &&
		    is_named(symbols, entry, name)) {
			return entry;
		}
		if ((*hash & 1) != 0) {
			return NULL;
		}
	}
	return NULL;
}

bool elf_image_find(const struct elf_image *image, const struct elf_image_symbols *symbols,
                    const char *name, uintptr_t *value)
{
	const ElfW(Sym) *entry = find_entry(image, symbols, name);

	if (entry != NULL) {
		*value = entry->st_value;
		*value += ELF64_ST_TYPE(entry->st_info) == STT_TLS ? 0 : image->bias;
	}
	return entry != NULL;
}
