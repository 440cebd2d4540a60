/* SPDX-License-Identifier: PostgreSQL */
/*
 * The memory of an interpreter as it may be: frames that lead anywhere, texts of any length.
 * The shim reads such memory by base/unwind/safe_read.h only, which here reads the input.
 *
 * Input: which interpreter, which of its versions, how many frames; then its memory, from
 * address BASE on. In there OWN stands for the calling thread, and OWN_KEY for the key of its
 * data. A function of the interpreter's gives the first word.
 */
#include <pthread.h>
#include <string.h>

#include "base/dl.h"
#include "base/thread/pid.h"
#include "base/unwind/unwind.h"
#include "bytes.h"
#include "trace/script/interpreter.h"
#include "trace/script/interpreters.h"
#include "trace/script/script.h"

#define BASE    0x10000
#define OWN     0x5e1f5e1f5e1f5e1f
#define OWN_KEY 0x5e1f5e1e

static struct bytes memory;
static pthread_key_t key;
static unsigned reads; /* what is read has an end, however it is linked */

/* ---- in the place of the shim's ---- */

/* What is of the program itself, such as the shim's constants; the sanitizer knows no object.
 */
extern const char __executable_start[];
extern const char _end[];

__attribute__((no_sanitize("address"))) static void copy(char *to, const char *from, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		to[i] = from[i];
	}
}

bool safe_read(struct safe_read *p, void *to, uintptr_t from, size_t n)
{
	const uintptr_t own = (uintptr_t)pthread_self();
	const uint64_t word = OWN;
	const uint32_t number = OWN_KEY;

	(void)p;
	require(reads++ < 1000000);
	if (from >= (uintptr_t)__executable_start && from < (uintptr_t)_end) {
		copy(to, (const char *)from, n);
		return true;
	}
	if (from < BASE || from - BASE > memory.left || n > memory.left - (from - BASE)) {
		return false;
	}
	memcpy(to, memory.at + (from - BASE), n);
	if (n == sizeof(word) && memcmp(to, &word, n) == 0) {
		memcpy(to, &own, n);
	} else if (n == sizeof(number) && memcmp(to, &number, n) == 0) {
		memcpy(to, &key, n);
	}
	return true;
}

uintptr_t safe_read_pointer(struct safe_read *p, uintptr_t from)
{
	uintptr_t value;

	return safe_read(p, &value, from, sizeof(value)) ? value : 0;
}

uint32_t safe_read_u32(struct safe_read *p, uintptr_t from)
{
	uint32_t value;

	return safe_read(p, &value, from, sizeof(value)) ? value : 0;
}

ptrdiff_t safe_read_length(struct safe_read *p, uintptr_t from, size_t max)
{
	char c;

	for (size_t i = 0; i < max && safe_read(p, &c, from + i, 1); i++) {
		if (c == '\0') {
			return (ptrdiff_t)i;
		}
	}
	return -1;
}

static bool is_at(struct safe_read *p, uintptr_t from, const char *bytes, size_t n)
{
	char c;

	for (size_t i = 0; i < n; i++) {
		if (!safe_read(p, &c, from + i, 1) || c != bytes[i]) {
			return false;
		}
	}
	return true;
}

bool safe_read_starts(struct safe_read *p, uintptr_t from, const char *start)
{
	return is_at(p, from, start, strlen(start));
}

bool safe_read_is(struct safe_read *p, uintptr_t from, const char *whole)
{
	return is_at(p, from, whole, strlen(whole) + 1);
}

/* Only what is given is read. */
struct script_interpreter *interpreters_with_jit(void)
{
	return NULL;
}

bool unwind_called_from(uintptr_t low, uintptr_t high, uintptr_t unless)
{
	(void)unless;
	return low < high;
}

/* Ruby's variables of a thread. */
int dl_iterate(int (*each)(struct dl_phdr_info *info, size_t size, void *arg), void *arg)
{
	struct dl_phdr_info info = {.dlpi_phdr = (const void *)memory.at,
	                            .dlpi_tls_data = (void *)BASE};

	return each(&info, sizeof(info), arg);
}

