/* SPDX-License-Identifier: PostgreSQL */
/*
 * coroutines WAY [COUNT [ROUNDS]]: coroutines of one thread, switched by hand.
 *
 * WAY: calls   they switch between any two of their calls
 *      depths  and go on at another depth of their stack each time
 *      poll    they switch in poll(2), which the program answers for, as coroutine libraries
 *              do: in the midst of libpq's calls
 *      three   so as well: one in PQexec's wait, one in PQconnectdb, a third finishes meanwhile
 *      exit    one ends the program from its own stack; what it holds an exit handler finishes
 *
 * Each stack is as high as it says and has nothing readable above it, and its first function
 * would return to what happens to lie there.
 */
#include "plain.h"

#include <poll.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#ifndef __x86_64__
#include <ucontext.h>
#endif

#define COUNT_MAX   50
#define STACK_BYTES (256 * 1024)
#define GUARD_BYTES (64 * 1024)

struct coroutine {
	int number;
	int done;
	void (*work)(struct coroutine *self);
#ifdef __x86_64__
	void *pointer; /* its stack pointer, while it does not run */
#else
	ucontext_t context;
#endif
	char said[4096];
	size_t length;
};

static struct coroutine coroutines[COUNT_MAX];
static struct coroutine *running; /* NULL: the program's own stack */
static int count = 5;
static int rounds = 3;
static int in_poll; /* whether to switch there */

/* ---- switching --------------------------------------------------------------------- */

#ifdef __x86_64__

static void *main_pointer;

/* Keeps what a function must keep on the stack that is left, and goes on where `to` left. */
void switch_stacks(void **from, void *to);

__asm__(".text\n"
        ".type switch_stacks, @function\n"
        "switch_stacks:\n"
        "	pushq %rbp\n"
        "	pushq %rbx\n"
        "	pushq %r12\n"
        "	pushq %r13\n"
        "	pushq %r14\n"
        "	pushq %r15\n"
        "	movq %rsp, (%rdi)\n"
        "	movq %rsi, %rsp\n"
        "	popq %r15\n"
        "	popq %r14\n"
        "	popq %r13\n"
        "	popq %r12\n"
        "	popq %rbx\n"
        "	popq %rbp\n"
        "	ret\n"
        ".size switch_stacks, . - switch_stacks\n");

#else

static ucontext_t main_context;

#endif

/* Lets the others go on. */
static void yield(void)
{
	struct coroutine *self = running;

	running = NULL;
#ifdef __x86_64__
	switch_stacks(&self->pointer, main_pointer);
#else
	swapcontext(&self->context, &main_context);
#endif
}

static void let_run(struct coroutine *next)
{
	running = next;
#ifdef __x86_64__
	switch_stacks(&main_pointer, next->pointer);
#else
	swapcontext(&main_context, &next->context);
#endif
}

static void begin(void)
{
	running->work(running);
	running->done = 1;
	for (;;) {
		yield();
	}
}

