/* SPDX-License-Identifier: PostgreSQL */
/* A library with thread-local variables that need no look-up: each thread has them at once. */
#ifndef SIZE
#define SIZE 64
#endif

static __thread char kept[SIZE] __attribute__((tls_model("initial-exec"))) = "kept";

char *static_tls(void);
char *static_tls(void)
{
	return kept;
}
