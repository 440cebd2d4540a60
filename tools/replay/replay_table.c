/* SPDX-License-Identifier: PostgreSQL */
/* Prints what a replay tells of one pool. */
#include "replay/replay_table.h"

#include <inttypes.h>
#include <stdio.h>

#include "common/terminal_text.h"

#define CELL 11

/* "850 us", "24.6 ms", "1.5 s" */
static void span(char *to, size_t size, uint64_t us)
{
	if (us < 1000) {
		snprintf(to, size, "%" PRIu64 " us", us);
	} else if (us < 1000000) {
		snprintf(to, size, "%" PRIu64 ".%" PRIu64 " ms", us / 1000, us / 100 % 10);
	} else {
		snprintf(to, size, "%" PRIu64 ".%" PRIu64 " s", us / 1000000, us / 100000 % 10);
	}
}

static void put_span(uint64_t us)
{
	char text[32];

	span(text, sizeof(text), us);
	printf("%*s", CELL, text);
}

static void put_limit(uint64_t limit)
{
	if (limit == 0) {
		printf("%*s", CELL, "none");
	} else {
		printf("%*" PRIu64, CELL, limit);
	}
}

static void put_process(const struct history *history, size_t process)
{
	terminal_text_put(stdout, history->processes[process].program);
	printf(" %" PRId64, history->processes[process].pid);
}

static void put_owners(const struct history *history, const struct pool_trace *trace)
{
	if (trace->group_count > 1) {
		printf("%zu processes with a pool each", trace->group_count);
	} else if (trace->groups[0].shared) {
		fputs("processes that share sessions", stdout);
	} else {
		put_process(history, trace->groups[0].process);
	}
}

void replay_table_head(const struct history *history, size_t pool,
                       const struct pool_trace *trace)
{
	const struct history_settings *present = &trace->present;

	fputs("pool ", stdout);
	terminal_text_put(stdout, history->pools[pool]->name);
	printf(": %zu connects of ", trace->count);
	put_owners(history, trace);
	if (!present->known) {
		puts("; the settings are not in the log");
	} else {
		printf("; size %" PRIu64 ", max_overflow %" PRId64 "\n", present->size,
		       present->max_overflow);
	}
}

void replay_table_rows(const struct history *history, const struct pool_trace *trace,
                       const struct what_if *rows, size_t count, uint64_t recorded)
{
	static const char *const titles[] = {"limit",    "size",     "overflow",
	                                     "peak",     "waited",   "wait p50",
	                                     "wait p99", "wait max", "timeouts"};
	const struct what_if *worst = &rows[0];

	for (size_t i = 0; i < sizeof(titles) / sizeof(*titles); i++) {
		printf("%*s", CELL, titles[i]);
	}
	putchar('\n');
	for (size_t i = 0; i < count; i++) {
		const struct what_if *row = &rows[i];

		put_limit(row->limit);
		put_limit(row->size);
		printf("%*" PRIu64 "%*" PRIu64 "%*" PRIu64, CELL, row->overflow, CELL,
		       row->peak, CELL, row->waited);
		put_span(row->p50_us);
		put_span(row->p99_us);
		put_span(row->max_us);
		printf("%*" PRIu64 "%s\n", CELL, row->timeouts,
		       recorded > 0 && row->limit == recorded ? "  as recorded" : "");
		worst = row->peak > worst->peak ? row : worst;
	}
	if (trace->group_count > 1) {
		fputs("  waits and timeouts are those of all processes, the peak is that of ",
		      stdout);
		put_process(history, worst->worst);
		putchar('\n');
	}
}

void replay_table_smallest(const struct pool_trace *trace, uint64_t limit, uint64_t wait_us)
{
	struct history_settings settings = what_if_settings(trace, limit);
	char text[32];

	span(text, sizeof(text), wait_us);
	printf("  smallest limit with which 99 of 100 connects wait at most %s, and none times "
	       "out:\n  %" PRIu64 " sessions (PQPOOL_SIZE %" PRIu64
	       " + PQPOOL_MAX_OVERFLOW %" PRId64 ")%s\n\n",
	       text, limit, settings.size, settings.max_overflow,
	       trace->group_count > 1 ? " in each process" : "");
}

void replay_table_caveat(void)
{
	puts("Each connect comes when it came in the log. In truth a program that waits "
	     "longer\n"
	     "asks later: with fewer sessions than were recorded the waits are shorter than "
	     "here,\n"
	     "unless connects come from outside, as requests do. Holds stay as they were; a\n"
	     "server with more sessions at work may be slower.");
}
