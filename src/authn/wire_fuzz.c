/* SPDX-License-Identifier: Apache-2.0 */
#include "authn/wire.h"

#include "base/must.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The first byte is the type; then records, each with its length in a byte. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct sv rest = sv_make((const char *)data, size), rdata[LIMIT_DNS_RECORDS + 4];
	struct authn_wire w;
	size_t count = 0;
	uint16_t type;

	if (size == 0)
		return 0;
	type = data[0];
	for (rest = sv_skip(rest, 1); rest.len && count < COUNT_OF(rdata);) {
		size_t n = (unsigned char)rest.ptr[0];

		rdata[count++] = sv_head(sv_skip(rest, 1), n);
		rest = sv_skip(rest, n + 1);
	}
	authn_wire_init(&w);
	authn_wire_read(&w, type, rdata, count);
	must(w.answer.count <= count && (w.answer.cut || w.answer.count == count));
	for (size_t i = 0; i < w.answer.count; i++) {
		struct sv d = w.answer.records[i].data;

		must(d.len <= LIMIT_DNS_TEXT);
		must(type != AUTHN_A || d.len == 4);
		must(type != AUTHN_AAAA || d.len == 16);
		for (size_t k = 0;
			(type == AUTHN_MX || type == AUTHN_CNAME || type == AUTHN_PTR) && k < d.len;
			k++)
			must(d.ptr[k] > 0x20 && d.ptr[k] < 0x7f);
	}
	authn_wire_deinit(&w);
	return 0;
}
