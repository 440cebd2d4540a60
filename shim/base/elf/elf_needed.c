/* SPDX-License-Identifier: PostgreSQL */
/*
 * Whether a file that is about to be loaded is, or needs, a libpq.
 *
 * Every offset and count is checked before it is used, and reading beyond the end of
 * the file fails: a damaged file needs nothing, and the linker will say what is wrong.
 */
#include "base/elf/elf_needed.h"
#include "base/scratch.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PHDRS_MAX   256  /* of program headers; a library has about ten */
#define DYNAMIC_MAX 4096 /* of dynamic entries; a library has about thirty */

#define NATIVE_CLASS (sizeof(void *) == 8 ? ELFCLASS64 : ELFCLASS32)

/* An ELF file, as far as it has been read. */
struct elf {
	int fd;
	ElfW(Phdr) headers[PHDRS_MAX];
	size_t count;
	uint64_t names; /* where in the file the names of needs are */
	uint64_t names_size;
};

/* Debian's libpq.so.5, and what a Python wheel brings: libpq-0a1b2c3d.so.5.16. */
static bool is_libpq(const char *name)
{
	return strncmp(name, "libpq.so", 8) == 0 ||
	       (strncmp(name, "libpq-", 6) == 0 && strstr(name, ".so") != NULL);
}

static bool read_at(int fd, void *buf, size_t n, uint64_t at)
{
	return at <= INT64_MAX && pread(fd, buf, n, (off_t)at) == (ssize_t)n;
}

static bool read_headers(struct elf *elf)
{
	ElfW(Ehdr) head;

	if (!read_at(elf->fd, &head, sizeof(head), 0) ||
	    memcmp(head.e_ident, ELFMAG, SELFMAG) != 0 ||
	    head.e_ident[EI_CLASS] != NATIVE_CLASS || head.e_type != ET_DYN ||
	    head.e_phentsize != sizeof(ElfW(Phdr)) || head.e_phnum > PHDRS_MAX) {
		return false;
	}
	elf->count = head.e_phnum;
	return read_at(elf->fd, elf->headers, elf->count * sizeof(ElfW(Phdr)), head.e_phoff);
}

/* Where in the file the byte is that will be at `address`. */
static bool locate(const struct elf *elf, uint64_t address, uint64_t *at)
{
	for (size_t i = 0; i < elf->count; i++) {
		const ElfW(Phdr) *header = &elf->headers[i];

		if (header->p_type == PT_LOAD && address >= header->p_vaddr &&
		    address - header->p_vaddr < header->p_filesz) {
			*at = address - header->p_vaddr + header->p_offset;
			return true;
		}
	}
	return false;
}

/* The n-th dynamic entry; false after the last. */
static bool read_dynamic(const struct elf *elf, const ElfW(Phdr) * dynamic, size_t n,
                         ElfW(Dyn) * entry)
{
	return n < DYNAMIC_MAX && n < dynamic->p_filesz / sizeof(*entry) &&
	       read_at(elf->fd, entry, sizeof(*entry),
	               (uint64_t)dynamic->p_offset + n * sizeof(*entry)) &&
	       entry->d_tag != DT_NULL;
}

static bool find_names(struct elf *elf, const ElfW(Phdr) * dynamic)
{
	ElfW(Dyn) entry;
	uint64_t address = 0;

	for (size_t n = 0; read_dynamic(elf, dynamic, n, &entry); n++) {
		if (entry.d_tag == DT_STRTAB) {
			address = entry.d_un.d_ptr;
		} else if (entry.d_tag == DT_STRSZ) {
			elf->names_size = entry.d_un.d_val;
		}
	}
	return address != 0 && locate(elf, address, &elf->names);
}

/* The name at `offset` among the names; false if it is none, or too long for us. */
static bool read_name(const struct elf *elf, uint64_t offset, char name[ELF_NEEDED_NAME_MAX])
{
	uint64_t left = offset < elf->names_size ? elf->names_size - offset : 0;
	size_t n = left < ELF_NEEDED_NAME_MAX ? (size_t)left : ELF_NEEDED_NAME_MAX;

	return elf->names <= INT64_MAX && offset <= INT64_MAX && n > 0 &&
	       read_at(elf->fd, name, n, elf->names + offset) && memchr(name, '\0', n) != NULL;
}

static bool find_need(struct elf *elf, char name[ELF_NEEDED_NAME_MAX])
{
	const ElfW(Phdr) *dynamic = NULL;
	ElfW(Dyn) entry;

	for (size_t i = 0; i < elf->count; i++) {
		if (elf->headers[i].p_type == PT_DYNAMIC) {
			dynamic = &elf->headers[i];
		}
	}
	if (dynamic == NULL || !find_names(elf, dynamic)) {
		return false;
	}
	for (size_t n = 0; read_dynamic(elf, dynamic, n, &entry); n++) {
		if (entry.d_tag == DT_NEEDED && read_name(elf, entry.d_un.d_val, name) &&
		    is_libpq(name)) {
			return true;
		}
	}
	return false;
}

_Static_assert(sizeof(struct elf) <= SCRATCH_BYTES, "it fits into scratch");

static bool read_needs(const char *path, char name[ELF_NEEDED_NAME_MAX])
{
	struct elf *elf = scratch_take();
	struct stat st;
	bool found = false;

	if (elf == NULL) {
		return false;
	}
	memset(elf, 0, sizeof(*elf));
	/* A pipe must not be waited for, nor a terminal become ours. */
	elf->fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (elf->fd >= 0) {
		found = fstat(elf->fd, &st) == 0 && S_ISREG(st.st_mode) && read_headers(elf) &&
		        find_need(elf, name);
		close(elf->fd);
	}
	scratch_give(elf);
	return found;
}

const char *elf_needs_libpq(const char *file, char room[ELF_NEEDED_NAME_MAX])
{
	int saved_errno = errno;
	const char *slash = strrchr(file, '/');
	bool found;

	if (is_libpq(slash != NULL ? slash + 1 : file)) {
		return file;
	}
	found = slash != NULL && read_needs(file, room);
	errno = saved_errno;
	return found ? room : NULL;
}
