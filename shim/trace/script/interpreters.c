/* SPDX-License-Identifier: PostgreSQL */
/*
 * The interpreters in this process.
 *
 * Modules are searched without dlsym(3), for the reason that stack.c gives; and it would not
 * see what was loaded with RTLD_LOCAL.
 */
#include "trace/script/interpreters.h"

#include <stdlib.h>
#include <string.h>

#include "base/dl.h"
#include "base/elf/elf_image.h"
#include "base/scratch.h"
#include "base/thread/pid.h"
#include "trace/script/interpreter.h"

#define INTERPRETERS_MAX 16 /* one may fit several kinds at first */

/* The kinds of a language in this order: the first one that fits is the one. */
enum {
	PYTHON,
	PYTHON_3_11,
	PYTHON_3_9,
	PERL,
	PHP,
	RUBY,
	RUBY_3_1,
	ANY_PYTHON,
	ANY_PYTHON_3_8,
	ANY_PERL,
	ANY_PHP,
	ANY_RUBY,
	KINDS
};

/* What the interpreters of a language export in all versions. */
enum language { ALL_PYTHON, ALL_PERL, ALL_PHP, ALL_RUBY, LANGUAGES };
static const char marks[LANGUAGES][16] = {"PyEval_EvalCode", "perl_destruct", "sapi_module",
                                          "ruby_finalize"};

static const unsigned char language_of[KINDS] = {
	[PERL] = ALL_PERL,     [PHP] = ALL_PHP,       [RUBY] = ALL_RUBY,
	[RUBY_3_1] = ALL_RUBY, [ANY_PERL] = ALL_PERL, [ANY_PHP] = ALL_PHP,
	[ANY_RUBY] = ALL_RUBY,
};

#if defined(__LP64__) && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define FIRST_KIND PYTHON
#else /* no layout is known of other machines */
#define FIRST_KIND ANY_PYTHON
#endif

static struct script_kind kind_of(unsigned which)
{
	switch (which) {
	case PYTHON:
		return script_python();
	case PYTHON_3_11:
		return script_python_3_11();
	case PYTHON_3_9:
		return script_python_3_9();
	case PERL:
		return script_perl();
	case PHP:
		return script_php();
	case RUBY:
		return script_ruby();
	case RUBY_3_1:
		return script_ruby_3_1();
	case ANY_PYTHON:
		return script_any_python();
	case ANY_PYTHON_3_8:
		return script_any_python_3_8();
	case ANY_PERL:
		return script_any_perl();
	case ANY_PHP:
		return script_any_php();
	default:
		return script_any_ruby();
	}
}

/* Constant but for `proven`, so it needs no lock, and never freed: few are made. */
struct table {
	unsigned count;
	bool readable; /* one is */
	struct script_interpreter found[INTERPRETERS_MAX];
};

_Static_assert(sizeof(struct table) <= SCRATCH_BYTES, "a table fits into scratch");

static _Atomic(struct table *) table;
static atomic_ullong table_changes; /* the loader's counts when it was made */

/* ---- finding them ---- */

static bool has_symbols(const struct elf_image *image, const struct elf_image_symbols *symbols,
                        struct script_interpreter *found)
{
	const char *const *names = found->kind.names;

	for (unsigned i = 0; i < SCRIPT_SYMBOLS_MAX; i++) {
		if (names[i] != NULL &&
		    !elf_image_find(image, symbols, names[i], &found->symbols[i])) {
			return false;
		}
	}
	return true;
}

static void note_extent(const struct elf_image *image, struct script_interpreter *found)
{
	found->low = UINTPTR_MAX;
	for (size_t i = 0; i < image->count; i++) {
		const ElfW(Phdr) *header = &image->headers[i];
		uintptr_t low = image->bias + header->p_vaddr;

		if (header->p_type == PT_LOAD) {
			found->low = low < found->low ? low : found->low;
			found->high = low + header->p_memsz > found->high
			                      ? low + header->p_memsz
			                      : found->high;
		}
	}
}

/* Nearly every module has none of the marks. */
static bool find_languages(const struct elf_image *image,
                           const struct elf_image_symbols *symbols, bool has[LANGUAGES])
{
	bool any = false;
	uintptr_t mark;

	for (unsigned i = 0; i < LANGUAGES; i++) {
		has[i] = elf_image_find(image, symbols, marks[i], &mark);
		any = any || has[i];
	}
	return any;
}

