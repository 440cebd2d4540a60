/* SPDX-License-Identifier: PostgreSQL */
/* Call stacks: what is captured, interning, unloaded modules, threads, forks, the limit. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h wants the four above. */
#include <cmocka.h>

#include <ctype.h>
#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/elf/symbol.h"
#include "trace/stack/stack.h"

#ifdef __has_feature
#if __has_feature(thread_sanitizer)
#define __SANITIZE_THREAD__ 1
#endif
#endif

#define NOINLINE __attribute__((noinline))
/* Something to do after a call keeps it from becoming a jump. */
#define STAY     __asm__ volatile("" ::: "memory")

static NOINLINE uint32_t inner(const void *caller, unsigned depth)
{
	uint32_t id = stack_capture(caller, depth);

	STAY;
	return id;
}

/* As a hook of the shim: the stack is to begin with who called this. */
static NOINLINE uint32_t hook(unsigned depth)
{
	uint32_t id = inner(__builtin_return_address(0), depth);

	STAY;
	return id;
}

static NOINLINE uint32_t first_place(unsigned depth)
{
	uint32_t id = hook(depth);

	STAY;
	return id;
}

/* Not quite the same, or the compiler makes one function of the two. */
static NOINLINE uint32_t second_place(unsigned depth)
{
	uint32_t id = hook(depth);

	__asm__ volatile("nop" ::: "memory");
	return id;
}

static NOINLINE uint32_t recurse(unsigned times, unsigned depth)
{
	uint32_t id = times > 0 ? recurse(times - 1, depth) : first_place(depth);

	STAY;
	return id;
}

static const char *name_of(const struct stack_frame *frame)
{
	static char name[128];

	name[0] = '\0';
	if (frame->module != NULL) {
		symbol_nearest(frame->module->path, frame->offset, name, sizeof(name));
	}
	return name;
}

static void begins_with_the_caller(void **state)
{
	uint32_t id = first_place(16);
	const struct stack *stack = stack_get(id);
	char own_name[PATH_MAX] = "";

	(void)state;
	assert_non_null(stack);
	assert_int_equal(stack->id, id);
	assert_true(stack->depth >= 3 && stack->depth <= 16);
	assert_string_equal(name_of(&stack->frames[0]), "first_place");
	assert_string_equal(name_of(&stack->frames[1]), "begins_with_the_caller");
	assert_true(readlink("/proc/self/exe", own_name, sizeof(own_name) - 1) > 0);
	assert_string_equal(stack->frames[0].module->path, own_name);
	assert_ptr_equal(stack->frames[0].module, stack->frames[1].module);
	/* cmocka called the test. */
	assert_non_null(strstr(stack->frames[2].module->path, "libcmocka"));
	assert_int_equal(stack->frames[2].module->path[0], '/');
}

static void knows_build_ids(void **state)
{
	const struct stack *stack = stack_get(first_place(16));
	const char *id = stack->frames[2].module->build_id;

	(void)state;
	assert_true(strlen(id) >= 16 && strlen(id) % 2 == 0);
	for (; *id != '\0'; id++) {
		assert_true(isdigit((unsigned char)*id) || (*id >= 'a' && *id <= 'f'));
	}
}

static void keeps_one_of_each(void **state)
{
	uint32_t ids[2];

	(void)state;
	/* volatile, or the loop is unrolled into two places */
	for (volatile int i = 0; i < 2; i++) {
		errno = 42;
		ids[i] = first_place(16);
		assert_int_equal(errno, 42);
	}
	assert_int_not_equal(ids[0], 0);
	assert_int_equal(ids[0], ids[1]);
	assert_int_not_equal(second_place(16), ids[0]);
	/* The same call, reached by another way. */
	assert_int_not_equal(recurse(1, 16), recurse(2, 16));
	assert_int_not_equal(first_place(16), ids[0]);
}

static void respects_the_depth(void **state)
{
	const struct stack *stack;

	(void)state;
	for (unsigned depth = 1; depth <= STACK_MAX_DEPTH; depth++) {
		stack = stack_get(recurse(100, depth));
		assert_int_equal(stack->depth, depth);
		assert_string_equal(name_of(&stack->frames[0]), "first_place");
		assert_string_equal(name_of(&stack->frames[depth - 1]),
		                    depth == 1 ? "first_place" : "recurse");
	}
	stack = stack_get(recurse(100, 0));
	assert_int_equal(stack->depth, 1);
	assert_string_equal(name_of(&stack->frames[0]), "first_place");
	assert_int_equal(stack_get(recurse(100, 1000))->depth, STACK_MAX_DEPTH);
}

static void keeps_a_caller_it_does_not_meet(void **state)
{
	const char *address = (const char *)(uintptr_t)&first_place + 1;
	const struct stack *stack = stack_get(stack_capture(address, 16));

	(void)state;
	assert_int_equal(stack->depth, 1);
	assert_string_equal(name_of(&stack->frames[0]), "first_place");
}

