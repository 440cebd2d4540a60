/* SPDX-License-Identifier: PostgreSQL */
/*
 * An extension that loads another, by a name that only its own RUNPATH leads to, and looks
 * up what only its own scope has. -DFRIEND="name.so" is that other.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

#ifndef OTHER
#define OTHER FRIEND
#endif

int opener_run(void);
int opener_look(void);
int opener_own(void);
int opener_once(void);
void *malloc(size_t n);

static int call(void *handle, const char *name)
{
	int (*function)(void);

	*(void **)&function = dlsym(handle, name);
	if (function == NULL) {
		printf("%s\n", dlerror());
		return -1;
	}
	return function();
}

int opener_run(void)
{
	void *handle = dlopen(FRIEND, RTLD_LAZY | RTLD_DEEPBIND);

	if (handle == NULL) {
		printf("%s\n", dlerror());
		return -1;
	}
	return call(handle, "module_run");
}

/* And unloads it; the second time OTHER. */
int opener_once(void)
{
	static int times;
	void *handle = dlopen(times++ == 0 ? FRIEND : OTHER, RTLD_LAZY);
	int answer = handle != NULL ? call(handle, "module_run") : -1;

	if (handle != NULL) {
		dlclose(handle);
	}
	return answer;
}

int opener_own(void)
{
	return 42;
}

/* RTLD_DEFAULT goes by the object that asks: this one is loaded with RTLD_LOCAL. */
int opener_look(void)
{
	return call(RTLD_DEFAULT, "opener_own");
}
