/* SPDX-License-Identifier: PostgreSQL */
/* The shim inside a program: its start, the guard around each call, fork. */
#include "hooks/lifecycle.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/auxv.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "acquire/fork_exec_exit.h"
#include "acquire/lend/lend_settings.h"
#include "acquire/release.h"
#include "base/cold.h"
#include "base/config/config.h"
#include "base/config/program.h"
#include "base/config/version.h"
#include "base/dl.h"
#include "base/lock.h"
#include "base/scratch.h"
#include "base/text/strbuf.h"
#include "base/thread/cancellation.h"
#include "base/thread/pid.h"
#include "base/thread/thread_block.h"
#include "hooks/exit.h"
#include "trace/lease/counters.h"
#include "trace/log/record.h"
#include "trace/log/rotate.h"
#include "trace/report/suppressions.h"
#include "trace/stack/stack.h"
#include "trace/status/status.h"

enum mode { UNSTARTED, POOLING, ASIDE };

static _Atomic(enum mode) mode = UNSTARTED;
static struct lock start_lock = LOCK_INITIALIZER(LOCK_PROCESS);
static _Atomic(pid_t) starter; /* the process that began to start; 0 = none has */
static struct config config;

static _Thread_local struct {
	bool forked_unlocked; /* it forks while it holds a lock: none was taken for the fork */
} here;

/* Lines about the configuration, to be printed once no lock is held. */
static char said_buf[4096] SPARSE;
static struct strbuf said = {.buf = said_buf, .size = sizeof(said_buf)};

static void note(void *arg, const char *line)
{
	size_t before = said.len;

	(void)arg;
	strbuf_str(&said, line);
	strbuf_char(&said, '\n');
	if (said.cut) {
		/* No room: this line is left out whole. */
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

/* No lock is held where a callback of the program's runs; a handler may fork anywhere. */
static void before_fork(void)
{
	here.forked_unlocked = lock_barred();
	if (here.forked_unlocked) {
		return;
	}
	lock_take(&start_lock);
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
	lock_drop(&start_lock);
}

static void after_fork_in_child(void)
{
	pid_renew();
	thread_block_fork_child();
	if (here.forked_unlocked) {
		/* What the locks guard may be half changed: it is not used. */
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
	counters_fork_child();
	lock_drop(&start_lock);
	exit_fork_child();
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
		record_str(&r, "version", PQPOOL_VERSION);
		record_pairs(&r, buf);
		record_end(&r);
	}
	scratch_give(buf);
}

/* Changes a file's times and nothing else, as the name may be outdated. */
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
		note(NULL,
		     program_settings_are_cut()
		             ? "pqpool: the PQPOOL_ variables are too long" CONFIG_UNPOOLED
		             : "pqpool: out of memory" CONFIG_UNPOOLED);
	}
	return settings != NULL && config_load(&config, settings, note, NULL);
}

static COLD enum mode start_locked(void)
{
	/* In a setuid program the environment is the caller's, and not trusted. */
	if (getauxval(AT_SECURE) != 0) {
		return ASIDE;
	}
	if (!load_configuration() || !config_wants_program(&config, program_short_name()) ||
	    pthread_atfork(before_fork, after_fork_in_parent, after_fork_in_child) != 0) {
		return ASIDE;
	}
	pid_mark();
	dl_expect_loads();
	/* Ours looks libc's up now: later it is called where the linker must not be. */
	syscall(SYS_gettid);
	thread_block_configure();
	rotate_configure(config.log_max_bytes, config.log_keep);
	record_configure(config.log, config.log_level, program_short_name());
	lend_configure(&config);
	return POOLING;
}

/* The part that may have to wait for a file system: no lock is held. */
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
 * A thread of the parent was starting the shim when another one forked: that thread is not in
 * the child, its lock is still held, and the start may be half done.
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

bool lifecycle_enter_bare(struct guard *guard)
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
	if (!lifecycle_enter_bare(guard)) {
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
	release_catch_up();
	dl_begin_call(NULL);
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

bool lifecycle_may_act(void)
{
	return atomic_load(&mode) == POOLING && !lock_held_here() && pid_self() == getpid();
}

bool lifecycle_has_pool(void)
{
	return atomic_load_explicit(&mode, memory_order_relaxed) == POOLING;
}

bool lifecycle_has_started(void)
{
	return atomic_load(&mode) != UNSTARTED;
}

const struct config *lifecycle_config(void)
{
	return &config;
}
