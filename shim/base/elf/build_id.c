/* SPDX-License-Identifier: PostgreSQL */
/* The build id of an ELF module: what tells one build of it from another. */
#include "base/elf/build_id.h"
#include "base/scratch.h"

#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define NAME              "GNU"
#define ALIGN_UP(n, unit) (((n) + (unit)-1) / (unit) * (unit))

/* Of notes; a segment of them is some hundred bytes. */
#define NOTES_BYTES 4096

bool build_id_in_notes(const char *notes, size_t n, size_t align, struct strbuf *id)
{
	ElfW(Nhdr) note;

	while (n >= sizeof(note)) {
		size_t at;
		size_t end;

		memcpy(&note, notes, sizeof(note));
		if (note.n_namesz > n || note.n_descsz > n) {
			return false;
		}
		at = ALIGN_UP(sizeof(note) + note.n_namesz, align);
		end = ALIGN_UP(at + note.n_descsz, align);
		if (at + note.n_descsz > n) {
			return false;
		}
		if (note.n_type == NT_GNU_BUILD_ID && note.n_descsz <= (BUILD_ID_MAX - 1) / 2 &&
		    note.n_namesz == sizeof(NAME) &&
		    memcmp(notes + sizeof(note), NAME, sizeof(NAME)) == 0) {
			for (size_t i = 0; i < note.n_descsz; i++) {
				strbuf_char(id, "0123456789abcdef"[notes[at + i] >> 4 & 15]);
				strbuf_char(id, "0123456789abcdef"[notes[at + i] & 15]);
			}
			return true;
		}
		if (end > n) {
			return false;
		}
		notes += end;
		n -= end;
	}
	return false;
}

static bool read_at(int fd, void *buf, size_t n, uint64_t at)
{
	return at <= INT64_MAX - n && pread(fd, buf, n, (off_t)at) == (ssize_t)n;
}

static bool is_native(const ElfW(Ehdr) * header)
{
	return memcmp(header->e_ident, ELFMAG, SELFMAG) == 0 &&
	       header->e_ident[EI_CLASS] == (sizeof(void *) == 8 ? ELFCLASS64 : ELFCLASS32) &&
	       header->e_phentsize == sizeof(ElfW(Phdr)) && header->e_phoff <= INT32_MAX;
}

static void read_build_id(int fd, char *notes, struct strbuf *id)
{
	ElfW(Ehdr) header;
	ElfW(Phdr) segment;

	if (!read_at(fd, &header, sizeof(header), 0) || !is_native(&header)) {
		return;
	}
	for (size_t i = 0; i < header.e_phnum; i++) {
		if (!read_at(fd, &segment, sizeof(segment),
		             header.e_phoff + i * sizeof(segment))) {
			return;
		}
		if (segment.p_type == PT_NOTE && segment.p_filesz <= NOTES_BYTES &&
		    read_at(fd, notes, segment.p_filesz, segment.p_offset) &&
		    build_id_in_notes(notes, segment.p_filesz, segment.p_align == 8 ? 8 : 4,
		                      id)) {
			return;
		}
	}
}

bool build_id_of_file(const char *path, struct strbuf *id)
{
	int saved_errno = errno;
	/* Not blocking, should the path mean a fifo. */
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	struct stat st;
	bool regular = fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode);
	char *notes = regular ? scratch_take() : NULL;

	if (notes != NULL) {
		read_build_id(fd, notes, id);
	}
	scratch_give(notes);
	if (fd >= 0) {
		close(fd);
	}
	errno = saved_errno;
	return regular;
}