/* ---- the interpreters ---- */

static uintptr_t first_word(void)
{
	return safe_read_pointer(&(struct safe_read){0}, BASE);
}

static uintptr_t caller(uintptr_t perl, int32_t level, uintptr_t *debugger)
{
	(void)debugger;
	return safe_read_pointer(&(struct safe_read){0},
	                         perl + 8 * (uintptr_t)(unsigned)(level % 8));
}

static unsigned line_of(const void *sequence, size_t position)
{
	(void)sequence;
	return (unsigned)position + 1;
}

static int yes_or_no(void)
{
	return (int)(first_word() & 1);
}

static struct script_kind kind_of(unsigned which)
{
	switch (which % 7) {
	case 0:
		return script_python();
	case 1:
		return script_python_3_11();
	case 2:
		return script_python_3_9();
	case 3:
		return script_perl();
	case 4:
		return script_php();
	case 5:
		return script_ruby();
	default:
		return script_ruby_3_1();
	}
}

/* A name's symbol: a function of ours, or where in the memory its variable is. */
static uintptr_t symbol_of(const char *name, size_t i)
{
	static const struct {
		const char *name;
		void (*function)(void);
	} functions[] = {
		{"PyGILState_GetThisThreadState", (void (*)(void))first_word},
		{"Py_GetVersion", (void (*)(void))first_word},
		{"_Py_IsFinalizing", (void (*)(void))yes_or_no},
		{"Py_IsFinalizing", (void (*)(void))yes_or_no},
		{"Perl_caller_cx", (void (*)(void))caller},
		{"get_zend_version", (void (*)(void))first_word},
		{"rb_iseq_line_no", (void (*)(void))line_of},
		{"rb_thread_current", (void (*)(void))first_word},
		{"ruby_native_thread_p", (void (*)(void))yes_or_no},
	};

	for (size_t k = 0; k < sizeof(functions) / sizeof(functions[0]); k++) {
		if (strcmp(name, functions[k].name) == 0) {
			return (uintptr_t)functions[k].function;
		}
	}
	/* Of a thread-local one, where it is among those. */
	return (strcmp(name, "ruby_current_ec") == 0 ? 0 : BASE) + 8 * (1 + i);
}

static void require_text(const char *text, size_t size)
{
	require(memchr(text, '\0', size) != NULL);
	for (; *text != '\0'; text++) {
		require((unsigned char)*text >= ' ' && *text != 0x7f);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static bool has_key;
	struct script_interpreter interpreter = {0};
	struct script_cursor cursor;
	struct safe_read p = {0};
	struct script script;
	unsigned depth;

	memory = (struct bytes){data, size};
	reads = 0;
	interpreter.kind = kind_of(take_byte(&memory));
	depth = take_byte(&memory) % 16;
	interpreter.headers = (const void *)memory.at;
	for (size_t i = 0; i < SCRIPT_SYMBOLS_MAX; i++) {
		const char *name = interpreter.kind.names[i];

		interpreter.symbols[i] = name != NULL ? symbol_of(name, i) : 0;
	}
	if (!has_key) {
		require(pthread_key_create(&key, NULL) == 0);
		has_key = true;
	}
	/* Perl's, whose number is to be in its variable. */
	pthread_setspecific(key, (const void *)BASE);
	if (!interpreter.kind.known(&interpreter, &p)) {
		return 0;
	}
	memset(&script, 'x', sizeof(script));
	if (script_capture(&interpreter, depth, &script)) {
		require_text(script.place, sizeof(script.place));
		require_text(script.frames, sizeof(script.frames));
		require(strchr(script.place, ':') != NULL && script.frames[0] != '\0');
	}
	cursor = script_cursor(&interpreter);
	interpreter.kind.ending(&cursor);
	return 0;
}
