/* SPDX-License-Identifier: PostgreSQL */
/* What a reader of the history is to be shown at its time. */
#include "common/history/marks.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/xalloc.h"

#define RESTART_US       2000000
#define RESTART_SESSIONS 2

static const struct {
	const char *name;
	const char *event; /* the line's; NULL: told by none */
} kinds[MARK_KINDS] = {
	[MARK_SERVER_RESTART] = {"server_restart", NULL},
	[MARK_DEADLOCK] = {"deadlock", "suspected_deadlock"},
	[MARK_TIMEOUT] = {"timeout", "timeout"},
	[MARK_NEAR_LIMIT] = {"near_limit", "near_limit"},
	[MARK_MISUSE] = {"misuse", "misuse"},
	[MARK_TURN_LOST] = {"turn_lost", "turn_lost"},
	[MARK_LOST_LINES] = {"lost_lines", NULL},
	[MARK_ROTATE_FAILED] = {"rotate_failed", "rotate_failed"},
};

const char *mark_name(enum history_mark_kind kind)
{
	return kinds[kind].name;
}

/* The mark that has just been made; NULL: there are enough. */
static struct history_mark *add(struct history *history, enum history_mark_kind kind,
                                uint64_t time_us, size_t pool)
{
	struct history_marks *marks = &history->marks[kind];

	if (marks->count == HISTORY_MARKS) {
		marks->left_out++;
		return NULL;
	}
	marks->all = xalloc_grow(marks->all, marks->count, sizeof(*marks->all));
	marks->all[marks->count] = (struct history_mark){.time_us = time_us, .pool = pool};
	return &marks->all[marks->count++];
}

__attribute__((format(printf, 2, 3))) static void say(struct history_mark *mark,
                                                      const char *format, ...)
{
	va_list values;

	if (mark == NULL) {
		return;
	}
	va_start(values, format);
	if (vasprintf(&mark->text, format, values) < 0) {
		xalloc_added(NULL);
	}
	va_end(values);
}

static const char *word(const struct log_line *line, const char *key)
{
	const char *value = log_line_get(line, key);

	return value != NULL ? value : "";
}

static void describe(struct history_mark *mark, enum history_mark_kind kind,
                     const struct log_line *line)
{
	const char *limit = log_line_get(line, "limit");
	uint64_t wait_us = 0;

	switch (kind) {
	case MARK_TIMEOUT:
		log_line_u64(line, "wait_us", &wait_us);
		say(mark, "no session in %" PRIu64 " ms: %s in use%s%s, likely cause: %s",
		    wait_us / 1000, word(line, "in_use"), limit != NULL ? " of " : "",
		    word(line, "limit"), word(line, "verdict"));
		break;
	case MARK_NEAR_LIMIT:
		say(mark, "%s sessions in use%s%s", word(line, "in_use"),
		    limit != NULL ? " of " : "", word(line, "limit"));
		break;
	case MARK_ROTATE_FAILED:
		say(mark, "%s", word(line, "error"));
		break;
	default:
		say(mark, "%s", word(line, "msg"));
	}
}

void marks_take(struct history *history, size_t pool, const char *event, uint64_t now_us,
                const struct log_line *line)
{
	uint64_t lost;

	if (log_line_u64(line, "lost", &lost)) {
		say(add(history, MARK_LOST_LINES, now_us, HISTORY_NO_POOL),
		    "%" PRIu64 " lines of the log could not be written", lost);
	}
	for (enum history_mark_kind kind = 0; kind < MARK_KINDS; kind++) {
		if (kinds[kind].event != NULL && strcmp(kinds[kind].event, event) == 0) {
			describe(add(history, kind, now_us, pool), kind, line);
			return;
		}
	}
}

/* ---- restarts ------------------------------------------------------------------------ */

enum change_kind { DEAD, OPENED, CLOSED, TAKEN, GIVEN_BACK };

/* Of one pool's sessions. */
struct change {
	uint64_t time_us;
	enum change_kind kind;
};

