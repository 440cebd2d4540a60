/* SPDX-License-Identifier: PostgreSQL */
/*
 * The variables of the environment that steer a connect: libpq's own, and those of the
 * libraries behind it (Kerberos, OpenSSL, LDAP, the resolver). The others are none of an
 * identity's business.
 *
 * The environment is read as it is at each call, because programs change it between
 * connects. No locks, no state; as with getenv(3), a program that changes it in another
 * thread at the same time has a race of its own.
 */
#ifndef PQPOOL_KEY_ENVIRONMENT_H
#define PQPOOL_KEY_ENVIRONMENT_H

#include <stdbool.h>

#include "base/text/keybuf.h"

/* Whether "NAME=value" does. */
bool environment_steers(const char *variable);

/* Adds all that do to a key. */
void environment_put(struct keybuf *key);

#endif
