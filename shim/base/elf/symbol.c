/* SPDX-License-Identifier: PostgreSQL */
/*
 * The function symbol that covers an address of an ELF module.
 *
 * The file is read with pread(2), a piece at a time. Mapping it was dropped: a file
 * that shrinks under a mapping ends the process with a SIGBUS, and one that changes
 * makes every bounds check a lie. A piece that was read stays as it was judged.
 */
#include "base/elf/symbol.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PIECE 64 /* symbols read at a time */

#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define OWN_ORDER ELFDATA2LSB
#else
#define OWN_ORDER ELFDATA2MSB
#endif
#define OWN_CLASS (sizeof(void *) == 8 ? ELFCLASS64 : ELFCLASS32)

struct elf {
	int fd;
	uint64_t sections_at;
	uint64_t sections;
};

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

/* Reads up to `n` bytes at `offset`; returns how many there were. */
static size_t read_some(int fd, void *buf, size_t n, uint64_t offset)
{
	size_t done = 0;

	if (offset > INT64_MAX - n) {
		return 0;
	}
	while (done < n) {
		ssize_t got = pread(fd, (char *)buf + done, n - done, (off_t)(offset + done));

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

static bool read_section(const struct elf *elf, uint64_t index, ElfW(Shdr) * section)
{
	if (index >= elf->sections ||
	    index > (INT64_MAX - elf->sections_at) / sizeof(*section)) {
		return false;
	}
	return read_some(elf->fd, section, sizeof(*section),
	                 elf->sections_at + index * sizeof(*section)) == sizeof(*section);
}

static bool read_header(struct elf *elf)
{
	ElfW(Ehdr) header;
	ElfW(Shdr) first;

	if (read_some(elf->fd, &header, sizeof(header), 0) != sizeof(header) ||
	    memcmp(header.e_ident, ELFMAG, SELFMAG) != 0 ||
	    header.e_ident[EI_CLASS] != OWN_CLASS || header.e_ident[EI_DATA] != OWN_ORDER ||
	    header.e_shentsize != sizeof(first) || header.e_shoff == 0 ||
	    header.e_shoff > INT64_MAX) {
		return false;
	}
	elf->sections_at = header.e_shoff;
	elf->sections = header.e_shnum;
	if (elf->sections == 0) {
		/* More than 16 bits hold: the number is in the first section's size. */
		elf->sections = 1;
		elf->sections = read_section(elf, 0, &first) ? first.sh_size : 0;
	}
	return true;
}

/* Ends with the first section that cannot be read, however many a damaged file claims. */
static bool find_section(const struct elf *elf, uint32_t type, ElfW(Shdr) * section)
{
	for (uint64_t i = 1; read_section(elf, i, section); i++) {
		if (section->sh_type == type) {
			return true;
		}
	}
	return false;
}

static bool search_table(const struct elf *elf, const ElfW(Shdr) * table,
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

		if (read_some(elf->fd, symbols, n * sizeof(symbols[0]),
		              table->sh_offset + at * sizeof(symbols[0])) !=
		    n * sizeof(symbols[0])) {
			return false;
		}
		for (size_t i = 0; i < n; i++) {
			symbol_consider(search, &symbols[i]);
		}
	}
	return true;
}

/* A symbol without a size must at least share the section with what it is to name. */
static bool shares_section(const struct elf *elf, const ElfW(Sym) * symbol, uintptr_t offset)
{
	ElfW(Shdr) section;

	return read_section(elf, symbol->st_shndx, &section) && offset >= section.sh_addr &&
	       offset - section.sh_addr < section.sh_size;
}

static bool read_name(const struct elf *elf, const ElfW(Shdr) * strings, uint64_t at,
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
	got = read_some(elf->fd, name, n, strings->sh_offset + at);
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

static bool name_from(const struct elf *elf, uint32_t table_type, uintptr_t offset, char *name,
                      size_t size)
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
	return read_section(elf, table.sh_link, &strings) &&
	       read_name(elf, &strings, symbol->st_name, name, size);
}

void symbol_nearest(const char *path, uintptr_t offset, char *name, size_t size)
{
	int saved_errno = errno;
	struct elf elf = {.fd = -1};
	struct stat st;

	if (size == 0) {
		return;
	}
	/* Not blocking, should the path mean a fifo by now. */
	elf.fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	if (elf.fd < 0 || fstat(elf.fd, &st) != 0 || !S_ISREG(st.st_mode) ||
	    !read_header(&elf) ||
	    !(name_from(&elf, SHT_SYMTAB, offset, name, size) ||
	      name_from(&elf, SHT_DYNSYM, offset, name, size))) {
		name[0] = '\0';
	}
	if (elf.fd >= 0) {
		close(elf.fd);
	}
	errno = saved_errno;
}
