/* SPDX-License-Identifier: PostgreSQL */
/* Why a session is closed instead of kept: there is no drop without a reason. */
#ifndef PQPOOL_POOL_DROP_REASON_H
#define PQPOOL_POOL_DROP_REASON_H

enum drop_reason {
#define REASON(name, word) DROP_##name,
#include "pool/drop_reason.def"
#undef REASON
	DROP_REASONS
};

/* The word for the log: "aged", "ping_failed". */
const char *drop_reason_name(enum drop_reason reason);

#endif
