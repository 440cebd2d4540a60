/* SPDX-License-Identifier: PostgreSQL */
/*
 * What a keeper knows an identity by: a digest that two processes agree on if their connects
 * are interchangeable, and from which nothing of them can be told without the keeper's secret.
 */
#ifndef PQPOOL_SHARE_IDENTITY_DIGEST_H
#define PQPOOL_SHARE_IDENTITY_DIGEST_H

#include <stdbool.h>
#include <stdint.h>

#include "base/cold.h"
#include "key/identity.h"
#include "session/reset.h"
#include "share/keeper_protocol.h"

/*
 * The digest of what makes two connects equal (key/pool_key.h), of how a session is reset that
 * is given back, and of where the calling thread is: its namespaces of the network and of
 * mounts, and its root. False: its sessions cannot be shared, or there is no /proc. errno is
 * not kept.
 */
COLD bool identity_digest(const struct identity *identity, const struct session_care *care,
                          const uint8_t secret[KEEPER_SECRET_LEN],
                          uint8_t digest[KEEPER_DIGEST_LEN]);

#endif
