/* SPDX-License-Identifier: PostgreSQL */
/* A failed connection of our own making: the pool had no session in time. */
#include "pool/refusal.h"

#include <stdlib.h>
#include <string.h>

#include "base/blob.h"
#include "base/clock.h"
#include "base/text.h"
#include "trace/report.h"

#define HOLDERS_SHOWN 3
#define MESSAGE_MAX   2048

static void put_limit(struct text *t, const struct pool_limits *limits)
{
	text_u64(t, limits->total);
	text_str(t, " (PQPOOL_SIZE ");
	text_u64(t, limits->size);
	text_str(t, " + PQPOOL_MAX_OVERFLOW ");
	text_u64(t, limits->total - limits->size);
	text_str(t, ")");
}

static void put_holders(struct text *t, const char *label)
{
	struct lease oldest[HOLDERS_SHOWN];
	uint64_t now_ns = clock_monotonic_ns();
	size_t count = lease_oldest(label, oldest, HOLDERS_SHOWN);

	for (size_t i = 0; i < count; i++) {
		text_str(t, i == 0 ? "; held longest: lease " : ", lease ");
		text_u64(t, oldest[i].id);
		text_str(t, " for ");
		text_span(t, now_ns - oldest[i].began_ns);
		text_str(t, " by thread ");
		text_i64(t, oldest[i].tid);
		text_str(t, ", taken at ");
		report_place(oldest[i].stack, t);
	}
}

char *refusal_message(const struct lender *lender, uint64_t waited_ns)
{
	char buf[MESSAGE_MAX];
	struct text t;

	text_init(&t, buf, sizeof(buf));
	text_str(&t, "connection to \"");
	text_str(&t, lender->identity->label);
	text_str(&t, "\" failed: pqpool: no session became free within ");
	text_span(&t, waited_ns);
	text_str(&t, ", all of the limit of ");
	put_limit(&t, &lender->pool.limits);
	text_str(&t, " are in use");
	put_holders(&t, lender->identity->label);
	text_str(&t, "\n");
	return strdup(buf);
}

/* The program's parameters and the message as a GSS mode that does not exist. */
static PGconn *impossible(const struct spelling *spelling, const char *text)
{
	char buf[4096];
	struct blob b;
	PGconn *conn = NULL;

	blob_init(&b, buf, sizeof(buf));
	blob_text(&b, spelling->conninfo);
	blob_text(&b, " gssencmode='");
	for (const char *c = text; *c != '\0' && *c != '\n'; c++) {
		if (*c == '\'' || *c == '\\') {
			blob_bytes(&b, "\\", 1);
		}
		blob_bytes(&b, c, 1);
	}
	blob_bytes(&b, "'", 2);
	if (!b.failed) {
		conn = spelling->identity->libpq->PQconnectStart(b.data);
	}
	blob_wipe(&b);
	return conn;
}

struct session *refusal_make(const struct spelling *spelling, struct lender *lender,
                             uint64_t waited_ns)
{
	const struct libpq *libpq = spelling->identity->libpq;
	char *text = refusal_message(lender, waited_ns);
	PGconn *conn = text != NULL ? impossible(spelling, text) : NULL;
	struct session *session = conn != NULL ? session_adopt(libpq, conn) : NULL;

	if (session == NULL) {
		libpq->PQfinish(conn);
		free(text);
		return NULL;
	}
	session->refusal = text;
	session->lease.pool = lender->identity->label;
	return session;
}
