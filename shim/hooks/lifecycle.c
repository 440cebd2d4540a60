/* SPDX-License-Identifier: PostgreSQL */
/* Being inside a program: starting once, the guard around each call, fork, exit. */
#include "hooks/lifecycle.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/auxv.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "acquire/acquire.h"
#include "acquire/lend/lending.h"
#include "base/clock.h"
#include "base/cold.h"
#include "base/config/config.h"
#include "base/config/program.h"
#include "base/config/version.h"
#include "base/dl.h"
#include "base/libpq/caller.h"
#include "base/lock.h"
#include "base/scratch.h"
#include "base/text/strbuf.h"
#include "base/thread/cancellation.h"
#include "base/thread/pid.h"
#include "base/thread/thread_block.h"
#include "base/unwind/unwind.h"
#include "hooks/interposed.h"
#include "trace/lease/counters.h"
#include "trace/lease/snapshot.h"
#include "trace/log/record.h"
#include "trace/log/rotate.h"
#include "trace/report/report.h"
#include "trace/report/suppressions.h"
#include "trace/report/totals.h"
#include "trace/stack/stack.h"
#include "trace/status/status.h"

/* The C library's; what atexit() is made of. */
int __cxa_atexit(void (*function)(void *), void *arg, void *object);

enum mode { UNSTARTED, POOLING, ASIDE };

static _Atomic(enum mode) mode = UNSTARTED;
static struct lock start_lock = LOCK_INITIALIZER(LOCK_PROCESS);
static _Atomic(pid_t) starter; /* the process that began to start; 0 = none has */
static struct config config;

static atomic_bool exit_handler_set;
static atomic_bool tls_exit_handler_set;
static atomic_bool reported;

static _Thread_local struct {
	bool forked_unlocked; /* it forks while it holds a lock: none was taken for the fork */
} here;

/* What is to be said of the configuration once no lock is held: whole lines. */
static char said_buf[4096];
static struct strbuf said = {.buf = said_buf, .size = sizeof(said_buf)};

static void note(void *arg, const char *line)
{
	size_t before = said.len;

	(void)arg;
	strbuf_str(&said, line);
	strbuf_char(&said, '\n');
	if (said.cut) {
		/* There is no room for it: better the last one said than none. */
		said.len = before;
		said.cut = false;
	}
}

static void complain(void *arg, const char *line)
{
	note(arg, line);
	strbuf_print(&said, STDERR_FILENO, STRBUF_PATIENCE_NS);
	said.len = 0;
}

/* ---- fork ---------------------------------------------------------------------- */

/*
 * A callback of the program's may fork, too, for no lock is held by whoever calls one; only a
 * signal handler may do so in the middle of anything.
 */
static void before_fork(void)
{
	here.forked_unlocked = lock_barred();
	if (here.forked_unlocked) {
		return;
	}
	lock_take(&start_lock);
	libpq_fork_prepare();
	acquire_fork_prepare();
	stack_fork_prepare();
	status_fork_prepare();
	record_fork_prepare();
	dl_fork_prepare();
}

static void after_fork_in_parent(void)
{
	if (here.forked_unlocked) {
		return;
	}
	dl_fork_done();
	record_fork_parent();
	status_fork_parent();
	stack_fork_parent();
	acquire_fork_parent();
	libpq_fork_done();
	lock_drop(&start_lock);
}

static void after_fork_in_child(void)
{
	pid_renew();
	thread_block_fork_child();
	if (here.forked_unlocked) {
		/* Whatever the locks guard may be half done: leave it all alone. */
		lock_forsake();
		status_fork_child(false);
		atomic_store(&mode, ASIDE);
		return;
	}
	dl_fork_done();
	record_fork_child();
	status_fork_child(true);
	stack_fork_child();
	acquire_fork_child();
	libpq_fork_done();
	counters_fork_child();
	lock_drop(&start_lock);
	atomic_store(&reported, false);
}

/* ---- start --------------------------------------------------------------------- */

