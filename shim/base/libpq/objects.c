/* SPDX-License-Identifier: PostgreSQL */
/* Finds libpq's functions in the loaded objects. */
#include "base/libpq/objects.h"

#include <dlfcn.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>

#include "base/dl.h"

#define OBJECTS_MAX 4096

static const char landmark[] = "PQconninfoFree";

struct link_map *object_of(const void *address)
{
	struct dl_find_object found;

	return _dl_find_object((void *)(uintptr_t)address, &found) == 0 ? found.dlfo_link_map
	                                                                : NULL;
}

uintptr_t object_end(const struct link_map *map)
{
	struct dl_find_object found;

	return _dl_find_object(map->l_ld, &found) == 0 ? (uintptr_t)found.dlfo_map_end : 0;
}

bool object_is_program(const struct link_map *map)
{
	return map->l_name == NULL || map->l_name[0] == '\0';
}

static bool is_last_part(const char *path, const char *name)
{
	const char *slash = strrchr(path, '/');

	return strcmp(slash != NULL ? slash + 1 : path, name) == 0;
}

bool object_is_needed(const struct link_map *map)
{
	const struct link_map *program = object_of((const void *)getauxval(AT_ENTRY));
	uintptr_t names = 0;

	if (program == NULL) {
		return false;
	}
	for (const ElfW(Dyn) *at = program->l_ld; at->d_tag != DT_NULL; at++) {
		names = at->d_tag == DT_STRTAB ? at->d_un.d_ptr : names;
	}
	if (names == 0) {
		return false;
	}
	/* Some loaders add it in place, some do not. */
	names += names < program->l_addr ? program->l_addr : 0;
	for (const ElfW(Dyn) *at = program->l_ld; at->d_tag != DT_NULL; at++) {
		if (at->d_tag == DT_NEEDED &&
		    is_last_part(map->l_name, (const char *)names + at->d_un.d_val)) {
			return true;
		}
	}
	return false;
}

void *object_handle(const struct link_map *map)
{
	return dl_open(object_is_program(map) ? NULL : map->l_name, RTLD_LAZY | RTLD_NOLOAD);
}

/* What dlsym(3) finds by a handle that is closed again; NULL for none. */
static void *find_and_close(void *handle, const char *name)
{
	void *found = handle != NULL ? dl_symbol(handle, name) : NULL;

	if (handle != NULL) {
		dlclose(handle);
	}
	return found;
}

void *object_landmark(const struct link_map *map)
{
	return find_and_close(object_handle(map), landmark);
}

void *object_global_landmark(void)
{
	return dl_next(landmark);
}

void *object_own_landmark(const char *name)
{
	void *found = find_and_close(dl_open(name, RTLD_LAZY | RTLD_NOLOAD), landmark);
	const struct link_map *map = found != NULL ? object_of(found) : NULL;

	return map != NULL && strcmp(map->l_name, name) == 0 ? found : NULL;
}

struct names {
	char *texts[OBJECTS_MAX];
	size_t count;
	bool failed; /* out of memory: one is missing */
};

static int collect_name(struct dl_phdr_info *info, size_t size, void *arg)
{
	struct names *names = arg;

	(void)size;
	if (info->dlpi_name != NULL && info->dlpi_name[0] != '\0' &&
	    names->count < OBJECTS_MAX) {
		char *name = strdup(info->dlpi_name);

		if (name != NULL) {
			names->texts[names->count++] = name;
		}
		names->failed = names->failed || name == NULL;
	}
	return 0;
}

/* The linker must not be asked to open anything while it goes through its list for us. */
void *object_only_landmark(void)
{
	struct names *names = calloc(1, sizeof(*names));
	void *found = NULL;
	size_t libpqs = 0;
	bool whole;

	if (names == NULL) {
		return NULL;
	}
	dl_iterate(collect_name, names);
	for (size_t i = 0; i < names->count; i++) {
		void *candidate = object_own_landmark(names->texts[i]);

		if (candidate != NULL) {
			found = candidate;
			libpqs++;
		}
		free(names->texts[i]);
	}
	whole = !names->failed;
	free(names);
	return whole && libpqs == 1 ? found : NULL;
}

bool object_is_global(const struct link_map *map)
{
	void *function = dl_next(landmark);

	return function != NULL && object_of(function) == map;
}

/* ---- a libpq's functions ---- */

/* The linker's search begins behind us, and goes through the objects in its list's order. */
struct collecting {
	struct object_scope *scope;
	bool begun;
};

static int collect_images(struct dl_phdr_info *info, size_t size, void *arg)
{
	struct collecting *collecting = arg;
	struct object_scope *scope = collecting->scope;
	bool is_last = info->dlpi_addr == scope->map->l_addr;
	size_t i = scope->count;

	(void)size;
	if (!collecting->begun && !(is_last && !scope->global)) {
		collecting->begun =
			scope->global && info->dlpi_addr == object_of(landmark)->l_addr;
		return 0;
	}
	if (i < OBJECT_SCOPE_MAX) {
		scope->images[i] = elf_image_of(info);
	}
	if (i == OBJECT_SCOPE_MAX ||
	    !elf_image_symbols(&scope->images[i], &scope->symbols[i]) ||
	    scope->symbols[i].by_name.bucket_count == 0) {
		scope->count = 0;
		return 1;
	}
	scope->count++;
	return is_last;
}

/*
 * Symbol tables are read here, because the linker takes 1,500 instructions for a function, and
 * more for one that is missing. They tell all if the libpq is the first that is searched, or if
 * it came with the program, as did all that is searched before: what is loaded later has an
 * order of its own.
 */
void object_open_scope(struct object_scope *scope, const struct link_map *map, void *handle,
                       bool global)
{
	struct collecting collecting = {.scope = scope};

	*scope = (struct object_scope){.map = map, .handle = handle, .global = global};
	if (!global || handle == NULL) {
		dl_iterate(collect_images, &collecting);
	}
}

/* A look-up that fails is dear, and one in the global scope mostly tells all. */
static void *ask_linker(const struct object_scope *scope, const char *name)
{
	void *wrapped;

	if (!scope->global) {
		return dl_symbol(scope->handle, name);
	}
	wrapped = dl_next(name);
	if (wrapped == NULL || object_of(wrapped) == scope->map) {
		return wrapped;
	}
	return scope->handle == NULL || dl_symbol(scope->handle, name) != NULL ? wrapped : NULL;
}

void *object_function(const struct object_scope *scope, const char *name)
{
	uintptr_t found = 0;

	for (size_t i = 0; i < scope->count; i++) {
		if (elf_image_find(&scope->images[i], &scope->symbols[i], name, &found)) {
			return i + 1 < scope->count ? ask_linker(scope, name) : (void *)found;
		}
	}
	return scope->count == 0 ? ask_linker(scope, name) : NULL;
}

void *object_shims(const char *name)
{
	return find_and_close(object_handle(object_of(landmark)), name);
}

void *object_visible(const char *name, const void *caller)
{
	void *found = dl_next(name);
	const struct link_map *map = object_of(caller);

	return found != NULL || map == NULL || object_is_program(map)
	               ? found
	               : find_and_close(object_handle(map), name);
}

bool object_is_global_libpq(const char *name)
{
	void *function = dl_next(landmark);

	return function == NULL ||
	       find_and_close(dl_open(name, RTLD_LAZY | RTLD_NOLOAD), landmark) == function;
}
