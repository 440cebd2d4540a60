/* SPDX-License-Identifier: PostgreSQL */
/*
 * A walk up the stack: the same frames as glibc's backtrace() finds, and an end wherever the
 * stack of a coroutine has one.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h wants the four above. */
#include <cmocka.h>

#include <execinfo.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

#include "base/unwind/unwind.h"

#define NOINLINE __attribute__((noinline))
/* Something to do after a call keeps it from becoming a jump. */
#define STAY     __asm__ volatile("" ::: "memory")

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1U
#else
#define SANITIZED 0U
#endif
#define FRAMES_MAX 200
#define PAGE       ((size_t)sysconf(_SC_PAGESIZE))

static struct frames {
	unsigned count;
	uintptr_t addresses[FRAMES_MAX];
	unsigned interrupted;
} ours;

static NOINLINE void look(void)
{
	struct unwind u;

	memset(&ours, 0, sizeof(ours));
	unwind_begin(&u);
	while (ours.count < FRAMES_MAX && unwind_next(&u)) {
		ours.interrupted += u.interrupted;
		ours.addresses[ours.count++] = u.address;
	}
}

/* ---- the same as others find --------------------------------------------------------- */

static unsigned mistakes;

/*
 * This function's own address differs by where it calls from; all above it are the same. A
 * sanitizer answers for backtrace(), and is a frame of its own.
 */
static NOINLINE void compare(void)
{
	void *theirs[FRAMES_MAX];
	unsigned count = (unsigned)backtrace(theirs, FRAMES_MAX) - SANITIZED;

	look();
	STAY;
	mistakes += ours.count != count || count < 4;
	for (unsigned i = 1; i < ours.count; i++) {
		mistakes += ours.addresses[i] != (uintptr_t)theirs[i + SANITIZED];
	}
}

static NOINLINE void compare_deeper(int depth)
{
	if (depth > 0) {
		compare_deeper(depth - 1);
	} else {
		compare();
	}
	STAY;
}

static int compare_in_library(const void *a, const void *b)
{
	compare_deeper(3);
	return *(const int *)a - *(const int *)b;
}

/* Goes by a frame pointer. */
static NOINLINE void compare_in_frame_of(volatile size_t size)
{
	volatile char *room = __builtin_alloca(size);

	room[0] = 1;
	compare_deeper(2);
	room[size - 1] = 1;
}

static void finds_what_backtrace_finds(void **state)
{
	int numbers[] = {3, 1, 2};

	(void)state;
	for (int depth = 0; depth < 100; depth += 9) {
		compare_deeper(depth);
	}
	qsort(numbers, 3, sizeof(numbers[0]), compare_in_library);
	for (size_t size = 1; size < 100000; size *= 7) {
		compare_in_frame_of(size);
	}
	assert_int_equal(mistakes, 0);
}

static void *compare_in_thread(void *arg)
{
	compare_deeper(20);
	compare_in_frame_of(3000);
	return arg;
}

static void finds_it_in_a_thread(void **state)
{
	pthread_t thread;

	(void)state;
	assert_int_equal(pthread_create(&thread, NULL, compare_in_thread, NULL), 0);
	pthread_join(thread, NULL);
	assert_int_equal(mistakes, 0);
}

static volatile int compared;

static void compare_in_handler(int signo)
{
	(void)signo;
	compare();
	compared += ours.interrupted == 1;
}

static NOINLINE void raise_here(void)
{
	raise(SIGUSR1);
	STAY;
}

