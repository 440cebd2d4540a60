/* SPDX-License-Identifier: PostgreSQL */
/*
 * The real libpqs, by caller.
 *
 * A call site is remembered by its return address together with the number of times
 * that the process has loaded or unloaded an object so far: when that number moves,
 * another object may have come to lie at the same address, and the site is asked about
 * anew. What an object once meant it goes on meaning for as long as it is there, whatever
 * is loaded later: it may hold connections.
 */
#include "base/libpq/libpq.h"

#include <dlfcn.h>
#include <errno.h>
#include <link.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/cold.h"
#include "base/dl.h"
#include "base/libpq/tailcall.h"
#include "base/lock.h"
#include "base/text/hash.h"

struct call_site {
	const void *return_address;
	unsigned long long changes;
	struct libpq_caller caller;
	UT_hash_handle hh;
};

/* An object that calls us. Another may be loaded in its place: the rest must fit, too. */
struct client {
	const struct link_map *map;
	ElfW(Addr) base;
	char *name;
	struct libpq_caller caller;
	UT_hash_handle hh;
};

static struct lock lock = LOCK_INITIALIZER(LOCK_LIBPQ);
static struct call_site *sites;
static struct client *clients;
/* Never shorter: what is in it is immortal, and is read without the lock. */
static _Atomic(struct libpq *) libpqs;

/* The libpq that code without one of its own means; once set it stays. */
static _Atomic(const struct libpq *) common;

/* A function that every libpq defines; we do not, and other wrappers hardly will. */
static const char landmark[] = "PQconninfoFree";

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

static bool is_program(const struct link_map *map)
{
	return map->l_name == NULL || map->l_name[0] == '\0';
}

/* A handle on an object that is loaded already; the program itself has no name. */
static void *handle_of(const struct link_map *map)
{
	const char *name = map->l_name != NULL && map->l_name[0] != '\0' ? map->l_name : NULL;

	return dl_open(name, RTLD_LAZY | RTLD_NOLOAD);
}