static void keeps_addresses_of_no_module(void **state)
{
	const char *page = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	const struct stack *stack = stack_get(stack_capture(page + 9, 16));

	(void)state;
	assert_int_equal(stack->depth, 1);
	assert_null(stack->frames[0].module);
	assert_null(stack->frames[0].symbol);
	assert_int_equal(stack->frames[0].offset, (uintptr_t)page + 8);
	munmap((void *)(uintptr_t)page, 4096);
}

static void finds_exported_symbols(void **state)
{
	void *libc_getpid = dlsym(RTLD_NEXT, "getpid");
	const struct stack *stack;

	(void)state;
	stack = stack_get(stack_capture((const char *)libc_getpid + 1, 0));
	assert_non_null(stack->frames[0].symbol);
	assert_non_null(strstr(stack->frames[0].symbol, "getpid"));
}

static void notices_an_unloaded_module(void **state)
{
	static const char module[] = "libBrokenLocale.so.1"; /* of libc's, and used by nobody */
	static const char function[] = "__ctype_get_mb_cur_max";
	void *handle = dlopen(module, RTLD_LAZY);
	const char *address = handle != NULL ? dlsym(handle, function) : NULL;
	const struct stack *stack;
	uint32_t loaded;
	uint32_t unloaded;

	(void)state;
	if (address == NULL) {
		skip();
	}
	loaded = stack_capture(address + 1, 0);
	stack = stack_get(loaded);
	assert_non_null(strstr(stack->frames[0].module->path, module));
	assert_string_equal(stack->frames[0].symbol, function);
	assert_int_equal(dlclose(handle), 0);
	unloaded = stack_capture(address + 1, 0);
	assert_int_not_equal(unloaded, loaded);
	assert_null(stack_get(unloaded)->frames[0].module);
	/* What was kept still means what it meant. */
	assert_non_null(strstr(stack->frames[0].module->path, module));
	assert_string_equal(stack->frames[0].symbol, function);

	handle = dlopen(module, RTLD_LAZY);
	address = dlsym(handle, function);
	assert_int_equal(stack_capture(address + 1, 0), loaded);
	dlclose(handle);
}

#ifdef __x86_64__

/*
 * Two ways to one place, from the same call: there the stack pointer is the same, and in the
 * second way's own frame lies untouched what the first has left, return address and all. The
 * second differs by a frame pointer alone.
 */
uint32_t by_long_frame(void);
uint32_t by_short_frame(void);
uint32_t in_frame_of(size_t bytes);

__asm__(".text\n"
        ".type by_short_frame, @function\n"
        "by_short_frame:\n"
        "	.cfi_startproc\n"
        "	subq $8, %rsp\n"
        "	.cfi_def_cfa_offset 16\n"
        "	movl $144, %edi\n"
        "	call in_frame_of\n"
        "	addq $8, %rsp\n"
        "	.cfi_def_cfa_offset 8\n"
        "	ret\n"
        "	.cfi_endproc\n"
        ".size by_short_frame, . - by_short_frame\n"
        ".type by_long_frame, @function\n"
        "by_long_frame:\n"
        "	.cfi_startproc\n"
        "	subq $136, %rsp\n"
        "	.cfi_def_cfa_offset 144\n"
        "	movl $16, %edi\n"
        "	call in_frame_of\n"
        "	addq $136, %rsp\n"
        "	.cfi_def_cfa_offset 8\n"
        "	ret\n"
        "	.cfi_endproc\n"
        ".size by_long_frame, . - by_long_frame\n");

NOINLINE uint32_t in_frame_of(size_t bytes)
{
	volatile char *room = __builtin_alloca(bytes);
	uint32_t id;

	room[0] = 1;
	id = first_place(16);
	room[bytes - 1] = 1;
	return id;
}

static void tells_frames_of_two_sizes_apart(void **state)
{
	uint32_t (*ways[])(void) = {by_short_frame, by_long_frame};
	volatile size_t count = 4; /* unknown, so that all are one call */
	uint32_t ids[4];

	(void)state;
	for (size_t i = 0; i < count; i++) {
		ids[i] = ways[i % 2]();
	}
	assert_string_equal(name_of(&stack_get(ids[0])->frames[2]), "by_short_frame");
	assert_string_equal(name_of(&stack_get(ids[1])->frames[2]), "by_long_frame");
	assert_int_equal(ids[0], ids[2]);
	assert_int_equal(ids[1], ids[3]);
	assert_int_not_equal(ids[0], ids[1]);
}

#endif

static uint32_t in_handler;

static void capture_in_handler(int signo)
{
	(void)signo;
	in_handler = hook(16);
}

/* The frame that the signal interrupts. */
static NOINLINE void fault(volatile int *nowhere)
{
	*nowhere = 1;
	STAY;
}

