/* SPDX-License-Identifier: PostgreSQL */
/* Reads ELF files of this machine, a piece at a time. */
#include "base/elf/elf_file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SEGMENTS_MAX 256 /* a library has about ten */

#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define OWN_ORDER ELFDATA2LSB
#else
#define OWN_ORDER ELFDATA2MSB
#endif
#define OWN_CLASS (sizeof(void *) == 8 ? ELFCLASS64 : ELFCLASS32)

size_t elf_file_read_some(const struct elf_file *elf, void *buf, size_t n, uint64_t at)
{
	size_t done = 0;

	if (at > INT64_MAX - n) {
		return 0;
	}
	while (done < n) {
		ssize_t got = pread(elf->fd, (char *)buf + done, n - done, (off_t)(at + done));

		if (got < 0 && errno == EINTR) {
			continue;
		}
		if (got <= 0) {
			break;
		}
		done += (size_t)got;
	}
	return done;
}

bool elf_file_read(const struct elf_file *elf, void *buf, size_t n, uint64_t at)
{
	return elf_file_read_some(elf, buf, n, at) == n;
}

static void read_header(struct elf_file *elf)
{
	ElfW(Ehdr) *header = &elf->header;

	if (!elf_file_read(elf, header, sizeof(*header), 0) ||
	    memcmp(header->e_ident, ELFMAG, SELFMAG) != 0 ||
	    header->e_ident[EI_CLASS] != OWN_CLASS || header->e_ident[EI_DATA] != OWN_ORDER) {
		memset(header, 0, sizeof(*header));
	}
}

bool elf_file_open(struct elf_file *elf, const char *path)
{
	struct stat st;

	/* Not blocking, should the path mean a fifo; and no terminal becomes ours. */
	elf->fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	if (elf->fd < 0) {
		return false;
	}
	if (fstat(elf->fd, &st) != 0 || !S_ISREG(st.st_mode)) {
		close(elf->fd);
		return false;
	}
	read_header(elf);
	return true;
}

void elf_file_close(struct elf_file *elf)
{
	close(elf->fd);
}

bool elf_file_segment(const struct elf_file *elf, size_t i, ElfW(Phdr) * segment)
{
	return i < elf->header.e_phnum && elf->header.e_phnum <= SEGMENTS_MAX &&
	       elf->header.e_phentsize == sizeof(*segment) &&
	       elf->header.e_phoff <= INT64_MAX &&
	       elf_file_read(elf, segment, sizeof(*segment),
	                     elf->header.e_phoff + i * sizeof(*segment));
}

static bool read_section(const struct elf_file *elf, uint64_t i, ElfW(Shdr) * section)
{
	uint64_t at = elf->header.e_shoff;

	return at != 0 && at <= INT64_MAX && i <= (INT64_MAX - at) / sizeof(*section) &&
	       elf->header.e_shentsize == sizeof(*section) &&
	       elf_file_read(elf, section, sizeof(*section), at + i * sizeof(*section));
}

bool elf_file_section(const struct elf_file *elf, uint64_t i, ElfW(Shdr) * section)
{
	uint64_t count = elf->header.e_shnum;

	/* A number that 16 bits do not hold is the size of the first section. */
	if (count == 0 && read_section(elf, 0, section)) {
		count = section->sh_size;
	}
	return i < count && read_section(elf, i, section);
}
