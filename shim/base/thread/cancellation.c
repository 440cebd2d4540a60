/* SPDX-License-Identifier: PostgreSQL */
/* Where a thread may be cancelled within a call of ours. */
#include "base/thread/cancellation.h"

#include <pthread.h>
#include <stddef.h>

#include "base/thread/thread_block.h"

struct noted {
	int state;
};

_Static_assert(sizeof(struct noted) <= sizeof(((struct thread_block *)0)->cancelling),
               "it fits into its part");

void cancellation_note(int state)
{
	struct noted *noted = THREAD_PART(struct noted, cancelling);

	if (noted != NULL) {
		noted->state = state;
	}
}

void cancellation_allow(void)
{
	const struct noted *noted = THREAD_PART(struct noted, cancelling);

	if (noted != NULL && noted->state == PTHREAD_CANCEL_ENABLE) {
		pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, NULL);
	}
}

void cancellation_forbid(void)
{
	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
}
