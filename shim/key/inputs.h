/* SPDX-License-Identifier: PostgreSQL */
/*
 * Meaning: what a connect depends on beyond its words, as libpq will read them: defaults and
 * variables it merges in, the files it looks into, the user it runs as.
 *
 * No state and no locks; nothing here allocates but what is added to keys and lists.
 */
#ifndef PQPOOL_KEY_INPUTS_H
#define PQPOOL_KEY_INPUTS_H

#include <stdbool.h>

#include "base/libpq/libpq.h"
#include "base/text/keybuf.h"
#include "base/text/strbuf.h"
#include "key/conninfo.h"
#include "key/file_stamp.h"

/* Adds what of the process itself matters to any connect: which libpq, effective ids. */
void inputs_put_process(struct keybuf *key, const struct libpq *libpq);

/*
 * False if what one connect gets is not what another of the same meaning would have: a
 * replication connection, hosts that are taken in turns, somebody to be asked each time.
 */
bool inputs_is_shared(const struct conninfo *ci);

/*
 * Adds the files that opening a session depends on, as they are now. Notes in `ci` if there
 * may be more, in a home folder that cannot be known before.
 */
void inputs_watch(struct file_stamp_list *watches, struct conninfo *ci);

/* Adds the effective value of each option. */
void inputs_put(struct keybuf *key, const struct conninfo *ci);

/* Whether the program's locale decides on the encoding (client_encoding=auto). */
bool inputs_follows_locale(const struct conninfo *ci);

/*
 * Adds what is read as a session is opened, beside its options, and cannot be said in them:
 * the process, its locale if that is followed, and the variables that are no option's.
 * `options` are those of the libpq.
 */
void inputs_put_surroundings(struct keybuf *key, const struct libpq *libpq,
                             const PQconninfoOption *options, bool follows_locale);

/* Adds "user@host:port/dbname", for people; no secret is in it. */
void inputs_label(struct strbuf *label, const struct conninfo *ci);

#endif
