/* SPDX-License-Identifier: PostgreSQL */
/*
 * `pqpool doctor --live PID`: is this process pooling, and if not, why not.
 *
 * /proc tells what is loaded, the status page what is pooled. Neither is believed more than it
 * can harm: they are read with bounds, and printed for a terminal.
 */
#include "doctor/live/live.h"

#include <err.h>
#include <inttypes.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/config/config.h"
#include "base/elf/elf_needed.h"
#include "common/exit_status.h"
#include "common/pages/status_pages.h"
#include "common/terminal_text.h"
#include "common/xalloc.h"
#include "doctor/live/process_view.h"

#define SHIM       "libpqpool.so"
#define PREFIX     "PQPOOL_"
#define LINE_BYTES (2 * PATH_MAX)

/* What is found; the first reason that is against pooling is the verdict's. */
struct live {
	struct process_view view;
	const struct mapped_file *shim;
	const struct page *page; /* NULL: none, or of an ended process */
	bool libpq;
	char why[LINE_BYTES]; /* "" = nothing is against it */
};

static void __attribute__((format(printf, 2, 3))) say(const char *mark, const char *format, ...)
{
	char line[LINE_BYTES];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(line, sizeof(line), format, arguments);
	va_end(arguments);
	printf("  %s ", mark);
	terminal_text_put(stdout, line);
	putchar('\n');
}

static void __attribute__((format(printf, 2, 3)))
oppose(struct live *live, const char *format, ...)
{
	va_list arguments;

	if (live->why[0] == '\0') {
		va_start(arguments, format);
		vsnprintf(live->why, sizeof(live->why), format, arguments);
		va_end(arguments);
	}
}

static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash != NULL ? slash + 1 : path;
}

/* ---- the process ---- */

static void examine_process(const struct live *live)
{
	puts("Process");
	say("ok:", "%d, %s, of user %u", (int)live->view.pid,
	    live->view.name != NULL ? live->view.name : "?", live->view.user);
	if (live->view.namespaces) {
		say("note:",
		    "its files are others than ours (a container, a service with a /tmp of "
		    "its own, or chroot): paths are those that it sees");
	}
}

/* ---- what is loaded ---- */

static void tell_replaced(const struct mapped_file *file)
{
	if (file->deleted) {
		say("note:",
		    "%s was replaced or removed since: the process goes on with what it "
		    "has loaded, until it is started again",
		    file->path);
	}
}

static bool runs_with_musl(const struct process_view *view)
{
	/* What Debian's ld-musl is a link to. glibc's libc.so is text. */
	const char *name = "libc.so";
	const struct mapped_file *libc = process_view_find(view, name);

	return process_view_find(view, "ld-musl") != NULL ||
	       (libc != NULL &&
	        strcmp(libc->path + strlen(libc->path) - strlen(name), name) == 0);
}

/* Why nothing was preloaded. */
static void explain_absence(struct live *live)
{
	const struct process_view *view = &live->view;
	const char *preload = process_view_variable(view, "LD_PRELOAD");

	if (view->secure) {
		oppose(live, "it was started with raised privileges (setuid, setgid or "
		             "capabilities), so the linker ignored LD_PRELOAD; start it by a "
		             "program that has them already");
	} else if (runs_with_musl(view)) {
		oppose(live, "it runs with musl, and %s needs glibc", SHIM);
	} else if (process_view_find(view, "libc.so") == NULL &&
	           process_view_find(view, "libc-2") == NULL) {
		oppose(live, "it is statically linked: nothing can be preloaded into it");
	} else if (view->environment == NULL) {
		oppose(live, "%s is not loaded, and its environment cannot be read", SHIM);
	} else if (preload != NULL && strstr(preload, SHIM) != NULL) {
		oppose(live,
		       "it was started with LD_PRELOAD=%s, but the linker did not load that: "
		       "the "
		       "file was not there, could not be read, or is for another machine; "
		       "the linker says so on standard error",
		       preload);
	} else {
		oppose(live,
		       "it was started without LD_PRELOAD of %s, or something on the way "
		       "cleared that; pqpool doctor PROGRAM tells how it is set up",
		       SHIM);
	}
}

static void examine_shim(struct live *live)
{
	live->shim = process_view_find(&live->view, SHIM);
	puts(SHIM);
	if (live->shim == NULL) {
		explain_absence(live);
		say("!", "%s", live->why);
		return;
	}
	say("ok:", "%s is loaded", live->shim->path);
	tell_replaced(live->shim);
}

