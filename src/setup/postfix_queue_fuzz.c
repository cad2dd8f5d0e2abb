/* SPDX-License-Identifier: Apache-2.0 */
#include "setup/postfix_queue.h"

#include "base/must.h"
#include "mail/address.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Whatever a queue file says: each recipient is an address that an envelope can carry. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct arena arena = { 0 };
	struct setup_queued q;
	struct address a;

	if (setup_queue_parse(&arena, sv_make((const char *)data, size), &q, NULL) == 0) {
		must(!q.sender.len ||
			address_parse(q.sender, ADDRESS_UTF8 | ADDRESS_NO_DOMAIN, &a) == 0);
		for (size_t i = 0; i < q.recipient_count; i++) {
			must(address_parse(q.recipients[i].address,
				     ADDRESS_UTF8 | ADDRESS_NO_DOMAIN,
				     &a) == 0);
			must(q.recipients[i].notify < 16);
		}
	}
	arena_reset(&arena);
	return 0;
}
