/* SPDX-License-Identifier: PostgreSQL */
/* Finds from a program's files how it gets its libpq. */
#include "doctor/diagnosis.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/elf/elf_needed.h"
#include "common/terminal_text.h"
#include "doctor/interpreter_versions.h"
#include "doctor/modules/interpreter_drivers.h"
#include "doctor/modules/module_search.h"

#define LIBPQ        "libpq.so.5"
#define LINE_BYTES   (4 * PATH_MAX)
#define PRELOAD_FILE "/etc/ld.so.preload"

/* In every libpq; an object that defines it has one inside. */
#define CONNECT "PQconnectdb"

/* ---- lines ---- */

static void print_line(const char *mark, const char *format, va_list arguments)
{
	char line[LINE_BYTES];

	vsnprintf(line, sizeof(line), format, arguments);
	printf("  %s", mark);
	terminal_text_put(stdout, line);
	putchar('\n');
}

void diagnosis_ok(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	print_line("ok: ", format, arguments);
	va_end(arguments);
}

void diagnosis_note(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	print_line("note: ", format, arguments);
	va_end(arguments);
}

void diagnosis_trouble(struct diagnosis *diagnosis, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	print_line("! ", format, arguments);
	va_end(arguments);
	diagnosis->troubles++;
}

void diagnosis_obstacle(struct diagnosis *diagnosis, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	print_line("! ", format, arguments);
	va_end(arguments);
	diagnosis->troubles++;
	diagnosis->pooled = 0;
}

/* ---- libpqs ---- */

static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash != NULL ? slash + 1 : path;
}

static bool is_libpq(const char *name)
{
	char room[ELF_NEEDED_NAME_MAX];

	return name != NULL && elf_needs_libpq(base_name(name), room) != NULL;
}

/* The first function that pqpool cannot do without and this libpq does not have. */
static const char *lacking(const struct elf_object *libpq)
{
	static const char *const required[] = {
#define HOOK(name) #name,
#define CALL(name) #name,
#define HOOK_OPTIONAL(name)
#define CALL_OPTIONAL(name)
#include "base/libpq/functions.def"
#undef HOOK
#undef CALL
#undef HOOK_OPTIONAL
#undef CALL_OPTIONAL
	};

	for (size_t i = 0; i < sizeof(required) / sizeof(required[0]); i++) {
		if (elf_object_symbol(libpq, required[i]) != SYMBOL_DEFINED) {
			return required[i];
		}
	}
	return NULL;
}

static void judge_libpq(struct diagnosis *diagnosis, const struct loaded *libpq)
{
	const char *missing = lacking(libpq->object);
	char real[PATH_MAX];

	if (realpath(libpq->object->path, real) == NULL) {
		snprintf(real, sizeof(real), "%s", libpq->object->path);
	}
	if (missing != NULL) {
		diagnosis_trouble(diagnosis, "%s has no %s: libpq 10 or newer is needed", real,
		                  missing);
		return;
	}
	diagnosis->pooled++;
	diagnosis_ok("%s, which %s needs as %s, found by %s", real, libpq->by->object->path,
	             libpq->object->soname != NULL ? libpq->object->soname
	                                           : base_name(libpq->object->path),
	             libpq->rule);
	for (const struct loaded *each = libpq->by; each->by != NULL; each = each->by) {
		printf("      %s is there for %s, by %s\n", base_name(each->object->path),
		       base_name(each->by->object->path), each->rule);
	}
	if (elf_object_symbol(libpq->object, "PQenterPipelineMode") != SYMBOL_DEFINED) {
		diagnosis_note("it is older than 14: connections given back inside a "
		               "transaction are closed, not kept");
	}
}

/* Those that came in since the process had `from` objects. */
static void judge_objects(struct diagnosis *diagnosis, size_t from)
{
	for (size_t i = from; i < diagnosis->order.count; i++) {
		const struct loaded *each = diagnosis->order.all[i];
		enum elf_symbol inside;

		if (each->by != NULL &&
		    (is_libpq(each->object->path) || is_libpq(each->object->soname))) {
			judge_libpq(diagnosis, each);
			continue;
		}
		inside = elf_object_symbol(each->object, CONNECT);
		if (inside == SYMBOL_DEFINED || inside == SYMBOL_HIDDEN) {
			diagnosis_trouble(diagnosis,
			                  "%s has a libpq linked into it: pqpool does not see "
			                  "calls to that one",
			                  each->object->path);
		}
	}
}

static void report_missing(const char *name, const struct loaded *by, void *arg)
{
	struct diagnosis *diagnosis = arg;

	if (is_libpq(name)) {
		diagnosis_trouble(diagnosis, "%s needs %s, which is not found",
		                  by->object->path, name);
	} else {
		diagnosis_note("%s needs %s, which is not found", by->object->path, name);
	}
}

