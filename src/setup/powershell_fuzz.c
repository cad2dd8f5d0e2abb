/* SPDX-License-Identifier: Apache-2.0 */
#include "setup/powershell.h"

#include "base/text.h"
#include "setup/quote.h"
#include "setup/test_ps.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum {
	OUT_MAX = 1 << 22,
	INPUT_MAX = 4096
};

static void script(struct sv name, struct buf *out)
{
	const struct setup_tenant tenant = {
		.name = name, .id = name, .client_id = name, .has_app = true, .has_users = true
	};
	struct setup_step steps[SETUP_KIND_COUNT * 2 + 1];
	struct setup_plan plan = { .steps = steps, .notes = &name, .note_count = 1 };

	/* Each kind for the app and for a person; the connector by certificate and by address. */
	for (int kind = 0; kind < SETUP_KIND_COUNT * 2; kind++)
		steps[plan.count++] = (struct setup_step){
			.kind = (enum setup_kind)(kind % SETUP_KIND_COUNT),
			.tenant = &tenant,
			.subject = name,
			.trustee = kind < SETUP_KIND_COUNT ? name : SV(""),
			.certificate = kind < SETUP_KIND_COUNT ? name : SV(""),
			.address = name,
			.password = kind < SETUP_KIND_COUNT,
		};
	must(setup_powershell(&plan, out) == 0);
}

/* The strings with codes in between are strings, too: (S + [char]0x1234 + S) becomes S. */
static void skeleton_of(struct sv text, struct buf *out)
{
	struct buf rough = BUF_INIT(OUT_MAX);
	struct sv rest;
	ptrdiff_t at;

	must(ps_skeleton(text, &rough));
	rest = buf_sv(&rough);
	while ((at = sv_find(rest, SV("(S + [char]"))) >= 0) {
		uint32_t code;

		must(buf_append(out, sv_head(rest, (size_t)at)) == 0);
		rest = sv_skip(rest, (size_t)at + 2);
		while (sv_starts(rest, SV(" + "))) {
			rest = sv_skip(rest, 3);
			if (sv_starts(rest, SV("S")))
				rest = sv_skip(rest, 1);
			else
				must(ps_code(&rest, &code));
		}
		must(sv_starts(rest, SV(")")));
		rest = sv_skip(rest, 1);
		must(buf_append_char(out, 'S') == 0);
	}
	must(buf_append(out, rest) == 0);
	buf_deinit(&rough);
}

static void check_value(struct sv text)
{
	struct buf quoted = BUF_INIT(OUT_MAX), value = BUF_INIT(OUT_MAX), want = BUF_INIT(OUT_MAX);

	must(setup_ps_quote(&quoted, text) == 0);
	must(ps_value(buf_sv(&quoted), &value));
	for (struct sv rest = text; rest.len;) {
		uint32_t c = setup_utf8_next(&rest);

		if (c >= 0x10000)
			ps_put_unit(&want, 0xd800 + ((c - 0x10000) >> 10));
		ps_put_unit(&want, c >= 0x10000 ? 0xdc00 + (c & 0x3ff) : c);
	}
	must(sv_eq(buf_sv(&value), buf_sv(&want)));
	buf_deinit(&quoted);
	buf_deinit(&value);
	buf_deinit(&want);
}

/* A name is a value: it is read back as it was, and the script around it is the same for every name. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct sv name = sv_make((const char *)data, size);
	struct buf here = BUF_INIT(OUT_MAX), plain = BUF_INIT(OUT_MAX), a = BUF_INIT(OUT_MAX),
		   b = BUF_INIT(OUT_MAX);

	if (!size || size > INPUT_MAX)
		return 0;
	check_value(name);
	script(name, &here);
	script(SV("x"), &plain);
	for (size_t i = 0; i < here.len; i++) {
		char c = buf_sv(&here).ptr[i];

		must(c == '\n' || (c >= ' ' && c <= '~'));
	}
	skeleton_of(buf_sv(&here), &a);
	skeleton_of(buf_sv(&plain), &b);
	must(sv_eq(buf_sv(&a), buf_sv(&b)));
	buf_deinit(&here);
	buf_deinit(&plain);
	buf_deinit(&a);
	buf_deinit(&b);
	return 0;
}
