/* SPDX-License-Identifier: Apache-2.0 */
#include "authn/dkim_key.h"

#include "authn/tags.h"
#include "base/must.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool is_within(struct sv part, struct sv whole)
{
	return part.len == 0 ||
	       (part.ptr >= whole.ptr && part.ptr + part.len <= whole.ptr + whole.len);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct sv text = sv_make((const char *)data, size);
	struct authn_dkim_key key;
	struct authn_tags tags;

	if (size > LIMIT_DNS_TEXT)
		return 0;
	authn_dkim_key_parse(text, &key);
	must(authn_key_fault_text(key.fault) != NULL);
	must((key.bits != 0) == (key.public_key != NULL));
	must((key.public_key != NULL) ==
		(key.fault == AUTHN_KEY_GOOD || key.fault >= AUTHN_KEY_SERVICE));
	must(is_within(key.note, text));
	authn_dkim_key_deinit(&key);
	if (authn_tags_parse(text, &tags) != 0)
		return 0;
	for (size_t i = 0; i < tags.count; i++) {
		struct sv value;

		must(is_within(tags.tags[i].whole, text));
		must(authn_tags_get(&tags, tags.tags[i].name, &value));
		must(value.ptr == tags.tags[i].value.ptr);
	}
	return 0;
}