/* ---- modules of interpreters ---- */

static void judge_ctypes(struct diagnosis *diagnosis, const char *module)
{
	char path[PATH_MAX];
	const char *rule = search_library(LIBPQ, diagnosis->first, path);
	size_t before = diagnosis->order.count;

	diagnosis_note("%s looks up libpq's functions by dlsym, which pqpool also answers",
	               module);
	if (rule == NULL) {
		diagnosis_trouble(diagnosis, "%s needs %s, which is not found", module, LIBPQ);
		return;
	}
	load_order_add(&diagnosis->order, path, diagnosis->first, rule, report_missing,
	               diagnosis);
	judge_objects(diagnosis, before);
}

static void judge_module(enum driver_kind kind, const char *path, void *arg)
{
	struct diagnosis *diagnosis = arg;
	size_t before = diagnosis->order.count;

	switch (kind) {
	case DRIVER_PROTOCOL:
		diagnosis_note("%s speaks to the server without libpq: its connections are not "
		               "pooled",
		               path);
		break;
	case DRIVER_CTYPES:
		diagnosis->modules++;
		judge_ctypes(diagnosis, path);
		break;
	case DRIVER_LINKED:
		if (load_order_add(&diagnosis->order, path, diagnosis->first, "dlopen",
		                   report_missing, diagnosis) == NULL) {
			diagnosis_note("%s cannot be read, or is of another machine", path);
			break;
		}
		diagnosis->modules++;
		if (diagnosis->order.count > before) {
			diagnosis_ok("%s, if the program uses it", path);
			judge_objects(diagnosis, before);
		}
		break;
	}
}

/* Those of the interpreter that would be in the path `interpreter`. */
static void judge_drivers(struct diagnosis *diagnosis, const char *interpreter,
                          const char *script)
{
	int modules = diagnosis->modules;

	drivers_find(interpreter, script, judge_module, diagnosis);
	if (diagnosis->modules == modules) {
		diagnosis_note("no module that needs libpq is where %s looks by default",
		               base_name(interpreter));
	} else if (drivers_is_deepbound(interpreter)) {
		diagnosis_note("PHP before 8.5 loads extensions with RTLD_DEEPBIND; pqpool "
		               "removes that flag for those that need libpq");
	}
}

/* ---- modules of other programs ---- */

static void judge_found(enum module_found found, const char *path, void *arg)
{
	struct diagnosis *diagnosis = arg;
	char interpreter[PATH_MAX];

	switch (found) {
	case MODULE_NEEDS_LIBPQ:
		judge_module(DRIVER_LINKED, path, diagnosis);
		break;
	case MODULE_INTERPRETER:
		if (drivers_embedded(path, interpreter)) {
			diagnosis_note("%s is an interpreter that the program may run", path);
			judge_drivers(diagnosis, interpreter, NULL);
		}
		break;
	}
}

static void judge_modules(struct diagnosis *diagnosis)
{
	struct module_search_result result =
		module_search(&diagnosis->order, diagnosis->script, judge_found, diagnosis);

	if (result.cut_short) {
		diagnosis_note("the search for modules ended after %zu files in %zu folders: "
		               "there may be more",
		               result.files, result.folders);
	}
	if (diagnosis->pooled == 0 && diagnosis->troubles == 0) {
		diagnosis_trouble(
			diagnosis,
			"no libpq is found, neither among the program's libraries nor among "
			"modules in folders that it names (%zu files in %zu folders). If it "
			"loads one from elsewhere (dlopen), or starts other programs that use "
			"one, their connections are pooled; pqpool doctor --live PID tells",
			result.files, result.folders);
	}
}

void diagnosis_libpq(struct diagnosis *diagnosis)
{
	int pooled;

	puts("libpq");
	diagnosis->first = load_order_add(&diagnosis->order, diagnosis->program, NULL, "execve",
	                                  report_missing, diagnosis);
	if (diagnosis->first == NULL) {
		diagnosis_trouble(diagnosis, "%s cannot be read", diagnosis->program);
		return;
	}
	judge_objects(diagnosis, 0);
	for (size_t i = 0; i < diagnosis->order.count; i++) {
		const struct elf_object *object = diagnosis->order.all[i]->object;

		interpreter_versions_print(object, object->path);
	}
	pooled = diagnosis->pooled;
	if (drivers_is_interpreter(diagnosis->program)) {
		judge_drivers(diagnosis, diagnosis->program, diagnosis->script);
	}
	if (diagnosis->pooled == 0 && diagnosis->troubles == 0) {
		judge_modules(diagnosis);
	}
	diagnosis->depends = pooled == 0 && diagnosis->pooled > 0;
}

/* ---- preloads and the C library ---- */

