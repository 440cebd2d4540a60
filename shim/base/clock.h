/* SPDX-License-Identifier: PostgreSQL */
/*
 * Clocks: monotonic, for ages and deadlines; the same some milliseconds late, which is
 * cheaper; and wall time, for the log. All from the vDSO, without a system call.
 */
#ifndef PQPOOL_BASE_CLOCK_H
#define PQPOOL_BASE_CLOCK_H

#include <stdint.h>
#include <time.h>

#define NS_PER_SEC 1000000000ULL
#define NS_PER_MS  1000000ULL
#define NS_PER_US  1000ULL

/* No deadline. */
#define DEADLINE_NEVER UINT64_MAX

static inline uint64_t clock_monotonic_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * NS_PER_SEC + (uint64_t)ts.tv_nsec;
}

static inline uint64_t clock_coarse_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &ts);
	return (uint64_t)ts.tv_sec * NS_PER_SEC + (uint64_t)ts.tv_nsec;
}

static inline uint64_t clock_wall_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return (uint64_t)ts.tv_sec * 1000000ULL + (uint64_t)ts.tv_nsec / NS_PER_US;
}

/* Milliseconds from `now_ns` to `deadline_ns`, rounded up, as poll(2) takes them. */
static inline int clock_ms_until(uint64_t now_ns, uint64_t deadline_ns)
{
	uint64_t ms;

	if (deadline_ns <= now_ns) {
		return 0;
	}
	ms = (deadline_ns - now_ns + NS_PER_MS - 1) / NS_PER_MS;
	return ms > INT32_MAX ? INT32_MAX : (int)ms;
}

#endif
