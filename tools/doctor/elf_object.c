/* SPDX-License-Identifier: PostgreSQL */
/* A program or shared library as its ELF file tells about itself. */
#include "doctor/elf_object.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define NEEDED_MAX 1024 /* libraries; a large program needs a hundred */

/* This program's own header, of which the linker tells the place. */
extern const ElfW(Ehdr) __ehdr_start __attribute__((visibility("hidden")));

/* ---- safe looks into the file ---- */

/* `n` bytes at `at`, aligned for any header; NULL if the file does not have them so. */
static const void *bytes_at(const struct elf_object *object, uint64_t at, uint64_t n)
{
	if (at > object->size || n > object->size - at || at % sizeof(ElfW(Addr)) != 0) {
		return NULL;
	}
	return object->bytes + at;
}

static const ElfW(Ehdr) * head_of(const struct elf_object *object)
{
	return (const ElfW(Ehdr) *)object->bytes;
}

static const ElfW(Phdr) * program_header(const struct elf_object *object, size_t i)
{
	const ElfW(Ehdr) *head = head_of(object);

	return i < head->e_phnum && head->e_phoff <= object->size
	               ? bytes_at(object, head->e_phoff + i * sizeof(ElfW(Phdr)),
	                          sizeof(ElfW(Phdr)))
	               : NULL;
}

/* The first program header of that type; NULL if there is none. */
static const ElfW(Phdr) * find_header(const struct elf_object *object, uint32_t type)
{
	const ElfW(Phdr) *header = NULL;

	for (size_t i = 0; (header = program_header(object, i)) != NULL; i++) {
		if (header->p_type == type) {
			break;
		}
	}
	return header;
}

/* What will be at `address` once it is loaded: `*left` gets the bytes up to the end. */
static const void *at_address(const struct elf_object *object, uint64_t address, size_t *left)
{
	const ElfW(Phdr) * header;

	for (size_t i = 0; (header = program_header(object, i)) != NULL; i++) {
		uint64_t offset = address - header->p_vaddr;

		if (header->p_type == PT_LOAD && address >= header->p_vaddr &&
		    offset < header->p_filesz && header->p_offset <= object->size &&
		    offset < object->size - header->p_offset) {
			uint64_t in_file = object->size - header->p_offset - offset;
			uint64_t in_segment = header->p_filesz - offset;

			*left = in_file < in_segment ? in_file : in_segment;
			return object->bytes + header->p_offset + offset;
		}
	}
	return NULL;
}

static const char *string_in(const char *strings, size_t size, uint64_t offset)
{
	if (strings == NULL || offset >= size ||
	    memchr(strings + offset, '\0', size - offset) == NULL) {
		return NULL;
	}
	return strings + offset;
}

static const char *string_at(const struct elf_object *object, uint64_t offset)
{
	return string_in(object->strings, object->strings_size, offset);
}

/* The value of the first dynamic entry with that tag; false if there is none. */
static bool dynamic_value(const struct elf_object *object, ElfW(Sxword) tag, uint64_t *value)
{
	for (size_t i = 0; i < object->dynamic_count; i++) {
		if (object->dynamic[i].d_tag == tag) {
			*value = object->dynamic[i].d_un.d_val;
			return true;
		}
	}
	return false;
}

static const char *dynamic_string(const struct elf_object *object, ElfW(Sxword) tag)
{
	uint64_t offset;

	return dynamic_value(object, tag, &offset) ? string_at(object, offset) : NULL;
}

/* What the address in that dynamic entry points to; NULL, too, if it is not aligned so. */
static const void *dynamic_pointer(const struct elf_object *object, ElfW(Sxword) tag,
                                   size_t alignment, size_t *left)
{
	uint64_t address;
	const void *found = NULL;

	if (dynamic_value(object, tag, &address)) {
		found = at_address(object, address, left);
	}
	return (uintptr_t)found % alignment == 0 ? found : NULL;
}

/* ---- opening ---- */

static void read_dynamic(struct elf_object *object)
{
	const ElfW(Phdr) *header = find_header(object, PT_DYNAMIC);
	uint64_t size;
	size_t left;

	if (header == NULL) {
		return;
	}
	object->dynamic = bytes_at(object, header->p_offset, header->p_filesz);
	if (object->dynamic == NULL) {
		return;
	}
	while (object->dynamic_count < header->p_filesz / sizeof(ElfW(Dyn)) &&
	       object->dynamic[object->dynamic_count].d_tag != DT_NULL) {
		object->dynamic_count++;
	}
	object->strings = dynamic_pointer(object, DT_STRTAB, 1, &left);
	if (object->strings != NULL && dynamic_value(object, DT_STRSZ, &size)) {
		object->strings_size = size < left ? size : left;
	}
	object->soname = dynamic_string(object, DT_SONAME);
	object->rpath = dynamic_string(object, DT_RPATH);
	object->runpath = dynamic_string(object, DT_RUNPATH);
}

