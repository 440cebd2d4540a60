/* SPDX-License-Identifier: PostgreSQL */
/* The real libpqs: a table of functions for each one in the process. */
#include "base/libpq/libpq.h"

#include <dlfcn.h>
#include <stdlib.h>

#include "base/dl.h"
#include "base/libpq/objects.h"

/* Never shorter: what is in it is never freed, and is read without a lock. */
static _Atomic(struct libpq *) libpqs;

/* Fills the table; false if a function without which nothing works is missing. */
static bool bind(struct libpq *libpq, const struct link_map *map, void *handle, bool global)
{
	struct object_scope scope;
	bool complete = true;

	object_open_scope(&scope, map, handle, global);
#define OPTIONAL(name) *(void **)&libpq->name = object_function(&scope, #name);
#define REQUIRED(name)                                                                         \
	OPTIONAL(name)                                                                         \
	complete = complete && libpq->name != NULL;
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

/* What the libpq sees, whoever defines it. */
static void *seen_by(void *handle, const char *name)
{
	return handle != NULL ? dl_symbol(handle, name) : dl_next(name);
}

/*
 * Makes the table of the libpq that lives in `map`. The handle is kept for good; to get one is
 * dear, and needless where the program is linked to that libpq.
 */
static struct libpq *load(const struct link_map *map)
{
	struct libpq *libpq = calloc(1, sizeof(*libpq));
	bool global = object_is_global(map);
	bool lasts = global && object_is_needed(map);
	void *handle = libpq == NULL || lasts ? NULL : object_handle(map);

	if (libpq == NULL || (handle == NULL && !lasts) || !bind(libpq, map, handle, global) ||
	    !read_defaults(libpq)) {
		if (handle != NULL) {
			dlclose(handle);
		}
		free(libpq);
		return NULL;
	}
	*(void **)&libpq->default_cert_file = seen_by(handle, "X509_get_default_cert_file");
	*(void **)&libpq->default_cert_dir = seen_by(handle, "X509_get_default_cert_dir");
	libpq->base = (uintptr_t)map->l_addr;
	libpq->end = object_is_program(map) ? 0 : object_end(map);
	libpq->can_pipeline =
		libpq->PQpipelineStatus != NULL && libpq->PQenterPipelineMode != NULL &&
		libpq->PQexitPipelineMode != NULL && libpq->PQpipelineSync != NULL;
	return libpq;
}

static struct libpq *find(uintptr_t base)
{
	struct libpq *libpq = atomic_load(&libpqs);

	while (libpq != NULL && libpq->base != base) {
		libpq = libpq->next;
	}
	return libpq;
}

/* Another thread may have been faster; its reference keeps the library as well. */
static const struct libpq *add(struct libpq *made)
{
	const struct libpq *other;

	made->next = atomic_load(&libpqs);
	while ((other = find(made->base)) == NULL) {
		if (atomic_compare_exchange_strong(&libpqs, &made->next, made)) {
			return made;
		}
	}
	free(made);
	return other;
}

const struct libpq *libpq_at(const struct link_map *map)
{
	const struct libpq *known = find((uintptr_t)map->l_addr);
	struct libpq *made = known == NULL ? load(map) : NULL;

	return made != NULL ? add(made) : known;
}

const struct libpq *libpq_newest(void)
{
	return atomic_load(&libpqs);
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
