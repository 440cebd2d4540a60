/* SPDX-License-Identifier: PostgreSQL */
/* Why a session is closed instead of kept: the word for the log. */
#include "pool/drop_reason.h"

const char *drop_reason_name(enum drop_reason reason)
{
	static const char names[][20] = {
#define REASON(name, word) [DROP_##name] = word,
#include "pool/drop_reason.def"
#undef REASON
	};

	return names[reason];
}
