/* SPDX-License-Identifier: PostgreSQL */
/*
 * Meaning: what a connect depends on beyond its words, as libpq will read them: defaults and
 * variables it merges in, the files it looks into, the user it runs as.
 *
 * No state and no locks; nothing here allocates but what is added to keys and lists.
 */
#ifndef PQPOOL_POOL_MEANING_H
#define PQPOOL_POOL_MEANING_H

#include <stdbool.h>

#include "base/blob.h"
#include "base/libpq.h"
#include "base/text.h"
#include "pool/conninfo.h"
#include "pool/watch.h"

/* Adds what of the process itself matters to any connect: which libpq, effective ids. */
void meaning_put_process(struct blob *key, const struct libpq *libpq);

/*
 * False if what one connect gets is not what another of the same meaning would have: a
 * replication connection, hosts that are taken in turns, somebody to be asked each time.
 */
bool meaning_is_shared(const struct conninfo *ci);

/* Adds the files it depends on, as they are now. */
void meaning_watch(struct watch_list *watches, const struct conninfo *ci);

/* Adds all it depends on, with the prints of these files: equal keys, equal meanings. */
void meaning_put(struct blob *key, const struct libpq *libpq, const struct conninfo *ci,
                 const struct watch_list *watches);

/* Adds "user@host:port/dbname", for people; no secret is in it. */
void meaning_label(struct text *label, const struct conninfo *ci);

#endif
