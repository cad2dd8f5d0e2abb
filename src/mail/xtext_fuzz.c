/* SPDX-License-Identifier: Apache-2.0 */
#include "mail/dsn.h"

#include "base/must.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* xtext both ways, and the bytes as every peer-made value of a notice. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct sv text = sv_make((const char *)data, size);
	struct buf a = BUF_INIT(3 * size), b = BUF_INIT(3 * size), out = BUF_INIT(1 << 20);
	struct dsn_recipient r = {
		.address = SV("a@b.c"),
		.original = text,
		.enhanced = text,
		.reply = text,
		.relay = size % 2 ? SV("relay.example") : SV(""),
		.summary = text,
	};
	struct dsn d = {
		.action = (enum dsn_action)(size % 3),
		.hostname = SV("h.example"),
		.from = SV("f@h.example"),
		.to = SV("t@h.example"),
		.message_id = SV("<1@h>"),
		.boundary = SV("notInTheCorpus0123456789"),
		.envid = sv_head(text, 100),
		.original_headers = text,
		.recipients = &r,
		.recipient_count = 1,
	};
	struct sv rest, line;

	must(dsn_xtext_encode(&a, text) == 0);
	must(dsn_xtext_decode(&b, buf_sv(&a)) == 0);
	must(sv_eq(buf_sv(&b), text));
	buf_reset(&b);
	(void)!dsn_xtext_decode(&b, text);
	must(dsn_render(&d, &out) == 0);
	rest = buf_sv(&out);
	while (sv_cut_line(&rest, &line)) {
		must(line.len <= 998);
		must(sv_find_char(line, '\n') < 0);
		must(sv_find_char(line, '\r') < 0);
		must(sv_find_char(line, '\0') < 0);
	}
	must(rest.len == 0);
	buf_deinit(&a);
	buf_deinit(&b);
	buf_deinit(&out);
	return 0;
}
