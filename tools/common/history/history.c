/* SPDX-License-Identifier: PostgreSQL */
/* Everything that happened, as logs tell it. */
#include "common/history/history.h"

#include "common/history/history_lines.h"
#include "common/history/marks.h"
#include "common/leases/kept_rule.h"
#include "common/leases/lease_ends.h"
#include "common/log/log_lines.h"

static bool take_line(void *history, unsigned family, const struct log_line *line)
{
	return history_lines_take(history, family, line);
}

bool history_is_leak(const struct history_lease *lease)
{
	return lease->end == HISTORY_LEAKED || lease->end == HISTORY_AT_EXIT;
}

static enum history_end end_of(const struct held *held)
{
	switch (held->holding) {
	case HOLDING_KEPT:
	case HOLDING_SUPPRESSED:
		return HISTORY_KEPT;
	case HOLDING_RELEASED_BY_EXIT:
		return HISTORY_AT_EXIT;
	case HOLDING_OPEN:
		return held->process->running ? HISTORY_OPEN : HISTORY_LEAKED;
	case HOLDING_NEVER_RELEASED:
	case HOLDING_NEVER_FINISHED:
		break;
	}
	return HISTORY_LEAKED;
}

/* What is held at the end is a leak, kept, or open, as `pqpool leaks` has it. */
static void settle_ends(struct history *history)
{
	struct lease_list *list = &history->held;
	const struct process *process;

	lease_list_settle(list);
	lease_ends_settle(list);
	kept_rule_apply(list);
	DL_FOREACH (list->all, process) {
		const struct held *held;

		for (held = process->held; held != NULL; held = held->hh.next) {
			struct history_lease *lease =
				history_lines_find(history, process->number, held->lease);

			if (lease == NULL) {
				continue;
			}
			lease->end = end_of(held);
			lease->hold_us = held->hold_us < HISTORY_LARGEST ? held->hold_us : 0;
			lease->place = held->place != NULL ? held->place : lease->place;
		}
	}
}

void history_settle(struct history *history)
{
	settle_ends(history);
	history_lines_end(history);
	marks_find_restarts(history);
}

bool history_read(struct history *history, struct log_files *files, char *const *names,
                  size_t count)
{
	struct log_lines lines = {.take = take_line, .arg = history};

	if (!log_lines_read(&lines, files, names, count)) {
		return false;
	}
	history->held.foreign = lines.foreign;
	lease_ends_tell_lost(&history->held);
	history_settle(history);
	return true;
}