static bool is_dead(const struct history_session *session)
{
	static const char *const reasons[] = {"ping_failed", "reset_failed", "broken"};

	for (size_t i = 0; session->reason != NULL && i < sizeof(reasons) / sizeof(*reasons);
	     i++) {
		if (strcmp(session->reason, reasons[i]) == 0) {
			return true;
		}
	}
	return false;
}

static int by_time(const void *left, const void *right)
{
	const struct change *a = left;
	const struct change *b = right;

	return a->time_us != b->time_us ? (a->time_us > b->time_us) - (a->time_us < b->time_us)
	                                : (int)a->kind - (int)b->kind;
}

static void look_through(struct history *history, size_t pool, const struct change *changes,
                         size_t count)
{
	size_t ahead = 0; /* the changes before it are within the time from `i` on */
	uint64_t dead = 0;
	int64_t idle = 0;
	uint64_t again_us = 0;

	for (size_t i = 0; i < count; i++) {
		const struct change *change = &changes[i];

		for (; ahead < count && changes[ahead].time_us <= change->time_us + RESTART_US;
		     ahead++) {
			dead += changes[ahead].kind == DEAD;
		}
		if (change->kind == DEAD && change->time_us >= again_us &&
		    dead >= RESTART_SESSIONS && (int64_t)dead >= idle) {
			say(add(history, MARK_SERVER_RESTART, change->time_us, pool),
			    "%" PRIu64 " sessions were found dead within 2 s, and no idle one "
			    "lived",
			    dead);
			again_us = change->time_us + RESTART_US;
		}
		dead -= change->kind == DEAD;
		idle += change->kind == OPENED || change->kind == GIVEN_BACK;
		idle -= change->kind == CLOSED || change->kind == TAKEN;
	}
}

static void put(struct change *changes, size_t *count, uint64_t time_us, enum change_kind kind)
{
	if (time_us != HISTORY_UNKNOWN) {
		changes[(*count)++] = (struct change){time_us, kind};
	}
}

static size_t changes_of(const struct history *history, size_t pool, struct change *changes)
{
	size_t count = 0;

	for (size_t i = 0; i < history->session_count; i++) {
		const struct history_session *s = &history->sessions[i];

		if (s->pool == pool) {
			put(changes, &count, s->opened_us != HISTORY_UNKNOWN ? s->opened_us : 0,
			    OPENED);
			put(changes, &count, s->closed_us, CLOSED);
			put(changes, &count, is_dead(s) ? s->closed_us : HISTORY_UNKNOWN, DEAD);
		}
	}
	for (size_t i = 0; i < history->lease_count; i++) {
		const struct history_lease *lease = &history->leases[i];

		if (lease->pool == pool) {
			put(changes, &count, lease->acquired_us, TAKEN);
			put(changes, &count,
			    lease->end == HISTORY_RELEASED ? lease->acquired_us + lease->hold_us
			                                   : HISTORY_UNKNOWN,
			    GIVEN_BACK);
		}
	}
	return count;
}

static bool may_have_restarted(const struct history *history, size_t pool)
{
	size_t dead = 0;

	for (size_t i = 0; i < history->session_count; i++) {
		dead += history->sessions[i].pool == pool && is_dead(&history->sessions[i]);
	}
	return dead >= RESTART_SESSIONS;
}

void marks_find_restarts(struct history *history)
{
	size_t most = 3 * history->session_count + 2 * history->lease_count;
	struct change *changes = NULL;

	for (size_t pool = 0; pool < history->pool_count; pool++) {
		size_t count;

		if (!history->pools[pool]->pooled || !may_have_restarted(history, pool)) {
			continue;
		}
		changes = changes != NULL ? changes : xalloc_new(most, sizeof(*changes));
		count = changes_of(history, pool, changes);
		qsort(changes, count, sizeof(*changes), by_time);
		look_through(history, pool, changes, count);
	}
	free(changes);
}
