/* SPDX-License-Identifier: PostgreSQL */
/*
 * What libpq makes of a connect's options: string, arrays, service file, environment and
 * defaults in one list, merged by libpq itself.
 *
 * It is asked by connects that fail before any of them touches more than the service file:
 * contradictory host lists, or an sslmode that does not exist. PQconninfo then tells the
 * effective value of every option but those that were spoilt. So it is in libpq 10 to 18.
 *
 * No locks. A name service is asked only where libpq itself would ask it at this point: for
 * the user's name if nobody gives one, for the home folder see home_folder.h.
 */
#ifndef PQPOOL_KEY_EFFECTIVE_OPTIONS_H
#define PQPOOL_KEY_EFFECTIVE_OPTIONS_H

#include <stdbool.h>

#include "key/conninfo.h"

/*
 * All values but host, hostaddr and user. False: libpq refuses the options, or memory is
 * short.
 */
bool effective_options_merge(struct conninfo *ci);

/* After that those three, and where the default passfile is. False likewise. */
bool effective_options_rest(struct conninfo *ci);

#endif