static const struct loaded *find_soname(const struct load_order *order, const char *begin)
{
	for (size_t i = 0; i < order->count; i++) {
		const char *soname = order->all[i]->object->soname;

		if (soname != NULL && strncmp(soname, begin, strlen(begin)) == 0) {
			return order->all[i];
		}
	}
	return NULL;
}

struct fit {
	struct diagnosis *diagnosis;
	const struct elf_object *libc;
	int missing;
};

static void check_version(const char *version, void *arg)
{
	struct fit *fit = arg;

	if (!elf_object_has_version(fit->libc, version)) {
		diagnosis_obstacle(fit->diagnosis, "%s needs %s, which %s is too old for",
		                   base_name(fit->diagnosis->shim), version, fit->libc->path);
		fit->missing++;
	}
}

static void judge_libc(struct diagnosis *diagnosis)
{
	const struct loaded *libc = find_soname(&diagnosis->order, "libc.so.6");
	struct elf_object *shim = elf_object_open(diagnosis->shim);
	struct fit fit = {diagnosis, libc != NULL ? libc->object : NULL, 0};

	if (shim == NULL) {
		diagnosis_obstacle(diagnosis, "%s cannot be read", diagnosis->shim);
	} else if (libc != NULL) {
		elf_object_needs_versions(shim, "libc.so.6", check_version, &fit);
		if (fit.missing == 0) {
			diagnosis_ok("%s fits %s", diagnosis->shim, libc->object->path);
		}
	}
	elf_object_close(shim);
}

/* A function of libpq's that the object defines; NULL if there is none. */
static const char *answered(const struct elf_object *object)
{
	static const char *const hooked[] = {
#define HOOK(name)          #name,
#define HOOK_OPTIONAL(name) #name,
#define CALL(name)
#define CALL_OPTIONAL(name)
#include "base/libpq/functions.def"
#undef HOOK
#undef CALL
#undef HOOK_OPTIONAL
#undef CALL_OPTIONAL
	};

	for (size_t i = 0; i < sizeof(hooked) / sizeof(hooked[0]); i++) {
		if (elf_object_symbol(object, hooked[i]) == SYMBOL_DEFINED) {
			return hooked[i];
		}
	}
	return NULL;
}

static void judge_preload(struct diagnosis *diagnosis, const char *name, const char *where)
{
	char path[PATH_MAX];
	const char *rule = search_library(name, diagnosis->first, path);
	struct elf_object *object = rule != NULL ? elf_object_open(path) : NULL;
	const char *function;

	if (object == NULL) {
		diagnosis_note("%s in %s cannot be preloaded; the linker says so and goes on",
		               name, where);
		return;
	}
	function = answered(object);
	if (strcmp(path, diagnosis->shim) == 0) {
		diagnosis_ok("%s is in %s already", path, where);
	} else if (object->soname != NULL && strcmp(object->soname, "libpqpool.so") == 0) {
		diagnosis_trouble(diagnosis, "%s in %s is another pqpool", path, where);
	} else if (function != NULL) {
		diagnosis_trouble(diagnosis,
		                  "%s in %s also replaces libpq's functions (%s): pqpool "
		                  "cannot know what it does with them",
		                  path, where, function);
	} else {
		diagnosis_ok("%s in %s does not affect pqpool", path, where);
	}
	elf_object_close(object);
}

static void judge_list(struct diagnosis *diagnosis, char *list, const char *separators,
                       const char *where)
{
	char *rest = NULL;

	for (char *name = strtok_r(list, separators, &rest); name != NULL;
	     name = strtok_r(NULL, separators, &rest)) {
		judge_preload(diagnosis, name, where);
	}
}

static void judge_preload_file(struct diagnosis *diagnosis)
{
	FILE *file = fopen(PRELOAD_FILE, "re");
	char list[LINE_BYTES];
	size_t n;

	if (file == NULL) {
		return;
	}
	n = fread(list, 1, sizeof(list) - 1, file);
	fclose(file);
	list[n] = '\0';
	judge_list(diagnosis, list, " \t\n:", PRELOAD_FILE);
}

void diagnosis_preloads(struct diagnosis *diagnosis)
{
	const char *list = getenv("LD_PRELOAD");
	char *copy = list != NULL ? strdup(list) : NULL;
	const struct loaded *sanitizer = find_soname(&diagnosis->order, "libasan.so");

	puts("Preloading");
	judge_libc(diagnosis);
	if (sanitizer != NULL) {
		diagnosis_obstacle(
			diagnosis,
			"%s must be loaded first, and ends the program otherwise; "
			"ASAN_OPTIONS=verify_asan_link_order=0 allows it to be second",
			base_name(sanitizer->object->path));
	}
	if (copy != NULL) {
		judge_list(diagnosis, copy, " :", "LD_PRELOAD");
	}
	free(copy);
	judge_preload_file(diagnosis);
}
