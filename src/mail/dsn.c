/* SPDX-License-Identifier: Apache-2.0 */
#include "mail/dsn.h"

#include "base/err.h"
#include "base/limits.h"
#include "base/must.h"
#include "base/text.h"
#include "mail/address.h"

#include <assert.h>

/*
 * A notice has three parts: words for people, the report for programs, the header of the original.
 * Replies and headers come from peers; every value passes append_value() or append_text(), after
 * which no byte of theirs can end a line, a field or a part.
 *
 * Appends are not checked one by one: the first that fails sticks in `rc`, and the rest do nothing.
 */
struct writer {
	struct buf *out;
	bool utf8; /* RFC 6533 types: values may hold UTF-8 */
	int rc;
};

enum {
	FOLD_AT = 76,   /* RFC 5322 2.1.1, less the blank of the fold */
	WORD_MAX = 900, /* a word without a blank is cut here: lines stay below 998 */
	REPLY_KEPT = LIMIT_REPLY_KEPT,
	HEADERS_KEPT = 65536, /* of the original: who wants more has the original */
	HEADER_LINE_KEPT = 990,
};

static void put(struct writer *w, struct sv text)
{
	if (w->rc == 0)
		w->rc = buf_append(w->out, text);
}

static void put_line(struct writer *w, const char *text)
{
	put(w, sv_from(text));
	put(w, SV("\r\n"));
}

/* One byte as it may stand in the notice, or '?' when it may not. */
static char clean_byte(const struct writer *w, char c)
{
	unsigned char u = (unsigned char)c;

	if (u == '\t' || u == '\r' || u == '\n')
		return ' ';
	if (u < 0x20 || u == 0x7f)
		return '?';
	return u > 0x7f && !w->utf8 ? '?' : c;
}

static void put_clean(struct writer *w, struct sv v)
{
	bool utf8 = text_is_utf8(v);

	for (size_t i = 0; i < v.len; i++) {
		char c = clean_byte(w, v.ptr[i]);

		if ((unsigned char)c > 0x7f && !utf8)
			c = '?';
		put(w, sv_make(&c, 1));
	}
}

/* Cuts the next word off: what stands before a blank or a line break, at most WORD_MAX bytes. */
static struct sv cut_word(struct sv *v)
{
	struct sv word;
	size_t n = 0;

	while (v->len && memchr(" \t\r\n", v->ptr[0], 4))
		*v = sv_skip(*v, 1);
	while (n < v->len && n < WORD_MAX && !memchr(" \t\r\n", v->ptr[n], 4))
		n++;
	/* A word that is cut is not cut inside of a UTF-8 character. */
	while (n < v->len && n > WORD_MAX - 4 && ((unsigned char)v->ptr[n] & 0xc0) == 0x80)
		n--;
	word = sv_head(*v, n);
	*v = sv_skip(*v, n);
	return word;
}

/* The words of `v`, wrapped; `used` columns of the first line are taken, further ones begin with `indent`. */
static void put_wrapped(struct writer *w, struct sv v, struct sv indent, size_t used)
{
	size_t column = used;
	bool first = true;

	for (struct sv word = cut_word(&v); word.len; word = cut_word(&v)) {
		if (!first && column + 1 + word.len > FOLD_AT) {
			put(w, SV("\r\n"));
			put(w, indent);
			column = indent.len;
		} else if (!first) {
			put(w, SV(" "));
			column++;
		}
		put_clean(w, word);
		column += word.len;
		first = false;
	}
	put(w, SV("\r\n"));
}

/* A field of the report or of the head. Nothing when the value is empty. */
static void put_field(struct writer *w, const char *name, struct sv value)
{
	struct sv text = sv_from(name);

	if (value.len == 0)
		return;
	put(w, text);
	put_wrapped(w, value, SV("\t"), text.len);
}

static void put_date(struct writer *w, const char *name, struct wall_time at)
{
	char date[WALL_RFC5322_MAX];

	if (at.us != 0)
		put_field(w, name, sv_from(wall_rfc5322(at, date)));
}

/* A paragraph for people. */
static void put_text(struct writer *w, const char *text)
{
	put_wrapped(w, sv_from(text), SV(""), 0);
	put(w, SV("\r\n"));
}

