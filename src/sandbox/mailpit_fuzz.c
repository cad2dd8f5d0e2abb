/* SPDX-License-Identifier: Apache-2.0 */
#include "base/must.h"
#include "sandbox/html_text.h"
#include "sandbox/mailpit_priv.h"

#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The first line is a search, the rest a message: a stranger's, too. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	CLEANUP(mailpit_query_freep) struct mailpit_query *q = NULL;
	struct sv rest = sv_make((const char *)data, size), search;
	char *to[] = { (char[]){ "b@example.org" } };
	struct sandbox_message m = {
		.door = "submission",
		.mailbox = (char[]){ "a@contoso.com" },
		.sender = (char[]){ "a@contoso.com" },
		.recipients = to,
		.recipient_count = 1,
		.message_id = (char[]){ "<x>" },
		.new_id = (char[]){ "" },
		.subject = (char[]){ "=?utf-8?q?caf=C3=A9?=" },
	};
	struct err err = { 0 };
	json_t *whole, *headers;

	(void)sv_cut_char(&rest, '\n', &search);
	m.raw = (char *)(uintptr_t)rest.ptr;
	m.raw_len = rest.len;
	q = mailpit_query_new(search, &err);
	must(q || err.text[0]);
	(void)mailpit_summary(&m);
	if (q)
		(void)!mailpit_query_fits(q, &m);
	whole = mailpit_message(&m);
	headers = mailpit_headers(&m);
	must(json_is_string(json_object_get(whole, "Text")) && json_is_object(headers));
	json_decref(headers);
	json_decref(whole);
	json_decref(m.summary);
	return 0;
}