static void tell_configuration(void)
{
	char *buf = scratch_take();
	struct strbuf t;
	struct record r;

	if (buf != NULL && record_begin(&r, LEVEL_INFO, "config")) {
		strbuf_init(&t, buf, SCRATCH_BYTES);
		config_describe(&config, &t);
		record_u64(&r, "format", LOG_VERSION);
		record_pairs(&r, buf);
		record_end(&r);
	}
	scratch_give(buf);
}

/* Nothing but a file's time changes, whatever it is: the name may be an old one. */
static void renew_witness(void)
{
	const char *path = program_setting(CONFIG_WITNESS);

	if (path != NULL && path[0] == '/') {
		utimensat(AT_FDCWD, path, NULL, AT_SYMLINK_NOFOLLOW);
	}
}

static bool load_configuration(void)
{
	char *const *settings = program_settings();

	if (settings == NULL) {
		note(NULL, "pqpool: the PQPOOL_ variables are too long" CONFIG_UNPOOLED);
	}
	return settings != NULL && config_load(&config, settings, note, NULL);
}

static COLD enum mode start_locked(void)
{
	/* In a setuid program the environment is somebody else's. */
	if (getauxval(AT_SECURE) != 0) {
		return ASIDE;
	}
	if (!load_configuration() || !config_wants_program(&config, program_short_name()) ||
	    pthread_atfork(before_fork, after_fork_in_parent, after_fork_in_child) != 0) {
		return ASIDE;
	}
	pid_mark();
	thread_block_configure();
	rotate_configure(config.log_max_bytes, config.log_keep);
	record_configure(config.log, config.log_level, program_short_name());
	lending_configure(&config);
	return POOLING;
}

/* The rest of it, for which a file system may have to be waited for: no lock is held. */
static COLD void finish_start(enum mode now)
{
	if (getauxval(AT_SECURE) != 0) {
		return;
	}
	strbuf_print(&said, STDERR_FILENO, STRBUF_PATIENCE_NS);
	said.len = 0;
	renew_witness();
	if (now == POOLING) {
		record_open();
		suppress_load(config.suppress, complain, NULL);
		tell_configuration();
	}
}

/*
 * A thread of the parent was about to start when another one forked: there was nobody yet to
 * wait for it, whoever had the lock is not here, and what is started may be half done.
 */
static bool start_was_left_behind(void)
{
	pid_t self = getpid();
	pid_t before = 0;

	return !atomic_compare_exchange_strong(&starter, &before, self) && before != self;
}

static enum mode started(void)
{
	enum mode now = atomic_load_explicit(&mode, memory_order_acquire);
	bool first;

	if (now == UNSTARTED) {
		if (start_was_left_behind()) {
			atomic_store(&mode, ASIDE);
			return ASIDE;
		}
		lock_take(&start_lock);
		now = atomic_load(&mode);
		first = now == UNSTARTED;
		if (first) {
			now = start_locked();
			atomic_store_explicit(&mode, now, memory_order_release);
		}
		lock_drop(&start_lock);
		if (first) {
			finish_start(now);
		}
	}
	return now;
}

bool lifecycle_is_barred(void)
{
	return lock_held_here() && !lock_forsaken() &&
	       atomic_load_explicit(&mode, memory_order_relaxed) == POOLING;
}

static bool enter(struct guard *guard)
{
	guard->saved_errno = errno;
	if (lock_barred() || started() != POOLING || !pid_is_marked()) {
		errno = guard->saved_errno;
		return false;
	}
	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &guard->cancel_state);
	return true;
}

bool lifecycle_enter(struct guard *guard)
{
	if (!enter(guard)) {
		return false;
	}
	thread_block_take();
	cancellation_note(guard->cancel_state);
	return true;
}

void lifecycle_pass_errno(struct guard *guard)
{
	guard->saved_errno = errno;
}

void lifecycle_leave(const struct guard *guard)
{
	acquire_catch_up();
	dl_note_call(NULL, 0);
	pthread_setcancelstate(guard->cancel_state, NULL);
	errno = guard->saved_errno;
}

