/* SPDX-License-Identifier: PostgreSQL */
/*
 * dlsym and dlopen, for callers that look libpq's functions up themselves.
 *
 * Allocators call dlsym while they start, so nothing here may allocate unless the call is about
 * libpq.
 */
#include "hooks/loader.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdatomic.h>
#include <stddef.h>
#include <string.h>

#include "base/dl.h"
#include "base/elf/elf_needed.h"
#include "base/libpq/caller.h"
#include "base/libpq/objects.h"
#include "hooks/interposed.h"
#include "key/process_ids.h"

#if DL_INTERPOSED

/* ---- the thunks ------------------------------------------------------------------ */

/*
 * Keeps the arguments, calls `decide` with the return address as its third argument, then jumps
 * or returns. In assembly, because a compiler may turn a final call into a jump, but need not.
 */
#if defined(__x86_64__)
#define THUNK(name, decide)                                                                    \
	__asm__(".pushsection .text\n"                                                         \
	        ".p2align 4\n"                                                                 \
	        ".globl " name "\n"                                                            \
	        ".type " name ", @function\n" name ":\n"                                       \
	        ".cfi_startproc\n"                                                             \
	        "endbr64\n"                                                                    \
	        "pushq %rdi\n"                                                                 \
	        ".cfi_adjust_cfa_offset 8\n"                                                   \
	        "movq 8(%rsp), %rdx\n"                                                         \
	        "call " decide "\n"                                                            \
	        "popq %rdi\n"                                                                  \
	        ".cfi_adjust_cfa_offset -8\n"                                                  \
	        "testq %rax, %rax\n"                                                           \
	        "jz 1f\n"                                                                      \
	        "movq %rdx, %rsi\n"                                                            \
	        "jmp *%rax\n"                                                                  \
	        "1: movq %rdx, %rax\n"                                                         \
	        "ret\n"                                                                        \
	        ".cfi_endproc\n"                                                               \
	        ".size " name ", . - " name "\n"                                               \
	        ".popsection\n")
#else
#define THUNK(name, decide)                                                                    \
	__asm__(".pushsection .text\n"                                                         \
	        ".p2align 4\n"                                                                 \
	        ".globl " name "\n"                                                            \
	        ".type " name ", %function\n" name ":\n"                                       \
	        ".cfi_startproc\n"                                                             \
	        "hint #34\n" /* bti c */                                                       \
	        "stp x29, x30, [sp, #-32]!\n"                                                  \
	        ".cfi_def_cfa_offset 32\n"                                                     \
	        ".cfi_offset 29, -32\n"                                                        \
	        ".cfi_offset 30, -24\n"                                                        \
	        "mov x29, sp\n"                                                                \
	        "str x0, [sp, #16]\n"                                                          \
	        "mov x2, x30\n"                                                                \
	        "bl " decide "\n"                                                              \
	        "mov x16, x0\n"                                                                \
	        "ldr x0, [sp, #16]\n"                                                          \
	        "ldp x29, x30, [sp], #32\n"                                                    \
	        ".cfi_restore 29\n"                                                            \
	        ".cfi_restore 30\n"                                                            \
	        ".cfi_def_cfa_offset 0\n"                                                      \
	        "cbz x16, 1f\n"                                                                \
	        "br x16\n"                                                                     \
	        "1: mov x0, x1\n"                                                              \
	        "ret\n"                                                                        \
	        ".cfi_endproc\n"                                                               \
	        ".size " name ", . - " name "\n"                                               \
	        ".popsection\n")
#endif

THUNK("dlsym", "loader_dlsym");
THUNK("dlopen", "loader_dlopen");

static struct road onward(_Atomic(void *) *known, const char *name, uintptr_t second)
{
	void *next = interposed_next(known, name);

	return (struct road){next, next != NULL ? second : 0};
}

/* ---- dlsym ------------------------------------------------------------------------- */

/* The result of a look-up. */
enum outcome { PASS, ANSWER, FAIL };

#define HOOKED_BYTES 32

struct hooked {
	char name[HOOKED_BYTES];
	/*
	 * A name that no object defines, for a look-up that must fail although we define the
	 * name: the linker then reports that, and names the caller, as without us.
	 */
	char missing[HOOKED_BYTES];
};

static const struct hooked hooked[] = {
#define HOOK(name)          {#name, #name " "},
#define HOOK_OPTIONAL(name) {#name, #name " "},
#define CALL(name)
#define CALL_OPTIONAL(name)
#include "base/libpq/functions.def"
};