/* ---- words for people ---- */

struct words {
	const char *subject;
	const char *opening;
	const char *action; /* RFC 3464 2.3.3 */
	const char *status; /* when the recipient has no usable one */
};

static const struct words words[] = {
	[DSN_FAILED] = {
		"Your message could not be delivered",
		"Your message could not be delivered to the address or addresses below. This is final: it "
		"will not be tried again.",
		"failed",
		"5.0.0",
	},
	[DSN_DELAYED] = {
		"Your message is delayed (no need to send it again)",
		"Your message could not be delivered yet to the address or addresses below. This is only "
		"for your information: the system keeps trying, and you need not send it again.",
		"delayed",
		"4.0.0",
	},
	[DSN_RELAYED] = {
		"Your message was passed on",
		"You asked to be told about the delivery of your message. It was passed on to the next mail "
		"system for the address or addresses below. That system does not confirm deliveries, so "
		"this is the last you will hear unless something fails.",
		"relayed",
		"2.0.0",
	},
};
static_assert(COUNT_OF(words) == DSN_RELAYED + 1, "words for every action");

/* RFC 3463 2: class, subject, detail. The class must fit the action (RFC 3464 2.3.4). */
static bool status_ok(struct sv status)
{
	static const uint32_t maxima[] = { 5, 999, 999 };

	for (size_t i = 0; i < COUNT_OF(maxima); i++) {
		struct sv part;
		uint32_t n;
		bool more = sv_cut_char(&status, '.', &part);

		if (part.len > 3 || sv_parse_u32(part, maxima[i], &n) != 0 || more != (i < 2))
			return false;
	}
	return true;
}

static struct sv status_of(const struct dsn *d, const struct dsn_recipient *r)
{
	return status_ok(r->enhanced) ? r->enhanced : sv_from(words[d->action].status);
}

static const struct sv INDENT = SV_INIT("    ");

static void put_person_line(struct writer *w, struct sv label, struct sv value)
{
	if (value.len == 0)
		return;
	put(w, INDENT);
	put(w, label);
	put_wrapped(w, value, SV("        "), INDENT.len + label.len);
}

/* "Answer of HOST:" with the lines of the reply as they came. */
static void put_reply(struct writer *w, const struct dsn_recipient *r)
{
	struct sv reply = sv_head(r->reply, REPLY_KEPT);
	struct sv line;

	if (reply.len == 0)
		return;
	put(w, INDENT);
	if (r->relay.len) {
		put(w, SV("Answer of "));
		put_clean(w, sv_head(r->relay, LIMIT_DOMAIN));
		put(w, SV(":\r\n"));
	} else {
		put(w, SV("What happened:\r\n"));
	}
	for (bool more = true; more && reply.len;) {
		more = sv_cut_char(&reply, '\n', &line);
		if (line.len == 0 || sv_eq(line, SV("\r")))
			continue;
		put(w, SV("        "));
		put_wrapped(w, line, SV("        "), 8);
	}
}

static void put_person(struct writer *w, const struct dsn_recipient *r)
{
	put(w, SV("<"));
	put_clean(w, sv_head(r->address, LIMIT_ADDRESS));
	put(w, SV(">\r\n"));
	put_person_line(w, SV("Reason: "), r->summary);
	put_reply(w, r);
	put_person_line(w, SV("Who can fix this: "), r->whose);
	put_person_line(w, SV("What to do: "), r->step);
	put(w, SV("\r\n"));
}

static void put_part_head(struct writer *w, const struct dsn *d, const char *type)
{
	put(w, SV("\r\n--"));
	put(w, d->boundary);
	put(w, SV("\r\nContent-Type: "));
	put_line(w, type);
}

