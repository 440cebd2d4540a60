/* SPDX-License-Identifier: PostgreSQL */
/* The page that the data are put into; the build has it assembled in. */
#include "report/page_template.h"

#include <err.h>
#include <string.h>

#include "common/exit_status.h"

/* Where the data come, once. */
#define DATA "@PQPOOL_REPORT_DATA@"

/* The assembler finds it in $(BUILD)/report. */
__asm__(".pushsection .rodata\n"
        ".globl page_template_begin, page_template_end\n"
        ".hidden page_template_begin, page_template_end\n"
        "page_template_begin: .incbin \"page.html\"\n"
        "page_template_end:\n"
        ".popsection\n");
extern const char page_template_begin[] __attribute__((visibility("hidden")));
extern const char page_template_end[] __attribute__((visibility("hidden")));

static const char *find_data(void)
{
	size_t n = (size_t)(page_template_end - page_template_begin);
	const char *at = memmem(page_template_begin, n, DATA, strlen(DATA));

	if (at == NULL) {
		errx(EXIT_FAILED, "the page was built without a place for the data");
	}
	return at;
}

const char *page_template_before(size_t *n)
{
	*n = (size_t)(find_data() - page_template_begin);
	return page_template_begin;
}

const char *page_template_behind(size_t *n)
{
	const char *behind = find_data() + strlen(DATA);

	*n = (size_t)(page_template_end - behind);
	return behind;
}
