/* SPDX-License-Identifier: PostgreSQL */
/* From module and offset to function, file and line. */
#include "common/symbols/source_lookup.h"

#include <err.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "base/elf/build_id.h"
#include "base/elf/symbol.h"
#include "common/symbols/demangle.h"
#include "common/terminal_text.h"
#include "common/xalloc.h"

/* For all modules together. */
#define TIMEOUT_MS 20000

#define SYMBOL_BYTES 512

static struct module *find_module(struct source_lookup *lookup, const struct frame *frame,
                                  uint64_t ran_us)
{
	size_t path = strlen(frame->module);
	size_t whole = path + 1 + strlen(frame->build_id);
	char *key = xalloc_new(whole + 1, 1);
	struct module *module;

	memcpy(key, frame->module, path);
	memcpy(key + path + 1, frame->build_id, whole - path - 1);
	HASH_FIND(hh, lookup->modules, key, whole, module);
	if (module != NULL) {
		free(key);
		/* The file must be older than each of its uses. */
		module->ran_us = ran_us < module->ran_us ? ran_us : module->ran_us;
		return module;
	}
	module = xalloc_new(1, sizeof(*module));
	module->path = key;
	module->build_id = key + path + 1;
	module->ran_us = ran_us;
	HASH_ADD_KEYPTR(hh, lookup->modules, key, whole, module);
	xalloc_added(module->hh.tbl);
	return module;
}

struct spot *source_lookup_want(struct source_lookup *lookup, const struct frame *frame,
                                uint64_t ran_us)
{
	struct module *module = find_module(lookup, frame, ran_us);
	struct spot *spot;

	HASH_FIND(hh, module->spots, &frame->offset, sizeof(frame->offset), spot);
	if (spot == NULL) {
		spot = xalloc_new(1, sizeof(*spot));
		spot->offset = frame->offset;
		spot->module = module;
		HASH_ADD(hh, module->spots, offset, sizeof(spot->offset), spot);
		xalloc_added(spot->hh.tbl);
	}
	return spot;
}

static bool is_older(const char *path, uint64_t us)
{
	struct stat st;

	return stat(path, &st) == 0 &&
	       (uint64_t)st.st_mtim.tv_sec * 1000000 + (uint64_t)st.st_mtim.tv_nsec / 1000 < us;
}

static enum module_state judge(const struct module *module)
{
	char buf[BUILD_ID_MAX];
	struct strbuf id;

	strbuf_init(&id, buf, sizeof(buf));
	if (module->path[0] != '/' || !build_id_of_file(module->path, &id)) {
		return MODULE_ABSENT;
	}
	if (module->build_id[0] != '\0') {
		return strcmp(id.buf, module->build_id) == 0 ? MODULE_THE_SAME : MODULE_CHANGED;
	}
	return is_older(module->path, module->ran_us) ? MODULE_THE_SAME : MODULE_CHANGED;
}

static enum source_lines_outcome ask(struct module *module, int timeout_ms)
{
	size_t count = HASH_COUNT(module->spots);
	uint64_t *offsets = xalloc_new(count, sizeof(*offsets));
	struct sources *found = xalloc_new(count, sizeof(*found));
	enum source_lines_outcome outcome;
	size_t i = 0;

	for (struct spot *spot = module->spots; spot != NULL; spot = spot->hh.next) {
		offsets[i++] = spot->offset;
	}
	outcome = source_lines_read(module->path, offsets, count, found, timeout_ms);
	i = 0;
	for (struct spot *spot = module->spots; spot != NULL; spot = spot->hh.next) {
		spot->sources = found[i++];
	}
	free(offsets);
	free(found);
	return outcome;
}

/* Without debug information: the name of the function, from the symbol tables. */
static void name_by_symbols(struct spot *spot)
{
	char name[SYMBOL_BYTES];

	if (spot->sources.count > 0) {
		return;
	}
	symbol_nearest(spot->module->path, (uintptr_t)spot->offset, name, sizeof(name));
	if (name[0] != '\0') {
		spot->sources.all = xalloc_new(1, sizeof(*spot->sources.all));
		spot->sources.all[0].function = demangle(name);
		spot->sources.count = 1;
	}
}

static int64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Warns of what went wrong; true if the modules to come are to be tried. */
static bool go_on_after(enum source_lines_outcome outcome, const struct module *module)
{
	char *path;

	if (outcome == SOURCE_LINES_DONE) {
		return true;
	}
	path = terminal_text(module->path);
	warnx("reading the debug information of %s has %s: no files and lines of it", path,
	      outcome == SOURCE_LINES_LATE ? "taken too long" : "failed");
	free(path);
	return outcome == SOURCE_LINES_FAILED;
}

void source_lookup_resolve(struct source_lookup *lookup)
{
	int64_t deadline_ms = now_ms() + TIMEOUT_MS;
	bool go_on = true;

	for (struct module *m = lookup->modules; m != NULL && lookup->foreign; m = m->hh.next) {
		m->state = MODULE_ABSENT;
	}
	for (struct module *m = lookup->foreign ? NULL : lookup->modules; m != NULL;
	     m = m->hh.next) {
		m->state = judge(m);
		if (m->state == MODULE_CHANGED) {
			char *path = terminal_text(m->path);

			warnx("%s is not the file that ran, but another build: no names from "
			      "it",
			      path);
			free(path);
		}
		if (m->state == MODULE_THE_SAME && go_on) {
			int64_t left = deadline_ms - now_ms();

			go_on = go_on_after(ask(m, left > 0 ? (int)left : 0), m);
		}
		if (m->state == MODULE_THE_SAME) {
			for (struct spot *s = m->spots; s != NULL; s = s->hh.next) {
				name_by_symbols(s);
			}
		}
	}
}
