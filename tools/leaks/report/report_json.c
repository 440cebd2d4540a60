/* SPDX-License-Identifier: PostgreSQL */
/* `pqpool leaks --json`: one document with everything that is known. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/config/version.h"
#include "common/json_writer.h"
#include "leaks/report/report.h"

#define TIME_BYTES 40

static const char *const kind_names[] = {
	[FINDING_NEVER_RELEASED] = "never_released",
	[FINDING_RELEASED_BY_EXIT] = "released_by_exit",
	[FINDING_NEVER_FINISHED] = "never_finished",
	[FINDING_KEPT] = "kept",
	[FINDING_SUPPRESSED] = "suppressed",
	[FINDING_HELD] = "held",
};

static const char *const module_states[] = {
	[MODULE_THE_SAME] = "same",
	[MODULE_ABSENT] = "absent",
	[MODULE_CHANGED] = "rebuilt",
};

/* A time as the log writes it; nothing if it is not known. */
static void put_time(struct json *json, const char *key, uint64_t us)
{
	time_t seconds = (time_t)(us / 1000000);
	char date[TIME_BYTES];
	char whole[TIME_BYTES + 16];
	struct tm tm;

	if (us == 0 || gmtime_r(&seconds, &tm) == NULL ||
	    strftime(date, sizeof(date), "%Y-%m-%dT%H:%M:%S", &tm) == 0) {
		return;
	}
	snprintf(whole, sizeof(whole), "%s.%06" PRIu64 "Z", date, us % 1000000);
	json_str(json, key, whole);
}

/* Only what is known has a key. */
static void put_known(struct json *json, const char *key, const char *value)
{
	if (value != NULL && value[0] != '\0') {
		json_str(json, key, value);
	}
}

static void put_process(struct json *json, const struct process *process)
{
	json_open(json, NULL, '{');
	json_i64(json, "pid", process->owner.pid);
	json_str(json, "program", process->program);
	json_bool(json, "running", process->running);
	put_time(json, "first", process->first_us);
	put_time(json, "last", process->last_us);
	if (process->acquired > 0 || process->held == NULL) { /* the keeper does not tell */
		json_u64(json, "acquired", process->acquired);
		json_u64(json, "released", process->released);
	}
	json_u64(json, "lost_lines", process->lost);
	json_close(json, '}');
}

static void put_source(struct json *json, const struct frame *frame, const struct spot *spot,
                       const struct source *source, bool inlined)
{
	char offset[32];

	json_open(json, NULL, '{');
	if (strcmp(frame->module, "?") != 0) {
		json_str(json, "module", frame->module);
		json_str(json, "module_state", module_states[spot->module->state]);
	}
	put_known(json, "build_id", frame->build_id);
	snprintf(offset, sizeof(offset), "0x%" PRIx64, frame->offset);
	json_str(json, "offset", offset);
	put_known(json, "function", source->function);
	put_known(json, "file", source->file);
	if (source->line != 0) {
		json_u64(json, "line", source->line);
	}
	json_bool(json, "inlined", inlined);
	json_close(json, '}');
}

static void put_frame(struct json *json, const struct frame *frame, const struct spot *spot)
{
	size_t count = spot->sources.count;

	for (size_t i = 0; i < count; i++) {
		put_source(json, frame, spot, &spot->sources.all[i], i + 1 < count);
	}
	if (count == 0) {
		put_source(json, frame, spot, &(struct source){.function = frame->symbol},
		           false);
	}
}

static void put_script_frames(struct json *json, const char *frames)
{
	struct script_frame frame;

	json_open(json, "script_frames", '[');
	while (frames_next_script(&frames, &frame)) {
		json_open(json, NULL, '{');
		json_str(json, "file", frame.file);
		if (frame.line != 0) {
			json_u64(json, "line", frame.line);
		}
		put_known(json, "function", frame.function);
		json_close(json, '}');
		frames_free_script(&frame);
	}
	json_close(json, ']');
}

static void put_lease(struct json *json, const struct held *held)
{
	json_open(json, NULL, '{');
	if (!held->by_keeper) {
		json_u64(json, "lease", held->lease);
	}
	json_i64(json, "pid", held->process->owner.pid);
	json_str(json, "program", held->process->program);
	if (!held->by_keeper) {
		json_u64(json, "session", held->session);
	}
	if (held->holding != HOLDING_NEVER_FINISHED) {
		json_i64(json, "backend", held->backend);
	}
	if (!held->by_keeper) {
		json_i64(json, "thread", held->thread);
	}
	json_bool(json, "pooled", held->pooled);
	json_str(json, "pool", held->pool);
	put_time(json, "taken", held->began_us);
	json_u64(json, "hold_us", held->hold_us);
	put_known(json, "transaction", held->transaction);
	put_known(json, "statement", held->statement);
	json_close(json, '}');
}

static void put_finding(struct json *json, const struct finding *finding)
{
	json_open(json, NULL, '{');
	json_str(json, "kind", kind_names[finding->kind]);
	json_u64(json, "count", finding->count);
	put_known(json, "script", finding->script);
	json_open(json, "frames", '[');
	for (size_t i = 0; i < finding->frames.count; i++) {
		put_frame(json, &finding->frames.all[i], finding->spots[i]);
	}
	json_close(json, ']');
	if (finding->script_frames[0] != '\0') {
		put_script_frames(json, finding->script_frames);
	}
	json_open(json, "leases", '[');
	for (size_t i = 0; i < finding->count; i++) {
		put_lease(json, finding->leases[i]);
	}
	json_close(json, ']');
	json_close(json, '}');
}

static void put_totals(struct json *json, const struct totals *totals)
{
	json_open(json, "totals", '{');
	json_u64(json, "processes", totals->processes);
	json_u64(json, "opened", totals->opened);
	json_u64(json, "closed", totals->closed);
	json_u64(json, "peak", totals->peak);
	if (totals->limit != 0) {
		json_u64(json, "limit", totals->limit);
	}
	json_u64(json, "waits", totals->waits);
	json_u64(json, "longest_us", totals->longest_us);
	json_u64(json, "timeouts", totals->timeouts);
	json_close(json, '}');
}

void report_json(const struct findings *findings, const struct lease_list *list)
{
	const struct process *process;
	struct json json = {.to = stdout};

	json_open(&json, NULL, '{');
	json_u64(&json, "version", JSON_VERSION);
	json_str(&json, "pqpool", PQPOOL_VERSION);
	json_u64(&json, "leaked", findings_leaked(findings));
	json_u64(&json, "held", findings->leases[FINDING_HELD]);
	json_open(&json, "processes", '[');
	DL_FOREACH (list->all, process) {
		put_process(&json, process);
	}
	json_close(&json, ']');
	if (list->totals.processes > 0) {
		put_totals(&json, &list->totals);
	}
	json_open(&json, "places", '[');
	for (size_t i = 0; i < findings->count; i++) {
		put_finding(&json, &findings->all[i]);
	}
	json_close(&json, ']');
	json_close(&json, '}');
}