static void put_words(struct writer *w, const struct dsn *d)
{
	char date[WALL_RFC5322_MAX];

	put_part_head(w, d, "text/plain; charset=utf-8");
	put_line(
		w, w->utf8 ? "Content-Transfer-Encoding: 8bit" : "Content-Transfer-Encoding: 7bit");
	put_line(w, "Content-Description: Notification");
	put(w, SV("\r\nThis is the mail system at "));
	put_clean(w, sv_head(d->hostname, LIMIT_DOMAIN));
	put(w, SV(".\r\n\r\n"));
	put_text(w, words[d->action].opening);
	for (size_t i = 0; w->rc == 0 && i < d->recipient_count; i++)
		put_person(w, &d->recipients[i]);
	if (d->action == DSN_DELAYED && d->expires_at.us != 0) {
		put(w, SV("It will be tried until "));
		put(w, sv_from(wall_rfc5322(d->expires_at, date)));
		put(w, SV(".\r\nIf it still fails then, you will get another notice.\r\n\r\n"));
	}
	if (d->arrived_at.us != 0) {
		put(w, SV("The message arrived here at "));
		put(w, sv_from(wall_rfc5322(d->arrived_at, date)));
		put(w, SV(".\r\n"));
	}
	if (d->queue_id.len) {
		put(w, SV("If you ask your administrator, give this number: "));
		put_clean(w, d->queue_id);
		put(w, SV("\r\n"));
	}
	put(w, SV("Its header is attached, so that you can tell which message it was.\r\n"));
}

/* ---- the report (RFC 3464) ---- */

static void put_reason(struct writer *w, const struct dsn_recipient *r)
{
	char text[REPLY_KEPT + 16];
	struct sv reply = sv_head(r->reply, REPLY_KEPT);
	/* RFC 3464 2.3.6: "smtp" promises a reply as it came from a server. */
	const char *type = r->relay.len ? "smtp; " : "x-postern; ";
	size_t n = strlen(type);

	if (reply.len == 0)
		return;
	memcpy(text, type, n);
	memcpy(text + n, reply.ptr, reply.len);
	put_field(w, "Diagnostic-Code: ", sv_make(text, n + reply.len));
}

/*
 * RFC 3464 2.3.1: the ORCPT value, its xtext undone. A value that is not xtext was undone before, or
 * never was any; it is taken as it is.
 */
static void put_original(struct writer *w, struct sv original)
{
	struct buf plain = BUF_INIT(LIMIT_COMMAND_LINE);
	struct sv rest = original;
	struct sv type;

	if (sv_cut_char(&rest, ';', &type) && type.len <= 32 &&
		dsn_xtext_decode(&plain, rest) == 0) {
		put(w, SV("Original-Recipient: "));
		put_clean(w, type);
		put(w, SV(";"));
		put_clean(w, buf_sv(&plain));
		put(w, SV("\r\n"));
	} else {
		put_field(w, "Original-Recipient: ", sv_head(original, LIMIT_COMMAND_LINE));
	}
	buf_deinit(&plain);
}

static void put_recipient(struct writer *w, const struct dsn *d, const struct dsn_recipient *r)
{
	put(w, SV("\r\n"));
	put_original(w, r->original);
	put(w,
		address_needs_utf8(r->address) ? SV("Final-Recipient: utf-8; ")
					       : SV("Final-Recipient: rfc822; "));
	put_clean(w, sv_head(r->address, LIMIT_ADDRESS));
	put(w, SV("\r\nAction: "));
	put_line(w, words[d->action].action);
	put_field(w, "Status: ", status_of(d, r));
	if (r->relay.len) {
		put(w, SV("Remote-MTA: dns; "));
		put_clean(w, sv_head(r->relay, LIMIT_DOMAIN));
		put(w, SV("\r\n"));
	}
	put_reason(w, r);
	put_date(w, "Last-Attempt-Date: ", r->last_attempt_at);
	if (d->action == DSN_DELAYED)
		put_date(w, "Will-Retry-Until: ", d->expires_at);
}

static void put_report(struct writer *w, const struct dsn *d)
{
	put_part_head(w, d, w->utf8 ? "message/global-delivery-status" : "message/delivery-status");
	if (w->utf8)
		put_line(w, "Content-Transfer-Encoding: 8bit");
	put_line(w, "Content-Description: Delivery report");
	put(w, SV("\r\nReporting-MTA: dns; "));
	put_clean(w, sv_head(d->hostname, LIMIT_DOMAIN));
	put(w, SV("\r\n"));
	put_field(w, "Original-Envelope-Id: ", d->envid);
	put_field(w, "X-Postern-Queue-ID: ", d->queue_id);
	put_date(w, "Arrival-Date: ", d->arrived_at);
	for (size_t i = 0; w->rc == 0 && i < d->recipient_count; i++)
		put_recipient(w, d, &d->recipients[i]);
}

