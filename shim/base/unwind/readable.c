/* SPDX-License-Identifier: PostgreSQL */
/* Whether a page of memory can be read, as the kernel says. */
#include "base/unwind/readable.h"

#include <errno.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* What a futex is compared with: whether it is equal makes no difference. */
#define ANY_VALUE 0x70710f01

bool readable_page(uintptr_t page)
{
	static const struct timespec at_once;

	return syscall(SYS_futex, page, FUTEX_WAIT_PRIVATE, ANY_VALUE, &at_once) == 0 ||
	       errno == EAGAIN || errno == ETIMEDOUT || errno == EINTR;
}
