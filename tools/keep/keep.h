/* SPDX-License-Identifier: PostgreSQL */
/* `pqpool keep`: holds the idle sessions of all processes of a user. */
#ifndef PQPOOL_TOOLS_KEEP_KEEP_H
#define PQPOOL_TOOLS_KEEP_KEEP_H

int keep_main(int argc, char **argv);

#endif
