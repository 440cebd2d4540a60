/* SPDX-License-Identifier: PostgreSQL */
/* What can be told of a connect without asking libpq. */
#include "key/connect_draft.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cold.h"
#include "base/text/keybuf.h"
#include "key/connect_files.h"
#include "key/effective_options.h"
#include "key/pool_key.h"

/* A draft of the options alone; false: there is to be none. */
static bool describe(struct connect_draft *draft, struct conninfo *ci)
{
	if (conninfo_service(ci) != NULL || !effective_options_guess(ci) ||
	    !pool_key_is_shared(ci)) {
		return false;
	}
	connect_files_watch(&draft->files, ci);
	draft->conninfo = conninfo_text(ci, identity_settings()->connect_timeout_s);
	return draft->conninfo != NULL && !draft->files.failed;
}

static void *make(const struct libpq *libpq, const struct connect_call *call,
                  const struct keybuf *inputs)
{
	struct connect_draft *draft = calloc(1, sizeof(*draft) + inputs->len);
	bool described = false;
	struct conninfo ci;

	if (draft == NULL) {
		return NULL;
	}
	draft->inputs_len = inputs->len;
	memcpy(draft->inputs, inputs->data, inputs->len);
	if (conninfo_read(&ci, libpq, call, identity_settings()->route)) {
		described = describe(draft, &ci);
		conninfo_free(&ci);
	}
	if (!described) {
		connect_draft_free(draft);
		return NULL;
	}
	return draft;
}

COLD struct connect_draft *connect_draft_make(const struct libpq *libpq,
                                              const struct connect_call *call)
{
	return pool_key_of_call(libpq, call, make);
}

/*
 * The spelling was understood with the environment as it is now, of which these inputs are, or
 * has been taken from memory by them.
 */
COLD bool connect_draft_agrees(const struct connect_draft *draft, const struct libpq *libpq,
                               const struct connect_call *call, const struct spelling *spelling)
{
	return file_stamp_equal(&draft->files, &spelling->identity->watches) &&
	       spelling->inputs_len == draft->inputs_len &&
	       memcmp(spelling->inputs, draft->inputs, draft->inputs_len) == 0 &&
	       identity_is_still(spelling, libpq, call);
}

COLD void connect_draft_free(struct connect_draft *draft)
{
	int saved_errno = errno;

	if (draft == NULL) {
		return;
	}
	if (draft->conninfo != NULL) {
		explicit_bzero(draft->conninfo, strlen(draft->conninfo));
		free(draft->conninfo);
	}
	explicit_bzero(draft->inputs, draft->inputs_len);
	file_stamp_free(&draft->files);
	free(draft);
	errno = saved_errno;
}
