/* SPDX-License-Identifier: PostgreSQL */
/* `pqpool leaks`: the leak report, from logs or from a status page. */
#ifndef PQPOOL_TOOLS_LEAKS_LEAKS_H
#define PQPOOL_TOOLS_LEAKS_LEAKS_H

/* argv[0] is how messages name the command. Returns an exit status (exit_status.h). */
int leaks_main(int argc, char **argv);

#endif
