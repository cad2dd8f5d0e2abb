/* SPDX-License-Identifier: Apache-2.0 */
#include "base/must.h"
#include "sandbox/messages.h"

#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A message is what a stranger sends. Each attachment that is listed can be had, with its listed size. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *to[] = { (char[]){ "b@example.org" } };
	struct sandbox_message m = {
		.door = "submission",
		.mailbox = (char[]){ "" },
		.sender = (char[]){ "" },
		.recipients = to,
		.recipient_count = 1,
		.message_id = (char[]){ "" },
		.new_id = (char[]){ "" },
		.subject = (char[]){ "" },
		.raw = (char *)(uintptr_t)data,
		.raw_len = size,
	};
	json_t *o = sandbox_message_parsed(&m);
	const json_t *all = json_object_get(o, "attachments");

	for (size_t i = 0; i < json_array_size(all); i++) {
		struct buf bytes = BUF_INIT(size + 1), type = BUF_INIT(size + 1);
		const json_t *listed = json_object_get(json_array_get(all, i), "size");

		must(sandbox_message_attachment(&m, (uint32_t)i + 1, &bytes, &type));
		must(json_integer_value(listed) == (json_int_t)bytes.len);
		buf_deinit(&bytes);
		buf_deinit(&type);
	}
	json_decref(o);
	return 0;
}