/* What `map` itself and then its dependencies define as the landmark. */
static void *landmark_seen_by(const struct link_map *map)
{
	void *handle = handle_of(map);
	void *found;

	if (handle == NULL) {
		return NULL;
	}
	found = dl_symbol(handle, landmark);
	dlclose(handle);
	return found;
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
	void *handle = dl_open(name, RTLD_LAZY | RTLD_NOLOAD);
	void *found;
	struct link_map *map;

	if (handle == NULL) {
		return NULL;
	}
	found = dl_symbol(handle, landmark);
	map = object_of(found);
	dlclose(handle);
	return map != NULL && strcmp(map->l_name, name) == 0 ? found : NULL;
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
	dl_iterate(collect_name, &objects);
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

/*
 * A function of the libpq behind `handle`. Where the linker would have bound callers by
 * the global scope, what wraps the function there goes on wrapping it.
 */
static void *function_of(void *handle, const char *name)
{
	void *function = dl_symbol(handle, name);
	void *wrapped;

	if (function == NULL || dl_next(landmark) != dl_symbol(handle, landmark)) {
		return function;
	}
	wrapped = dl_next(name);
	return wrapped != NULL ? wrapped : function;
}

/* Fills the table; false if a function without which nothing works is missing. */
static bool bind(struct libpq *libpq, void *handle)
{
	bool complete = true;

#define REQUIRED(name)                                                                         \
	*(void **)&libpq->name = function_of(handle, #name);                                   \
	complete = complete && libpq->name != NULL;
#define OPTIONAL(name)      *(void **)&libpq->name = function_of(handle, #name);
#define HOOK(name)          REQUIRED(name)
#define CALL(name)          REQUIRED(name)
#define HOOK_OPTIONAL(name) OPTIONAL(name)
#define CALL_OPTIONAL(name) OPTIONAL(name)
#include "base/libpq/functions.def"
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
	*(void **)&libpq->default_cert_file = dl_symbol(handle, "X509_get_default_cert_file");
	*(void **)&libpq->default_cert_dir = dl_symbol(handle, "X509_get_default_cert_dir");
	libpq->base = (uintptr_t)map->l_addr;
	libpq->end = is_program(map) ? 0 : dl_end_of(libpq->base);
	libpq->can_pipeline =
		libpq->PQpipelineStatus != NULL && libpq->PQenterPipelineMode != NULL &&
		libpq->PQexitPipelineMode != NULL && libpq->PQpipelineSync != NULL;
	return libpq;
}

static struct libpq *find_locked(uintptr_t base)
{
	struct libpq *libpq = atomic_load(&libpqs);

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
		made->next = atomic_load(&libpqs);
		atomic_store(&libpqs, made);
		known = made;
		made = NULL;
	}
	lock_drop(&lock);
	/* Another thread was faster; its reference keeps the library as well. */
	free(made);
	return known;
}

/* ---- what an object means ---------------------------------------------------- */

/* The libpq that the linker would have bound `map` to without us. */
static struct libpq_caller bound(const struct link_map *map)
{
	struct libpq_caller caller = {0};
	void *own = landmark_seen_by(map);
	void *function = dl_next(landmark);

	caller.inside = own != NULL && !is_program(map) && object_of(own) == map;
	if (function == NULL || caller.inside) {
		function = own;
	}
	if (function != NULL) {
		caller.libpq = libpq_at(object_of(function));
	}
	return caller;
}

static bool is_same(const struct client *client, const struct link_map *map)
{
	return client->base == map->l_addr && strcmp(client->name, map->l_name) == 0;
}

static bool recall_client(const struct link_map *map, struct libpq_caller *caller)
{
	struct client *client;
	bool known;

	lock_take(&lock);
	HASH_FIND_PTR(clients, &map, client);
	known = client != NULL && is_same(client, map);
	if (known) {
		*caller = client->caller;
	}
	lock_drop(&lock);
	return known;
}

/* Out of memory only means that the object will be asked about again. */
static void remember_client(const struct link_map *map, const struct libpq_caller *caller)
{
	struct client *stale;
	struct client *fresh = calloc(1, sizeof(*fresh));

	if (fresh == NULL || (fresh->name = strdup(map->l_name)) == NULL) {
		free(fresh);
		return;
	}
	fresh->map = map;
	fresh->base = map->l_addr;
	fresh->caller = *caller;
	lock_take(&lock);
	HASH_FIND_PTR(clients, &map, stale);
	if (stale != NULL) {
		HASH_DEL(clients, stale);
	}
	HASH_ADD_PTR(clients, map, fresh);
	if (fresh->hh.tbl == NULL) {
		free(fresh->name);
		free(fresh);
	}
	lock_drop(&lock);
	if (stale != NULL) {
		free(stale->name);
		free(stale);
	}
}

/* What the object is known to mean, else what it is bound to; nothing for `map` NULL. */
static struct libpq_caller meaning_of(const struct link_map *map)
{
	struct libpq_caller caller = {0};

	if (map != NULL && !recall_client(map, &caller)) {
		caller = bound(map);
	}
	return caller;
}

/* Makes `libpq` the one that code without its own means; false if that is another. */
static bool make_common(const struct libpq *libpq)
{
	const struct libpq *none = NULL;

	return atomic_compare_exchange_strong(&common, &none, libpq) || none == libpq;
}

/* What generated code and foreign function interfaces mean. */
static const struct libpq *common_libpq(void)
{
	const struct libpq *libpq = atomic_load(&common);
	void *function;

	if (libpq != NULL) {
		return libpq;
	}
	function = dl_next(landmark);
	if (function == NULL) {
		function = only_landmark();
	}
	libpq = function != NULL ? libpq_at(object_of(function)) : NULL;
	if (libpq != NULL && !make_common(libpq)) {
		libpq = atomic_load(&common);
	}
	return libpq;
}

static COLD struct libpq_caller resolve(const void *return_address)
{
	struct link_map *map = object_of(return_address);
	struct libpq_caller caller = meaning_of(map);

	if (caller.libpq == NULL) {
		caller.libpq = common_libpq();
	}
	if (map != NULL && caller.libpq != NULL) {
		remember_client(map, &caller);
	}
	dl_forget_error();
	return caller;
}

/* ---- call sites ---------------------------------------------------------------- */

static bool recall(const void *return_address, unsigned long long changes,
                   struct libpq_caller *caller)
{
	struct call_site *site;

	lock_take(&lock);
	HASH_FIND_PTR(sites, &return_address, site);
	if (site != NULL && site->changes == changes) {
		*caller = site->caller;
	} else {
		site = NULL;
	}
	lock_drop(&lock);
	return site != NULL;
}

/* Out of memory only means that the site will be asked about again. */
static void remember(const void *return_address, unsigned long long changes,
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
		site->changes = changes;
		site->caller = *caller;
	}
	lock_drop(&lock);
	free(fresh);
}

