/* SPDX-License-Identifier: PostgreSQL */
/* The report's data as one JSON document. */
#include "report/document.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/config/version.h"
#include "common/history/marks.h"
#include "common/json_writer.h"
#include "common/xalloc.h"
#include "report/document_pools.h"
#include "report/places.h"

#define LEASES_MOST   2000
#define SESSIONS_MOST 2000
#define MARKS_MOST    1000
#define PROGRAMS_MOST 100
#define REASONS_MOST  100

/* An item of an array, and how much it counts. */
struct rank {
	uint64_t weight;
	size_t index;
	bool first; /* whatever the weight */
};

static int heaviest_first(const void *left, const void *right)
{
	const struct rank *a = left;
	const struct rank *b = right;

	if (a->first != b->first) {
		return a->first ? -1 : 1;
	}
	if (a->weight != b->weight) {
		return a->weight < b->weight ? 1 : -1;
	}
	return (a->index > b->index) - (a->index < b->index);
}

static void put_known(struct json *json, const char *key, uint64_t value)
{
	if (value != HISTORY_UNKNOWN) {
		json_u64(json, key, value);
	} else {
		json_null(json, key);
	}
}

static void put_text(struct json *json, const char *key, const char *value)
{
	if (value != NULL) {
		json_str(json, key, value);
	} else {
		json_null(json, key);
	}
}

/* ---- the whole ----------------------------------------------------------------------- */

static void put_logs(struct json *json, const struct log_files *files)
{
	json_open(json, "logs", '[');
	for (size_t i = 0; i < files->count; i++) {
		json_open(json, NULL, '{');
		json_str(json, "file", files->all[i].name);
		json_u64(json, "lines", files->all[i].lines);
		json_u64(json, "unread", files->all[i].unread);
		json_close(json, '}');
	}
	json_close(json, ']');
}

/* Each once; they are words of the list, the same ones at the same address. */
static void put_programs(struct json *json, const struct history *history)
{
	const char *seen[PROGRAMS_MOST];
	uint64_t processes = 0;
	size_t count = 0;

	json_open(json, "programs", '[');
	for (size_t i = 1; i < history->process_count; i++) {
		const char *program = history->processes[i].program;
		size_t at = 0;

		if (program == NULL) {
			continue;
		}
		processes++;
		while (at < count && seen[at] != program) {
			at++;
		}
		if (at == count && count < PROGRAMS_MOST) {
			seen[count++] = program;
			json_str(json, NULL, program);
		}
	}
	json_close(json, ']');
	json_u64(json, "processes", processes);
}

static void put_totals(struct json *json, const struct history *history)
{
	uint64_t leaks = 0;
	uint64_t kept = 0;

	for (size_t i = 0; i < history->lease_count; i++) {
		leaks += history_is_leak(&history->leases[i]);
		kept += history->leases[i].end == HISTORY_KEPT;
	}
	json_open(json, "totals", '{');
	json_u64(json, "acquired", history->acquired);
	json_u64(json, "released", history->released);
	json_u64(json, "opened", history->opened);
	json_u64(json, "borrowed", history->borrowed);
	json_u64(json, "closed", history->closed);
	json_u64(json, "waits", history->waits);
	json_u64(json, "timeouts", history->timeout_count);
	json_u64(json, "leaks", leaks);
	json_u64(json, "kept", kept);
	json_u64(json, "lost_lines", history->lost_lines);
	json_close(json, '}');
}

/* ---- places -------------------------------------------------------------------------- */

static void put_frames(struct json *json, const struct places *places)
{
	json_open(json, "frames", '[');
	for (size_t i = 0; i < places->frame_count; i++) {
		json_str(json, NULL, places->frames[i]->text);
	}
	json_close(json, ']');
}

static void put_place(struct json *json, const struct places *places,
                      const struct lease_place *place)
{
	uint64_t busy_us = place->query_us + place->transaction_us;
	uint64_t idle_us = place->held_us > busy_us ? place->held_us - busy_us : 0;

	json_open(json, NULL, '{');
	json_u64(json, "pool", place->key.pool);
	json_str(json, "label", places_label(places, place));
	json_open(json, "stack", '[');
	for (size_t i = 0; i < place->depth; i++) {
		json_u64(json, NULL, place->stack[i]);
	}
	json_close(json, ']');
	json_bool(json, "script", place->key.script != NULL);
	json_u64(json, "leases", place->leases);
	json_u64(json, "held_us", place->held_us);
	put_known(json, "query_us", place->split ? place->query_us : HISTORY_UNKNOWN);
	put_known(json, "transaction_us",
	          place->split ? place->transaction_us : HISTORY_UNKNOWN);
	put_known(json, "idle_us", place->split ? idle_us : HISTORY_UNKNOWN);
	json_u64(json, "p50_us", place->p50_us);
	json_u64(json, "p99_us", place->p99_us);
	json_u64(json, "max_us", place->max_us);
	json_u64(json, "leaks", place->leaks);
	json_close(json, '}');
}

