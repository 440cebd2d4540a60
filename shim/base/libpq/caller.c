/* SPDX-License-Identifier: PostgreSQL */
/* Tells which libpq a call of the program's means, by the return address. */
#include "base/libpq/caller.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/cold.h"
#include "base/dl.h"
#include "base/libpq/objects.h"
#include "base/lock.h"

/* What an object means. Never changed and never freed: a thread may be reading it. */
struct meaning {
	const struct meaning *before; /* of an object that was loaded in this place earlier */
	ElfW(Addr) base;
	struct libpq_caller caller;
	char name[];
};

/* An object that calls us. Another may be loaded in its place: the rest must fit, too. */
struct client {
	struct client *next;
	const struct link_map *map;
	_Atomic(const struct meaning *) meaning;
};

/* Few objects call libpq. They are looked up at each connect and finish, so without a lock. */
static _Atomic(struct client *) clients;

/* The common one; never changed once it is set. */
static _Atomic(const struct libpq *) common;

/* The one that this thread has entered. */
static _Thread_local const struct libpq *entered;

/* The linker's: where the object that this is in begins, and where it ends. */
extern const char __ehdr_start[] __attribute__((visibility("hidden")));
extern const char _end[] __attribute__((visibility("hidden")));

/* ---- what an object means ---------------------------------------------------- */

/* The libpq that the linker would have bound `map` to without us. */
static struct libpq_caller bound(const struct link_map *map)
{
	struct libpq_caller caller = {0};
	void *function = object_global_landmark();
	void *own = function;

	/* Asked only where the global scope does not tell. */
	if (function == NULL || (!object_is_program(map) && object_of(function) != map)) {
		own = object_landmark(map);
	}
	caller.inside = own != NULL && !object_is_program(map) && object_of(own) == map;
	if (function == NULL || caller.inside) {
		function = own;
	}
	if (function != NULL) {
		caller.libpq = libpq_at(object_of(function));
	}
	return caller;
}

static struct client *find_client(const struct link_map *map)
{
	struct client *client = atomic_load_explicit(&clients, memory_order_acquire);

	while (client != NULL && client->map != map) {
		client = client->next;
	}
	return client;
}

static bool recall_client(const struct link_map *map, struct libpq_caller *caller)
{
	struct client *client = find_client(map);
	const struct meaning *meaning =
		client != NULL ? atomic_load_explicit(&client->meaning, memory_order_acquire)
			       : NULL;

	if (meaning == NULL || meaning->base != map->l_addr ||
	    strcmp(meaning->name, map->l_name) != 0) {
		return false;
	}
	*caller = meaning->caller;
	return true;
}

/* NULL: out of memory. Threads that add the same object at once add it twice. */
static struct client *add_client(const struct link_map *map)
{
	struct client *client = calloc(1, sizeof(*client));

	if (client != NULL) {
		client->map = map;
		client->next = atomic_load(&clients);
		while (!atomic_compare_exchange_weak(&clients, &client->next, client)) {
		}
	}
	return client;
}

/* Out of memory only means that the object will be asked about again. */
static void remember_client(const struct link_map *map, const struct libpq_caller *caller)
{
	struct client *client = find_client(map);
	size_t bytes = strlen(map->l_name) + 1;
	struct libpq_caller known;
	struct meaning *fresh;

	if (recall_client(map, &known) && known.libpq == caller->libpq &&
	    known.inside == caller->inside) {
		return;
	}
	fresh = malloc(sizeof(*fresh) + bytes);
	if (fresh == NULL || (client == NULL && (client = add_client(map)) == NULL)) {
		free(fresh);
		return;
	}
	fresh->base = map->l_addr;
	fresh->caller = *caller;
	memcpy(fresh->name, map->l_name, bytes);
	fresh->before = atomic_load(&client->meaning);
	while (!atomic_compare_exchange_weak(&client->meaning, &fresh->before, fresh)) {
	}
}

/* The known or bound libpq of an object; none for NULL. */
static struct libpq_caller meaning_of(const struct link_map *map)
{
	struct libpq_caller caller = {0};

	if (map != NULL && !recall_client(map, &caller)) {
		caller = bound(map);
	}
	return caller;
}

/* Makes `libpq` the common one; false if that is another. */
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
	function = object_global_landmark();
	if (function == NULL) {
		function = object_only_landmark();
	}
	libpq = function != NULL ? libpq_at(object_of(function)) : NULL;
	if (libpq != NULL && !make_common(libpq)) {
		libpq = atomic_load(&common);
	}
	return libpq;
}

static COLD struct libpq_caller resolve(const struct link_map *map)
{
	struct libpq_caller caller = {0};

	if (map != NULL) {
		caller = bound(map);
	}
	if (caller.libpq == NULL) {
		caller.libpq = common_libpq();
	}
	if (map != NULL && caller.libpq != NULL) {
		remember_client(map, &caller);
	}
	dl_forget_error();
	return caller;
}

/* ---- calls -------------------------------------------------------------------- */

void libpq_enter(const struct libpq *libpq)
{
	entered = libpq;
}

void libpq_leave(void)
{
	entered = NULL;
}

static bool is_ours(const void *address)
{
	return (uintptr_t)address >= (uintptr_t)__ehdr_start &&
	       (uintptr_t)address < (uintptr_t)_end;
}

/*
 * Where no lock may be taken: the likeliest. A libpq's own calls are told from the program's
 * all the same: its PQconnectdb calls PQconnectPoll by the name that is ours.
 */
static COLD struct libpq_caller guess(const void *return_address)
{
	struct libpq_caller caller = {.libpq = libpq_containing(return_address)};

	caller.inside = caller.libpq != NULL;
	if (!caller.inside) {
		caller.libpq = atomic_load(&common);
	}
	if (caller.libpq == NULL) {
		caller.libpq = libpq_newest();
	}
	return caller;
}

static struct libpq_caller find(const void *return_address)
{
	const struct link_map *map = object_of(return_address);
	struct libpq_caller caller = {.libpq = map == NULL ? atomic_load(&common) : NULL};

	if (caller.libpq == NULL && (map == NULL || !recall_client(map, &caller))) {
		caller = resolve(map);
	}
	return caller;
}

struct libpq_caller libpq_of_caller(const void *return_address)
{
	int saved_errno = errno;
	struct libpq_caller caller;

	dl_begin_call(return_address);
	if (entered != NULL && is_ours(return_address)) {
		return (struct libpq_caller){.libpq = entered, .inside = true};
	}
	if (lock_barred()) {
		return guess(return_address);
	}
	caller = find(return_address);
	errno = saved_errno;
	return caller;
}

enum libpq_finding libpq_judge(const void *caller, const void *function)
{
	const struct link_map *map = object_of(function);
	const struct link_map *client = object_of(caller);
	struct libpq_caller meant;
	const struct libpq *libpq;

	/* A program that contains its libpq binds most of its calls to it for good. */
	if (map == NULL || object_is_program(map) || object_own_landmark(map->l_name) == NULL) {
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