/* Whether it can be in one process with this program, were it of the same C library. */
static bool is_kin(const struct elf_object *object)
{
	const ElfW(Ehdr) *head = head_of(object);
	const ElfW(Ehdr) *own = &__ehdr_start;

	return object->size >= sizeof(*head) && memcmp(head->e_ident, ELFMAG, SELFMAG) == 0 &&
	       head->e_ident[EI_CLASS] == own->e_ident[EI_CLASS] &&
	       head->e_ident[EI_DATA] == own->e_ident[EI_DATA] &&
	       head->e_machine == own->e_machine && head->e_phentsize == sizeof(ElfW(Phdr)) &&
	       (head->e_type == ET_EXEC || head->e_type == ET_DYN);
}

static bool map(struct elf_object *object, const char *path)
{
	/* A pipe must not be waited for, nor a terminal become ours. */
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	struct stat st;
	void *bytes = MAP_FAILED;

	if (fd < 0) {
		return false;
	}
	if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_size > 0) {
		bytes = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	}
	close(fd);
	if (bytes == MAP_FAILED) {
		return false;
	}
	object->bytes = bytes;
	object->size = (size_t)st.st_size;
	return true;
}

struct elf_object *elf_object_open(const char *path)
{
	struct elf_object *object = calloc(1, sizeof(*object));

	if (object == NULL) {
		return NULL;
	}
	object->path = strdup(path);
	if (object->path == NULL || !map(object, path) || !is_kin(object)) {
		elf_object_close(object);
		return NULL;
	}
	read_dynamic(object);
	return object;
}

void elf_object_close(struct elf_object *object)
{
	if (object == NULL) {
		return;
	}
	if (object->bytes != NULL) {
		munmap((void *)(uintptr_t)object->bytes, object->size);
	}
	free(object->path);
	free(object);
}

/* ---- what it needs ---- */

const char *elf_object_needed(const struct elf_object *object, size_t n)
{
	if (n >= NEEDED_MAX) {
		return NULL;
	}
	for (size_t i = 0; i < object->dynamic_count; i++) {
		if (object->dynamic[i].d_tag == DT_NEEDED && n-- == 0) {
			return string_at(object, object->dynamic[i].d_un.d_val);
		}
	}
	return NULL;
}

bool elf_object_has_nodeflib(const struct elf_object *object)
{
	uint64_t flags;

	return dynamic_value(object, DT_FLAGS_1, &flags) && (flags & DF_1_NODEFLIB) != 0;
}

/* ---- symbols ---- */

/* How many symbols the hash table that every modern linker writes knows of. */
static size_t gnu_hash_count(const uint32_t *hash, size_t words)
{
	size_t buckets = words > 4 ? hash[0] : 0;
	uint64_t first = 4 + (uint64_t)hash[2] * (sizeof(ElfW(Addr)) / sizeof(uint32_t));
	uint64_t chains = first + buckets;
	uint64_t last = 0;

	if (first > words || buckets > words - first) {
		return 0;
	}
	for (size_t i = 0; i < buckets; i++) {
		last = hash[first + i] > last ? hash[first + i] : last;
	}
	if (last < hash[1]) {
		return hash[1]; /* it defines nothing */
	}
	while (chains + last - hash[1] < words && (hash[chains + last - hash[1]] & 1) == 0) {
		last++;
	}
	return (size_t)last + 1;
}

static size_t dynamic_symbols(const struct elf_object *object)
{
	size_t left;
	const uint32_t *hash = dynamic_pointer(object, DT_GNU_HASH, sizeof(*hash), &left);

	if (hash != NULL && left > 4 * sizeof(*hash)) {
		return gnu_hash_count(hash, left / sizeof(*hash));
	}
	hash = dynamic_pointer(object, DT_HASH, sizeof(*hash), &left);
	return hash != NULL && left >= 2 * sizeof(*hash) ? hash[1] : 0;
}

static const ElfW(Sym) * dynamic_entry(const struct elf_object *object, const char *name)
{
	size_t left;
	const ElfW(Sym) *symbols =
		dynamic_pointer(object, DT_SYMTAB, _Alignof(ElfW(Sym)), &left);
	size_t count = dynamic_symbols(object);

	for (size_t i = 0; symbols != NULL && i < count && i < left / sizeof(*symbols); i++) {
		const char *found = string_at(object, symbols[i].st_name);

		if (found != NULL && strcmp(found, name) == 0) {
			return &symbols[i];
		}
	}
	return NULL;
}