void lifecycle_catch_up(void)
{
	struct guard guard;

	if (lifecycle_enter(&guard)) {
		lifecycle_leave(&guard);
	}
}

/* ---- exit ---------------------------------------------------------------------- */

/* Nothing that is done at exit may be done in a signal handler that interrupted ours. */
static bool may_act(void)
{
	return atomic_load(&mode) == POOLING && !lock_held_here() && pid_self() == getpid();
}

/* What a handler interrupted may be in the middle of malloc, which closing needs. */
static void at_exit(void)
{
	struct guard guard;

	if (!may_act() || !enter(&guard)) {
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

void lifecycle_connected(const struct libpq *libpq, PGconn *conn)
{
	set_exit_handler(&exit_handler_set);
	/* OpenSSL registered its handler during this connect, so ours comes before it. */
	if (conn != NULL && libpq->PQsslInUse(conn)) {
		set_exit_handler(&tls_exit_handler_set);
	}
}

/*
 * Takes the leases that a child still has in hand out of the list: a program that forks
 * into the background and ends has given them away, not forgotten them.
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
 * Reports what is still leased, or was to the end, once; true if there was something that is
 * not suppressed. May be called from a signal handler by way of _exit: if that interrupted a
 * call of ours, a lock may be held by this very thread, and nothing is said.
 */
static bool report(void)
{
	struct lease_totals totals;
	struct lease *leaks;
	size_t count;
	size_t kept = 0;
	size_t told = 0;

	if (!may_act() || atomic_exchange(&reported, true)) {
		return false;
	}
	leaks = lease_leaks(&count, &totals);
	totals_log(&totals);
	if (leaks != NULL) {
		kept = without_given_away(leaks, count);
	}
	if (kept > 0) {
		told = report_leaks(leaks, kept, &totals, program_short_name(),
		                    clock_monotonic_ns(), config.report);
	}
	lease_snapshot_free(leaks, count);
	return told > 0;
}

/* Looked up when needed, so that a program without libpq is left entirely alone. */
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
	if (atomic_load(&mode) == UNSTARTED) {
		return status;
	}
	at_exit();
	if (report() && config.leak_exitcode != 0) {
		status = (int)config.leak_exitcode;
	}
	status_remove();
	return status;
}

bool lifecycle_has_pool(void)
{
	return atomic_load_explicit(&mode, memory_order_relaxed) == POOLING;
}

static void tell_exec(const char *event)
{
	struct record r;

	if (record_begin(&r, LEVEL_INFO, event)) {
		record_end(&r);
	}
}

struct departure lifecycle_exec_begin(void)
{
	struct departure departure = {0};
	struct guard guard;

	if (!may_act() || !enter(&guard)) {
		return departure;
	}
	departure.begun = true;
	if (unwind_in_signal_handler()) {
		acquire_leave();
	} else {
		departure.paused = acquire_pause();
	}
	/* Who reads the log is to know that nobody has the open leases any more. */
	tell_exec("exec");
	lifecycle_leave(&guard);
	return departure;
}

void lifecycle_exec_failed(const struct departure *departure)
{
	struct guard guard;

	if (departure->paused) {
		acquire_resume();
	}
	if (departure->begun && enter(&guard)) {
		tell_exec("exec_failed");
		lifecycle_leave(&guard);
	}
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
	if (leaked && config.leak_exitcode != 0) {
		/* The program's buffers would be flushed after us: exiting here, we do it. */
		fflush(NULL);
		really_exit("_exit", (int)config.leak_exitcode);
	}
}

/*
 * The program's libraries are finalised after us, and may finish connections then. What is
 * registered meanwhile, for no object in particular, exit() runs behind the last of them.
 */
__attribute__((destructor)) static void finalised(void)
{
	if (atomic_load(&mode) == POOLING && __cxa_atexit(last_words, NULL, NULL) != 0) {
		last_words(NULL);
	}
}
