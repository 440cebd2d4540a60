/* SPDX-License-Identifier: PostgreSQL */
/*
 * One pool, as it would have gone with other limits: connects come when they came, each gets an
 * idle session, else a new one, else stands in line, first come, first served; it keeps the
 * session for as long as it did.
 *
 * What a pool does beside that, see shim/pool/pool.h, is simulated where it tells: sessions
 * above the size are closed when the crowd is over, and what was closed by its last lease is
 * so here, too. Left out: ages of sessions, and that one above the size is closed after a
 * second without use.
 */
#ifndef PQPOOL_TOOLS_COMMON_REPLAY_SIMULATION_H
#define PQPOOL_TOOLS_COMMON_REPLAY_SIMULATION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Times are microseconds, all of one clock. */
struct sim_connect {
	uint64_t comes_us;
	uint64_t setup_us; /* from its turn to the lease: opening or checking a session */
	uint64_t hold_us;  /* from the lease to its end */
	bool opened;       /* `setup_us` is that of opening one */
	bool drops;        /* its session is closed with it */
};

struct sim_settings {
	uint64_t size;  /* sessions kept for good; 0 = no limit */
	uint64_t limit; /* sessions in all; 0 = none */
	uint64_t timeout_us;
	uint64_t open_us;  /* what opening takes, where that is not recorded */
	uint64_t check_us; /* the same of lending an idle one */
};

struct sim_result {
	uint64_t peak;     /* in use at once, those being opened too */
	uint64_t waited;   /* stood in line, and got one */
	uint64_t timeouts; /* stood in line for too long */
	uint64_t opened;
	size_t served;
};

/*
 * Runs `count` connects, in the order of their coming. The time that each which was served
 * stood in line is added at `waits`, which has room for all.
 */
void simulation_run(const struct sim_connect *connects, size_t count,
                    const struct sim_settings *settings, struct sim_result *result,
                    uint64_t *waits);

#endif
