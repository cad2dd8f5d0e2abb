/* SPDX-License-Identifier: Apache-2.0 */
#include "mail/address_list.h"

#include "base/err.h"
#include "base/must.h"
#include "mail/address.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct sv text = sv_make((const char *)data, size);
	struct buf name = BUF_INIT(4 * size + 1000);
	struct address_list list;
	struct address_list_item item;
	size_t end = 0;

	/* Elements that cannot be read are left out, and the list comes to its end. */
	address_list_init(&list, text);
	for (int rc = RC_PARSE; rc != 0;) {
		struct sv bad;
		size_t before = list.pos;

		rc = address_list_next(&list, &item);
		if (rc < 0 && !address_list_skip(&list, &bad))
			break;
		must(rc == 0 || list.pos > before);
	}
	address_list_init(&list, text);
	while (address_list_next(&list, &item) == 1) {
		struct address a;

		must(item.at >= end);
		must(item.len <= text.len - item.at);
		/* Quotes and backslashes may have come to it. */
		must(item.address.len <= 2 * item.len + 2);
		end = item.at + item.len;
		must(item.address.len == 0 ||
			address_parse(item.address, ADDRESS_UTF8 | ADDRESS_NO_DOMAIN, &a) == 0);
	}
	/* A name in front of an address must leave exactly that address, whatever the name is. */
	must(address_name_render(&name, text) == 0);
	must(buf_append(&name, SV(" <a@b.c>")) == 0);
	must(sv_find_char(buf_sv(&name), '\n') < 0);
	must(sv_find_char(buf_sv(&name), '\r') < 0);
	address_list_init(&list, buf_sv(&name));
	must(address_list_next(&list, &item) == 1);
	must(sv_eq(item.address, SV("a@b.c")));
	must(address_list_next(&list, &item) == 0);
	buf_deinit(&name);
	return 0;
}
