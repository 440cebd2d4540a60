/* SPDX-License-Identifier: PostgreSQL */
/* Tells where the stack lies that the C library gave a thread. */
#include "base/unwind/thread_stack.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/auxv.h>
#include <unistd.h>

#include "base/dl.h"
#include "base/text/strbuf.h"
#include "base/thread/pid.h"
#include "base/thread/thread_block.h"

/* What lies further apart is no one stack. */
#define NEAR (8u << 20)

struct extent {
	uintptr_t low;
	uintptr_t high; /* 0: not asked yet */
};

_Static_assert(sizeof(struct extent) <= sizeof(((struct thread_block *)0)->stack),
               "where the stack lies fits into its part");

/* At the top of the first thread's are bytes of the kernel's, of others the descriptor. */
uintptr_t thread_stack_top(pid_t tid, uintptr_t self)
{
	return tid == pid_self() ? getauxval(AT_RANDOM) : self;
}

static void ask(struct extent *extent)
{
	pthread_attr_t attr;
	void *base = NULL;
	size_t size = 0;

	if (pthread_getattr_np(pthread_self(), &attr) == 0) {
		pthread_attr_getstack(&attr, &base, &size);
		pthread_attr_destroy(&attr);
	}
	extent->low = (uintptr_t)base;
	extent->high = extent->low + size;
}

void thread_stack(uintptr_t *low, uintptr_t *high)
{
	struct extent *known = THREAD_PART(struct extent, stack);
	struct extent asked = {0};

	if (known == NULL) {
		known = &asked;
	}
	if (known->high == 0) {
		ask(known);
	}
	*low = known->low;
	*high = known->high;
}

static int find_copier(struct dl_phdr_info *info, size_t size, void *arg)
{
	bool *found = arg;

	(void)size;
	*found = info->dlpi_name != NULL && strstr(info->dlpi_name, "/_greenlet") != NULL;
	return *found;
}

bool thread_stack_is_copied(void)
{
	bool found = false;

	dl_iterate(find_copier, &found);
	return found;
}

/* "0x7f...". Not by strtoull(3): built with a newer C library it asks for that one's. */
static uintptr_t from_hex(const char *word)
{
	uintptr_t number = 0;

	for (word += strncmp(word, "0x", 2) == 0 ? 2 : 0; *word != '\0'; word++) {
		unsigned digit = (unsigned char)*word;

		if (digit - '0' > 9 && digit - 'a' > 5) {
			break;
		}
		number = number << 4 | (digit <= '9' ? digit - '0' : digit - 'a' + 10);
	}
	return number;
}

/* Of a sleeping thread: the call, its arguments, the stack pointer, the place. 0: it runs. */
static uintptr_t pointer_in(char *line)
{
	char *last = strrchr(line, ' ');

	if (last != NULL) {
		*last = '\0';
		last = strrchr(line, ' ');
	}
	return last != NULL ? from_hex(last + 1) : 0;
}

bool thread_stack_was_left(pid_t tid, uintptr_t self, uintptr_t address)
{
	uintptr_t top = thread_stack_top(tid, self);
	char line[256];
	struct strbuf path;
	ssize_t n;
	int fd;
	uintptr_t pointer;

	if (tid == tid_self() || address >= top || top - address >= NEAR) {
		return false;
	}
	strbuf_init(&path, line, sizeof(line));
	strbuf_str(&path, "/proc/self/task/");
	strbuf_i64(&path, tid);
	strbuf_str(&path, "/syscall");
	fd = open(line, O_RDONLY | O_CLOEXEC);
	if (fd < 0) {
		return errno == ENOENT && tgkill(pid_self(), tid, 0) != 0 && errno == ESRCH;
	}
	n = read(fd, line, sizeof(line) - 1);
	close(fd);
	line[n > 0 ? n : 0] = '\0';
	pointer = pointer_in(line);
	return pointer > address && pointer < top;
}
