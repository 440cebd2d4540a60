/* SPDX-License-Identifier: PostgreSQL */
/* The state of the keeper as text. */
#include "keep/pool/show.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "common/xalloc.h"
#include "keep/log.h"
#include "keep/settings.h"

#define LINE_BYTES    4096
/* A refusal is one message. */
#define HOLDERS_BYTES (KEEPER_MESSAGE_MAX / 2)

static const char *const state_names[] = {
	[KEEPER_WORD_FREE] = "free",       [KEEPER_WORD_ROOM] = "opening",
	[KEEPER_WORD_OFFERED] = "offered", [KEEPER_WORD_LEASED] = "leased",
	[KEEPER_WORD_IDLE] = "idle",       [KEEPER_WORD_CLAIMED] = "claimed",
	[KEEPER_WORD_GONE] = "gone",
};

#define STATES (sizeof(state_names) / sizeof(state_names[0]))

static const char *state_name(uint32_t word)
{
	unsigned state = KEEPER_WORD_STATE(word);

	return state < STATES ? state_names[state] : "unknown";
}

/* Whether it is still the lease that the keeper granted, and not a later one of the process. */
static bool is_first_lease(const struct session *session, uint32_t word)
{
	return session->granted_ns != 0 && word >> 8 == (session->granted >> 8) + 1;
}

/* What was said with the question, or after it. */
static void put_place(struct strbuf *t, const char *said, const struct member *member,
                      unsigned word)
{
	char buf[KEEPER_PLACE_BYTES];
	const char *place =
		said[0] != '\0' || member == NULL ? said : member_place(member, word, buf);

	if (place[0] != '\0') {
		pair_str(t, "place", place);
	}
}

static void put_holder(FILE *to, const struct session *session, const char *kind,
                       uint64_t now_ns)
{
	uint32_t word = member_word(session->member, session->word);
	bool first = word == session->granted || is_first_lease(session, word);
	uint64_t since_ns = first && session->granted_ns != 0 ? session->granted_ns
	                    : word == session->seen           ? session->seen_ns
	                                                      : now_ns;
	char buf[LINE_BYTES];
	struct strbuf t;

	strbuf_init(&t, buf, sizeof(buf));
	if (kind != NULL) {
		pair_str(&t, "kind", kind);
		pair_str(&t, "pool", session->pool->label);
	}
	pair_str(&t, "state", state_name(word));
	log_u64(&t, "pid", (uint64_t)session->member->pid);
	pair_str(&t, "program", session->member->program);
	if (session->fd >= 0) {
		log_u64(&t, "backend", (uint64_t)session->record.backend_pid);
	}
	log_u64(&t, "since_ms", (now_ns - since_ns) / NS_PER_MS);
	if (session->drained) {
		pair_str(&t, "drained", "yes");
	}
	if (first && session->place != NULL) {
		put_place(&t, session->place, session->member, session->word);
	}
	fprintf(to, "%s\n", buf);
}

char *show_holders(const struct pool *pool, uint64_t now_ns)
{
	char *text = NULL;
	size_t size = 0;
	FILE *to = open_memstream(&text, &size);
	const struct session *session;

	if (to == NULL) {
		return xalloc_copy("", 0);
	}
	if (pools_are_paused) {
		fputs(KEEPER_PAUSED, to);
	}
	DL_FOREACH (pool->sessions, session) {
		if (session->member != NULL && ftell(to) < HOLDERS_BYTES) {
			put_holder(to, session, NULL, now_ns);
		}
	}
	fclose(to);
	return text;
}

static void put_limit(struct strbuf *t, const char *key, unsigned limit)
{
	if (limit == UINT_MAX) {
		pair_str(t, key, "none");
	} else {
		log_u64(t, key, limit);
	}
}

static void put_keeper(FILE *to)
{
	char buf[LINE_BYTES];
	struct strbuf t;
	unsigned members = 0;

	for (const struct member *m = members_all(); m != NULL; m = m->hh.next) {
		members++;
	}
	strbuf_init(&t, buf, sizeof(buf));
	pair_str(&t, "kind", "keeper");
	log_u64(&t, "pid", (uint64_t)getpid());
	put_limit(&t, "size", settings.size);
	put_limit(&t, "limit", settings.total);
	pair_str(&t, "paused", pools_are_paused ? "yes" : "no");
	log_u64(&t, "members", members);
	fprintf(to, "%s\n", buf);
}

static void put_held(FILE *to, const struct session *session, uint64_t now_ns)
{
	char buf[LINE_BYTES];
	struct strbuf t;

	strbuf_init(&t, buf, sizeof(buf));
	pair_str(&t, "kind", "session");
	pair_str(&t, "pool", session->pool->label);
	pair_str(&t, "state", "held");
	log_u64(&t, "backend", (uint64_t)session->record.backend_pid);
	log_u64(&t, "since_ms", (now_ns - session->held_ns) / NS_PER_MS);
	fprintf(to, "%s\n", buf);
}

static void put_waiting(FILE *to, const struct ask *ask, uint64_t now_ns)
{
	const struct member *member = member_find(ask->member);
	char buf[LINE_BYTES];
	struct strbuf t;

	strbuf_init(&t, buf, sizeof(buf));
	pair_str(&t, "kind", "waiting");
	pair_str(&t, "pool", ask->pool->label);
	if (member != NULL) {
		log_u64(&t, "pid", (uint64_t)member->pid);
		pair_str(&t, "program", member->program);
	}
	log_u64(&t, "since_ms", (now_ns - ask->asked_ns) / NS_PER_MS);
	put_place(&t, ask->place, member, ask->word);
	fprintf(to, "%s\n", buf);
}

static void put_pool(FILE *to, const struct pool *pool, uint64_t now_ns)
{
	unsigned idle = 0;
	char buf[LINE_BYTES];
	const struct session *session;
	const struct ask *ask;
	struct strbuf t;

	DL_FOREACH (pool->sessions, session) {
		idle += session->member == NULL ||
		        KEEPER_WORD_STATE(member_word(session->member, session->word)) ==
		                KEEPER_WORD_IDLE;
	}
	strbuf_init(&t, buf, sizeof(buf));
	pair_str(&t, "kind", "pool");
	pair_str(&t, "pool", pool->label);
	log_u64(&t, "idle", idle);
	log_u64(&t, "in_use", pool->used - idle);
	log_u64(&t, "left", members_left_with(pool->label_hash));
	log_u64(&t, "ending", pool->ending);
	log_u64(&t, "waiting", pool->waiting);
	fprintf(to, "%s\n", buf);
	DL_FOREACH (pool->sessions, session) {
		if (session->member != NULL) {
			put_holder(to, session, "session", now_ns);
		} else {
			put_held(to, session, now_ns);
		}
	}
	DL_FOREACH (pool->line, ask) {
		put_waiting(to, ask, now_ns);
	}
}

char *show_all(uint64_t now_ns)
{
	char *text = NULL;
	size_t size = 0;
	FILE *to = open_memstream(&text, &size);

	if (to == NULL) {
		return xalloc_copy("", 0);
	}
	put_keeper(to);
	for (const struct pool *pool = pools_all(); pool != NULL; pool = pool->hh.next) {
		put_pool(to, pool, now_ns);
	}
	fclose(to);
	return text;
}
