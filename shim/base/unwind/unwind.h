/* SPDX-License-Identifier: PostgreSQL */
/*
 * Walks up the calling thread's stack, frame by frame.
 *
 *	struct unwind u;
 *
 *	unwind_begin(&u);
 *	while (unwind_next(&u)) { ... u.address ... }
 *
 * For any stack: a coroutine's outermost frame may have anything for a return address, and a
 * copied stack may have frames of another coroutine above its own. The walk ends before an
 * address that no module's tables cover (frame_table.h), where the stack does not grow, and
 * where it cannot be read (own_stack.h). Above a coroutine's first frame it may be stale.
 *
 * Not libgcc's unwinder, nor glibc's backtrace(), which uses it: it reads code at addresses
 *that it does not know, looking for a signal's trampoline, and takes the stack's memory for
 *granted.
 *
 * For x86-64 and AArch64; on other machines no frame is found. Locks: none. errno is changed.
 * Fork and signals: nothing to do.
 */
#ifndef PQPOOL_BASE_UNWIND_UNWIND_H
#define PQPOOL_BASE_UNWIND_UNWIND_H

#include <stdbool.h>
#include <stdint.h>

#include "base/unwind/frame_table.h"
#include "base/unwind/own_stack.h"

#define UNWIND_REGISTERS FRAME_REGISTERS

struct unwind {
	uintptr_t address; /* where the frame goes on */
	uintptr_t pointer; /* its stack pointer by then */
	bool interrupted;  /* by a signal, at just this address; else one has called */
	/*
	 * What led here from the frame before: where the word lies that the address was read
	 * from, and that of the register by which it was found, 0 if by the stack pointer.
	 * A number below UNWIND_REGISTERS is a register as it was at the beginning. If the
	 * frame is `plain` and these words have not changed, neither has the frame. After the
	 * last frame they are what ended the walk.
	 */
	uintptr_t address_word;
	uintptr_t base_word;
	bool plain;

	struct frame_entry entry; /* of its function */
	struct own_stack stack;

	/* unwind.c's */
	bool begun;
	uintptr_t registers[UNWIND_REGISTERS];
	uintptr_t words[UNWIND_REGISTERS]; /* where they were read from */
};

/* Begins at the function that this is part of. */
static inline __attribute__((always_inline)) void unwind_begin(struct unwind *u);

/* Goes on to the caller's frame; false: none could be found. */
bool unwind_next(struct unwind *u);

/*
 * True if a function that begins in [low, high) is among the callers of the calling one, and
 * none between that begins at `without`. Looks at 256 of them at most.
 */
bool unwind_called_from(uintptr_t low, uintptr_t high, uintptr_t without);

/*
 * True if a signal handler is among the callers: malloc may be in use below it. The blocked
 * signals do not tell: a program that starts another one from a handler unblocks them first.
 */
bool unwind_in_signal_handler(void);

/* The rest of unwind_begin, after the registers were noted. */
void unwind_set_out(struct unwind *u);

static inline __attribute__((always_inline)) void unwind_begin(struct unwind *u)
{
#if defined(__x86_64__) && defined(__LP64__)
	__asm__ volatile("movq %%rbx, 24(%0)\n\t"
	                 "movq %%rbp, 48(%0)\n\t"
	                 "movq %%rsp, 56(%0)\n\t"
	                 "movq %%r12, 96(%0)\n\t"
	                 "movq %%r13, 104(%0)\n\t"
	                 "movq %%r14, 112(%0)\n\t"
	                 "movq %%r15, 120(%0)\n\t"
	                 "leaq 0f(%%rip), %%rax\n"
	                 "0:\tmovq %%rax, 128(%0)"
	                 :
	                 : "r"(u->registers)
	                 : "rax", "memory");
#elif defined(__aarch64__)
	__asm__ volatile("stp x19, x20, [%0, #152]\n\t"
	                 "stp x21, x22, [%0, #168]\n\t"
	                 "stp x23, x24, [%0, #184]\n\t"
	                 "stp x25, x26, [%0, #200]\n\t"
	                 "stp x27, x28, [%0, #216]\n\t"
	                 "str x29, [%0, #232]\n\t"
	                 "adr x9, 0f\n"
	                 "0:\tmov x10, sp\n\t"
	                 "stp x9, x10, [%0, #240]"
	                 :
	                 : "r"(u->registers)
	                 : "x9", "x10", "memory");
#else
	u->registers[FRAME_POINTER] = 0;
	u->registers[FRAME_RETURN] = 0;
#endif
	unwind_set_out(u);
}

#endif
