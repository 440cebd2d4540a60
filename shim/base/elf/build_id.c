/* SPDX-License-Identifier: PostgreSQL */
/* The build id of an ELF module. */
#include "base/elf/build_id.h"

#include <errno.h>
#include <string.h>

#include "base/elf/elf_file.h"

#define NAME              "GNU"
#define ALIGN_UP(n, unit) (((n) + (unit)-1) / (unit) * (unit))

/* Of a segment of notes, which has some hundred. */
#define NOTES_BYTES 1024

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

bool build_id_of_file(const char *path, struct strbuf *id)
{
	int saved_errno = errno;
	char notes[NOTES_BYTES];
	ElfW(Phdr) segment;
	struct elf_file elf;
	bool opened = elf_file_open(&elf, path);
	bool found = false;

	for (size_t i = 0; opened && !found && elf_file_segment(&elf, i, &segment); i++) {
		size_t n = segment.p_filesz < sizeof(notes) ? segment.p_filesz : sizeof(notes);

		found = segment.p_type == PT_NOTE &&
		        elf_file_read(&elf, notes, n, segment.p_offset) &&
		        build_id_in_notes(notes, n, segment.p_align == 8 ? 8 : 4, id);
	}
	if (opened) {
		elf_file_close(&elf);
	}
	errno = saved_errno;
	return opened;
}
