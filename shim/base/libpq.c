/* SPDX-License-Identifier: PostgreSQL */
/*
 * The real libpqs, by caller.
 *
 * A call site is remembered by its return address together with the number of
 * objects that the process has unloaded so far: when that number moves, another
 * object may have come to lie at the same address, and the site is asked about
 * anew.
 */
#include "base/libpq.h"

#include <dlfcn.h>
#include <errno.h>
#include <link.h>
#include <stdlib.h>
#include <string.h>

#include "base/lock.h"
#include "base/table.h"

struct call_site {
	const void *return_address;
	unsigned long long unloads;
	struct libpq_caller caller;
	UT_hash_handle hh;
};

static struct lock lock = LOCK_INITIALIZER(LOCK_LIBPQ);
static struct call_site *sites;
static struct libpq *libpqs;

/* A function that every libpq defines, and that we define, too. */
static const char *const landmark = "PQfinish";

static int read_unloads(struct dl_phdr_info *info, size_t size, void *unloads)
{
	(void)size;
	*(unsigned long long *)unloads = info->dlpi_subs;
	return 1;
}

static unsigned long long count_unloads(void)
{
	unsigned long long unloads = 0;

	dl_iterate_phdr(read_unloads, &unloads);
	return unloads;
}

/* The object that holds `address`, NULL if none does. */
static struct link_map *object_of(const void *address)
{
	Dl_info info;
	struct link_map *map = NULL;

	if (address == NULL || dladdr1(address, &info, (void **)&map, RTLD_DL_LINKMAP) == 0) {
		return NULL;
	}
	return map;
}

static bool is_ours(const void *function)
{
	return function != NULL && object_of(function) == object_of(&landmark);
}

/* A handle on an object that is loaded already; the program itself has no name. */
static void *handle_of(const struct link_map *map)
{
	const char *name = map->l_name != NULL && map->l_name[0] != '\0' ? map->l_name : NULL;

	return dlopen(name, RTLD_LAZY | RTLD_NOLOAD);
}

/* What `map` itself and then its dependencies define as the landmark. */
static void *landmark_seen_by(const struct link_map *map)
{
	void *handle = handle_of(map);
	void *found;

	if (handle == NULL) {
		return NULL;
	}
	found = dlsym(handle, landmark);
	dlclose(handle);
	return is_ours(found) ? NULL : found;
}

#define OBJECTS_MAX 4096

struct objects {
	char **names;
	size_t count;
};

static int collect_name(struct dl_phdr_info *info, size_t size, void *arg)
{
	struct objects *objects = arg;

	(void)size;
	if (info->dlpi_name != NULL && info->dlpi_name[0] != '\0' &&
	    objects->count < OBJECTS_MAX) {
		char *name = strdup(info->dlpi_name);

		if (name != NULL) {
			objects->names[objects->count++] = name;
		}
	}
	return 0;
}

/* The landmark that the object of this name defines itself, not by a dependency. */
static void *landmark_defined_by(const char *name)
{
	void *handle = dlopen(name, RTLD_LAZY | RTLD_NOLOAD);
	void *found;
	struct link_map *map;

	if (handle == NULL) {
		return NULL;
	}
	found = dlsym(handle, landmark);
	map = object_of(found);
	dlclose(handle);
	return map != NULL && !is_ours(found) && strcmp(map->l_name, name) == 0 ? found : NULL;
}

/*
 * The only libpq of the process; NULL if there are several or none. The names are
 * collected first, because the linker must not be asked to open anything while it
 * walks its list for us.
 */
static void *only_landmark(void)
{
	struct objects objects = {.names = calloc(OBJECTS_MAX, sizeof(char *))};
	void *found = NULL;
	size_t libpq_count = 0;

	if (objects.names == NULL) {
		return NULL;
	}
	dl_iterate_phdr(collect_name, &objects);
	for (size_t i = 0; i < objects.count; i++) {
		void *candidate = landmark_defined_by(objects.names[i]);

		if (candidate != NULL) {
			found = candidate;
			libpq_count++;
		}
		free(objects.names[i]);
	}
	free((void *)objects.names);
	return libpq_count == 1 ? found : NULL;
}