static void put_places(struct json *json, const struct places *places)
{
	json_open(json, "places", '[');
	for (size_t i = 0; i < places->count; i++) {
		put_place(json, places, places->all[i]);
	}
	json_close(json, ']');
}

/* ---- leases and sessions --------------------------------------------------------------- */

static const char *const end_names[] = {
	[HISTORY_RELEASED] = "released", [HISTORY_LEAKED] = "leaked",
	[HISTORY_KEPT] = "kept",         [HISTORY_AT_EXIT] = "at_exit",
	[HISTORY_OPEN] = "open",         [HISTORY_GIVEN_AWAY] = "given_away",
};

static void put_lease(struct json *json, const struct history *history,
                      const struct history_lease *lease, const struct lease_place *place)
{
	const struct history_process *process = &history->processes[lease->process];
	char id[64];

	snprintf(id, sizeof(id), "%" PRId64 "/%" PRIu64, process->pid, lease->lease);
	json_open(json, NULL, '{');
	json_str(json, "id", id);
	json_i64(json, "pid", process->pid);
	json_u64(json, "lease", lease->lease);
	json_i64(json, "thread", lease->thread);
	json_str(json, "program", process->program);
	json_u64(json, "pool", lease->pool);
	put_known(json, "place",
	          place->number != PLACES_NONE ? place->number : HISTORY_UNKNOWN);
	json_u64(json, "acquired", lease->acquired_us);
	put_known(json, "wait_us", lease->wait_us);
	json_u64(json, "hold_us", lease->hold_us);
	put_known(json, "query_us", lease->query_us);
	put_known(json, "transaction_us", lease->transaction_us);
	json_str(json, "end", end_names[lease->end]);
	put_text(json, "statement", lease->statement);
	put_text(json, "transaction", lease->transaction);
	json_close(json, '}');
}

static void put_leases(struct json *json, const struct history *history,
                       const struct places *places)
{
	struct rank *ranks = xalloc_new(history->lease_count, sizeof(*ranks));

	for (size_t i = 0; i < history->lease_count; i++) {
		const struct history_lease *lease = &history->leases[i];

		ranks[i] = (struct rank){lease->hold_us, i, history_is_leak(lease)};
	}
	qsort(ranks, history->lease_count, sizeof(*ranks), heaviest_first);
	json_open(json, "leases", '[');
	for (size_t i = 0; i < history->lease_count && i < LEASES_MOST; i++) {
		put_lease(json, history, &history->leases[ranks[i].index],
		          places->of_lease[ranks[i].index]);
	}
	json_close(json, ']');
	free(ranks);
}

static void put_session(struct json *json, const struct history *history,
                        const struct history_session *session)
{
	json_open(json, NULL, '{');
	json_i64(json, "pid", history->processes[session->process].pid);
	json_u64(json, "session", session->session);
	json_i64(json, "backend", session->backend);
	json_u64(json, "pool", session->pool);
	json_u64(json, "opened",
	         session->opened_us != HISTORY_UNKNOWN
	                 ? session->opened_us
	                 : history->processes[session->process].first_us);
	put_known(json, "took_us", session->took_us);
	put_known(json, "closed", session->closed_us);
	put_text(json, "reason", session->reason);
	json_bool(json, "borrowed", session->borrowed);
	json_u64(json, "leases", session->leases);
	json_close(json, '}');
}

static void put_sessions(struct json *json, const struct history *history)
{
	struct rank *ranks = xalloc_new(history->session_count, sizeof(*ranks));

	for (size_t i = 0; i < history->session_count; i++) {
		ranks[i] = (struct rank){history->sessions[i].leases, i, false};
	}
	qsort(ranks, history->session_count, sizeof(*ranks), heaviest_first);
	json_open(json, "sessions", '[');
	for (size_t i = 0; i < history->session_count && i < SESSIONS_MOST; i++) {
		put_session(json, history, &history->sessions[ranks[i].index]);
	}
	json_close(json, ']');
	free(ranks);
}

