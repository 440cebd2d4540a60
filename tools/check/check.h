/* SPDX-License-Identifier: PostgreSQL */
/* `pqpool check`: a server's connections, as a monitoring plugin. */
#ifndef PQPOOL_TOOLS_CHECK_CHECK_H
#define PQPOOL_TOOLS_CHECK_CHECK_H

/* As run_main; returns an exit status of the Monitoring Plugins guidelines, 0 to 3. */
int check_main(int argc, char **argv);

#endif
