/* SPDX-License-Identifier: PostgreSQL */
/* The server's own limit on a session that lies idle. */
#include "session/idle_limit.h"

#include <string.h>

#include "base/clock.h"
#include "base/text/strbuf.h"

#define KNOWN_SINCE 140000

/*
 * A session is in constant use after so many leases, each within that time of the one before. A
 * slower one, unless it is a break, takes back no more than some quick ones: on a busy machine
 * there is always one.
 */
#define CONSTANT_LEASES 64
#define QUICK_NS        (10 * NS_PER_MS)
#define SLOW_COUNTS     16
#define BREAK_NS        NS_PER_SEC

static bool is_read_only(const struct libpq *libpq, const PGconn *conn)
{
	const char *value = libpq->PQparameterStatus(conn, "default_transaction_read_only");

	return value == NULL || strcmp(value, "off") != 0;
}

void idle_limit_note(struct idle_limit *limit, const struct libpq *libpq, const PGconn *conn)
{
	*limit = (struct idle_limit){
		/* A lease may change the default, and the reset bring it back. */
		.barred = !libpq->can_pipeline || libpq->PQserverVersion(conn) < KNOWN_SINCE ||
	                  is_read_only(libpq, conn),
	};
}

bool idle_limit_wanted(struct idle_limit *limit, const struct libpq *libpq, const PGconn *conn,
                       uint64_t since_ns)
{
	if (limit->barred) {
		return false;
	}
	if (since_ns >= BREAK_NS) {
		limit->quick = 0;
	} else if (since_ns >= QUICK_NS) {
		limit->quick -= limit->quick < SLOW_COUNTS ? limit->quick : SLOW_COUNTS;
	} else if (limit->quick < CONSTANT_LEASES) {
		limit->quick++;
	}
	return limit->quick < CONSTANT_LEASES && !is_read_only(libpq, conn);
}

void idle_limit_write(char text[IDLE_LIMIT_TEXT], uint64_t ms, int backend_pid)
{
	struct strbuf t;

	/* By names that no object in the search path can shadow. */
	strbuf_init(&t, text, IDLE_LIMIT_TEXT);
	strbuf_str(&t, "SELECT pg_catalog.set_config('idle_session_timeout', '");
	strbuf_u64(&t, ms);
	strbuf_str(&t, "', false) WHERE pg_catalog.current_setting('idle_session_timeout')"
	               " OPERATOR(pg_catalog.=) '0'"
	               " AND pg_catalog.pg_backend_pid() OPERATOR(pg_catalog.=) ");
	strbuf_i64(&t, backend_pid);
}

void idle_limit_answer(struct idle_limit *limit, const struct libpq *libpq,
                       const PGresult *result)
{
	limit->due = 0;
	limit->set = libpq->PQresultStatus(result) == PGRES_TUPLES_OK &&
	             libpq->PQntuples(result) == 1;
	limit->barred = !limit->set;
}
