/* SPDX-License-Identifier: PostgreSQL */
/*
 * Finds libpq's functions in the loaded objects, as the dynamic linker would without the shim.
 *
 * A libpq is recognised by a function that every version defines, the landmark: the shim does
 * not define it, and other wrappers hardly will.
 *
 * Locks: the dynamic linker's own; called with none of ours. A look-up may leave a dlerror(3)
 * behind (dl_forget_error()).
 */
#ifndef PQPOOL_BASE_LIBPQ_OBJECTS_H
#define PQPOOL_BASE_LIBPQ_OBJECTS_H

#include <link.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/elf/elf_image.h"

/* The object that holds `address`, NULL if none does. No lock. */
struct link_map *object_of(const void *address);

/* Where its mapping ends; 0: not known. */
uintptr_t object_end(const struct link_map *map);

bool object_is_program(const struct link_map *map);

/* True if the program itself needs an object of this name: what it has, it keeps. */
bool object_is_needed(const struct link_map *map);

/* A handle on an object that is loaded already, for dlclose(3); NULL if it cannot be had. */
void *object_handle(const struct link_map *map);

/* The landmark as `map` itself and then its dependencies define it; in the global scope. */
void *object_landmark(const struct link_map *map);
void *object_global_landmark(void);

/* The landmark that the object of this name defines itself, not by a dependency. */
void *object_own_landmark(const char *name);

/* That of the only libpq of the process; NULL if there are several or none. */
void *object_only_landmark(void);

/* Would the linker have bound callers by the global scope to the libpq in `map`? */
bool object_is_global(const struct link_map *map);

#define OBJECT_SCOPE_MAX 8

/* Where the functions of a libpq are looked up. */
struct object_scope {
	const struct link_map *map; /* the libpq's */
	void *handle;
	bool global;

	/* Those whose tables tell, in the linker's order, the libpq last; 0: only it tells. */
	size_t count;
	struct elf_image images[OBJECT_SCOPE_MAX];
	struct elf_image_symbols symbols[OBJECT_SCOPE_MAX];
};

/*
 * For the libpq in `map`, behind `handle`. If that is `global`, what wraps a function in the
 * global scope goes on wrapping it, and the handle may be NULL if the program needs the object.
 */
void object_open_scope(struct object_scope *scope, const struct link_map *map, void *handle,
                       bool global);

/* A function of that libpq; NULL if it has none of this name. */
void *object_function(const struct object_scope *scope, const char *name);

/* The shim's own definition of `name`, whatever else defines it; NULL if there is none. */
void *object_shims(const char *name);

/*
 * What `caller` would find as `name` by RTLD_DEFAULT if the shim did not define it. NULL
 * for `caller` asks only for the global scope.
 */
void *object_visible(const char *name, const void *caller);

/* True unless the global scope has a libpq, and not the one that dlopen(name) means. */
bool object_is_global_libpq(const char *name);

#endif