static void make(struct coroutine *coroutine, int number, void (*work)(struct coroutine *self))
{
	size_t bytes = GUARD_BYTES + STACK_BYTES + GUARD_BYTES;
	char *memory = mmap(NULL, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (memory == MAP_FAILED ||
	    mprotect(memory + GUARD_BYTES, STACK_BYTES, PROT_READ | PROT_WRITE) != 0) {
		exit(98);
	}
	coroutine->number = number;
	coroutine->work = work;
#ifdef __x86_64__
	/* Where it returns to: nowhere, no memory, its own stack, data, code. */
	uintptr_t garbage[] = {0x1234,
	                       0xdeadbeefdeadbeef,
	                       (uintptr_t)memory,
	                       (uintptr_t)memory + GUARD_BYTES,
	                       (uintptr_t)&coroutines,
	                       (uintptr_t)&begin + 9};
	void **top = (void **)(memory + GUARD_BYTES + STACK_BYTES);

	top[-1] = (void *)garbage[number % 6];
	top[-2] = (void *)begin;
	for (int i = 3; i <= 8; i++) {
		top[-i] = (void *)garbage[(number + i) % 6];
	}
	coroutine->pointer = &top[-8];
#else
	getcontext(&coroutine->context);
	coroutine->context.uc_stack.ss_sp = memory + GUARD_BYTES;
	coroutine->context.uc_stack.ss_size = STACK_BYTES;
	coroutine->context.uc_link = &main_context;
	makecontext(&coroutine->context, begin, 0);
#endif
}

static void run_all(void)
{
	int left = count;

	while (left > 0) {
		left = 0;
		for (int i = 0; i < count; i++) {
			if (!coroutines[i].done) {
				let_run(&coroutines[i]);
				left += !coroutines[i].done;
			}
		}
	}
}

/* ---- poll(2) ------------------------------------------------------------------------- */

static long ms_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static int really_poll(struct pollfd *fds, nfds_t n, int ms)
{
	struct timespec left = {ms / 1000, ms % 1000 * 1000000L};

	return (int)syscall(SYS_ppoll, fds, n, ms < 0 ? NULL : &left, NULL, 0);
}

int poll(struct pollfd *fds, nfds_t n, int ms)
{
	long until = ms < 0 ? 0 : ms_now() + ms;
	int ready = really_poll(fds, n, running != NULL && in_poll ? 0 : ms);

	while (ready == 0 && running != NULL && in_poll && (ms < 0 || ms_now() < until)) {
		yield();
		ready = really_poll(fds, n, 1);
	}
	return ready;
}

/* ---- work ---------------------------------------------------------------------------- */

/* Printed in the order of the coroutines at the end. */
static void say(struct coroutine *self, const char *what, int answer)
{
	self->length +=
		(size_t)snprintf(self->said + self->length, sizeof(self->said) - self->length,
	                         "%d: %s %d\n", self->number, what, answer);
}

static int ask_number(PGconn *conn, int number)
{
	char query[64];

	snprintf(query, sizeof(query), "SELECT pg_sleep(0.001 * %d), %d", number % 3, number);
	PGresult *result = PQexec(conn, query);
	int answer = PQntuples(result) == 1 ? atoi(PQgetvalue(result, 0, 1)) : -1;

	PQclear(result);
	return answer;
}

static void call_in_turns(struct coroutine *self)
{
	for (int i = 0; i < rounds; i++) {
		PGconn *conn = open_database();

		yield();
		say(self, "asked", ask_number(conn, self->number * 100 + i));
		yield();
		say(self, "asked again", ask_number(conn, self->number * 100 + i));
		yield();
		PQfinish(conn);
		yield();
	}
}

static void call_at_depth(struct coroutine *self, int depth, PGconn **conn)
{
	volatile char room[100] = "";

	if (depth > 0) {
		call_at_depth(self, depth - 1, conn);
	} else if (*conn == NULL) {
		*conn = open_database();
		yield();
	} else {
		yield();
		PQfinish(*conn);
		*conn = NULL;
	}
	room[99] = room[0];
}

static void call_at_depths(struct coroutine *self)
{
	for (int i = 0; i < rounds; i++) {
		PGconn *conn = NULL;

		call_at_depth(self, i % 4, &conn);
		say(self, "asked", ask_number(conn, i));
		call_at_depth(self, (self->number + i) % 5, &conn);
	}
}

static void call_and_poll(struct coroutine *self)
{
	for (int i = 0; i < rounds; i++) {
		PGconn *conn = open_database();

		say(self, "asked", ask_number(conn, self->number * 100 + i));
		PQfinish(conn);
	}
}

static PGconn *third;
static int meanwhile;

static void wait_in_exec(struct coroutine *self)
{
	PGconn *conn = open_database();

	meanwhile = 1;
	say(self, "waited", ask(conn, "SELECT 1 FROM pg_sleep(0.3)"));
	say(self, "others went on", meanwhile == 3);
	PQfinish(conn);
}

static void wait_in_connect(struct coroutine *self)
{
	while (meanwhile < 1) {
		yield();
	}
	PGconn *conn = open_database();

	say(self, "connected", ask(conn, "SELECT 2"));
	meanwhile++;
	PQfinish(conn);
}

static void finish_meanwhile(struct coroutine *self)
{
	third = open_database();
	while (meanwhile < 1) {
		yield();
	}
	say(self, "asked", ask(third, "SELECT 3"));
	PQfinish(third);
	meanwhile++;
}

static PGconn *kept;

static void finish_kept(void)
{
	printf("finished at exit: %d\n", ask(kept, "SELECT 8"));
	PQfinish(kept);
}

static void exit_from_here(struct coroutine *self)
{
	if (self->number > 0) {
		call_in_turns(self);
		return;
	}
	kept = open_database();
	atexit(finish_kept);
	yield();
	exit(3);
}

int main(int argc, char **argv)
{
	const char *way = argc > 1 ? argv[1] : "calls";
	void (*works[3])(struct coroutine * self) = {call_in_turns, NULL, NULL};

	count = argc > 2 ? atoi(argv[2]) : count;
	rounds = argc > 3 ? atoi(argv[3]) : rounds;
	if (strcmp(way, "depths") == 0) {
		works[0] = call_at_depths;
	} else if (strcmp(way, "poll") == 0) {
		works[0] = call_and_poll;
		in_poll = 1;
	} else if (strcmp(way, "three") == 0) {
		works[0] = wait_in_exec;
		works[1] = wait_in_connect;
		works[2] = finish_meanwhile;
		count = 3;
		in_poll = 1;
	} else if (strcmp(way, "exit") == 0) {
		works[0] = exit_from_here;
	}
	for (int i = 0; i < count; i++) {
		make(&coroutines[i], i, works[i % 3] != NULL ? works[i % 3] : works[0]);
	}
	run_all();
	for (int i = 0; i < count; i++) {
		fputs(coroutines[i].said, stdout);
	}
	return 0;
}
