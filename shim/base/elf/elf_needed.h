/* SPDX-License-Identifier: PostgreSQL */
/* Tells whether a file that is about to be loaded is, or needs, a libpq. */
#ifndef PQPOOL_BASE_ELF_ELF_NEEDED_H
#define PQPOOL_BASE_ELF_ELF_NEEDED_H

/* The longest name of a libpq that is recognised, with its NUL. */
#define ELF_NEEDED_NAME_MAX 128

/*
 * The libpq that dlopen(file) would load, or that the module in `file` itself names among its
 * needs, as dlopen takes it: `file`, or a name in `room`; NULL if there is none. Reads the file
 * (elf_file.h), unless it is a libpq by name; one named without a slash is not searched for,
 * and counts as needing nothing. errno is kept.
 */
const char *elf_needs_libpq(const char *file, char room[ELF_NEEDED_NAME_MAX]);

#endif
