/* SPDX-License-Identifier: PostgreSQL */
/*
 * A walk through functions whose frames are described as compilers seldom do: by expressions,
 * and by instructions about registers of which this machine's compilers write none.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h wants the four above. */
#include <cmocka.h>

#include "base/unwind/unwind.h"

#ifdef __x86_64__

/*
 * DWARF's codes. Each function's frame begins 16 bytes above its stack pointer, at the lower
 * word 8, at the upper one its return address. An expression's length is in bytes; B(n) is the
 * stack pointer plus n.
 */
#define CFA_IS(length)       0x0f, length
#define RETURN_AT(length)    0x10, 16, length
#define RBX_IS(length)       0x16, 3, length
#define B(n)                 0x77, n
#define LIT(n)               0x30 + n
#define AND                  0x1a
#define MINUS                0x1c
#define MUL                  0x1e
#define OR                   0x21
#define PLUS                 0x22
#define PLUS_UCONST(n)       0x23, n
#define SHL                  0x24
#define SHR                  0x25
#define EQ                   0x29
#define GE                   0x2a
#define GT                   0x2b
#define LE                   0x2c
#define LT                   0x2d
#define NE                   0x2e
#define DEREF                0x06
#define DUP                  0x12
#define MINUS_ONE            0x09, 0xff
/* What is compared, times 16: only a true one makes the frame's address. */
#define IF_TRUE(a, b, what)  CFA_IS(8), LIT(a), LIT(b), what, LIT(16), MUL, B(0), PLUS
#define IF_FALSE(a, b, what) CFA_IS(6), LIT(a), LIT(b), what, B(16), PLUS
#define UNKNOWN              0x96

