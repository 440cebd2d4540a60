/* SPDX-License-Identifier: PostgreSQL */
/*
 * Seeing the notices of a connect.
 *
 * What a server says while a connection is made (a collation mismatch, a bad setting of
 * the role) is said once: a session that is lent again would not repeat it, so a session
 * that got a notice must not be lent again. PQconnectdb leaves no room to put a receiver
 * on the connection first. But libpq calls its own PQconnectPoll through the dynamic
 * linker, and so through us, with the connection in hand: the first such call installs a
 * receiver that counts and passes on.
 *
 * A libpq that was linked with -Bsymbolic never comes by; then nothing is known and the
 * session is not lent again either.
 */
#ifndef PQPOOL_POOL_OPENING_H
#define PQPOOL_POOL_OPENING_H

#include <stdbool.h>

#include "base/libpq.h"
#include "pool/reason.h"

/* One connect in progress in this thread. */
struct opening {
	const struct libpq *libpq;
	PGconn *conn; /* NULL until libpq came by with it */
	unsigned notices;
	bool detached;
	bool replaced;         /* the program set a receiver of its own meanwhile */
	struct opening *outer; /* the one this is nested in, e.g. in a key-password hook */
};

void opening_begin(struct opening *opening);
/* What the connect came to: NULL, if libpq had no memory for a PGconn. */
void opening_end(struct opening *opening, const PGconn *conn);

/* After the end or the detaching: may the session be lent again? */
enum drop_reason opening_verdict(const struct opening *opening);

/* Puts the receiver on a connection begun with PQconnectStart. */
void opening_attach(struct opening *opening, const struct libpq *libpq, PGconn *conn);

/*
 * Takes it off again, unless the program put its own in its place; must come before the
 * opening or the connection goes. More than once is once.
 */
void opening_detach(struct opening *opening);

/* Called for each PQconnectPoll that a libpq makes of itself, in any thread. */
void opening_pass(const struct libpq *libpq, PGconn *conn);

#endif
