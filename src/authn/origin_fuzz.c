/* SPDX-License-Identifier: Apache-2.0 */
#include "authn/origin.h"

#include "base/must.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool is_within(struct sv part, struct sv whole)
{
	return part.len == 0 ||
	       (part.ptr >= whole.ptr && part.ptr + part.len <= whole.ptr + whole.len);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct authn_fields *f = authn_fields_new();
	struct authn_origin o;
	struct sv text = sv_make((const char *)data, size), whole = { 0 };
	const struct authn_field *list;
	size_t used, count;
	int rc = size ? authn_fields_feed(f, text, &used) : 0;

	if (rc == 0)
		rc = authn_fields_end(f);
	if (rc >= 0) {
		list = authn_fields_list(f, &count);
		if (count)
			whole = sv_make(list[0].whole.ptr,
				(size_t)(list[count - 1].whole.ptr - list[0].whole.ptr) +
					list[count - 1].whole.len);
		authn_origin_find(f, &o);
		must(is_within(o.address_text, whole) && is_within(o.helo, whole) &&
			is_within(o.sender, whole));
		must((o.address_from == AUTHN_ORIGIN_NOWHERE) == (o.address_text.len == 0));
		must(o.sender.len <= LIMIT_ADDRESS && o.address_from != AUTHN_ORIGIN_GIVEN);
	}
	authn_fields_free(f);
	return 0;
}
