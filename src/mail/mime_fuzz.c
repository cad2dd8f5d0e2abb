/* SPDX-License-Identifier: Apache-2.0 */
#include "mail/mime.h"

#include "base/err.h"
#include "base/must.h"
#include "base/text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct mime_scan *scan(const struct mime_top *top, struct header_block *h, uint64_t at,
	struct sv body, size_t step)
{
	struct mime_scan *s = mime_scan_new(top, h, at, NULL);

	for (; body.len; body = sv_skip(body, step))
		mime_scan_feed(s, sv_head(body, step));
	return s;
}

/* What was counted while scanning is what comes out, however it is cut. */
static void decode(const struct mime_part *p, struct sv text, size_t step)
{
	struct mime_decoder d = { .encoding = p->encoding };
	struct sv body = sv_head(sv_skip(text, p->body_at), p->end - p->body_at);
	struct buf out = BUF_INIT(body.len + 16);
	uint64_t count = 0;

	for (; body.len; body = sv_skip(body, step))
		must(mime_decode(&d, sv_head(body, step), &out, &count) == 0);
	must(mime_decode_end(&d, &out, &count) == 0);
	must(count == out.len);
	must(count == p->decoded_size);
	must(!p->movable || !d.broken);
	buf_deinit(&out);
}

static void check(struct sv text, const struct mime_scan *s, bool single, size_t step)
{
	size_t count, containers;
	const struct mime_part *parts = mime_scan_parts(s, &count);

	(void)mime_scan_containers(s, &containers);
	for (size_t i = 0; i < count; i++) {
		const struct mime_part *p = &parts[i];

		must(p->from <= p->body_at && p->body_at <= p->end && p->end <= p->next);
		must(p->next <= text.len);
		must(single || sv_starts(sv_skip(text, p->from), SV("--")));
		must(single || p->container < containers);
		must(i + 1 == count || parts[i + 1].from >= p->next);
		must(!p->movable || (p->name.len > 0 && text_is_utf8(p->name)));
		must(text_is_ascii(p->type) && text_is_ascii(p->content_type));
		if (p->movable)
			decode(p, text, step);
	}
}

/* However the body is cut, its parts are the same. */
static void check_cuts(struct sv text, const struct mime_top *top, struct header_block *h,
	size_t body_at, size_t step)
{
	struct mime_scan *whole = scan(top, h, body_at, sv_skip(text, body_at), text.len + 1);
	struct mime_scan *cut = scan(top, h, body_at, sv_skip(text, body_at), step);
	bool open, open_too;
	const struct mime_part *x, *y;
	size_t a, b;

	must(mime_scan_end(whole, &open) == mime_scan_end(cut, &open_too));
	must(open == open_too);
	x = mime_scan_parts(whole, &a);
	y = mime_scan_parts(cut, &b);
	must(a == b);
	for (size_t i = 0; i < a; i++) {
		must(x[i].from == y[i].from && x[i].body_at == y[i].body_at);
		must(x[i].end == y[i].end && x[i].next == y[i].next);
		must(x[i].movable == y[i].movable);
		must(x[i].decoded_size == y[i].decoded_size);
		must(sv_eq(x[i].name, y[i].name));
	}
	check(text, whole, top->kind == MIME_TOP_SINGLE, step);
	mime_scan_free(whole);
	mime_scan_free(cut);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct buf name = BUF_INIT(300);
	struct header_block *h;
	struct mime_top top;
	struct sv text, value;
	size_t used = 0;

	if (size < 2 || size > 100000)
		return 0;
	h = header_block_new(50000, 200);
	text = sv_make((const char *)data + 1, size - 1);
	if (header_block_feed(h, text, &used) == 1) {
		mime_top(h, &top);
		if (header_block_get(h, SV("Content-Disposition"), &value))
			(void)!mime_parameter(value, SV("filename"), &name);
		if (top.kind == MIME_TOP_MULTIPART || top.kind == MIME_TOP_SINGLE)
			check_cuts(text, &top, h, used, (size_t)data[0] % 9 + 1);
	}
	buf_deinit(&name);
	header_block_free(h);
	return 0;
}