/* "15" of "libpq.so.5.15" and "libpq-0a1b.so.5.15": the second number is PostgreSQL's. */
static const char *version_of(const char *path)
{
	const char *found = strstr(base_name(path), ".so.5.");

	return found != NULL ? found + strlen(".so.5.") : NULL;
}

static void judge_order(struct live *live, const struct mapped_file *libpq)
{
	if (live->shim == NULL || !live->view.order_known) {
		return;
	}
	if (live->shim->place >= 0 && libpq->place >= 0 && libpq->place < live->shim->place) {
		oppose(live,
		       "%s was loaded after %s, in which the linker looks first: preload it by "
		       "LD_PRELOAD",
		       SHIM, libpq->path);
		say("!", "%s", live->why);
	} else if (libpq->place < 0) {
		say("note:",
		    "%s is in a linker namespace of its own (dlmopen): calls to it are not "
		    "seen",
		    libpq->path);
	}
}

static void examine_libpq(struct live *live)
{
	puts("libpq");
	for (size_t i = 0; i < live->view.count; i++) {
		const struct mapped_file *file = &live->view.files[i];
		const char *version = version_of(file->path);
		char room[ELF_NEEDED_NAME_MAX];

		if (elf_needs_libpq(base_name(file->path), room) == NULL) {
			continue;
		}
		live->libpq = true;
		say("ok:", "%s is loaded%s%s", file->path,
		    version != NULL ? ", of PostgreSQL " : "", version != NULL ? version : "");
		tell_replaced(file);
		judge_order(live, file);
	}
	if (!live->libpq) {
		say("note:",
		    "none is loaded: the program has not needed one so far, or has one "
		    "linked into it, whose calls pqpool does not see");
		oppose(live, "no libpq is loaded so far");
	}
}

/* ---- what is pooled ---- */

static void put_time(uint64_t us, char *buf, size_t size)
{
	time_t seconds = (time_t)(us / 1000000);
	struct tm broken;

	if (localtime_r(&seconds, &broken) == NULL ||
	    strftime(buf, size, "%Y-%m-%d %H:%M:%S", &broken) == 0) {
		snprintf(buf, size, "?");
	}
}

static void tell_pool(const struct page_pool *pool)
{
	char limit[16];

	snprintf(limit, sizeof(limit), "%" PRIu32, pool->row.limit);
	say("ok:", "%s: %" PRIu32 " in use, %" PRIu32 " idle, %" PRIu32 " waiting, at most %s",
	    pool->label, pool->row.in_use, pool->row.idle, pool->row.waiting,
	    pool->row.limit == STATUS_NO_LIMIT ? "any number" : limit);
}

static void tell_page(const struct page *page)
{
	char since[32];

	put_time(page->created_us, since, sizeof(since));
	say("ok:", "since %s: %" PRIu64 " leases, %" PRIu64 " given back", since,
	    page->acquired, page->released);
	for (size_t i = 0; i < page->pool_count; i++) {
		tell_pool(&page->pools[i]);
	}
	if (page->paused) {
		say("note:", "connects are paused (pqpool pause): new ones wait");
	}
}

static void keep_first(void *arg, const char *line)
{
	/* "pqpool: PQPOOL_SIZE=...; this program runs unpooled" */
	oppose(arg, "%s", strncmp(line, "pqpool: ", 8) == 0 ? line + 8 : line);
}

/* Whether the settings of its start let it pool; by our own reading of them. */
static void judge_settings(struct live *live)
{
	static struct config config; /* what it points to is kept, too */
	const char *string = NULL;
	char **variables;
	size_t count = 0;
	char path[64];
	char program[PATH_MAX];
	ssize_t n;

	while ((string = process_view_next(&live->view, string)) != NULL) {
		count++;
	}
	variables = xalloc_new(count + 1, sizeof(*variables));
	for (count = 0; (string = process_view_next(&live->view, string)) != NULL;) {
		variables[count++] = (char *)string;
	}
	snprintf(path, sizeof(path), "/proc/%d/exe", (int)live->view.pid);
	n = readlink(path, program, sizeof(program) - 1);
	program[n > 0 ? n : 0] = '\0';
	if (!config_load(&config, variables, keep_first, live)) {
		oppose(live, "a variable is bad, so it runs unpooled");
	} else if (config.disable) {
		oppose(live, "PQPOOL_DISABLE was on when it started");
	} else if (n > 0 && !config_wants_program(&config, base_name(program))) {
		oppose(live, "PQPOOL_ONLY or PQPOOL_SKIP leaves %s out", base_name(program));
	}
	free(variables);
}

