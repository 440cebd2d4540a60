/* SPDX-License-Identifier: PostgreSQL */
/*
 * A terminal that is drawn on again and again.
 *
 * The few control sequences in use are those of every terminal and emulator since the
 * VT100 and xterm: no terminfo is asked. Signals are blocked but for the time that is
 * spent waiting, so that none comes between a look at its flag and the wait.
 */
#include "top/screen.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include "base/clock.h"

/* Alternate screen, no cursor, long lines do not wrap; and back. */
#define TAKE      "\033[?1049h\033[?25l\033[?7l"
#define GIVE_BACK "\033[?7h\033[?25h\033[?1049l"

#define HOME        "\033[H"
#define CLEAR_LINE  "\033[K"
#define CLEAR_BELOW "\033[J"

static struct termios before;
static bool is_open;
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

static bool put(const char *s, size_t n)
{
	while (n > 0) {
		ssize_t done = write(STDOUT_FILENO, s, n);

		if (done < 0 && errno != EINTR) {
			return false;
		}
		if (done > 0) {
			s += done;
			n -= (size_t)done;
		}
	}
	return true;
}

/* Ctrl-C and Ctrl-Z stay signals; keys come at once, and are not shown. */
static bool take(void)
{
	struct termios raw = before;

	raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
	raw.c_cc[VMIN] = 1;
	raw.c_cc[VTIME] = 0;
	return tcsetattr(STDIN_FILENO, TCSANOW, &raw) == 0 && put(TAKE, strlen(TAKE));
}

static void give_back(void)
{
	put(GIVE_BACK, strlen(GIVE_BACK));
	tcsetattr(STDIN_FILENO, TCSADRAIN, &before);
}

bool screen_open(void)
{
	struct sigaction action = {0};
	sigset_t mask;

	if (tcgetattr(STDIN_FILENO, &before) != 0) {
		return false;
	}
	sigemptyset(&mask);
	for (size_t i = 0; i < HANDLED; i++) {
		sigaddset(&mask, handled[i].number);
	}
	sigprocmask(SIG_BLOCK, &mask, &mask_before);
	for (size_t i = 0; i < HANDLED; i++) {
		action.sa_handler = handled[i].handler;
		sigaction(handled[i].number, &action, NULL);
	}
	is_open = take();
	if (!is_open) {
		int saved_errno = errno;

		give_back();
		errno = saved_errno;
	}
	return is_open;
}

void screen_close(void)
{
	if (!is_open) {
		return;
	}
	is_open = false;
	give_back();
	if (ended_by != 0) {
		signal(ended_by, SIG_DFL);
		raise(ended_by);
	}
	sigprocmask(SIG_SETMASK, &mask_before, NULL);
}

struct screen_size screen_size(void)
{
	struct winsize size;

	if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_row == 0 ||
	    size.ws_col == 0) {
		return (struct screen_size){.lines = 24, .columns = 80};
	}
	return (struct screen_size){.lines = size.ws_row, .columns = size.ws_col};
}

bool screen_draw(const char *text)
{
	char *frame = NULL;
	size_t n = 0;
	FILE *to = open_memstream(&frame, &n);
	bool drawn;

	if (to == NULL) {
		return false;
	}
	fputs(HOME, to);
	for (const char *line = text; *line != '\0';) {
		size_t len = strcspn(line, "\n");

		/* No newline behind the last line, which would move the screen up. */
		fprintf(to, "%s%.*s" CLEAR_LINE, line == text ? "" : "\r\n", (int)len, line);
		line += len + (line[len] == '\n');
	}
	fputs(CLEAR_BELOW, to);
	drawn = fclose(to) == 0 && put(frame, n);
	free(frame);
	return drawn;
}

/* Ctrl-Z: the shell gets its terminal as it was, and is asked for it again afterwards. */
static void stop(void)
{
	stopped = 0;
	give_back();
	raise(SIGSTOP);
	take();
	resized = 1;
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
			resized = 0;
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
