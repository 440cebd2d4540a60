/* SPDX-License-Identifier: PostgreSQL */
/*
 * Preloaded: raises SIGUSR1 in a thread that is about to give a mutex back, each EVERY times,
 * where the call comes from the object that the variable INTERRUPTED names.
 */
#include <dlfcn.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#define EVERY 5

int pthread_mutex_unlock(pthread_mutex_t *mutex)
{
	static int (*next)(pthread_mutex_t *);
	static unsigned count;
	const char *name = getenv("INTERRUPTED");
	Dl_info info;

	if (next == NULL) {
		*(void **)&next = dlsym(RTLD_NEXT, "pthread_mutex_unlock");
	}
	if (name != NULL && dladdr(__builtin_return_address(0), &info) != 0 &&
	    strstr(info.dli_fname, name) != NULL && ++count % EVERY == 0) {
		raise(SIGUSR1);
	}
	return next(mutex);
}
