/* SPDX-License-Identifier: PostgreSQL */
/*
 * What can be told of a connect without asking libpq: enough to begin it at once, and to find
 * out its identity while the server is at work.
 *
 * Asking libpq what a call means (effective_options.h) costs more than anything else of a
 * connect that cannot be lent a session, as a process's first one. So it is asked only once
 * that connect is on its way. What libpq reads when it begins may change meanwhile, and what is
 * found out later would be another connect's: the draft notes the call, the environment and the
 * files as they were before, and connect_draft_agrees() compares.
 *
 * No locks. A name service is asked as in effective_options.h.
 */
#ifndef PQPOOL_KEY_CONNECT_DRAFT_H
#define PQPOOL_KEY_CONNECT_DRAFT_H

#include <stdbool.h>

#include "base/libpq/libpq.h"
#include "key/conninfo.h"
#include "key/file_stamp.h"
#include "key/identity.h"

struct connect_draft {
	char *conninfo; /* for PQconnectdb: what the call and the environment say */

	/* connect_draft.c's */
	struct file_stamp_list files;
	size_t inputs_len;
	char inputs[];
};

/*
 * A draft of `call`, malloc'ed. NULL: it cannot be begun before its identity is known (a
 * service, an option that libpq does not know, a replication connection, no memory).
 */
struct connect_draft *connect_draft_make(const struct libpq *libpq,
                                         const struct connect_call *call);

/*
 * True if a connection made with `draft` is one of `spelling`, as identity_resolve() has
 * understood the same call since: nothing that libpq has read in between had changed.
 */
bool connect_draft_agrees(const struct connect_draft *draft, const struct libpq *libpq,
                          const struct connect_call *call, const struct spelling *spelling);

/* Does nothing for NULL. errno is kept. */
void connect_draft_free(struct connect_draft *draft);

#endif
