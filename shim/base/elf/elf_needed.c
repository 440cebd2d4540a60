/* SPDX-License-Identifier: PostgreSQL */
/* Tells whether a file that is about to be loaded is, or needs, a libpq. */
#include "base/elf/elf_needed.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "base/elf/elf_file.h"

#define DYNAMIC_MAX 4096 /* of dynamic entries; a library has about thirty */

/* Where in the file the names of needs are. */
struct names {
	uint64_t at;
	uint64_t size;
};

/* Debian's libpq.so.5, and what a Python wheel brings: libpq-0a1b2c3d.so.5.16. */
static bool is_libpq(const char *name)
{
	return strncmp(name, "libpq.so", 8) == 0 ||
	       (strncmp(name, "libpq-", 6) == 0 && strstr(name, ".so") != NULL);
}

/* Where in the file the byte is that will be at `address`. */
static bool locate(const struct elf_file *elf, uint64_t address, uint64_t *at)
{
	ElfW(Phdr) segment;

	for (size_t i = 0; elf_file_segment(elf, i, &segment); i++) {
		if (segment.p_type == PT_LOAD && address >= segment.p_vaddr &&
		    address - segment.p_vaddr < segment.p_filesz) {
			*at = address - segment.p_vaddr + segment.p_offset;
			return true;
		}
	}
	return false;
}

/* The n-th dynamic entry; false after the last. */
static bool read_dynamic(const struct elf_file *elf, const ElfW(Phdr) * dynamic, size_t n,
                         ElfW(Dyn) * entry)
{
	return n < DYNAMIC_MAX && n < dynamic->p_filesz / sizeof(*entry) &&
	       elf_file_read(elf, entry, sizeof(*entry),
	                     (uint64_t)dynamic->p_offset + n * sizeof(*entry)) &&
	       entry->d_tag != DT_NULL;
}

static bool find_names(const struct elf_file *elf, const ElfW(Phdr) * dynamic,
                       struct names *names)
{
	ElfW(Dyn) entry;
	uint64_t address = 0;

	names->size = 0;
	for (size_t n = 0; read_dynamic(elf, dynamic, n, &entry); n++) {
		if (entry.d_tag == DT_STRTAB) {
			address = entry.d_un.d_ptr;
		} else if (entry.d_tag == DT_STRSZ) {
			names->size = entry.d_un.d_val;
		}
	}
	return address != 0 && locate(elf, address, &names->at);
}

/* The name at `offset` among the names; false if it is none, or too long for us. */
static bool read_name(const struct elf_file *elf, const struct names *names, uint64_t offset,
                      char name[ELF_NEEDED_NAME_MAX])
{
	uint64_t left = offset < names->size ? names->size - offset : 0;
	size_t n = left < ELF_NEEDED_NAME_MAX ? (size_t)left : ELF_NEEDED_NAME_MAX;

	return names->at <= INT64_MAX && offset <= INT64_MAX && n > 0 &&
	       elf_file_read(elf, name, n, names->at + offset) && memchr(name, '\0', n) != NULL;
}

static bool find_dynamic(const struct elf_file *elf, ElfW(Phdr) * dynamic)
{
	for (size_t i = 0; elf_file_segment(elf, i, dynamic); i++) {
		if (dynamic->p_type == PT_DYNAMIC) {
			return true;
		}
	}
	return false;
}

static bool find_need(const struct elf_file *elf, char name[ELF_NEEDED_NAME_MAX])
{
	ElfW(Phdr) dynamic;
	ElfW(Dyn) entry;
	struct names names;

	if (elf->header.e_type != ET_DYN || !find_dynamic(elf, &dynamic) ||
	    !find_names(elf, &dynamic, &names)) {
		return false;
	}
	for (size_t n = 0; read_dynamic(elf, &dynamic, n, &entry); n++) {
		if (entry.d_tag == DT_NEEDED &&
		    read_name(elf, &names, entry.d_un.d_val, name) && is_libpq(name)) {
			return true;
		}
	}
	return false;
}

const char *elf_needs_libpq(const char *file, char room[ELF_NEEDED_NAME_MAX])
{
	int saved_errno = errno;
	const char *slash = strrchr(file, '/');
	struct elf_file elf;
	bool found = false;

	if (is_libpq(slash != NULL ? slash + 1 : file)) {
		return file;
	}
	if (slash != NULL && elf_file_open(&elf, file)) {
		found = find_need(&elf, room);
		elf_file_close(&elf);
	}
	errno = saved_errno;
	return found ? room : NULL;
}