/* X(name, whether the walk goes on, the bytes). */
#define DESCRIBED(X)                                                                           \
	X(by_and, true, CFA_IS(6), LIT(24), LIT(19), AND, B(0), PLUS)                          \
	X(by_minus, true, CFA_IS(4), B(24), LIT(8), MINUS)                                     \
	X(by_mul, true, CFA_IS(6), LIT(2), LIT(8), MUL, B(0), PLUS)                            \
	X(by_or, true, CFA_IS(6), LIT(16), LIT(8), OR, B(0x78), PLUS)                          \
	X(by_plus, true, CFA_IS(4), B(8), LIT(8), PLUS)                                        \
	X(by_plus_uconst, true, CFA_IS(4), B(0), PLUS_UCONST(16))                              \
	X(by_negative_offset, true, CFA_IS(4), B(0x78), PLUS_UCONST(24))                       \
	X(by_shl, true, CFA_IS(6), LIT(2), LIT(3), SHL, B(0), PLUS)                            \
	X(by_shl_of_all, true, CFA_IS(7), LIT(1), 0x08, 64, SHL, B(16), PLUS)                  \
	X(by_shr, true, CFA_IS(8), 0x0a, 0, 1, LIT(4), SHR, B(0), PLUS)                        \
	X(by_shr_of_all, true, CFA_IS(7), LIT(1), 0x08, 64, SHR, B(16), PLUS)                  \
	X(by_dup, true, CFA_IS(6), LIT(8), DUP, PLUS, B(0), PLUS)                              \
	X(by_deref, true, CFA_IS(6), B(0), DEREF, B(8), PLUS)                                  \
	X(by_eq, true, IF_TRUE(5, 5, EQ))                                                      \
	X(by_not_eq, true, IF_FALSE(5, 6, EQ))                                                 \
	X(by_ne, true, IF_TRUE(5, 6, NE))                                                      \
	X(by_not_ne, true, IF_FALSE(5, 5, NE))                                                 \
	X(by_ge, true, IF_TRUE(5, 5, GE))                                                      \
	X(by_not_ge, true, IF_FALSE(5, 6, GE))                                                 \
	X(by_gt, true, IF_TRUE(6, 5, GT))                                                      \
	X(by_not_gt, true, IF_FALSE(5, 5, GT))                                                 \
	X(by_le, true, IF_TRUE(5, 5, LE))                                                      \
	X(by_not_le, true, IF_FALSE(6, 5, LE))                                                 \
	X(by_lt, true, IF_TRUE(5, 6, LT))                                                      \
	X(by_not_lt, true, IF_FALSE(5, 5, LT))                                                 \
	X(by_lt_signed, true, CFA_IS(9), MINUS_ONE, LIT(0), LT, LIT(16), MUL, B(0), PLUS)      \
	X(by_const1u, true, CFA_IS(5), 0x08, 16, B(0), PLUS)                                   \
	X(by_const1s, true, CFA_IS(5), 0x09, 0xf8, B(24), PLUS)                                \
	X(by_const2u, true, CFA_IS(6), 0x0a, 16, 0, B(0), PLUS)                                \
	X(by_const2s, true, CFA_IS(6), 0x0b, 0xf8, 0xff, B(24), PLUS)                          \
	X(by_const4u, true, CFA_IS(8), 0x0c, 16, 0, 0, 0, B(0), PLUS)                          \
	X(by_const4s, true, CFA_IS(8), 0x0d, 0xf8, 0xff, 0xff, 0xff, B(24), PLUS)              \
	X(by_const8u, true, CFA_IS(12), 0x0e, 16, 0, 0, 0, 0, 0, 0, 0, B(0), PLUS)             \
	X(by_const8s, true, CFA_IS(12), 0x0f, 16, 0, 0, 0, 0, 0, 0, 0, B(0), PLUS)             \
	X(by_constu, true, CFA_IS(6), 0x10, 0x90, 0, B(0), PLUS)                               \
	X(by_consts, true, CFA_IS(5), 0x11, 0x78, B(24), PLUS)                                 \
	X(full, true, CFA_IS(16), LIT(1), LIT(1), LIT(1), LIT(1), LIT(1), LIT(1), LIT(1),      \
	  B(9), PLUS, PLUS, PLUS, PLUS, PLUS, PLUS, PLUS)                                      \
	X(too_full, false, CFA_IS(11), LIT(1), LIT(1), LIT(1), LIT(1), LIT(1), LIT(1), LIT(1), \
	  LIT(1), B(16), PLUS)                                                                 \
	X(too_full_by_dup, false, CFA_IS(10), LIT(1), LIT(1), LIT(1), LIT(1), LIT(1), LIT(1),  \
	  LIT(1), B(16), DUP)                                                                  \
	X(of_nothing, false, CFA_IS(0))                                                        \
	X(plus_of_one, false, CFA_IS(3), B(16), PLUS)                                          \
	X(dup_of_none, false, CFA_IS(3), DUP, B(16))                                           \
	X(deref_of_none, false, CFA_IS(3), DEREF, B(16))                                       \
	X(deref_of_nowhere, false, CFA_IS(5), LIT(8), DEREF, B(16), PLUS)                      \
	X(by_unknown, false, CFA_IS(3), UNKNOWN, B(16))                                        \
	X(by_unknown_of_two, false, CFA_IS(5), B(16), B(16), UNKNOWN)                          \
	X(below, false, CFA_IS(2), B(0x70))                                                    \
	X(return_at, true, SAID, RETURN_AT(2), LIT(8), MINUS)                                  \
	X(return_nowhere, false, SAID, RETURN_AT(2), LIT(8), MUL)                              \
	X(return_by_unknown, false, SAID, RETURN_AT(1), UNKNOWN)                               \
	X(return_undefined, false, SAID, 0x07, 16)                                             \
	X(rbx_is, true, SAID, RBX_IS(2), LIT(8), PLUS)                                         \
	X(rbx_by_unknown, false, SAID, RBX_IS(1), UNKNOWN)                                     \
	X(rbx_offset, true, SAID, 0x14, 3, 2)                                                  \
	X(rbx_offset_signed, true, SAID, 0x15, 3, 0x7f)                                        \
	X(rbx_in_rsp, true, SAID, 0x09, 3, 7)                                                  \
	X(rbx_in_none, false, SAID, 0x09, 3, 99)                                               \
	X(rbx_saved, true, SAID, 0x05, 3, 2)                                                   \
	X(rbx_saved_signed, true, SAID, 0x11, 3, 2)                                            \
	X(rbx_restored, true, SAID, 0x05, 3, 2, 0x06, 3)                                       \
	X(rbx_same, true, SAID, 0x05, 3, 2, 0x08, 3)                                           \
	X(base_signed, true, 0x12, 7, 0x7e)                                                    \
	X(offset_signed, true, 0x13, 0x7e)                                                     \
	X(arguments, true, SAID, 0x2e, 8)