/* Fills the table; false if a function without which nothing works is missing. */
static bool bind(struct libpq *libpq, void *handle)
{
	bool complete = true;

#define REQUIRED(name)                                                                         \
	*(void **)&libpq->name = dlsym(handle, #name);                                         \
	complete = complete && libpq->name != NULL;
#define OPTIONAL(name)      *(void **)&libpq->name = dlsym(handle, #name);
#define HOOK(name)          REQUIRED(name)
#define CALL(name)          REQUIRED(name)
#define HOOK_OPTIONAL(name) OPTIONAL(name)
#define CALL_OPTIONAL(name) OPTIONAL(name)
#include "base/hooks.def"
	return complete;
}

/*
 * The hooks a fresh connection has. A connection string that cannot be parsed gives
 * a PGconn without any I/O; a NULL argument reads the hooks and changes nothing.
 */
static bool read_defaults(struct libpq *libpq)
{
	PGconn *conn = libpq->PQconnectStart("=");

	if (conn == NULL) {
		return false;
	}
	libpq->default_receiver = libpq->PQsetNoticeReceiver(conn, NULL, NULL);
	libpq->default_processor = libpq->PQsetNoticeProcessor(conn, NULL, NULL);
	libpq->PQfinish(conn);
	return libpq->default_receiver != NULL;
}

/* Makes the table of the libpq that lives in `map`. The handle is kept for good. */
static struct libpq *load(const struct link_map *map)
{
	struct libpq *libpq = calloc(1, sizeof(*libpq));
	void *handle = libpq == NULL ? NULL : handle_of(map);

	if (handle == NULL || !bind(libpq, handle) || !read_defaults(libpq)) {
		if (handle != NULL) {
			dlclose(handle);
		}
		free(libpq);
		return NULL;
	}
	libpq->base = (uintptr_t)map->l_addr;
	libpq->can_pipeline =
		libpq->PQpipelineStatus != NULL && libpq->PQenterPipelineMode != NULL &&
		libpq->PQexitPipelineMode != NULL && libpq->PQpipelineSync != NULL;
	return libpq;
}

static struct libpq *find_locked(uintptr_t base)
{
	struct libpq *libpq = libpqs;

	while (libpq != NULL && libpq->base != base) {
		libpq = libpq->next;
	}
	return libpq;
}

static const struct libpq *libpq_at(const struct link_map *map)
{
	struct libpq *known;
	struct libpq *made;

	lock_take(&lock);
	known = find_locked((uintptr_t)map->l_addr);
	lock_drop(&lock);
	if (known != NULL) {
		return known;
	}
	made = load(map);
	if (made == NULL) {
		return NULL;
	}
	lock_take(&lock);
	known = find_locked(made->base);
	if (known == NULL) {
		made->next = libpqs;
		libpqs = made;
		known = made;
		made = NULL;
	}
	lock_drop(&lock);
	/* Another thread was faster; its reference keeps the library as well. */
	free(made);
	return known;
}

static struct libpq_caller resolve(const void *return_address)
{
	struct libpq_caller caller = {0};
	struct link_map *map = object_of(return_address);
	void *own = map != NULL ? landmark_seen_by(map) : NULL;
	void *function = dlsym(RTLD_NEXT, landmark);

	if (function == NULL || is_ours(function)) {
		function = own;
	}
	if (function == NULL) {
		function = only_landmark();
	}
	if (function == NULL) {
		return caller;
	}
	caller.libpq = libpq_at(object_of(function));
	caller.inside = own != NULL && map->l_name != NULL && map->l_name[0] != '\0' &&
	                object_of(own) == map;
	return caller;
}

static bool recall(const void *return_address, unsigned long long unloads,
                   struct libpq_caller *caller)
{
	struct call_site *site;

	lock_take(&lock);
	HASH_FIND_PTR(sites, &return_address, site);
	if (site != NULL && site->unloads == unloads) {
		*caller = site->caller;
	} else {
		site = NULL;
	}
	lock_drop(&lock);
	return site != NULL;
}

/* Out of memory only means that the site will be asked about again. */
static void remember(const void *return_address, unsigned long long unloads,
                     const struct libpq_caller *caller)
{
	struct call_site *site;
	struct call_site *fresh = calloc(1, sizeof(*fresh));

	if (fresh == NULL) {
		return;
	}
	lock_take(&lock);
	HASH_FIND_PTR(sites, &return_address, site);
	if (site == NULL) {
		site = fresh;
		site->return_address = return_address;
		HASH_ADD_PTR(sites, return_address, site);
		fresh = site->hh.tbl == NULL ? site : NULL;
	}
	if (fresh != site) {
		site->unloads = unloads;
		site->caller = *caller;
	}
	lock_drop(&lock);
	free(fresh);
}

struct libpq_caller libpq_of_caller(const void *return_address)
{
	int saved_errno = errno;
	unsigned long long unloads = count_unloads();
	struct libpq_caller caller;

	if (!recall(return_address, unloads, &caller)) {
		caller = resolve(return_address);
		if (caller.libpq != NULL) {
			remember(return_address, unloads, &caller);
		}
	}
	errno = saved_errno;
	return caller;
}

void libpq_note_key_hook(const struct libpq *libpq)
{
	atomic_store(&((struct libpq *)libpq)->key_hook, true);
}

void libpq_fork_prepare(void)
{
	lock_take(&lock);
}

void libpq_fork_parent(void)
{
	lock_drop(&lock);
}

void libpq_fork_child(void)
{
	lock_init(&lock, LOCK_LIBPQ);
}