/* Reasons are words of the list, too. */
static void put_session_ends(struct json *json, const struct history *history)
{
	const char *reasons[REASONS_MOST];
	uint64_t times[REASONS_MOST] = {0};
	size_t count = 0;

	for (size_t i = 0; i < history->session_count; i++) {
		const char *reason = history->sessions[i].reason;
		size_t at = 0;

		while (at < count && reasons[at] != reason) {
			at++;
		}
		if (reason != NULL && at < REASONS_MOST) {
			reasons[at] = reason;
			times[at]++;
			count = at < count ? count : at + 1;
		}
	}
	json_open(json, "session_ends", '{');
	for (size_t i = 0; i < count; i++) {
		json_u64(json, reasons[i], times[i]);
	}
	json_close(json, '}');
}

/* ---- marks --------------------------------------------------------------------------- */

struct shown_mark {
	const struct history_mark *mark;
	enum history_mark_kind kind;
};

static int oldest_first(const void *left, const void *right)
{
	const struct shown_mark *a = left;
	const struct shown_mark *b = right;

	if (a->mark->time_us != b->mark->time_us) {
		return a->mark->time_us > b->mark->time_us ? 1 : -1;
	}
	return (int)a->kind - (int)b->kind;
}

/* One of each kind in turn, as long as there is room: the many do not hide the few. */
static size_t choose_marks(const struct history *history, struct shown_mark *shown)
{
	size_t count = 0;

	for (size_t i = 0; i < HISTORY_MARKS; i++) {
		for (enum history_mark_kind kind = 0; kind < MARK_KINDS; kind++) {
			if (i < history->marks[kind].count && count < MARKS_MOST) {
				shown[count++] =
					(struct shown_mark){&history->marks[kind].all[i], kind};
			}
		}
	}
	return count;
}

/* Returns how many are left out. */
static uint64_t put_marks(struct json *json, const struct history *history)
{
	struct shown_mark *shown = xalloc_new(MARKS_MOST, sizeof(*shown));
	size_t count = choose_marks(history, shown);
	uint64_t all = 0;

	qsort(shown, count, sizeof(*shown), oldest_first);
	json_open(json, "marks", '[');
	for (size_t i = 0; i < count; i++) {
		const struct history_mark *mark = shown[i].mark;

		json_open(json, NULL, '{');
		json_u64(json, "time", mark->time_us);
		json_str(json, "kind", mark_name(shown[i].kind));
		put_known(json, "pool",
		          mark->pool != HISTORY_NO_POOL ? mark->pool : HISTORY_UNKNOWN);
		json_str(json, "text", mark->text);
		json_close(json, '}');
	}
	json_close(json, ']');
	free(shown);
	for (enum history_mark_kind kind = 0; kind < MARK_KINDS; kind++) {
		all += history->marks[kind].count + history->marks[kind].left_out;
	}
	return all - count;
}

static size_t beyond(size_t count, size_t most)
{
	return count > most ? count - most : 0;
}

void document_write(FILE *to, const struct history *history, const struct log_files *files)
{
	struct json json = {.to = to, .dense = true};
	struct places places;
	uint64_t marks;

	places_make(&places, history);
	json_open(&json, NULL, '{');
	json_u64(&json, "format", REPORT_VERSION);
	json_str(&json, "pqpool", PQPOOL_VERSION);
	put_logs(&json, files);
	put_known(&json, "from", history->from_us > 0 ? history->from_us : HISTORY_UNKNOWN);
	put_known(&json, "to", history->from_us > 0 ? history->to_us : HISTORY_UNKNOWN);
	put_programs(&json, history);
	put_totals(&json, history);
	document_pools(&json, history);
	put_frames(&json, &places);
	put_places(&json, &places);
	put_leases(&json, history, &places);
	put_sessions(&json, history);
	put_session_ends(&json, history);
	marks = put_marks(&json, history);
	json_open(&json, "left_out", '{');
	json_u64(&json, "leases", beyond(history->lease_count, LEASES_MOST));
	json_u64(&json, "sessions", beyond(history->session_count, SESSIONS_MOST));
	json_u64(&json, "marks", marks);
	json_u64(&json, "places", places.left_out);
	json_close(&json, '}');
	json_close(&json, '}');
}
