/* SPDX-License-Identifier: PostgreSQL */
/* The notes of an ELF module. */
#include "base/elf/elf_note.h"

#include <string.h>

#define ALIGN_UP(n, unit) (((n) + (unit)-1) / (unit) * (unit))

const char *elf_note_find(const char *notes, size_t n, size_t align, const char *owner,
                          uint32_t type, size_t *len)
{
	size_t owner_size = strlen(owner) + 1;
	ElfW(Nhdr) note;

	while (n >= sizeof(note)) {
		size_t at;
		size_t end;

		memcpy(&note, notes, sizeof(note));
		if (note.n_namesz > n || note.n_descsz > n) {
			return NULL;
		}
		at = ALIGN_UP(sizeof(note) + note.n_namesz, align);
		end = ALIGN_UP(at + note.n_descsz, align);
		if (at + note.n_descsz > n) {
			return NULL;
		}
		if (note.n_type == type && note.n_namesz == owner_size &&
		    memcmp(notes + sizeof(note), owner, owner_size) == 0) {
			*len = note.n_descsz;
			return notes + at;
		}
		if (end > n) {
			return NULL;
		}
		notes += end;
		n -= end;
	}
	return NULL;
}

const char *elf_note_of_file(const struct elf_file *elf, char notes[ELF_NOTES_BYTES],
                             const char *owner, uint32_t type, size_t *len)
{
	ElfW(Phdr) segment;
	const char *found = NULL;

	for (size_t i = 0; found == NULL && elf_file_segment(elf, i, &segment); i++) {
		size_t n =
			segment.p_filesz < ELF_NOTES_BYTES ? segment.p_filesz : ELF_NOTES_BYTES;

		if (segment.p_type == PT_NOTE &&
		    elf_file_read(elf, notes, n, segment.p_offset)) {
			found = elf_note_find(notes, n, segment.p_align == 8 ? 8 : 4, owner,
			                      type, len);
		}
	}
	return found;
}