static void sees_through_a_handler(void **state)
{
	struct sigaction action = {.sa_handler = compare_in_handler};
	stack_t other = {.ss_size = 65536};

	(void)state;
	sigaction(SIGUSR1, &action, NULL);
	raise_here();
	assert_int_equal(compared, 1);
	/* On a stack of its own, too, wherever that is. */
	other.ss_sp = mmap(NULL, other.ss_size, PROT_READ | PROT_WRITE,
	                   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	sigaltstack(&other, NULL);
	action.sa_flags = SA_ONSTACK;
	sigaction(SIGUSR1, &action, NULL);
	raise_here();
	assert_int_equal(compared, 2);
	assert_int_equal(mistakes, 0);
	signal(SIGUSR1, SIG_DFL);
	other.ss_flags = SS_DISABLE;
	sigaltstack(&other, NULL);
	munmap(other.ss_sp, 65536);
}

/* The words that a frame is found by are where they are said to be. */
static NOINLINE void tells_its_words(void **state)
{
	struct unwind u;

	(void)state;
	unwind_begin(&u);
	while (unwind_next(&u)) {
		assert_true(u.plain);
		assert_true(u.address_word >= UNWIND_REGISTERS);
		assert_int_equal(*(const uintptr_t *)u.address_word, u.address);
	}
}

#ifdef __x86_64__

/* ---- stacks of coroutines ------------------------------------------------------------- */

/*
 * jump(stack, frame_pointer, function) calls the function on another stack, as a coroutine
 * begins: the word at the stack pointer is where it would return to.
 */
void jump(void *stack, uintptr_t frame_pointer, void (*function)(void));
void jump_back(void);
/* Calls look_and_return(), with the word that it would return to right above its stack. */
void begin_at_top(void);

__asm__(".text\n"
        ".type jump, @function\n"
        "jump:\n"
        "	pushq %rbp\n"
        "	pushq %rbx\n"
        "	pushq %r12\n"
        "	pushq %r13\n"
        "	pushq %r14\n"
        "	pushq %r15\n"
        "	movq %rsp, jumped_from(%rip)\n"
        "	movq %rdi, %rsp\n"
        "	movq %rsi, %rbp\n"
        "	jmp *%rdx\n"
        ".size jump, . - jump\n"
        ".type jump_back, @function\n"
        "jump_back:\n"
        "	movq jumped_from(%rip), %rsp\n"
        "	popq %r15\n"
        "	popq %r14\n"
        "	popq %r13\n"
        "	popq %r12\n"
        "	popq %rbx\n"
        "	popq %rbp\n"
        "	ret\n"
        ".size jump_back, . - jump_back\n"
        ".type begin_at_top, @function\n"
        "begin_at_top:\n"
        "	.cfi_startproc\n"
        "	subq $16, %rsp\n"
        "	.cfi_def_cfa_offset 24\n"
        "	call look_and_return\n"
        "	.cfi_endproc\n"
        ".size begin_at_top, . - begin_at_top\n"
        ".local jumped_from\n"
        ".comm jumped_from, 8, 8\n");

static NOINLINE void look_deeper(int depth)
{
	if (depth > 0) {
		look_deeper(depth - 1);
	} else {
		look();
	}
	STAY;
}

__attribute__((used)) static void look_and_return(void)
{
	look_deeper(4);
	jump_back();
	__builtin_unreachable();
}

/* With a frame pointer, which is whatever was in the register. */
static void look_by_frame_pointer(void)
{
	volatile size_t size = 100;
	volatile char *room = __builtin_alloca(size);

	room[0] = 1;
	look_deeper(4);
	jump_back();
	__builtin_unreachable();
}

/* Two pages, and nothing readable behind them. */
static char *map_stack(void)
{
	char *stack = mmap(NULL, 3 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
	                   -1, 0);

	assert_ptr_not_equal(stack, MAP_FAILED);
	assert_int_equal(mprotect(stack + 2 * PAGE, PAGE, PROT_NONE), 0);
	return stack;
}

/* look_deeper() five times, and the coroutine's first function. */
#define COROUTINE_FRAMES 6

/* Onto a stack made by hand the address sanitizer does not follow. */
static void skip_if_bound_to_one_stack(void)
{
#ifdef __SANITIZE_ADDRESS__
	skip();
#endif
}

static void ends_before_an_address_of_no_module(void **state)
{
	char *stack = map_stack();
	const uintptr_t garbage[] = {0,
	                             1,
	                             0x1234,
	                             0xdeadbeefdeadbeef,
	                             UINTPTR_MAX,
	                             (uintptr_t)stack,
	                             (uintptr_t)stack + 2 * PAGE + 5,
	                             (uintptr_t)&ours,
	                             (uintptr_t)state};

	for (size_t i = 0; i < sizeof(garbage) / sizeof(garbage[0]); i++) {
		uintptr_t *top = (uintptr_t *)(stack + 2 * PAGE) - 3;

		*top = garbage[i];
		jump(top, garbage[i], look_and_return);
		assert_int_equal(ours.count, COROUTINE_FRAMES);
		jump(top, garbage[i], look_by_frame_pointer);
		assert_int_equal(ours.count, COROUTINE_FRAMES);
	}
	munmap(stack, 3 * PAGE);
}

static void ends_where_the_stack_does(void **state)
{
	char *stack = map_stack();

	(void)state;
	skip_if_bound_to_one_stack();
	skip_if_bound_to_one_stack();
	jump(stack + 2 * PAGE, 0, begin_at_top);
	assert_int_equal(ours.count, COROUTINE_FRAMES + 1);
	assert_int_equal(munmap(stack + 2 * PAGE, PAGE), 0);
	jump(stack + 2 * PAGE, 0, begin_at_top);
	assert_int_equal(ours.count, COROUTINE_FRAMES + 1);
	munmap(stack, 2 * PAGE);
}

/* A word that is left from another coroutine leads on, but only upwards. */
static void ends_where_the_stack_does_not_grow(void **state)
{
	char *stack = map_stack();
	uintptr_t *top = (uintptr_t *)(stack + 2 * PAGE) - 21;

	(void)state;
	skip_if_bound_to_one_stack();
	memset(stack, 0, 2 * PAGE);
	jump(top, 0, look_by_frame_pointer);
	/* A function with a frame pointer, which points below. */
	*top = ours.addresses[COROUTINE_FRAMES - 1];
	jump(top, (uintptr_t)stack, look_and_return);
	assert_int_equal(ours.count, COROUTINE_FRAMES + 1);
	jump(top, (uintptr_t)stack + 2 * PAGE + 64, look_and_return);
	assert_int_equal(ours.count, COROUTINE_FRAMES + 1);
	munmap(stack, 3 * PAGE);
}

#endif

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(finds_what_backtrace_finds),
		cmocka_unit_test(finds_it_in_a_thread),
		cmocka_unit_test(sees_through_a_handler),
		cmocka_unit_test(tells_its_words),
#ifdef __x86_64__
		cmocka_unit_test(ends_before_an_address_of_no_module),
		cmocka_unit_test(ends_where_the_stack_does),
		cmocka_unit_test(ends_where_the_stack_does_not_grow),
#endif
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
