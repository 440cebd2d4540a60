/* SPDX-License-Identifier: PostgreSQL */
/* What is held where logs end: by whom, how long, and what may be missing. */
#include "common/leases/lease_ends.h"

#include <err.h>
#include <inttypes.h>
#include <stdlib.h>
#include <time.h>

#include "common/leases/process_alive.h"
#include "common/terminal_text.h"

static uint64_t wall_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

void lease_ends_settle(const struct lease_list *list)
{
	uint64_t now_us = wall_us();
	struct process *process;

	DL_FOREACH (list->all, process) {
		uint64_t end_us;

		process->running =
			!process->ended && !process->replaced && process->held != NULL &&
			process_alive(process->owner.pid, process->program, process->first_us);
		end_us = process->running ? now_us : process->last_us;
		for (struct held *held = process->held; held != NULL; held = held->hh.next) {
			if (held->holding == HOLDING_OPEN) {
				held->hold_us =
					end_us > held->began_us ? end_us - held->began_us : 0;
			}
		}
	}
}

void lease_ends_tell_lost(const struct lease_list *list)
{
	const struct process *process;

	DL_FOREACH (list->all, process) {
		char *program;

		if (process->lost == 0) {
			continue;
		}
		program = terminal_text(process->program);
		warnx("%s %" PRId64 " could not write %" PRIu64
		      " lines of its log: acquired or released leases may be missing",
		      program, process->owner.pid, process->lost);
		free(program);
	}
}
