/* SPDX-License-Identifier: PostgreSQL */
/*
 * What known programs do with their environment, and the line that has them preloaded.
 *
 * Each row was tried, or is what the program's own documentation says, with the version that it
 * names. Of a program that is not known the file of its systemd unit tells, if it has one.
 */
#ifndef PQPOOL_TOOLS_DOCTOR_PROGRAM_HABITS_H
#define PQPOOL_TOOLS_DOCTOR_PROGRAM_HABITS_H

/* Prints what is known of the program, or script, of that path; `shim`: libpqpool.so's. */
void program_habits_print(const char *path, const char *shim);

#endif
