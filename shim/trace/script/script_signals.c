/* SPDX-License-Identifier: PostgreSQL */
/* Runs signal handlers that are written in a script. */
#include "trace/script/script_signals.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stddef.h>

#include "base/dl.h"
#include "base/thread/pid.h"

/* ---- CPython -------------------------------------------------------------------------- */

struct python {
	int (*holds_lock)(void);
	int (*lock)(void);
	void (*unlock)(int state);
	int (*check)(void);
	void (*fetch)(void **type, void **value, void **traceback);
	void (*restore)(void *type, void *value, void *traceback);
	int (*call_later)(int (*function)(void *arg), void *arg);
};

/* What a handler raised; the main thread's. */
static struct raised {
	void *type;
	void *value;
	void *traceback;
	void (*restore)(void *type, void *value, void *traceback);
} raised;

static bool find(void *function, const char *name)
{
	*(void **)function = dl_symbol(RTLD_DEFAULT, name);
	return *(void **)function != NULL;
}

static bool find_python(struct python *python)
{
	return find(&python->check, "PyErr_CheckSignals") &&
	       find(&python->holds_lock, "PyGILState_Check") &&
	       find(&python->lock, "PyGILState_Ensure") &&
	       find(&python->unlock, "PyGILState_Release") &&
	       find(&python->fetch, "PyErr_Fetch") && find(&python->restore, "PyErr_Restore") &&
	       find(&python->call_later, "Py_AddPendingCall");
}

/* By the interpreter, between two instructions of the script. */
static int raise_again(void *arg)
{
	struct raised now = raised;

	(void)arg;
	raised = (struct raised){0};
	now.restore(now.type, now.value, now.traceback);
	return -1;
}

static bool run_python(const struct python *python)
{
	bool has_raised;
	int state;

	/* Handlers are the main thread's. */
	if (tid_self() != pid_self() || raised.restore != NULL || python->holds_lock()) {
		return raised.restore != NULL;
	}
	state = python->lock();
	has_raised = python->check() != 0;
	if (has_raised) {
		python->fetch(&raised.type, &raised.value, &raised.traceback);
		raised.restore = python->restore;
		python->call_later(raise_again, NULL);
	}
	python->unlock(state);
	return has_raised;
}

/* ---- Perl ------------------------------------------------------------------------------- */

/* Each thread has an interpreter of its own; without threads there is one, and no key. */
static void run_perl(void (*despatch)(void *interpreter))
{
	const pthread_key_t *key;
	void *interpreter = NULL;

	if (find(&key, "PL_thr_key")) {
		interpreter = pthread_getspecific(*key);
		if (interpreter == NULL) {
			return;
		}
	}
	despatch(interpreter);
}

bool script_signals_run(void)
{
	struct python python;
	void (*despatch)(void *interpreter);
	bool is_python = find_python(&python);
	bool is_perl = find(&despatch, "Perl_despatch_signals");

	dl_forget_error();
	if (is_perl) {
		run_perl(despatch);
	}
	return is_python && run_python(&python);
}