static volatile int *page_to_open;

static void open_page(int signo)
{
	capture_in_handler(signo);
	mprotect((void *)(uintptr_t)page_to_open, 4096, PROT_READ | PROT_WRITE);
}

static void sees_through_a_signal(void **state)
{
	struct sigaction before;
	const struct sigaction action = {.sa_handler = open_page};
	const struct stack *stack;
	bool met = false;

	(void)state;
#ifdef __SANITIZE_THREAD__
	/* It forbids malloc in a handler; here the program waits at a known place. */
	skip();
#endif
	page_to_open = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	sigaction(SIGSEGV, &action, &before);
	fault(page_to_open);
	sigaction(SIGSEGV, &before, NULL);
	munmap((void *)(uintptr_t)page_to_open, 4096);
	stack = stack_get(in_handler);
	for (uint32_t i = 0; i < stack->depth; i++) {
		met = met || strcmp(name_of(&stack->frames[i]), "fault") == 0;
	}
	assert_true(met);
}

static void is_claimed_once(void **state)
{
	uint32_t id = first_place(5);
	pid_t child;
	int status;

	(void)state;
	assert_true(stack_claim_for_log(id, 1));
	assert_false(stack_claim_for_log(id, 1));
	assert_false(stack_claim_for_log(0, 1));
	assert_false(stack_claim_for_log(STACK_MAX, 1));
	assert_false(stack_claim_for_log(UINT32_MAX, 1));
	assert_null(stack_get(0));
	assert_null(stack_get(STACK_MAX));
	assert_null(stack_get(UINT32_MAX));
	stack_fork_prepare();
	child = fork();
	if (child == 0) {
		bool again;

		stack_fork_child();
		again = stack_claim_for_log(id, 1) && !stack_claim_for_log(id, 1);
		_exit(again && stack_get(id) != NULL && first_place(6) != 0 ? 0 : 1);
	}
	stack_fork_parent();
	waitpid(child, &status, 0);
	assert_int_equal(status, 0);
	assert_false(stack_claim_for_log(id, 1));
}

#define THREADS 8
#define ROUNDS  400

static void *capture_many(void *arg)
{
	uint32_t *ids = arg;

	for (unsigned i = 0; i < ROUNDS; i++) {
		uint32_t id = recurse(i % 20, 8 + i % 20 / 2);

		if (ids[i % 20] == 0) {
			ids[i % 20] = id;
		}
		if (ids[i % 20] != id || stack_get(id) == NULL) {
			return "not the same";
		}
	}
	return NULL;
}

static void is_the_same_for_all_threads(void **state)
{
	static uint32_t ids[THREADS][20];
	pthread_t threads[THREADS];
	void *complaint;

	(void)state;
	for (size_t i = 0; i < THREADS; i++) {
		assert_int_equal(pthread_create(&threads[i], NULL, capture_many, ids[i]), 0);
	}
	for (size_t i = 0; i < THREADS; i++) {
		pthread_join(threads[i], &complaint);
		assert_null(complaint);
	}
	for (size_t i = 1; i < THREADS; i++) {
		assert_memory_equal(ids[0], ids[i], sizeof(ids[0]));
	}
}

/* Must be the last: there is no room for another stack afterwards. */
static void keeps_no_more_than_the_limit(void **state)
{
	uint32_t early = first_place(16);
	uint32_t last = 0;
	const char *page =
		mmap(NULL, 2 * STACK_MAX, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	(void)state;
	for (size_t i = 0; i < STACK_MAX + 10; i++) {
		uint32_t id = stack_capture(page + i + 1, 0);

		last = id > last ? id : last;
		assert_true(id != 0 || last == STACK_MAX);
	}
	assert_int_equal(last, STACK_MAX);
	assert_int_equal(stack_capture(page + 1, 0) != 0, 1);
	assert_int_equal(stack_capture(page + STACK_MAX + 20, 0), 0);
	assert_non_null(stack_get(STACK_MAX));
	assert_non_null(stack_get(early));
	munmap((void *)(uintptr_t)page, 2 * STACK_MAX);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(begins_with_the_caller),
		cmocka_unit_test(knows_build_ids),
		cmocka_unit_test(keeps_one_of_each),
		cmocka_unit_test(respects_the_depth),
		cmocka_unit_test(keeps_a_caller_it_does_not_meet),
		cmocka_unit_test(keeps_addresses_of_no_module),
		cmocka_unit_test(finds_exported_symbols),
		cmocka_unit_test(notices_an_unloaded_module),
#ifdef __x86_64__
		cmocka_unit_test(tells_frames_of_two_sizes_apart),
#endif
		cmocka_unit_test(sees_through_a_signal),
		cmocka_unit_test(is_claimed_once),
		cmocka_unit_test(is_the_same_for_all_threads),
		cmocka_unit_test(keeps_no_more_than_the_limit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
