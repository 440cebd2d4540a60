/* SPDX-License-Identifier: PostgreSQL */
/*
 * `pqpool leaks` for people: like the report at exit, with source lines.
 *
 * Everything that a log says goes through terminal_text().
 */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text/strbuf.h"
#include "common/terminal_text.h"
#include "leaks/report/report.h"

#define SPAN_BYTES 64

static const char *plural(uint64_t n)
{
	return n != 1 ? "s" : "";
}

/* Text of the log, between two pieces of ours. */
static void put(const char *before, const char *text, const char *after)
{
	char *clean = terminal_text(text);

	printf("%s%s%s", before, clean, after);
	free(clean);
}

static void put_span(const char *before, uint64_t us)
{
	char buf[SPAN_BYTES];
	struct strbuf span;

	strbuf_init(&span, buf, sizeof(buf));
	strbuf_span(&span, us < UINT64_MAX / 1000 ? us * 1000 : UINT64_MAX);
	printf("%s%s", before, span.buf);
}

/* ---- places ---- */

static void show_address(size_t number, const struct frame *frame)
{
	printf("    #%zu ", number);
	if (strcmp(frame->module, "?") != 0) {
		put("", frame->module, "+");
	}
	printf("0x%" PRIx64, frame->offset);
}

static void show_frame(size_t number, const struct frame *frame, const struct spot *spot)
{
	size_t count = spot->sources.count;

	for (size_t i = 0; i < count; i++) {
		const struct source *source = &spot->sources.all[i];

		show_address(number, frame);
		if (source->function != NULL) {
			put(" in ", source->function, "");
		}
		if (source->file != NULL) {
			put(" at ", source->file, "");
			if (source->line != 0) {
				printf(":%lu", source->line);
			}
		}
		puts(i + 1 < count ? " (inlined)" : "");
	}
	if (count == 0) {
		show_address(number, frame);
		if (frame->symbol[0] != '\0') {
			put(" in ", frame->symbol, "");
		}
		puts(spot->module->state == MODULE_CHANGED ? " (rebuilt since)" : "");
	}
}

/* A script's frames are those that called the others. */
static void show_script(size_t number, const char *frames)
{
	struct script_frame frame;

	while (frames_next_script(&frames, &frame)) {
		if (strcmp(frame.file, "...") == 0) {
			puts("    ...");
			frames_free_script(&frame);
			continue;
		}
		printf("    #%zu ", number++);
		put("", frame.file, "");
		if (frame.line != 0) {
			printf(":%lu", frame.line);
		}
		if (frame.function[0] != '\0') {
			put(" in ", frame.function, "");
		}
		putchar('\n');
		frames_free_script(&frame);
	}
}

static void show_place(const struct finding *finding)
{
	for (size_t i = 0; i < finding->frames.count; i++) {
		show_frame(i, &finding->frames.all[i], finding->spots[i]);
	}
	show_script(finding->frames.count, finding->script_frames);
	if (finding->frames.count == 0 && finding->script[0] == '\0' &&
	    finding->leases[0]->stack != 0) {
		printf("    stack %" PRIu64 ", which the log does not describe\n",
		       finding->leases[0]->stack);
	}
}

static bool is_place_known(const struct finding *finding)
{
	return finding->frames.count > 0 || finding->script[0] != '\0' ||
	       finding->leases[0]->stack != 0;
}

/* ---- leases ---- */

/* As pg_stat_activity says it. */
static const char *transaction(const char *state)
{
	static const struct {
		const char *state;
		const char *words;
	} known[] = {
		{"idle", ", idle"},
		{"active", ", active"},
		{"in_transaction", ", idle in transaction"},
		{"failed", ", idle in transaction (aborted)"},
	};

	for (size_t i = 0; state != NULL && i < sizeof(known) / sizeof(known[0]); i++) {
		if (strcmp(state, known[i].state) == 0) {
			return known[i].words;
		}
	}
	return "";
}

static void show_lease(const struct held *held, bool several)
{
	bool connecting = held->holding == HOLDING_NEVER_FINISHED;

	if (held->by_keeper) {
		put("    ", held->process->program, "");
		printf(" %" PRId64 ": backend %" PRId64, held->process->owner.pid,
		       held->backend);
		put_span(", held ", held->hold_us);
		put(", pool ", held->pool, "\n");
		return;
	}
	printf("    %s %" PRIu64, connecting ? "connect" : "lease", held->lease);
	if (several) {
		put(" of ", held->process->program, "");
		printf(" %" PRId64, held->process->owner.pid);
	}
	if (!connecting) {
		printf(": backend %" PRId64 ",", held->backend);
	}
	printf("%s thread %" PRId64, connecting ? ":" : "", held->thread);
	put_span(", held ", held->hold_us);
	if (held->pooled) {
		put(", pool ", held->pool, "");
	} else {
		fputs(", not pooled but passed through to libpq", stdout);
	}
	fputs(transaction(held->transaction), stdout);
	if (held->statement != NULL) {
		put(", last statement: ", held->statement, "");
	}
	putchar('\n');
}

