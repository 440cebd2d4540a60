/* SPDX-License-Identifier: PostgreSQL */
/*
 * What makes two connects equal, as bytes of a pool's key. They are equal if all of it is:
 *
 *   the call, byte for byte, with the environment: the same call again (pool_key_put_call); or
 *   the options       every one's effective value, as libpq merges them
 *   the files         that libpq reads (service_file.h, connect_files.h)
 *   the surroundings  which libpq, effective uid and gid, the locale where client_encoding is
 *                     "auto", and the variables that steer a connect without being an option's
 *
 * The environment is read at each call, because programs change it between connects. As with
 * getenv(3), a program that changes it in another thread meanwhile has a race of its own. No
 * state, no locks.
 */
#ifndef PQPOOL_KEY_POOL_KEY_H
#define PQPOOL_KEY_POOL_KEY_H

#include <stdbool.h>

#include "base/libpq/libpq.h"
#include "base/text/keybuf.h"
#include "base/text/strbuf.h"
#include "key/conninfo.h"

/* Adds all that one call depends on but for files, in a form that is cheap to compare. */
void pool_key_put_call(struct keybuf *key, const struct libpq *libpq,
                       const struct connect_call *call);

/*
 * What `make` gives for one call and its inputs, as put there; they are wiped then. NULL
 * without asking it: the program has set a hook that answers for a key's password, or no
 * memory.
 */
typedef void *pool_key_make(const struct libpq *libpq, const struct connect_call *call,
                            const struct keybuf *inputs);
void *pool_key_of_call(const struct libpq *libpq, const struct connect_call *call,
                       pool_key_make *make);

/* Adds the effective value of each option. */
void pool_key_put_options(struct keybuf *key, const struct conninfo *ci);

/* Whether the program's locale decides on the encoding (client_encoding=auto). */
bool pool_key_follows_locale(const struct conninfo *ci);

/* Adds the surroundings; `options` are those of the libpq. */
void pool_key_put_surroundings(struct keybuf *key, const struct libpq *libpq,
                               const PQconninfoOption *options, bool follows_locale);

/*
 * False if what one connect gets is not what another of the same key would get: a replication
 * connection, load-balanced hosts, an authorisation for each connect.
 */
bool pool_key_is_shared(const struct conninfo *ci);

/*
 * True if a session of this key is of use to its own process alone: which of several hosts it
 * is on is compared with what that process found, and what is required of the server's role, of
 * encryption or of the authentication is proven while a connection is opened.
 */
bool pool_key_is_of_process(const struct conninfo *ci);

/*
 * Adds "user@host:port/dbname", for people; no secret is in it. False: the program gives a
 * connection string as the database's name, which is left out here, and is to be elsewhere.
 */
bool pool_key_label(struct strbuf *label, const struct conninfo *ci);

#endif