static const struct hooked *find_hooked(const char *name)
{
	if (name == NULL || name[0] != 'P' || name[1] != 'Q') {
		return NULL;
	}
	for (size_t i = 0; i < sizeof(hooked) / sizeof(hooked[0]); i++) {
		if (strcmp(hooked[i].name, name) == 0) {
			return &hooked[i];
		}
	}
	return NULL;
}

/*
 * The look-up would find our own definition. If there is another behind it, code that must not
 * get ours gets that one; a wrapper comes after us, as it does for calls.
 */
static enum outcome look_behind(void *found, const void *caller, void **answer)
{
	if (found == NULL) {
		return FAIL;
	}
	*answer = found;
	return libpq_judge(caller, found) == LIBPQ_OTHER ? ANSWER : PASS;
}

static enum outcome look_up(void *handle, const char *name, const void *caller, void **answer)
{
	void *own = object_shims(name);
	void *program = handle == RTLD_DEFAULT ? dl_open(NULL, RTLD_LAZY) : NULL;
	void *found = dl_symbol(program != NULL ? program : handle, name);

	if (program != NULL) {
		dlclose(program);
	}
	if (found == NULL || own == NULL) {
		return PASS;
	}
	if (found == own) {
		/* A handle can lead to us only through the program's scope. */
		return look_behind(object_visible(name, program != NULL ? caller : NULL),
		                   caller, answer);
	}
	if (program != NULL || libpq_judge(caller, found) != LIBPQ_AGREED) {
		return PASS;
	}
	*answer = own;
	return ANSWER;
}

static bool is_credential(const char *name)
{
	static const char names[][12] = {"setuid",   "setgid",   "seteuid",   "setegid",
	                                 "setreuid", "setregid", "setresuid", "setresgid",
	                                 "unshare",  "setns",    "syscall"};

	for (size_t i = 0; name != NULL && i < sizeof(names) / sizeof(names[0]); i++) {
		if (strcmp(names[i], name) == 0) {
			return true;
		}
	}
	return false;
}

/*
 * Ours in place of the C library's that is found by its handle: a change of the process's ids
 * past us would lend one user's sessions to another. NULL: the look-up is not about that.
 */
static void *own_credential_function(void *handle, const char *name)
{
	void *found = NULL;

	if (handle != RTLD_NEXT && handle != RTLD_DEFAULT && is_credential(name)) {
		found = dl_symbol(handle, name);
	}
	return found != NULL && found == dl_next(name) ? object_shims(name) : NULL;
}

struct road loader_dlsym(void *handle, const char *name, const void *caller)
{
	static _Atomic(void *) next;
	struct road road = onward(&next, "dlsym", (uintptr_t)name);
	const struct hooked *function = handle == RTLD_NEXT ? NULL : find_hooked(name);
	int saved_errno = errno;
	void *answer = NULL;

	if (road.target == NULL) {
		return road;
	}
	if (function == NULL) {
		answer = own_credential_function(handle, name);
		if (answer != NULL) {
			road.target = NULL;
			road.second = (uintptr_t)answer;
		}
		errno = saved_errno;
		return road;
	}
	switch (look_up(handle, name, caller, &answer)) {
	case PASS:
		break;
	case FAIL:
		road.second = (uintptr_t)function->missing;
		break;
	case ANSWER:
		road.target = NULL;
		road.second = (uintptr_t)answer;
		dl_forget_error();
		break;
	}
	errno = saved_errno;
	return road;
}

/* ---- dlopen ------------------------------------------------------------------------ */

/*
 * If the global scope has a libpq of another version, the flag keeps the module from calling
 * that one: it stays, and the module is not pooled.
 */
static bool should_bind_to_us(const char *file)
{
	char room[ELF_NEEDED_NAME_MAX];
	const char *libpq = elf_needs_libpq(file, room);

	return libpq != NULL && object_is_global_libpq(libpq);
}

struct road loader_dlopen(const char *file, int mode)
{
	static _Atomic(void *) next;
	struct road road = onward(&next, "dlopen", (uintptr_t)(unsigned)mode);

	if ((mode & RTLD_DEEPBIND) != 0 && file != NULL) {
		int saved_errno = errno;

		if (should_bind_to_us(file)) {
			road.second = (uintptr_t)(unsigned)(mode & ~RTLD_DEEPBIND);
		} else {
			/* Its calls go to the C library past us, as of PHP's posix module. */
			process_ids_begin_change();
		}
		errno = saved_errno;
	}
	/* A module with a scope of its own calls the linker's own dlopen. */
	dl_note_load((road.second & RTLD_DEEPBIND) == 0);
	return road;
}

#endif
