/* SPDX-License-Identifier: Apache-2.0 */
#include "mail/drop_format.h"

#include "base/limits.h"
#include "base/must.h"
#include "mail/address.h"

#include <stdio.h>

#define DROP_MAGIC SV("postern-drop 1")

struct word {
	struct sv name;
	uint8_t value;
};

static const struct word notify_words[] = {
	{ SV_INIT("never"), DSN_NOTIFY_NEVER },
	{ SV_INIT("success"), DSN_NOTIFY_SUCCESS },
	{ SV_INIT("failure"), DSN_NOTIFY_FAILURE },
	{ SV_INIT("delay"), DSN_NOTIFY_DELAY },
};

int drop_notify_parse(struct sv text, uint8_t *out_notify)
{
	uint8_t bits = 0;
	bool more = true;

	while (more) {
		struct sv part;
		uint8_t bit = 0;

		more = sv_cut_char(&text, ',', &part);
		for (size_t i = 0; i < COUNT_OF(notify_words); i++) {
			if (sv_eq_nocase(part, notify_words[i].name))
				bit = notify_words[i].value;
		}
		if (bit == 0)
			return RC_PARSE;
		bits |= bit;
	}
	if ((bits & DSN_NOTIFY_NEVER) && bits != DSN_NOTIFY_NEVER)
		return RC_PARSE;
	*out_notify = bits;
	return 0;
}

int drop_notify_render(uint8_t notify, struct buf *out)
{
	size_t before = out->len;
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < COUNT_OF(notify_words); i++) {
		if (!(notify & notify_words[i].value))
			continue;
		if (out->len > before)
			rc = buf_append_char(out, ',');
		if (rc == 0)
			rc = buf_append(out, notify_words[i].name);
	}
	if (rc != 0)
		out->len = before;
	return rc;
}

void drop_size_render(uint64_t size, char out[DROP_SIZE_DIGITS + 1])
{
	(void)snprintf(
		out, DROP_SIZE_DIGITS + 1, "%0*llu", DROP_SIZE_DIGITS, (unsigned long long)size);
}

static int render_options(const struct drop_envelope *e, struct buf *out)
{
	int rc = 0;

	if (e->ret != DSN_RET_NONE)
		rc = buf_printf(out, "ret %s\n", e->ret == DSN_RET_FULL ? "full" : "hdrs");
	if (rc == 0 && e->envid.len) {
		rc = buf_append(out, SV("envid "));
		if (rc == 0)
			rc = dsn_xtext_encode(out, e->envid);
		if (rc == 0)
			rc = buf_append_char(out, '\n');
	}
	if (rc == 0 && e->body_8bit)
		rc = buf_append(out, SV("body 8bitmime\n"));
	if (rc == 0 && e->smtputf8)
		rc = buf_append(out, SV("smtputf8\n"));
	if (rc == 0 && e->notify) {
		rc = buf_append(out, SV("notify "));
		if (rc == 0)
			rc = drop_notify_render(e->notify, out);
		if (rc == 0)
			rc = buf_append_char(out, '\n');
	}
	return rc;
}

int drop_envelope_render(const struct drop_envelope *envelope, struct buf *out, size_t *out_size_at)
{
	char digits[DROP_SIZE_DIGITS + 1];
	size_t before = out->len;
	int rc;

	must(sv_find_char(envelope->sender, '\n') < 0);
	rc = buf_append(out, DROP_MAGIC);
	if (rc == 0)
		rc = buf_printf(out, "\nsender %.*s\n", SV_ARG(envelope->sender));
	if (rc == 0)
		rc = render_options(envelope, out);
	for (size_t i = 0; rc == 0 && i < envelope->recipient_count; i++) {
		must(sv_find_char(envelope->recipients[i], '\n') < 0);
		rc = buf_printf(out, "recipient %.*s\n", SV_ARG(envelope->recipients[i]));
	}
	drop_size_render(envelope->size, digits);
	if (rc == 0)
		rc = buf_printf(out, "size %s\n\n", digits);
	if (rc != 0) {
		out->len = before;
		return rc;
	}
	*out_size_at = out->len - before - DROP_SIZE_DIGITS - 2;
	return 0;
}

/* ---- reading ---- */

enum {
	SEEN_SENDER = 1,
	SEEN_RET = 2,
	SEEN_ENVID = 4,
	SEEN_BODY = 8,
	SEEN_UTF8 = 16,
	SEEN_NOTIFY = 32,
	SEEN_SIZE = 64,
};

struct reader {
	struct arena *arena;
	struct drop_envelope envelope;
	struct sv *recipients;
	size_t recipient_cap;
	unsigned seen;
	struct err *err;
};

static int address_ok(struct sv text)
{
	struct address unused;

	return address_parse(text, ADDRESS_UTF8 | ADDRESS_NO_DOMAIN, &unused);
}

static int read_sender(struct reader *r, struct sv value)
{
	if (value.len && address_ok(value) != 0)
		return RC_PARSE;
	r->envelope.sender = arena_sv(r->arena, value);
	return 0;
}

static int read_recipient(struct reader *r, struct sv value)
{
	size_t n = r->envelope.recipient_count;

	if (n >= LIMIT_RCPT)
		return RC_LIMIT;
	if (address_ok(value) != 0)
		return RC_PARSE;
	if (n == r->recipient_cap) {
		size_t cap = n ? n * 2 : 8;
		struct sv *grown = arena_alloc(r->arena, cap * sizeof(*grown));

		if (n)
			memcpy(grown, r->recipients, n * sizeof(*grown));
		r->recipients = grown;
		r->recipient_cap = cap;
	}
	r->recipients[n] = arena_sv(r->arena, value);
	r->envelope.recipient_count = n + 1;
	return 0;
}

