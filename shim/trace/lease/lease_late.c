/* SPDX-License-Identifier: PostgreSQL */
/* What was released by nothing but the program's end. */
#include "trace/lease/lease_late.h"

#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>

#include "base/thread/pid.h"
#include "trace/lease/lease_table.h"

static struct lease *late; /* LEASE_LATE_MAX of them, mapped with the first */
static atomic_size_t late_count;

static struct lease *map(void)
{
	void *memory = mmap(NULL, LEASE_LATE_MAX * sizeof(*late), PROT_READ | PROT_WRITE,
	                    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return memory != MAP_FAILED ? memory : NULL;
}

void lease_keep_late(const struct lease *ended)
{
	size_t count;

	lease_table_lock();
	if (late == NULL) {
		late = map();
	}
	count = atomic_load(&late_count);
	if (late != NULL && count < LEASE_LATE_MAX) {
		late[count] = *ended;
		late[count].at_exit = true;
		late[count].activity = NULL;
		atomic_store(&late_count, count + 1);
	}
	lease_table_unlock();
}

static COLD void forget(pid_t tid)
{
	size_t left = 0;

	lease_table_lock();
	for (size_t i = 0; i < late_count; i++) {
		if (late[i].tid != tid) {
			memmove(&late[left++], &late[i], sizeof(*late));
		}
	}
	atomic_store(&late_count, left);
	lease_table_unlock();
}

void lease_forget_late(void)
{
	if (atomic_load_explicit(&late_count, memory_order_relaxed) > 0) {
		forget(tid_self());
	}
}

size_t lease_late_count(void)
{
	return atomic_load(&late_count);
}

void lease_late_copy(struct lease *to, size_t count)
{
	memcpy(to, late, count * sizeof(*to));
}

void lease_late_clear(void)
{
	atomic_store(&late_count, 0);
}