static void show_finding(const struct finding *finding, bool several)
{
	uint64_t oldest_us = 0;

	for (size_t i = 0; i < finding->count; i++) {
		if (finding->leases[i]->hold_us > oldest_us) {
			oldest_us = finding->leases[i]->hold_us;
		}
	}
	printf("  %zu connection%s", finding->count, plural(finding->count));
	put_span(finding->count > 1 ? ", oldest held " : ", held ", oldest_us);
	fputs(is_place_known(finding) ? ", taken at" : ", taken at an unknown place", stdout);
	put(finding->script[0] != '\0' ? " " : "", finding->script, "\n");
	show_place(finding);
	for (size_t i = 0; i < finding->count; i++) {
		show_lease(finding->leases[i], several);
	}
}

/* ---- the report ---- */

struct sums {
	uint64_t processes;
	uint64_t acquired;
	uint64_t released;
};

static struct sums sum_up(const struct lease_list *list)
{
	struct sums sums = {.processes = list->processes,
	                    .acquired = list->forgotten_acquired,
	                    .released = list->forgotten_released};
	const struct process *process;

	DL_FOREACH (list->all, process) {
		sums.acquired += process->acquired;
		sums.released += process->released;
	}
	return sums;
}

static void show_totals(const struct lease_list *list)
{
	struct sums sums = sum_up(list);

	if (sums.processes == 1 && list->all != NULL) {
		put(" (", list->all->program, "");
		printf(" %" PRId64, list->all->owner.pid);
	} else {
		printf(" (%" PRIu64 " process%s", sums.processes,
		       sums.processes != 1 ? "es" : "");
	}
	if (sums.acquired > 0) { /* the keeper does not tell */
		printf(": %" PRIu64 " acquired, %" PRIu64 " released", sums.acquired,
		       sums.released);
	}
	puts(")");
}

/* As the program's own report has it. */
static void show_work(const struct lease_list *list)
{
	const struct totals *totals = &list->totals;

	if (totals->processes == 0) {
		return;
	}
	printf("pqpool: in all %" PRIu64 " session%s opened, %" PRIu64 " closed",
	       totals->opened, plural(totals->opened), totals->closed);
	if (totals->processes == 1 && totals->reasons != NULL) {
		put(" (", totals->reasons, ")");
	}
	if (totals->peak > 0) {
		printf("; at most %" PRIu64, totals->peak);
		if (totals->limit > 0) {
			printf(" of %" PRIu64, totals->limit);
		}
		fputs(" in use at once", stdout);
	}
	printf("; %" PRIu64 " wait%s", totals->waits, plural(totals->waits));
	if (totals->waits > 0) {
		put_span(", the longest ", totals->longest_us);
	}
	printf(", %" PRIu64 " timeout%s", totals->timeouts, plural(totals->timeouts));
	if (totals->processes != list->processes) {
		printf(" (reported by %" PRIu64 " of the processes)", totals->processes);
	}
	putchar('\n');
}

static void show_kind(const struct findings *findings, enum finding_kind kind, bool several)
{
	for (size_t i = 0; i < findings->count; i++) {
		if (findings->all[i].kind == kind) {
			show_finding(&findings->all[i], several);
		}
	}
}

static void start_heading(const struct findings *findings, enum finding_kind kind,
                          const char *title)
{
	printf("pqpool: %zu connection%s %s, taken at %zu place%s", findings->leases[kind],
	       plural(findings->leases[kind]), title, findings->places[kind],
	       plural(findings->places[kind]));
}

void report_text(const struct findings *findings, const struct lease_list *list)
{
	static const char *const titles[] = {
		[FINDING_NEVER_RELEASED] = "leaked",
		[FINDING_RELEASED_BY_EXIT] = "released only by exit",
		[FINDING_NEVER_FINISHED] = "never finished while connecting",
		[FINDING_KEPT] = "kept to the end",
		[FINDING_HELD] = "held by a running process",
	};
	bool several = list->processes != 1;
	bool totals_shown = false;

	if (findings_leaked(findings) == 0) {
		fputs("pqpool: no connection leaked", stdout);
		show_totals(list);
		totals_shown = true;
	}
	for (enum finding_kind kind = 0; kind < FINDING_KINDS; kind++) {
		if (findings->leases[kind] == 0 || titles[kind] == NULL) {
			continue;
		}
		start_heading(findings, kind, titles[kind]);
		if (totals_shown) {
			putchar('\n');
		} else {
			show_totals(list);
			totals_shown = true;
		}
		show_kind(findings, kind, several);
	}
	show_work(list);
	if (findings->leases[FINDING_SUPPRESSED] > 0) {
		printf("pqpool: %zu leak%s suppressed by the program's configuration\n",
		       findings->leases[FINDING_SUPPRESSED],
		       plural(findings->leases[FINDING_SUPPRESSED]));
	}
}