static int consider(struct dl_phdr_info *info, size_t size, void *arg)
{
	struct table *fresh = arg;
	const struct elf_image image = elf_image_of(info);
	struct elf_image_symbols symbols;
	bool has[LANGUAGES];

	(void)size;
	if (!elf_image_symbols(&image, &symbols) || !find_languages(&image, &symbols, has)) {
		return 0;
	}
	for (unsigned i = FIRST_KIND; i < KINDS && fresh->count < INTERPRETERS_MAX; i++) {
		if (!has[language_of[i]]) {
			continue;
		}
		struct script_interpreter found = {
			.kind = kind_of(i),
			.headers = image.headers,
			.is_program = image.name[0] == '\0',
		};

		if (has_symbols(&image, &symbols, &found)) {
			note_extent(&image, &found);
			fresh->found[fresh->count++] = found;
		}
	}
	return 0;
}

/* True if an earlier kind, which knows more, fits the same interpreter. */
static bool is_found(const struct table *fresh, unsigned count,
                     const struct script_interpreter *interpreter)
{
	for (unsigned i = 0; i < count; i++) {
		if (fresh->found[i].headers == interpreter->headers &&
		    fresh->found[i].kind.libraries == interpreter->kind.libraries) {
			return true;
		}
	}
	return false;
}

/* Not within dl_iterate(): some kinds call the interpreter for its version. */
static void leave_out_unfit(struct table *fresh)
{
	unsigned kept = 0;

	for (unsigned i = 0; i < fresh->count; i++) {
		struct script_interpreter *interpreter = &fresh->found[i];
		bool readable = interpreter->kind.known != NULL;
		struct safe_read p = {0};

		if (!is_found(fresh, kept, interpreter) &&
		    (!readable || interpreter->kind.known(interpreter, &p))) {
			fresh->readable = fresh->readable || readable;
			fresh->found[kept++] = *interpreter;
		}
	}
	fresh->count = kept;
}

static bool is_same(const struct table *a, const struct table *b)
{
	bool same = a != NULL && a->count == b->count;

	for (unsigned i = 0; same && i < a->count; i++) {
		same = a->found[i].kind.known == b->found[i].kind.known &&
		       a->found[i].headers == b->found[i].headers &&
		       memcmp(a->found[i].symbols, b->found[i].symbols,
		              sizeof(a->found[i].symbols)) == 0;
	}
	return same;
}

/* Threads that search at once find the same. False: out of memory. */
static bool publish(const struct table *fresh)
{
	struct table *old = atomic_load_explicit(&table, memory_order_acquire);
	struct table *made;

	if ((old == NULL && fresh->count == 0) || is_same(old, fresh)) {
		return true;
	}
	made = malloc(sizeof(*made));
	if (made == NULL) {
		return false;
	}
	memcpy(made, fresh, sizeof(*made));
	atomic_store_explicit(&table, made, memory_order_release);
	return true;
}

static void search(unsigned long long changes)
{
	struct table *fresh = scratch_take();

	if (fresh == NULL) {
		return;
	}
	memset(fresh, 0, sizeof(*fresh));
	dl_iterate(consider, fresh);
	leave_out_unfit(fresh);
	if (publish(fresh)) {
		atomic_store_explicit(&table_changes, changes, memory_order_release);
	}
	scratch_give(fresh);
}

/* ---- asking for them ---- */

static struct table *current(unsigned long long changes)
{
	if (changes != 0 &&
	    atomic_load_explicit(&table_changes, memory_order_acquire) != changes) {
		search(changes);
	}
	return atomic_load_explicit(&table, memory_order_acquire);
}

bool interpreters_readable(unsigned long long changes)
{
	const struct table *now = current(changes);

	return now != NULL && now->readable;
}

struct script_interpreter *interpreters_at(uintptr_t address)
{
	struct table *now = atomic_load_explicit(&table, memory_order_acquire);

	for (unsigned i = 0; now != NULL && i < now->count; i++) {
		struct script_interpreter *found = &now->found[i];

		if (found->kind.known != NULL && address >= found->low &&
		    address < found->high) {
			return found;
		}
	}
	return NULL;
}

struct script_interpreter *interpreters_with_jit(void)
{
	struct table *now = atomic_load_explicit(&table, memory_order_acquire);

	for (unsigned i = 0; now != NULL && i < now->count; i++) {
		if (now->found[i].kind.has_jit && now->found[i].is_program &&
		    tid_self() == pid_self()) {
			return &now->found[i];
		}
	}
	return NULL;
}

bool interpreters_ending(unsigned long long changes)
{
	const struct table *now = current(changes);
	bool ending = false;

	for (unsigned i = 0; now != NULL && i < now->count && !ending; i++) {
		struct script_cursor cursor = script_cursor(&now->found[i]);

		ending = now->found[i].kind.ending(&cursor);
	}
	return ending;
}
