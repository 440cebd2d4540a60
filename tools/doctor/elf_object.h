/* SPDX-License-Identifier: PostgreSQL */
/*
 * A program or shared library as its ELF file describes itself, read by libelf.
 */
#ifndef PQPOOL_TOOLS_DOCTOR_ELF_OBJECT_H
#define PQPOOL_TOOLS_DOCTOR_ELF_OBJECT_H

#include <gelf.h>
#include <stdbool.h>
#include <stddef.h>

struct elf_object {
	char *path;
	Elf *elf;
	/* These are the file's; NULL = none. */
	const char *soname;
	const char *rpath;
	const char *runpath;
};

/*
 * Opens `path` if it is an ELF file of this machine's kind (class, byte order, machine);
 * NULL if not, or if memory ran out. Owner: the caller, who gives it to elf_object_close.
 */
struct elf_object *elf_object_open(const char *path);
/* NULL does nothing. */
void elf_object_close(struct elf_object *object);

/* The n-th library that it needs; NULL after the last. */
const char *elf_object_needed(const struct elf_object *object, size_t n);

/* DF_1_NODEFLIB: the default places are not for this one's needs. */
bool elf_object_has_nodeflib(const struct elf_object *object);

enum elf_symbol {
	SYMBOL_ABSENT,
	SYMBOL_WANTED,  /* another object has to define it */
	SYMBOL_DEFINED, /* for others, too */
	SYMBOL_HIDDEN,  /* for this object alone; only an unstripped file tells */
};

enum elf_symbol elf_object_symbol(const struct elf_object *object, const char *name);

/* The value of a variable that it defines for others, as the file has it. */
bool elf_object_constant(const struct elf_object *object, const char *name, void *to, size_t n);

/* Calls `each` for the versions that it needs of the library `file`, "GLIBC_2.34". */
void elf_object_needs_versions(const struct elf_object *object, const char *file,
                               void (*each)(const char *version, void *arg), void *arg);

/* Whether it defines that version. */
bool elf_object_has_version(const struct elf_object *object, const char *version);

#endif
