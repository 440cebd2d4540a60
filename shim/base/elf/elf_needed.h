/* SPDX-License-Identifier: PostgreSQL */
/*
 * Whether a file that is about to be loaded is, or needs, a libpq.
 *
 * Only the file itself is judged, not what it needs by way of others.
 */
#ifndef PQPOOL_BASE_ELF_ELF_NEEDED_H
#define PQPOOL_BASE_ELF_ELF_NEEDED_H

/* The longest name of a libpq that is recognised, with its NUL. */
#define ELF_NEEDED_NAME_MAX 128

/*
 * The libpq that dlopen(file) would load, or that the module in `file` names among its
 * needs, as dlopen takes it: `file` itself, or a name in `room`; NULL if there is none.
 * Reads the file, unless it is a libpq by name; one named without a slash is not
 * searched for, and counts as needing nothing. Nothing in the file is believed. errno is
 * kept.
 */
const char *elf_needs_libpq(const char *file, char room[ELF_NEEDED_NAME_MAX]);

#endif
