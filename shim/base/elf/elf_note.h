/* SPDX-License-Identifier: PostgreSQL */
/*
 * The notes of an ELF module: what its makers say of it, each with the name of its owner and a
 * type.
 *
 * Sizes and offsets are checked; a damaged note is no note. No locks, no memory.
 */
#ifndef PQPOOL_BASE_ELF_ELF_NOTE_H
#define PQPOOL_BASE_ELF_ELF_NOTE_H

#include <stddef.h>
#include <stdint.h>

#include "base/elf/elf_file.h"

/* Of a file's segment of notes, which has some hundred bytes, as many are read. */
#define ELF_NOTES_BYTES 1024

/*
 * What the note of `owner` and `type` says, its `*len` bytes, in the `n` bytes of notes that
 * are padded to `align`; NULL if there is none.
 */
const char *elf_note_find(const char *notes, size_t n, size_t align, const char *owner,
                          uint32_t type, size_t *len);

/* The same of a file, whose notes are read into `notes`. errno is changed. */
const char *elf_note_of_file(const struct elf_file *elf, char notes[ELF_NOTES_BYTES],
                             const char *owner, uint32_t type, size_t *len);

#endif
