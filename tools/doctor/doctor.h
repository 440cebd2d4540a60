/* SPDX-License-Identifier: PostgreSQL */
/* `pqpool doctor`: would a program be pooled, and if not, why not. */
#ifndef PQPOOL_TOOLS_DOCTOR_DOCTOR_H
#define PQPOOL_TOOLS_DOCTOR_DOCTOR_H

/* As run_main. */
int doctor_main(int argc, char **argv);

#endif