/* ---- the original ---- */

/* A line of the original as it came, but for control characters, and folded when it is over-long. */
static void put_original_line(struct writer *w, struct sv line)
{
	do {
		struct sv head = sv_head(line, HEADER_LINE_KEPT);

		for (size_t i = 0; i < head.len; i++) {
			unsigned char c = (unsigned char)head.ptr[i];
			bool control = (c < 0x20 && c != '\t') || c == 0x7f;

			put(w, control ? SV("?") : sv_make(&head.ptr[i], 1));
		}
		put(w, SV("\r\n"));
		line = sv_skip(line, head.len);
		if (line.len)
			put(w, SV(" "));
	} while (line.len);
}

static void put_headers(struct writer *w, const struct dsn *d)
{
	struct sv rest = sv_head(d->original_headers, HEADERS_KEPT);
	struct sv line;
	bool high = address_needs_utf8(rest);

	if (rest.len == 0)
		return;
	/* RFC 6533 5: raw UTF-8 in a header has a type of its own; anything else stays text. */
	put_part_head(w,
		d,
		high && text_is_utf8(rest) ? "message/global-headers" : "text/rfc822-headers");
	if (high)
		put_line(w, "Content-Transfer-Encoding: 8bit");
	put_line(w, "Content-Description: Header of your message");
	put(w, SV("\r\n"));
	/* Up to the empty line only, and no last line that was cut: the body is never returned. */
	while (w->rc == 0 && sv_cut_line(&rest, &line) && line.len)
		put_original_line(w, line);
}

static void put_head(struct writer *w, const struct dsn *d)
{
	char date[WALL_RFC5322_MAX];

	put(w, SV("From: Mail Delivery System <"));
	put_clean(w, d->from);
	put(w, SV(">\r\nTo: <"));
	put_clean(w, d->to);
	put(w, SV(">\r\n"));
	put_field(w, "Subject: ", sv_from(words[d->action].subject));
	put_field(w, "Date: ", sv_from(wall_rfc5322(d->now, date)));
	put(w, SV("Message-ID: "));
	put_clean(w, d->message_id);
	put(w, SV("\r\n"));
	put_line(w, "Auto-Submitted: auto-replied");
	put_line(w, "MIME-Version: 1.0");
	put_line(w, "Content-Type: multipart/report; report-type=delivery-status;");
	put(w, SV("\tboundary=\""));
	put(w, d->boundary);
	put(w, SV("\"\r\n"));
	/* RFC 2045 6.4: the whole must say 8bit when a part does. */
	if (w->utf8 || address_needs_utf8(d->original_headers))
		put_line(w, "Content-Transfer-Encoding: 8bit");
	put(w, SV("\r\nThis is a delivery notice in MIME format.\r\n"));
}

static bool boundary_ok(struct sv boundary)
{
	for (size_t i = 0; i < boundary.len; i++) {
		char c = ascii_lower(boundary.ptr[i]);

		if (!(c >= 'a' && c <= 'z') && !(c >= '0' && c <= '9'))
			return false;
	}
	return boundary.len > 0 && boundary.len <= 70; /* RFC 2046 5.1.1 */
}

int dsn_render(const struct dsn *d, struct buf *out)
{
	size_t before = out->len;
	struct writer w = {
		.out = out,
		.utf8 = address_needs_utf8(d->to) || address_needs_utf8(d->from),
	};

	must(boundary_ok(d->boundary));
	for (size_t i = 0; i < d->recipient_count && !w.utf8; i++)
		w.utf8 = address_needs_utf8(d->recipients[i].address);
	put_head(&w, d);
	put_words(&w, d);
	put_report(&w, d);
	put_headers(&w, d);
	put(&w, SV("\r\n--"));
	put(&w, d->boundary);
	put(&w, SV("--\r\n"));
	if (w.rc != 0)
		out->len = before;
	return w.rc;
}
