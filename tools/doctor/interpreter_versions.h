/* SPDX-License-Identifier: PostgreSQL */
/* Which interpreters a program holds, and whether pqpool can read their scripts' lines. */
#ifndef PQPOOL_TOOLS_DOCTOR_INTERPRETER_VERSIONS_H
#define PQPOOL_TOOLS_DOCTOR_INTERPRETER_VERSIONS_H

#include "doctor/elf_object.h"

/*
 * Prints a line for each interpreter in the object, by what it exports; `path` is its file's,
 * by whose name PHP's version is known.
 */
void interpreter_versions_print(const struct elf_object *object, const char *path);

#endif
