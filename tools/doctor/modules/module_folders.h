/* SPDX-License-Identifier: PostgreSQL */
/*
 * The folders from which a program may load modules at run time, as its files tell.
 *
 * In general a program has its folders built in: each path in the constants of the program, of
 * a library that it needs or of a module that it loads ("/usr/lib/uwsgi/plugins/%s_plugin.so")
 * may lead to one, and so may DT_RUNPATH. Where only a configuration file, a variable or a
 * script says it (apache2, R, ODBC), a small table of known programs and libraries does. What a
 * program reads of its configuration is not followed.
 */
#ifndef PQPOOL_TOOLS_DOCTOR_MODULES_MODULE_FOLDERS_H
#define PQPOOL_TOOLS_DOCTOR_MODULES_MODULE_FOLDERS_H

#include "doctor/elf_object.h"

/* `folder` ends at its NUL, and may not exist; it is the callee's for the length of the call.
 */
typedef void module_folders_each(const char *folder, void *arg);

/*
 * Calls `each` for every folder below the root's own that the object's constants name, or that
 * a file is in which they name; the same may come more than once. At most `limit` bytes of
 * constants are read.
 */
void module_folders_named(const struct elf_object *object, size_t limit,
                          module_folders_each *each, void *arg);

/* Calls `each` for the folders that the table has for a program or library of that path. */
void module_folders_known(const char *path, module_folders_each *each, void *arg);

#endif
