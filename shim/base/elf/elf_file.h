/* SPDX-License-Identifier: PostgreSQL */
/*
 * Reads ELF files of this machine's word size and byte order, a piece at a time with pread(2).
 *
 * Files are not mapped: one that shrinks under a mapping ends the process with a SIGBUS, and
 * one that changes makes every check of bounds a lie. Nothing in a file is believed: each
 * offset and count is checked, and a read beyond the end fails.
 *
 * No locks, no memory. errno is changed.
 */
#ifndef PQPOOL_BASE_ELF_ELF_FILE_H
#define PQPOOL_BASE_ELF_ELF_FILE_H

#include <link.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct elf_file {
	int fd;
	ElfW(Ehdr) header; /* all zero if the file is no ELF file of this machine */
};

/* Opens `path`; false, and there is nothing to close, if that is no readable regular file. */
bool elf_file_open(struct elf_file *elf, const char *path);
void elf_file_close(struct elf_file *elf);

/* Reads all of the `n` bytes at `at`. */
bool elf_file_read(const struct elf_file *elf, void *buf, size_t n, uint64_t at);

/* Reads up to `n` bytes at `at`; returns how many there were. */
size_t elf_file_read_some(const struct elf_file *elf, void *buf, size_t n, uint64_t at);

/* The i-th program header, counted from 0; false if there is none. */
bool elf_file_segment(const struct elf_file *elf, size_t i, ElfW(Phdr) * segment);

/* The i-th section header, likewise. */
bool elf_file_section(const struct elf_file *elf, uint64_t i, ElfW(Shdr) * section);

#endif
