/* SPDX-License-Identifier: PostgreSQL */
/*
 * target_session_attrs of a session: whether its server is still one that the program asked
 * for.
 *
 * A connection string may list several hosts, and may ask for a server that takes writes, or
 * for a standby. libpq checks that when it connects. The server of a session that was kept may
 * have been promoted or made read-only since, or was the second choice while the first was
 * away.
 *
 *   attributes  target_session_attrs, judged by what the server reports of itself. That is
 *               fresh only after a round trip, so no such session is lent without one.
 *   place       the host, of those listed, that a connect landed on. When it is another one
 *               than before, older sessions are no longer what a connect would give
 *               (pool_landed).
 *
 * The options are read from the connection itself, so that a service file counts, too.
 */
#ifndef PQPOOL_SESSION_OPENED_TARGET_ATTRS_H
#define PQPOOL_SESSION_OPENED_TARGET_ATTRS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/libpq/libpq.h"
#include "pool/drop_reason.h"

enum target_attrs_kind {
	TARGET_ATTRS_ANY,
	TARGET_ATTRS_READ_WRITE,
	TARGET_ATTRS_READ_ONLY,
	TARGET_ATTRS_PRIMARY,
	TARGET_ATTRS_STANDBY,
	TARGET_ATTRS_AS_OPENED /* prefer-standby: as it was when it was opened */
};

struct target_attrs {
	enum target_attrs_kind attributes;
	bool was_standby;
	uint64_t place; /* equal for the same listed host and port; never 0 */
};

/*
 * Notes those of a connection that was just made. Not DROP_NONE: it must not be kept, because
 * the server (before version 14) does not report its role, or each connect is to go to another
 * host.
 */
enum drop_reason target_attrs_note(struct target_attrs *attrs, const struct libpq *libpq,
                                   PGconn *conn);

/* After a round trip: is the server still one that the program asked for? */
bool target_attrs_satisfied(const struct target_attrs *attrs, const struct libpq *libpq,
                            const PGconn *conn);

#endif
