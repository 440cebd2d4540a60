/* SPDX-License-Identifier: PostgreSQL */
/* The one place that states the version of shim and tool. */
#ifndef PQPOOL_BASE_CONFIG_VERSION_H
#define PQPOOL_BASE_CONFIG_VERSION_H

#define PQPOOL_VERSION "0.1.0"

#endif
