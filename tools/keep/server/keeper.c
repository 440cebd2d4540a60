/* SPDX-License-Identifier: PostgreSQL */
/* The keeper's process. */
#include "keep/server/keeper.h"

#include <err.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "common/exit_status.h"
#include "keep/listen.h"
#include "keep/log.h"
#include "keep/loop.h"
#include "keep/notify.h"
#include "keep/pool/member.h"
#include "keep/pool/pool.h"
#include "keep/pool/upkeep.h"
#include "keep/server/connection.h"
#include "keep/settings.h"

static struct keeper_options options;
static const struct keeper_place *place;
static struct watch signals;
static struct watch name;
static int status;
static uint64_t quiet_ns; /* since when; 0: it is not */

static void log_complaint(void *arg, const char *text)
{
	struct strbuf *line = log_line(LEVEL_ERROR, "status");

	(void)arg;
	if (line != NULL) {
		pair_str(line, "msg", "the settings stay as they were");
		pair_str(line, "error", text);
		log_end();
	}
}

static void reload(void)
{
	if (settings_load(options.settings_file, log_complaint, NULL)) {
		log_begin(&settings.config);
		pools_serve(clock_monotonic_ns());
	}
}

static void signalled(struct watch *watch)
{
	struct signalfd_siginfo info;

	if (read(watch->fd, &info, sizeof(info)) != sizeof(info)) {
		return;
	}
	if (info.ssi_signo == SIGHUP) {
		reload();
	} else {
		loop_end();
	}
}

/* Any process of the user's may cut a page's file short. */
static void page_faulted(int number, siginfo_t *info, void *context)
{
	(void)context;
	if (!members_lost_page(info->si_addr)) {
		signal(number, SIG_DFL);
	}
}

/* Descriptors, not handlers, but for faults: nothing is interrupted. */
static bool watch_signals(void)
{
	const struct sigaction fault = {.sa_sigaction = page_faulted, .sa_flags = SA_SIGINFO};
	sigset_t set;
	int fd;

	sigaction(SIGBUS, &fault, NULL);
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	sigprocmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
	fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	return fd >= 0 && loop_watch(&signals, fd, signalled);
}

/* Who is a member finds the next keeper, and is one of two that do not know each other's. */
static void name_changed(struct watch *watch)
{
	struct strbuf *line;
	char events[4096];

	if (read(watch->fd, events, sizeof(events)) <= 0 || listen_has_name(place)) {
		return;
	}
	line = log_line(LEVEL_ERROR, "status");
	if (line != NULL) {
		pair_str(line, "msg", "the socket was removed, so no program finds the keeper");
		pair_str(line, "error", place->path);
		log_end();
	}
	status = EXIT_FAILED;
	loop_end();
}

static void watch_name(void)
{
	int fd = listen_watch_name(place);

	if (fd >= 0) {
		loop_watch(&name, fd, name_changed);
	}
}

static void look_for_quiet(uint64_t now_ns)
{
	if (options.quiet_exit_ns == UINT64_MAX) {
		return;
	}
	if (!connections_were_quiet()) {
		quiet_ns = 0;
	} else if (quiet_ns == 0) {
		quiet_ns = now_ns;
	} else if (now_ns - quiet_ns >= options.quiet_exit_ns) {
		loop_end();
	}
	loop_call_at(now_ns +
	             (options.quiet_exit_ns < NS_PER_SEC ? options.quiet_exit_ns : NS_PER_SEC));
}

static void due(uint64_t now_ns)
{
	upkeep_due(now_ns);
	connections_due(now_ns);
	look_for_quiet(now_ns);
}

/* A descriptor for each session, three for each process. */
static void allow_descriptors(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
		limit.rlim_cur = limit.rlim_max;
		setrlimit(RLIMIT_NOFILE, &limit);
	}
}

int keeper_serve(const struct keeper_place *at, int listener,
                 const struct keeper_options *given)
{
	place = at;
	options = *given;
	allow_descriptors();
	log_begin(&settings.config);
	members_begin(place->directory, place->name);
	if (!loop_begin() || !watch_signals() || !connections_begin(listener)) {
		warn("keep");
		return EXIT_FAILED;
	}
	watch_name();
	notify_ready();
	loop_run(due);
	notify_stopping();
	listen_end(place);
	upkeep_end();
	connections_end();
	return status;
}
