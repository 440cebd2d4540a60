/* SPDX-License-Identifier: PostgreSQL */
/* The page that the data are put into; the build has it assembled in. */
#include "report/page_template.h"

#include <err.h>
#include <stdint.h>
#include <string.h>

#include "common/exit_status.h"

/* Where the data come, once. */
#define DATA "@PQPOOL_REPORT_DATA@"

/* The assembler finds it in $(BUILD)/report. */
__asm__(".pushsection .rodata\n"
        ".globl page_template, page_template_bytes\n"
        ".hidden page_template, page_template_bytes\n"
        "page_template: .incbin \"page.html\"\n"
        "page_template_end:\n"
        ".balign 8\n"
        "page_template_bytes: .quad page_template_end - page_template\n"
        ".popsection\n");
extern const char page_template[] __attribute__((visibility("hidden")));
extern const uint64_t page_template_bytes __attribute__((visibility("hidden")));

static const char *find_data(void)
{
	const char *at = memmem(page_template, page_template_bytes, DATA, strlen(DATA));

	if (at == NULL) {
		errx(EXIT_FAILED, "the page was built without a place for the data");
	}
	return at;
}

const char *page_template_before(size_t *n)
{
	*n = (size_t)(find_data() - page_template);
	return page_template;
}

const char *page_template_behind(size_t *n)
{
	const char *behind = find_data() + strlen(DATA);

	*n = page_template_bytes - (size_t)(behind - page_template);
	return behind;
}