/* By the stack pointer and 16 bytes. */
#define SAID 0x0c, 7, 16

#define TEXT_(...) #__VA_ARGS__
#define TEXT(...)  TEXT_(__VA_ARGS__)
#define FUNCTION(name, goes_on, ...)                                                           \
	void name(void);                                                                       \
	__asm__(".text\n"                                                                      \
	        ".type " #name ", @function\n" #name ":\n"                                     \
	        "	.cfi_startproc\n"                                                            \
	        "	pushq $8\n"                                                                  \
	        "	.cfi_escape " TEXT(__VA_ARGS__) "\n"                                   \
	                                                "	leaq 16(%rsp), %rdi\n"               \
	                                                "	call walk\n"                         \
	                                                "	addq $8, %rsp\n"                     \
	                                                "	.cfi_def_cfa 7, 8\n"                 \
	                                                "	ret\n"                               \
	                                                "	.cfi_endproc\n"                      \
	                                                ".size " #name ", . - " #name "\n");

/* What the walk found behind the function. */
static struct {
	bool went_on;
	bool plain;
	uintptr_t pointer;
	uintptr_t address;
	uintptr_t rbx;
	uintptr_t rbx_before;
	uintptr_t frame; /* where the function says that its frame begins */
} found;

__attribute__((used, noinline)) static void walk(uintptr_t frame)
{
	struct unwind u;

	unwind_begin(&u);
	assert_true(unwind_next(&u));
	found.rbx_before = u.registers[3];
	found.frame = frame;
	found.went_on = unwind_next(&u);
	found.plain = u.plain;
	found.pointer = u.registers[FRAME_POINTER];
	found.address = u.address;
	found.rbx = u.registers[3];
	if (found.went_on) {
		assert_int_equal(u.address, ((const uintptr_t *)frame)[-1]);
	}
}

DESCRIBED(FUNCTION)

static const struct described {
	const char *name;
	void (*function)(void);
	bool goes_on;
} described[] = {
#define ROW(name, goes_on, ...) {#name, name, goes_on},
	DESCRIBED(ROW)};

static void goes_by_the_description(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(described) / sizeof(described[0]); i++) {
		described[i].function();
		if (found.went_on != described[i].goes_on ||
		    (found.went_on && found.pointer != found.frame)) {
			fail_msg("%s: went on %d, to %#lx of %#lx", described[i].name,
			         found.went_on, (unsigned long)found.pointer,
			         (unsigned long)found.frame);
		}
	}
}

static void restores_a_register_by_its_rule(void **state)
{
	(void)state;
	rbx_is();
	assert_int_equal(found.rbx, found.frame + 8);
	rbx_offset();
	assert_int_equal(found.rbx, found.frame - 16);
	rbx_offset_signed();
	assert_int_equal(found.rbx, found.frame + 8);
	rbx_in_rsp();
	assert_int_equal(found.rbx, found.frame - 16);
	rbx_saved();
	assert_int_equal(found.rbx, 8);
	rbx_saved_signed();
	assert_int_equal(found.rbx, 8);
	rbx_restored();
	assert_int_equal(found.rbx, found.rbx_before);
	rbx_same();
	assert_int_equal(found.rbx, found.rbx_before);
}

/* A stack is known again by its words only if nothing but they decided. */
static void tells_what_more_decided(void **state)
{
	(void)state;
	by_plus();
	assert_false(found.plain);
	return_at();
	assert_false(found.plain);
	rbx_is();
	assert_false(found.plain);
	rbx_offset();
	assert_false(found.plain);
	rbx_saved();
	assert_true(found.plain);
}

#endif

int main(void)
{
#ifdef __x86_64__
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(goes_by_the_description),
		cmocka_unit_test(restores_a_register_by_its_rule),
		cmocka_unit_test(tells_what_more_decided),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
#else
	return 0;
#endif
}
