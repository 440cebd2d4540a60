/* SPDX-License-Identifier: PostgreSQL */
/* Runs a program below this process as if it ran in its place. */
#include "run/supervise.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

/* How we were started, for the program to be started likewise. */
struct before {
	sigset_t mask;
	struct sigaction on_child;
};

/* Signals wait until they are asked for; what our own mistakes raise does not wait. */
static void hold_signals(struct before *before)
{
	static const int faults[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGTRAP, SIGSYS};
	struct sigaction by_default = {.sa_handler = SIG_DFL};
	sigset_t held;

	sigfillset(&held);
	for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++) {
		sigdelset(&held, faults[i]);
	}
	sigprocmask(SIG_BLOCK, &held, &before->mask);
	/* Ignored, as some leave it to their children, it would take exit statuses away. */
	sigaction(SIGCHLD, &by_default, &before->on_child);
}

/* In the child: execs, or tells the errno. */
static _Noreturn void become(const char *program, char **argv, const struct before *before,
                             int tell)
{
	int error;

	sigaction(SIGCHLD, &before->on_child, NULL);
	sigprocmask(SIG_SETMASK, &before->mask, NULL);
	execvp(program, argv);
	error = errno;
	if (write(tell, &error, sizeof(error)) < 0) {
		_exit(1);
	}
	_exit(0);
}

/* The errno that the child tells; 0 once it has become the program. */
static int told_error(int fd)
{
	int error = 0;
	ssize_t n;

	do {
		n = read(fd, &error, sizeof(error));
	} while (n < 0 && errno == EINTR);
	return n == (ssize_t)sizeof(error) ? error : 0;
}

/* The child's pid; -1 with errno. */
static pid_t start(const char *program, char **argv, const struct before *before)
{
	int ends[2];
	pid_t child;
	int error;

	if (pipe2(ends, O_CLOEXEC) != 0) {
		return -1;
	}
	child = fork();
	if (child == 0) {
		become(program, argv, before, ends[1]);
	}
	error = child < 0 ? errno : 0;
	close(ends[1]);
	if (error == 0) {
		error = told_error(ends[0]);
		if (error != 0) {
			waitpid(child, NULL, 0);
		}
	}
	close(ends[0]);
	errno = error;
	return error == 0 ? child : -1;
}

static bool in_foreground(void)
{
	int terminal = open("/dev/tty", O_RDONLY | O_CLOEXEC | O_NOCTTY);
	bool is = terminal >= 0 && tcgetpgrp(terminal) == getpgrp();

	if (terminal >= 0) {
		close(terminal);
	}
	return is;
}

/*
 * The shell takes the terminal back when the job stops, and we are part of the job. A
 * SIGSTOP is different: most often somebody stops that one process, and will continue it.
 */
static void stop_likewise(int signal)
{
	if (signal != SIGSTOP || in_foreground()) {
		raise(SIGSTOP);
	}
}

/* True once the child has ended. */
static bool has_ended(pid_t child, int *wait_status)
{
	while (waitpid(child, wait_status, WNOHANG | WUNTRACED) == child) {
		if (!WIFSTOPPED(*wait_status)) {
			return true;
		}
		stop_likewise(WSTOPSIG(*wait_status));
	}
	return false;
}

/*
 * The kernel's own signals come from the terminal, to the child as well. What the child
 * itself sends, it sends to its parent, not to itself.
 */
static bool is_to_be_passed_on(const siginfo_t *info, pid_t child)
{
	return info->si_code <= 0 && info->si_pid != child && info->si_pid != getpid();
}

bool supervise(const char *program, char **argv, int *wait_status)
{
	struct before before;
	sigset_t all;
	pid_t child;

	hold_signals(&before);
	child = start(program, argv, &before);
	if (child < 0) {
		return false;
	}
	sigfillset(&all);
	while (!has_ended(child, wait_status)) {
		siginfo_t info;
		int signal = sigwaitinfo(&all, &info);

		if (signal > 0 && signal != SIGCHLD && is_to_be_passed_on(&info, child)) {
			kill(child, signal);
		}
	}
	return true;
}

int supervise_end(int wait_status)
{
	int signal;
	sigset_t only;
	struct sigaction by_default = {.sa_handler = SIG_DFL};

	if (WIFEXITED(wait_status)) {
		return WEXITSTATUS(wait_status);
	}
	signal = WTERMSIG(wait_status);
	/* The program has left its core, if it was to leave one. */
	prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	sigaction(signal, &by_default, NULL);
	sigemptyset(&only);
	sigaddset(&only, signal);
	sigprocmask(SIG_UNBLOCK, &only, NULL);
	kill(getpid(), signal);
	/* Still here: the first process of a container cannot be ended so. */
	return 128 + signal;
}
