/* SPDX-License-Identifier: PostgreSQL */
/*
 * Registers an exit handler of ours after each of the program's, so that the newest is always
 * ours.
 *
 * exit(3) runs the newest first, in the thread that called it, however it came to that (main's
 * return, err(3), the last thread's end). So the thread knows that the program ends before any
 * handler of the program's can finish a connection (trace/script/program_end.h).
 *
 * A handler belongs to an object, and __cxa_finalize() runs those of one that dlclose(3)
 * unloads. Ours belong to the same objects, so that they go with them; the return address tells
 * which of the two runs one.
 *
 * Thread-local objects of C++ are destroyed before all that, by exit(3) or at a thread's end.
 * For the first thread it is always exit(3) (pthread_exit(3) leaves them alone there), so one
 * of ours is registered for these, too. For other threads they count as the thread's work.
 *
 * Nothing is registered before the program is pooled: older handlers run after the one with
 * which that begins. If one of ours cannot be registered, for want of memory, or because a
 * library is bound past us (RTLD_DEEPBIND), what its handlers finish counts as the program's
 * work.
 */
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>

#include "base/cold.h"
#include "base/dl.h"
#include "base/thread/pid.h"
#include "hooks/interposed.h"
#include "hooks/lifecycle.h"
#include "trace/script/program_end.h"

/* atexit(3) is made of it, and so are the destructors of static objects in C++. */
int __cxa_atexit(void (*run)(void *arg), void *arg, void *object);
/* Runs the handlers of an object that is unloaded. */
void __cxa_finalize(void *object);
int on_exit(void (*run)(int status, void *arg), void *arg);
/* The destructors of thread-local objects. */
int __cxa_thread_atexit_impl(void (*run)(void *arg), void *arg, void *object);

/* More than what a free list of small blocks gives, and keeps. */
#define ROOM_BYTES 4096

/* Where __cxa_finalize() returns to from a handler; NULL: not known yet. */
static _Atomic(const void *) finalizer;

static int really_register(void (*run)(void *arg), void *arg, void *object)
{
	static _Atomic(void *) known;
	__typeof__(__cxa_atexit) *real = REAL(__cxa_atexit, &known);

	return real != NULL ? real(run, arg, object) : -1;
}

static void note_finalizer(void *arg)
{
	(void)arg;
	atomic_store(&finalizer, __builtin_return_address(0));
}

static void note_end(void *arg)
{
	(void)arg;
	if (__builtin_return_address(0) != atomic_load(&finalizer)) {
		program_end_begin();
	}
}

/* If threads race here, they find the same. */
static COLD void find_finalizer(void)
{
	static char object;

	if (really_register(note_finalizer, NULL, &object) == 0) {
		__cxa_finalize(&object);
	}
}

static void be_newest(void *object)
{
	if (!lifecycle_has_pool()) {
		return;
	}
	if (atomic_load(&finalizer) == NULL) {
		find_finalizer();
	}
	really_register(note_end, NULL, object);
}

ENTRY int __cxa_atexit(void (*run)(void *arg), void *arg, void *object)
{
	int status = really_register(run, arg, object);

	if (status == 0) {
		be_newest(object);
	}
	return status;
}

ENTRY int on_exit(void (*run)(int status, void *arg), void *arg)
{
	static _Atomic(void *) known;
	__typeof__(on_exit) *real = REAL(on_exit, &known);
	int status = real != NULL ? real(run, arg) : -1;

	if (status == 0) {
		be_newest(NULL);
	}
	return status;
}

static void note_end_of_objects(void *arg)
{
	(void)arg;
	program_end_begin();
}

/* The C library ends the process when it has no memory for a destructor. */
static bool is_memory_left(void)
{
	void *room = malloc(ROOM_BYTES);

	free(room);
	return room != NULL;
}

ENTRY int __cxa_thread_atexit_impl(void (*run)(void *arg), void *arg, void *object)
{
	static _Atomic(void *) known;
	__typeof__(__cxa_thread_atexit_impl) *real = REAL(__cxa_thread_atexit_impl, &known);
	int status = real != NULL ? real(run, arg, object) : -1;

	if (status == 0 && lifecycle_has_pool() && tid_self() == pid_self() &&
	    is_memory_left()) {
		real(note_end_of_objects, NULL, &known);
	}
	return status;
}
