/* SPDX-License-Identifier: PostgreSQL */
/*
 * A terminal that is drawn on repeatedly, by ncurses.
 *
 * Signals are blocked except while we wait, so that none arrives between a look at its flag
 * and the wait. Our handlers are there first: then ncurses installs none of its own, which
 * would end the program with an exit status instead of by the signal.
 */
#include "top/screen.h"

#include <curses.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/clock.h"

static SCREEN *terminal; /* NULL = not open */
static sigset_t mask_before;

static volatile sig_atomic_t ended_by; /* the signal; 0 = none */
static volatile sig_atomic_t resized;
static volatile sig_atomic_t stopped;

static void note_end(int number)
{
	ended_by = number;
}

static void note_size(int number)
{
	(void)number;
	resized = 1;
}

static void note_stop(int number)
{
	(void)number;
	stopped = 1;
}

static const struct {
	int number;
	void (*handler)(int);
} handled[] = {
	{SIGINT, note_end},  {SIGTERM, note_end},   {SIGHUP, note_end},
	{SIGQUIT, note_end}, {SIGWINCH, note_size}, {SIGTSTP, note_stop},
};

#define HANDLED (sizeof(handled) / sizeof(handled[0]))

bool screen_is_there(void)
{
	const char *kind = getenv("TERM");

	return isatty(STDIN_FILENO) && isatty(STDOUT_FILENO) && kind != NULL &&
	       kind[0] != '\0' && strcmp(kind, "dumb") != 0;
}

static void handle_signals(void)
{
	struct sigaction action = {0};
	sigset_t mask;

	sigemptyset(&mask);
	for (size_t i = 0; i < HANDLED; i++) {
		sigaddset(&mask, handled[i].number);
	}
	sigprocmask(SIG_BLOCK, &mask, &mask_before);
	for (size_t i = 0; i < HANDLED; i++) {
		action.sa_handler = handled[i].handler;
		sigaction(handled[i].number, &action, NULL);
	}
}

bool screen_open(void)
{
	handle_signals();
	/* The size is the terminal's own, whatever LINES and COLUMNS say. */
	use_env(FALSE);
	use_tioctl(TRUE);
	terminal = newterm(NULL, stdout, stdin);
	if (terminal == NULL) {
		/* Most terminals know xterm's sequences; a new one may lack a terminfo. */
		terminal = newterm("xterm", stdout, stdin);
	}
	if (terminal == NULL) {
		return false;
	}
	cbreak(); /* Ctrl-C and Ctrl-Z stay signals */
	noecho();
	curs_set(0);
	typeahead(-1);
	return true;
}

void screen_close(void)
{
	if (terminal == NULL) {
		return;
	}
	endwin();
	delscreen(terminal);
	terminal = NULL;
	if (ended_by != 0) {
		signal(ended_by, SIG_DFL);
		raise(ended_by);
	}
	sigprocmask(SIG_SETMASK, &mask_before, NULL);
}

struct screen_size screen_size(void)
{
	return (struct screen_size){.lines = (unsigned)getmaxy(stdscr),
	                            .columns = (unsigned)getmaxx(stdscr)};
}

void screen_draw(const char *text)
{
	int y = 0;

	erase();
	for (const char *line = text; *line != '\0'; y++) {
		size_t len = strcspn(line, "\n");

		mvaddnstr(y, 0, line, (int)len);
		line += len + (line[len] == '\n');
	}
	refresh();
}

/* Ctrl-Z: the shell gets its terminal as it was; the next refresh takes it again. */
static void stop(void)
{
	stopped = 0;
	endwin();
	raise(SIGSTOP);
	resized = 1;
}

static void take_size(void)
{
	struct winsize size;

	resized = 0;
	if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_row > 0 &&
	    size.ws_col > 0) {
		resizeterm(size.ws_row, size.ws_col);
	}
}

enum screen_event screen_wait(uint64_t deadline_ns, char *key)
{
	for (;;) {
		struct pollfd keys = {.fd = STDIN_FILENO, .events = POLLIN};
		uint64_t now_ns = clock_monotonic_ns();
		uint64_t left_ns = deadline_ns > now_ns ? deadline_ns - now_ns : 0;
		struct timespec left = {.tv_sec = (time_t)(left_ns / NS_PER_SEC),
		                        .tv_nsec = (long)(left_ns % NS_PER_SEC)};
		int ready = ppoll(&keys, 1, &left, &mask_before);

		if (ended_by != 0) {
			return SCREEN_END;
		}
		if (stopped) {
			stop();
		}
		if (resized) {
			take_size();
			return SCREEN_RESIZED;
		}
		if (ready == 0) {
			return SCREEN_TIME;
		}
		if (ready > 0) {
			return read(STDIN_FILENO, key, 1) == 1 ? SCREEN_KEY : SCREEN_END;
		}
		if (errno != EINTR) {
			return SCREEN_END;
		}
	}
}
