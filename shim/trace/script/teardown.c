/* SPDX-License-Identifier: PostgreSQL */
/*
 * Whether an interpreter of a version that script.c does not know tidies up after its script.
 *
 * Perl and PHP do it in a function that they export. Ruby's is not exported, but lies between
 * two that are. Python's is neither: but what a script does is done by PyEval_EvalCode(),
 * which Py_RunMain() calls, and what Py_RunMain() does without it is the end. Seen with what
 * Debian 13 has: CPython 3.13, Perl 5.40, PHP 8.4, Ruby 3.3. Where it is not so, what only the
 * interpreter's end has released is not told.
 */
#include "trace/script/teardown.h"

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/dl.h"
#include "base/elf/elf_image.h"
#include "base/thread/pid.h"
#include "base/unwind/safe_read.h"
#include "base/unwind/unwind.h"
#include "trace/script/script.h"

#define INTERPRETERS_MAX 4
#define BETWEEN_MAX      16384 /* no more lies between two functions of one of Ruby's files */

enum kind { PYTHON, PERL, PHP, RUBY, KINDS };

/* What each exports; for Python a third one is looked for by its names in turn. */
static const char names[KINDS][2][24] = {
	[PYTHON] = {"Py_RunMain", "PyEval_EvalCode"},
	[PERL] = {"perl_destruct", "Perl_call_list"},
	[PHP] = {"php_request_shutdown", "sapi_module"},
	[RUBY] = {"ruby_finalize", "ruby_cleanup"},
};
static const char finalizing[2][24] = {"Py_IsFinalizing", "_Py_IsFinalizing"};

typedef int (*finalizing_function)(void);

struct interpreter {
	enum kind kind;
	uintptr_t symbols[2];
	uintptr_t finalizing; /* 0: Python has neither */
};

/* Never changed, so that nobody need lock it, nor freed: few are made. */
struct interpreters {
	unsigned count;
	struct interpreter found[INTERPRETERS_MAX];
};

static _Atomic(struct interpreters *) interpreters;
static atomic_ullong interpreters_changes; /* the loader's counts when they were looked for */

/* ---- finding them ---------------------------------------------------------------- */

static bool find(const struct elf_image *image, const struct elf_image_symbols *symbols,
                 enum kind kind, struct interpreter *found)
{
	*found = (struct interpreter){.kind = kind};
	for (unsigned i = 0; i < 2; i++) {
		if (!elf_image_find(image, symbols, names[kind][i], &found->symbols[i])) {
			return false;
		}
	}
	for (unsigned i = 0; kind == PYTHON && i < 2 && found->finalizing == 0; i++) {
		elf_image_find(image, symbols, finalizing[i], &found->finalizing);
	}
	return true;
}

static int consider(struct dl_phdr_info *info, size_t size, void *arg)
{
	struct interpreters *fresh = arg;
	const struct elf_image image = {
		.bias = info->dlpi_addr,
		.name = info->dlpi_name,
		.headers = info->dlpi_phdr,
		.count = info->dlpi_phnum,
	};
	struct elf_image_symbols symbols;
	struct interpreter found;

	(void)size;
	if (!elf_image_symbols(&image, &symbols)) {
		return 0;
	}
	for (unsigned kind = 0; kind < KINDS && fresh->count < INTERPRETERS_MAX; kind++) {
		if (find(&image, &symbols, (enum kind)kind, &found)) {
			fresh->found[fresh->count++] = found;
		}
	}
	return 0;
}

static void leave_out_known(struct interpreters *fresh)
{
	unsigned kept = 0;

	for (unsigned i = 0; i < fresh->count; i++) {
		if (script_at(fresh->found[i].symbols[0]) == NULL) {
			fresh->found[kept++] = fresh->found[i];
		}
	}
	fresh->count = kept;
}

/* Threads that come at once find the same. */
static void search(unsigned long long changes)
{
	struct interpreters *old = atomic_load_explicit(&interpreters, memory_order_acquire);
	struct interpreters fresh;
	struct interpreters *made;

	memset(&fresh, 0, sizeof(fresh));
	dl_iterate(consider, &fresh);
	leave_out_known(&fresh);
	if ((old != NULL || fresh.count > 0) &&
	    (old == NULL || memcmp(old, &fresh, sizeof(fresh)) != 0)) {
		made = malloc(sizeof(*made));
		if (made == NULL) {
			return;
		}
		memcpy(made, &fresh, sizeof(fresh));
		atomic_store_explicit(&interpreters, made, memory_order_release);
	}
	atomic_store_explicit(&interpreters_changes, changes, memory_order_release);
}

/* ---- asking ---------------------------------------------------------------------- */

static bool is_finalizing(const struct interpreter *python)
{
	return python->finalizing != 0 && ((finalizing_function)python->finalizing)() != 0;
}

/* A web server's PHP ends after each request, and goes on. */
static bool is_for_one_script(uintptr_t server_interface)
{
	struct safe_read p = {0};

	return safe_read_is(&p, safe_read_pointer(&p, server_interface), "cli");
}

static bool is_ending(const struct interpreter *interpreter)
{
	const uintptr_t *symbols = interpreter->symbols;

	if (interpreter->kind == PYTHON && is_finalizing(interpreter)) {
		return true;
	}
	/* It ends in the program's first thread. */
	if (tid_self() != pid_self()) {
		return false;
	}
	switch (interpreter->kind) {
	case PYTHON:
		return unwind_called_from(symbols[0], symbols[0] + 1, symbols[1]);
	case PERL:
		return unwind_called_from(symbols[0], symbols[0] + 1, 0);
	case PHP:
		return is_for_one_script(symbols[1]) &&
		       unwind_called_from(symbols[0], symbols[0] + 1, 0);
	case RUBY:
		return symbols[1] - symbols[0] < BETWEEN_MAX &&
		       unwind_called_from(symbols[0] + 1, symbols[1], 0);
	default:
		return false;
	}
}

bool teardown_of_unknown(unsigned long long changes)
{
	const struct interpreters *now;
	bool ending = false;

	if (atomic_load_explicit(&interpreters_changes, memory_order_acquire) != changes) {
		search(changes);
	}
	now = atomic_load_explicit(&interpreters, memory_order_acquire);
	for (unsigned i = 0; now != NULL && i < now->count && !ending; i++) {
		ending = is_ending(&now->found[i]);
	}
	return ending;
}
