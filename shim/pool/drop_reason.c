/* SPDX-License-Identifier: PostgreSQL */
/* Why a session was closed, in one word for the log. */
#include "pool/drop_reason.h"

static const char names[DROP_REASONS][20] = {
	[DROP_NONE] = "none",
	[DROP_AGED] = "aged",
	[DROP_INVALIDATED] = "invalidated",
	[DROP_IDLE_TIMEOUT] = "idle_timeout",
	[DROP_SURPLUS] = "surplus",
	[DROP_EXIT] = "exit",
	[DROP_MAKE_ROOM] = "make_room",
	[DROP_EXCHANGED] = "exchanged",
	[DROP_ABANDONED] = "abandoned",
	[DROP_ALTERED] = "altered",
	[DROP_BROKEN] = "broken",
	[DROP_BUSY] = "busy",
	[DROP_PIPELINE] = "pipeline",
	[DROP_UNSENT_OUTPUT] = "unsent_output",
	[DROP_OPEN_TRANSACTION] = "open_transaction",
	[DROP_DESCRIPTOR] = "descriptor",
	[DROP_FORKED] = "forked",
	[DROP_CANCEL_UNDER_WAY] = "cancel_under_way",
	[DROP_REGISTERED] = "registered",
	[DROP_NOT_POOLED] = "not_pooled",
	[DROP_EVENT_PROC] = "event_proc",
	[DROP_TRACED] = "traced",
	[DROP_HANDLE_TAKEN] = "handle_taken",
	[DROP_PROGRAM_RESET] = "program_reset",
	[DROP_LOADED] = "loaded",
	[DROP_REPLICATION_SLOT] = "replication_slot",
	[DROP_SEEDED] = "seeded",
	[DROP_REPLICATION_ORIGIN] = "replication_origin",
	[DROP_EXTENSION_STATE] = "extension_state",
	[DROP_CUSTOM_SETTING] = "custom_setting",
	[DROP_CONNECT_NOTICE] = "connect_notice",
	[DROP_CONNECT_UNSEEN] = "connect_unseen",
	[DROP_LOGIN_TRIGGER] = "login_trigger",
	[DROP_OUTDATED] = "outdated",
	[DROP_RESET_FAILED] = "reset_failed",
	[DROP_ESCAPING] = "escaping",
	[DROP_ATTRIBUTES] = "attributes",
	[DROP_PING_FAILED] = "ping_failed",
};

const char *drop_reason_name(enum drop_reason reason)
{
	return names[reason];
}
