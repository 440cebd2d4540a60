/* SPDX-License-Identifier: PostgreSQL */
/* What is done when the program ends: idle sessions are closed, leaks are reported. */
#include "hooks/exit.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "acquire/fork_exec_exit.h"
#include "base/clock.h"
#include "base/config/config.h"
#include "base/config/program.h"
#include "base/dl.h"
#include "base/unwind/unwind.h"
#include "hooks/interposed.h"
#include "hooks/lifecycle.h"
#include "trace/lease/snapshot.h"
#include "trace/log/record.h"
#include "trace/report/report.h"
#include "trace/report/totals.h"
#include "trace/status/status.h"

/* The C library's; what atexit() is made of. */
int __cxa_atexit(void (*function)(void *), void *arg, void *object);

static atomic_bool exit_handler_set;
static atomic_bool tls_exit_handler_set;
static atomic_bool reported;

/* A signal handler may have interrupted malloc, which closing needs. */
static void at_exit(void)
{
	struct guard guard;

	if (!lifecycle_may_act() || !lifecycle_enter_bare(&guard)) {
		return;
	}
	if (unwind_in_signal_handler()) {
		acquire_leave();
	} else {
		acquire_shutdown();
	}
	lifecycle_leave(&guard);
}

/* Once; every later connect only reads. */
static void set_exit_handler(atomic_bool *set)
{
	if (!atomic_load_explicit(set, memory_order_relaxed) && !atomic_exchange(set, true)) {
		atexit(at_exit);
	}
}

void exit_note_connect(const struct libpq *libpq, PGconn *conn)
{
	set_exit_handler(&exit_handler_set);
	/* OpenSSL registered its handler during this connect, so ours comes before it. */
	if (conn != NULL && libpq->PQsslInUse(conn)) {
		set_exit_handler(&tls_exit_handler_set);
	}
}

/*
 * Removes the leases that a child still has: a program that forks into the background and ends
 * has given them away, not leaked them.
 */
static size_t without_given_away(struct lease *leaks, size_t count)
{
	siginfo_t ended = {0};
	size_t kept = 0;

	if (waitid(P_ALL, 0, &ended, WEXITED | WNOHANG | WNOWAIT) != 0 || ended.si_pid != 0) {
		return count;
	}
	for (size_t i = 0; i < count; i++) {
		struct record r;

		if (!leaks[i].crossed_fork || leaks[i].at_exit) {
			leaks[kept++] = leaks[i];
		} else if (record_begin(&r, LEVEL_INFO, "given_away")) {
			record_u64(&r, "lease", leaks[i].id);
			record_i64(&r, "backend", leaks[i].backend_pid);
			record_end(&r);
		}
	}
	return kept;
}

/*
 * Reports what is still leased, or was until the end, once; true if some of it is not
 * suppressed. A signal handler may call this through _exit: if it interrupted a call of ours,
 * this thread may hold a lock, and nothing is reported.
 */
static bool report(void)
{
	struct lease_totals totals;
	struct lease *leaks;
	size_t count;
	size_t kept = 0;
	size_t told = 0;

	if (!lifecycle_may_act() || atomic_exchange(&reported, true)) {
		return false;
	}
	leaks = lease_leaks(&count, &totals);
	totals_log(&totals);
	if (leaks != NULL) {
		kept = without_given_away(leaks, count);
	}
	if (kept > 0) {
		told = report_leaks(leaks, kept, &totals, program_short_name(),
		                    clock_monotonic_ns(), lifecycle_config()->report);
	}
	lease_snapshot_free(leaks, count);
	return told > 0;
}

/* Looked up when needed: a program without libpq pays nothing. */
static _Noreturn void really_exit(const char *function, int status)
{
	void (*next)(int);

	*(void **)&next = dl_next(function);
	if (next != NULL) {
		next(status);
	}
	for (;;) {
		syscall(SYS_exit_group, status);
	}
}

static int status_after_report(int status)
{
	if (!lifecycle_has_started()) {
		return status;
	}
	at_exit();
	if (report() && lifecycle_config()->leak_exitcode != 0) {
		status = (int)lifecycle_config()->leak_exitcode;
	}
	status_remove();
	return status;
}

ENTRY _Noreturn void _exit(int status)
{
	really_exit("_exit", status_after_report(status));
}

ENTRY _Noreturn void _Exit(int status)
{
	really_exit("_Exit", status_after_report(status));
}

ENTRY _Noreturn void quick_exit(int status)
{
	really_exit("quick_exit", status_after_report(status));
}

static void last_words(void *arg)
{
	bool leaked = report();

	(void)arg;
	status_remove();
	if (leaked && lifecycle_config()->leak_exitcode != 0) {
		/* libc would flush the program's buffers after us; _exit does not. */
		fflush(NULL);
		really_exit("_exit", (int)lifecycle_config()->leak_exitcode);
	}
}

/*
 * The program's libraries are finalised after us, and may finish connections then. A handler
 * that is registered now, for no object, runs after the last of them.
 */
__attribute__((destructor)) static void finalised(void)
{
	if (lifecycle_has_pool() && __cxa_atexit(last_words, NULL, NULL) != 0) {
		last_words(NULL);
	}
}

void exit_fork_child(void)
{
	atomic_store(&reported, false);
}