static enum elf_symbol dynamic_symbol(const struct elf_object *object, const char *name)
{
	const ElfW(Sym) *entry = dynamic_entry(object, name);

	if (entry == NULL) {
		return SYMBOL_ABSENT;
	}
	return entry->st_shndx == SHN_UNDEF ? SYMBOL_WANTED : SYMBOL_DEFINED;
}

bool elf_object_constant(const struct elf_object *object, const char *name, void *to, size_t n)
{
	const ElfW(Sym) *entry = dynamic_entry(object, name);
	const void *from;
	size_t left;

	if (entry == NULL || entry->st_shndx == SHN_UNDEF || entry->st_size < n) {
		return false;
	}
	from = at_address(object, entry->st_value, &left);
	if (from == NULL || left < n) {
		return false;
	}
	memcpy(to, from, n);
	return true;
}

static const ElfW(Shdr) * section(const struct elf_object *object, size_t i)
{
	const ElfW(Ehdr) *head = head_of(object);

	return i < head->e_shnum && head->e_shentsize == sizeof(ElfW(Shdr)) &&
	                       head->e_shoff <= object->size
	               ? bytes_at(object, head->e_shoff + i * sizeof(ElfW(Shdr)),
	                          sizeof(ElfW(Shdr)))
	               : NULL;
}

static bool defines_inside(const struct elf_object *object, const ElfW(Shdr) * table,
                           const char *name)
{
	const ElfW(Sym) *symbols = bytes_at(object, table->sh_offset, table->sh_size);
	const ElfW(Shdr) *names = section(object, table->sh_link);

	if (symbols == NULL || names == NULL || names->sh_offset > object->size ||
	    names->sh_size > object->size - names->sh_offset) {
		return false;
	}
	for (size_t i = 0; i < table->sh_size / sizeof(*symbols); i++) {
		const char *found = string_in((const char *)object->bytes + names->sh_offset,
		                              names->sh_size, symbols[i].st_name);

		if (found != NULL && symbols[i].st_shndx != SHN_UNDEF &&
		    strcmp(found, name) == 0) {
			return true;
		}
	}
	return false;
}

enum elf_symbol elf_object_symbol(const struct elf_object *object, const char *name)
{
	enum elf_symbol symbol = dynamic_symbol(object, name);
	const ElfW(Shdr) * table;

	for (size_t i = 0; symbol == SYMBOL_ABSENT && (table = section(object, i)) != NULL;
	     i++) {
		if (table->sh_type == SHT_SYMTAB && defines_inside(object, table, name)) {
			symbol = SYMBOL_HIDDEN;
		}
	}
	return symbol;
}

/* ---- versions ---- */

void elf_object_needs_versions(const struct elf_object *object, const char *file,
                               void (*each)(const char *version, void *arg), void *arg)
{
	size_t left;
	const unsigned char *at =
		dynamic_pointer(object, DT_VERNEED, _Alignof(ElfW(Verneed)), &left);

	while (at != NULL && left >= sizeof(ElfW(Verneed))) {
		ElfW(Verneed) need;
		size_t aux;
		const char *name;

		memcpy(&need, at, sizeof(need));
		name = string_at(object, need.vn_file);
		aux = need.vn_aux;
		for (size_t i = 0;
		     i < need.vn_cnt && aux <= left && left - aux >= sizeof(ElfW(Vernaux));
		     i++) {
			ElfW(Vernaux) version;

			memcpy(&version, at + aux, sizeof(version));
			if (name != NULL && strcmp(name, file) == 0 &&
			    string_at(object, version.vna_name) != NULL) {
				each(string_at(object, version.vna_name), arg);
			}
			aux += version.vna_next;
		}
		if (need.vn_next == 0 || need.vn_next > left) {
			break;
		}
		at += need.vn_next;
		left -= need.vn_next;
	}
}

bool elf_object_has_version(const struct elf_object *object, const char *version)
{
	size_t left;
	const unsigned char *at =
		dynamic_pointer(object, DT_VERDEF, _Alignof(ElfW(Verdef)), &left);

	while (at != NULL && left >= sizeof(ElfW(Verdef))) {
		ElfW(Verdef) def;
		ElfW(Verdaux) first;
		const char *name = NULL;

		memcpy(&def, at, sizeof(def));
		if (def.vd_aux <= left && left - def.vd_aux >= sizeof(first)) {
			memcpy(&first, at + def.vd_aux, sizeof(first));
			name = string_at(object, first.vda_name);
		}
		if (name != NULL && strcmp(name, version) == 0) {
			return true;
		}
		if (def.vd_next == 0 || def.vd_next > left) {
			break;
		}
		at += def.vd_next;
		left -= def.vd_next;
	}
	return false;
}
