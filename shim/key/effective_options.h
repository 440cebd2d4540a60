/* SPDX-License-Identifier: PostgreSQL */
/*
 * The effective value of every connect option: what the program gave, a service file, the
 * environment and defaults, merged by libpq itself.
 *
 * libpq is asked by connects that fail before they touch more than the service file: with
 * contradictory host lists, or an sslmode that does not exist. PQconninfo then tells the
 * effective value of every option but those that were spoilt. So it is in libpq 10 to 18.
 *
 * No locks. A name service is asked only where libpq itself would ask it at this point: for the
 * user's name if none is given; for the home folder see home_folder.h.
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

/* After that: those three, and the path of the default passfile. False likewise. */
bool effective_options_rest(struct conninfo *ci);

/*
 * Without asking libpq, where no service is named: what the call says, or the environment. An
 * option that has a default, or the user, may be left without a value. With the path of the
 * default passfile, as effective_options_rest() finds it. False: memory is short.
 */
bool effective_options_guess(struct conninfo *ci);

#endif