/* Where no lock may be taken: the likeliest. */
static COLD struct libpq_caller guess(void)
{
	const struct libpq *likeliest = atomic_load(&common);

	return (struct libpq_caller){.libpq = likeliest != NULL ? likeliest
	                                                        : atomic_load(&libpqs)};
}

struct libpq_caller libpq_of_caller(const void *return_address)
{
	int saved_errno = errno;
	unsigned long long changes = dl_changes();
	struct libpq_caller caller;

	dl_note_call(return_address, changes);
	if (tailcall_has_jumped(return_address, &caller)) {
		return caller;
	}
	if (lock_barred()) {
		return guess();
	}
	if (!recall(return_address, changes, &caller)) {
		caller = resolve(return_address);
		if (caller.libpq != NULL) {
			remember(return_address, changes, &caller);
		}
	}
	errno = saved_errno;
	return caller;
}

const struct libpq *libpq_containing(const void *address)
{
	const struct libpq *libpq = atomic_load_explicit(&libpqs, memory_order_acquire);
	uintptr_t at = (uintptr_t)address;

	while (libpq != NULL && (at < libpq->base || at >= libpq->end)) {
		libpq = libpq->next;
	}
	return libpq;
}

enum libpq_finding libpq_judge(const void *caller, const void *function)
{
	struct link_map *map = object_of(function);
	struct link_map *client = object_of(caller);
	struct libpq_caller meant;
	const struct libpq *libpq;

	/* A program that contains its libpq binds most of its calls to it for good. */
	if (map == NULL || is_program(map) || landmark_defined_by(map->l_name) == NULL) {
		return LIBPQ_NOT;
	}
	meant = meaning_of(client);
	libpq = meant.inside ? NULL : libpq_at(map);
	if (libpq == NULL || (meant.libpq != NULL && meant.libpq != libpq) ||
	    !make_common(libpq)) {
		return LIBPQ_OTHER;
	}
	meant.libpq = libpq;
	if (client != NULL) {
		remember_client(client, &meant);
	}
	return LIBPQ_AGREED;
}

void *libpq_own(const char *name)
{
	void *handle = handle_of(object_of(landmark));
	void *found = handle != NULL ? dl_symbol(handle, name) : NULL;

	if (handle != NULL) {
		dlclose(handle);
	}
	return found;
}

void *libpq_visible(const char *name, const void *caller)
{
	void *found = dl_next(name);
	struct link_map *map = object_of(caller);
	void *handle;

	if (found != NULL || map == NULL || is_program(map)) {
		return found;
	}
	handle = handle_of(map);
	if (handle != NULL) {
		found = dl_symbol(handle, name);
		dlclose(handle);
	}
	return found;
}

bool libpq_global_is(const char *name)
{
	void *function = dl_next(landmark);
	void *handle;
	void *meant;

	if (function == NULL) {
		return true;
	}
	handle = dl_open(name, RTLD_LAZY | RTLD_NOLOAD);
	meant = handle != NULL ? dl_symbol(handle, landmark) : NULL;
	if (handle != NULL) {
		dlclose(handle);
	}
	return meant == function;
}

void libpq_note_key_hook(const struct libpq *libpq)
{
	atomic_store(&((struct libpq *)libpq)->key_hook, true);
}

bool libpq_calls_itself(const struct libpq *libpq)
{
	return atomic_load_explicit(&libpq->symbolic, memory_order_relaxed);
}

void libpq_note_calls_itself(const struct libpq *libpq)
{
	atomic_store(&((struct libpq *)libpq)->symbolic, true);
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
	lock_drop(&lock);
}
