/* SPDX-License-Identifier: PostgreSQL */
/* What a login does to a session that DISCARD ALL does not do again. */
#include "session/opened/login_state.h"

#include <string.h>

#include "base/clock.h"

/* How long the answer holds that a database has no login event triggers. */
#define BELIEVED_NS NS_PER_SEC

#define TRIGGERS_FROM 170000

/* The first releases that keep the role, as PQserverVersion() numbers them. */
static const int keeping[] = {120022, 130018, 140015, 150010, 160006, 170002};

/* By names that no object in the search path can shadow. */
#define ASK_ROLE "RESET ROLE; SHOW role"
/* Serializable, it could wait for a safe snapshot (DEFERRABLE), and fails on a standby. */
#define ASK_TRIGGERS                                                                           \
	"BEGIN ISOLATION LEVEL READ COMMITTED; "                                               \
	"SELECT dathasloginevt FROM pg_catalog.pg_database"                                    \
	" WHERE datname OPERATOR(pg_catalog.=) pg_catalog.current_database(); COMMIT"

_Static_assert(sizeof(ASK_ROLE "; " ASK_TRIGGERS) <= LOGIN_STATE_TEXT, "as promised");

static bool keeps_role(int version)
{
	size_t count = sizeof(keeping) / sizeof(keeping[0]);

	for (size_t i = 0; i < count; i++) {
		if (version / 10000 == keeping[i] / 10000) {
			return version >= keeping[i];
		}
	}
	return version > keeping[count - 1];
}

void login_state_note(struct login_state *login, const struct libpq *libpq, const PGconn *conn)
{
	int version = libpq->PQserverVersion(conn);

	*login = (struct login_state){
		.loses_role = !keeps_role(version),
		.may_trigger = version >= TRIGGERS_FROM,
	};
}

const char *login_state_question(struct login_state *login, uint64_t now_ns, bool again)
{
	bool asks_triggers =
		login->may_trigger &&
		(login->asked_ns == 0 || (again && now_ns - login->asked_ns > BELIEVED_NS));

	if (asks_triggers) {
		login->asked_ns = now_ns;
	}
	if (login->role_lost) {
		return asks_triggers ? ASK_ROLE "; " ASK_TRIGGERS : ASK_ROLE;
	}
	return asks_triggers ? ASK_TRIGGERS : NULL;
}

void login_state_answer(struct login_state *login, const struct libpq *libpq,
                        const PGresult *result)
{
	const char *value;

	if (libpq->PQresultStatus(result) != PGRES_TUPLES_OK) {
		return;
	}
	/* Without a row the answer counts as yes. */
	value = libpq->PQntuples(result) == 1 ? libpq->PQgetvalue(result, 0, 0) : NULL;
	if (libpq->PQfnumber(result, "role") == 0) {
		login->role_lost = false;
		login->loses_role = value == NULL || strcmp(value, "none") != 0;
	} else {
		login->triggers = value == NULL || strcmp(value, "t") == 0;
	}
}
