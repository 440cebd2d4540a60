/* SPDX-License-Identifier: PostgreSQL */
/* The build id of an ELF module. */
#include "base/elf/build_id.h"

#include <errno.h>

#include "base/elf/elf_note.h"

#define OWNER "GNU"

static bool add_hex(const char *bytes, size_t n, struct strbuf *id)
{
	if (bytes == NULL || n > (BUILD_ID_MAX - 1) / 2) {
		return false;
	}
	for (size_t i = 0; i < n; i++) {
		strbuf_char(id, "0123456789abcdef"[bytes[i] >> 4 & 15]);
		strbuf_char(id, "0123456789abcdef"[bytes[i] & 15]);
	}
	return true;
}

bool build_id_in_notes(const char *notes, size_t n, size_t align, struct strbuf *id)
{
	size_t len = 0;
	const char *found = elf_note_find(notes, n, align, OWNER, NT_GNU_BUILD_ID, &len);

	return add_hex(found, len, id);
}

bool build_id_of_file(const char *path, struct strbuf *id)
{
	int saved_errno = errno;
	char notes[ELF_NOTES_BYTES];
	struct elf_file elf;
	bool opened = elf_file_open(&elf, path);
	size_t len = 0;

	if (opened) {
		const char *found = elf_note_of_file(&elf, notes, OWNER, NT_GNU_BUILD_ID, &len);

		add_hex(found, len, id);
		elf_file_close(&elf);
	}
	errno = saved_errno;
	return opened;
}
