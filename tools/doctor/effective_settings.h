/* SPDX-License-Identifier: PostgreSQL */
/* The effective configuration of a program: each variable, its value, and the source of that
 * value. */
#ifndef PQPOOL_TOOLS_DOCTOR_EFFECTIVE_SETTINGS_H
#define PQPOOL_TOOLS_DOCTOR_EFFECTIVE_SETTINGS_H

#include <stdbool.h>

#include "base/config/config.h"

/*
 * Loads it from this process's environment into `config`, and prints it, bad values and
 * unknown names with a line each. False if a program with it would run unpooled.
 */
bool effective_settings_print(struct config *config);

/* Prints where the log and the status page of a program of that name would go. */
void effective_settings_print_files(const struct config *config, const char *program);

#endif