static void examine_pools(struct live *live)
{
	puts("Pools");
	if (live->page != NULL) {
		tell_page(live->page);
		return;
	}
	if (live->shim == NULL) {
		say("note:", "none");
		return;
	}
	if (live->why[0] == '\0') {
		judge_settings(live);
	}
	oppose(live,
	       "it has not connected since it started, or since its parent (%d) forked it; a "
	       "process that has connected and has no status page had no place for one, which "
	       "its log says (event=status)",
	       (int)live->view.parent);
	say("note:", "it has no status page: %s", live->why);
}

/* ---- settings ---- */

/* A pair as the page has it: max_overflow=20, ping_query="SELECT 1". Its length. */
static size_t tell_pair(const char *pair)
{
	size_t len = 0;
	bool quoted = false;
	char *text;

	for (; pair[len] != '\0' && (quoted || pair[len] != ' '); len++) {
		if (pair[len] == '"') {
			quoted = !quoted;
		} else if (quoted && pair[len] == '\\' && pair[len + 1] != '\0') {
			len++;
		}
	}
	text = xalloc_copy(pair, len);
	fputs("  ", stdout);
	terminal_text_put(stdout, text);
	putchar('\n');
	free(text);
	return len;
}

static void examine_settings(const struct live *live)
{
	const char *string = NULL;

	if (live->page != NULL) {
		puts("Settings, by the status page");
		for (const char *at = live->page->config; *at != '\0';) {
			at += strspn(at, " ");
			at += *at != '\0' ? tell_pair(at) : 0;
		}
		return;
	}
	puts("Settings, of its environment when it started");
	while ((string = process_view_next(&live->view, string)) != NULL) {
		if (strncmp(string, PREFIX, strlen(PREFIX)) == 0) {
			fputs("  ", stdout);
			terminal_text_put(stdout, string);
			putchar('\n');
		}
	}
}

/* ---- all of it ---- */

static int print_verdict(struct live *live)
{
	char since[32];

	if (live->page != NULL && live->page->pool_count > 0) {
		put_time(live->page->created_us, since, sizeof(since));
		printf("Verdict: %d is pooling since %s\n", (int)live->view.pid, since);
		return 0;
	}
	if (live->page != NULL) {
		oppose(live,
		       "its connections were all passed through to libpq; README.md, What is "
		       "not pooled, names the kinds");
	}
	printf("Verdict: %d is not pooling: ", (int)live->view.pid);
	terminal_text_put(stdout, live->why);
	putchar('\n');
	return EXIT_NOT_POOLED;
}

static int examine(struct live *live)
{
	struct pages pages;
	int status;

	if (!pages_read(&pages, live->view.pid, PAGES_OF_ALL, NULL)) {
		pages_free(&pages);
		return EXIT_FAILED;
	}
	for (size_t i = 0; i < pages.count && live->page == NULL; i++) {
		if (pages.all[i].live && pages.all[i].pid == live->view.pid) {
			live->page = pages.all + i;
		}
	}
	examine_process(live);
	examine_shim(live);
	examine_libpq(live);
	examine_pools(live);
	examine_settings(live);
	status = print_verdict(live);
	pages_free(&pages);
	return status;
}

int live_examine(const char *pid)
{
	struct live live = {.libpq = false};
	char *end;
	long number = strtol(pid, &end, 10);
	int status = EXIT_FAILED;

	if (*end != '\0' || number <= 0 || number > INT32_MAX) {
		warnx("doctor: \"%s\" is not the number of a process", pid);
		return EXIT_USAGE;
	}
	switch (process_view_read(&live.view, (pid_t)number)) {
	case PROCESS_VIEW_DONE:
		status = examine(&live);
		break;
	case PROCESS_VIEW_GONE:
		warnx("doctor: there is no process %ld, or it has ended", number);
		status = EXIT_NOT_FOUND;
		break;
	case PROCESS_VIEW_DENIED:
		warnx("doctor: process %ld may not be looked at: it is another user's, or runs "
		      "with raised privileges; ask as root",
		      number);
		break;
	}
	process_view_free(&live.view);
	return status;
}
