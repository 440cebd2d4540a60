/* SPDX-License-Identifier: PostgreSQL */
/*
 * The dynamic linker's list of a process's objects, in the order in which symbols are looked
 * up, read from its memory (process_vm_readv(2), which needs the right to trace it). The
 * process is not stopped: a list that changes meanwhile ends early. glibc's <link.h> has the
 * layout, which debuggers rely on.
 */
#ifndef PQPOOL_TOOLS_DOCTOR_LIVE_LINK_LIST_H
#define PQPOOL_TOOLS_DOCTOR_LIVE_LINK_LIST_H

#include <stdbool.h>
#include <sys/types.h>

/* `name` is as the linker has it, "" for the program; `place` counts from 0. */
typedef void link_list_each(const char *name, int place, void *arg);

/*
 * `headers` and `count`: the program's headers in its memory, AT_PHDR and AT_PHNUM. False: it
 * may not be read, or there is no list (a static program, or one of another kind of machine).
 */
bool link_list_read(pid_t pid, unsigned long headers, unsigned long count, link_list_each *each,
                    void *arg);

#endif
