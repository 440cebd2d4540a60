/* SPDX-License-Identifier: PostgreSQL */
/* `pqpool report`: everything that logs tell, as one page to look at. */
#ifndef PQPOOL_TOOLS_REPORT_REPORT_H
#define PQPOOL_TOOLS_REPORT_REPORT_H

/* argv[0] is how messages name the command. Returns an exit status (exit_status.h). */
int report_main(int argc, char **argv);

#endif