static int read_ret(struct reader *r, struct sv value)
{
	if (sv_eq(value, SV("full")))
		r->envelope.ret = DSN_RET_FULL;
	else if (sv_eq(value, SV("hdrs")))
		r->envelope.ret = DSN_RET_HDRS;
	else
		return RC_PARSE;
	return 0;
}

static int read_envid(struct reader *r, struct sv value)
{
	struct buf plain = BUF_INIT(LIMIT_ENVID);
	int rc = dsn_xtext_decode(&plain, value);

	if (rc == 0 && !plain.len)
		rc = RC_PARSE;
	if (rc == 0)
		r->envelope.envid = arena_sv(r->arena, buf_sv(&plain));
	buf_deinit(&plain);
	return rc;
}

static int read_body(struct reader *r, struct sv value)
{
	if (!sv_eq(value, SV("8bitmime")))
		return RC_PARSE;
	r->envelope.body_8bit = true;
	return 0;
}

static int read_utf8(struct reader *r, struct sv value)
{
	if (value.len)
		return RC_PARSE;
	r->envelope.smtputf8 = true;
	return 0;
}

static int read_notify(struct reader *r, struct sv value)
{
	return drop_notify_parse(value, &r->envelope.notify);
}

static int read_size(struct reader *r, struct sv value)
{
	if (value.len != DROP_SIZE_DIGITS)
		return RC_PARSE;
	return sv_parse_u64(value, LIMIT_MESSAGE, &r->envelope.size);
}

struct drop_line {
	struct sv name;
	unsigned once; /* SEEN_*: a second one is refused; 0: any number */
	int (*read)(struct reader *r, struct sv value);
};

static const struct drop_line lines[] = {
	{ SV_INIT("sender"), SEEN_SENDER, read_sender },
	{ SV_INIT("ret"), SEEN_RET, read_ret },
	{ SV_INIT("envid"), SEEN_ENVID, read_envid },
	{ SV_INIT("body"), SEEN_BODY, read_body },
	{ SV_INIT("smtputf8"), SEEN_UTF8, read_utf8 },
	{ SV_INIT("notify"), SEEN_NOTIFY, read_notify },
	{ SV_INIT("recipient"), 0, read_recipient },
	{ SV_INIT("size"), SEEN_SIZE, read_size },
};

static int read_line(struct reader *r, struct sv line, int number)
{
	struct sv value = line;
	struct sv name;
	int rc;

	(void)sv_cut_char(&value, ' ', &name);
	for (size_t i = 0; i < COUNT_OF(lines); i++) {
		if (!sv_eq(name, lines[i].name))
			continue;
		if (r->seen & lines[i].once)
			return err_set(r->err,
				RC_PARSE,
				"line %d: a second '%s'",
				number,
				lines[i].name.ptr);
		r->seen |= lines[i].once;
		rc = lines[i].read(r, value);
		if (rc != 0)
			return err_set(
				r->err, rc, "line %d: unusable '%s'", number, lines[i].name.ptr);
		return 0;
	}
	return err_set(r->err, RC_PARSE, "line %d: an unknown word", number);
}

static int finish(struct reader *r)
{
	if (!(r->seen & SEEN_SENDER))
		return err_set(r->err, RC_PARSE, "no sender");
	if (!(r->seen & SEEN_SIZE))
		return err_set(r->err, RC_PARSE, "no size");
	if (r->envelope.recipient_count == 0)
		return err_set(r->err, RC_PARSE, "no recipient");
	r->envelope.recipients = r->recipients;
	return 1;
}

/* A line, if it is whole. `rest` moves on behind it. */
static bool next_line(struct sv *rest, struct sv *out_line)
{
	if (sv_find_char(*rest, '\n') < 0)
		return false;
	(void)sv_cut_char(rest, '\n', out_line);
	return true;
}

static int read_lines(struct reader *r, struct sv *rest)
{
	struct sv line;
	int rc;

	if (!next_line(rest, &line))
		return sv_starts(DROP_MAGIC, sv_head(*rest, DROP_MAGIC.len))
			       ? 0
			       : err_set(r->err, RC_PARSE, "not a message of postern-drop");
	if (!sv_eq(line, DROP_MAGIC))
		return err_set(
			r->err, RC_PARSE, "not a message of postern-drop, or of another version");
	for (int number = 2; next_line(rest, &line); number++) {
		if (line.len == 0)
			return finish(r);
		rc = read_line(r, line, number);
		if (rc != 0)
			return rc;
	}
	return 0;
}

int drop_envelope_parse(struct arena *arena, struct sv bytes, struct drop_envelope *out_envelope,
	size_t *out_used, struct err *err)
{
	struct reader r = { .arena = arena, .err = err };
	struct sv rest = sv_head(bytes, DROP_ENVELOPE_MAX);
	int rc = read_lines(&r, &rest);

	if (rc == 0 && bytes.len >= DROP_ENVELOPE_MAX)
		return err_set(
			err, RC_LIMIT, "the envelope is larger than %d bytes", DROP_ENVELOPE_MAX);
	if (rc != 1)
		return rc;
	*out_envelope = r.envelope;
	*out_used = sv_head(bytes, DROP_ENVELOPE_MAX).len - rest.len;
	return 1;
}
