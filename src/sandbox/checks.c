/* SPDX-License-Identifier: Apache-2.0 */
#include "sandbox/checks.h"

#include "base/limits.h"
#include "base/must.h"
#include "base/text.h"
#include "mail/address.h"
#include "mail/header.h"
#include "provider/domain_facts.h"
#include "sandbox/sandbox_priv.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum {
	TEXT_MAX = 1000,
	LINE_BYTES_MAX = 998, /* RFC 5322 2.1.1, without CRLF */
	NEAR_PERCENT = 80,
};

struct checking {
	struct sandbox *s;
	const struct sandbox_message *m;
	struct header_block *h;
	struct header_facts facts;
	json_t *all;
};

static const char exchange[] = "Exchange Online", readers[] = "RFC 5322", bulk[] = "bulk mail";

PRINTF_LIKE(5, 6)
static void found(struct checking *c, const char *check, const char *of, const char *result,
	const char *format, ...)
{
	json_t *o = json_object();
	char text[TEXT_MAX];
	va_list args;

	va_start(args, format);
	(void)vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	must(json_object_set_new(o, "check", json_string(check)) == 0);
	must(json_object_set_new(o, "of", json_string(of)) == 0);
	must(json_object_set_new(o, "result", json_string(result)) == 0);
	must(json_object_set_new(o, "text", sandbox_json_text(sv_from(text))) == 0);
	must(json_object_set_new(o, "step", json_string("")) == 0);
	must(json_array_append_new(c->all, o) == 0);
}

/* What to do about what was found last. */
static void step(struct checking *c, const char *text)
{
	json_t *o = json_array_get(c->all, json_array_size(c->all) - 1);

	must(json_object_set_new(o, "step", json_string(text)) == 0);
}

static struct sv domain_of(struct sv address)
{
	ptrdiff_t at = sv_rfind_char(address, '@');

	return at < 0 ? SV("") : sv_skip(address, (size_t)at + 1);
}

/* ---- Exchange Online ---- */

static void check_from(struct checking *c)
{
	size_t count = header_block_count(c->h, SV("From"));
	struct sv mailbox = sv_from(c->m->mailbox), from = c->facts.from;

	if (count != 1 || from.len == 0) {
		found(c,
			"from",
			exchange,
			"fail",
			"there are %zu From fields, or none with an address",
			count);
		step(c, "Write one From field with one address.");
	} else if (mailbox.len == 0) {
		bool ours = sandbox_tenant_accepts(&c->s->tenant, domain_of(from));

		found(c,
			"from",
			exchange,
			ours ? "ok" : "warn",
			"From is %.*s, by the connector; its domain is %s the tenant's",
			SV_ARG(from),
			ours ? "one of" : "none of");
		if (!ours)
			step(c,
				"Mail for others is relayed only from a domain that the tenant has "
				"accepted.");
	} else if (address_eq(mailbox, from)) {
		found(c, "from", exchange, "ok", "From is the mailbox that signed in");
	} else {
		found(c,
			"from",
			exchange,
			"note",
			"From is %.*s, and %.*s signed in: it needs Send As for that address (here "
			"it has it)",
			SV_ARG(from),
			SV_ARG(mailbox));
		step(c, "Without the right, Exchange says 554 5.2.252 SendAsDenied.");
	}
}

static void check_size(struct checking *c)
{
	uint64_t most = sandbox_model_limits(c->s->model)->message_bytes_max;
	char size[TEXT_DURATION_MAX], limit[TEXT_DURATION_MAX];
	bool near = c->m->raw_len > most / 100 * NEAR_PERCENT;

	found(c,
		"size",
		exchange,
		near ? "warn" : "ok",
		"%s of %s that a mailbox may send; attachments count as base64, a third more than "
		"the file",
		text_size(c->m->raw_len, size),
		text_size(most, limit));
	if (near)
		step(c, "Send a link, or have the mailbox's MaxSendSize raised (at most 150 MB).");
}

static void check_recipients(struct checking *c)
{
	uint32_t most = sandbox_model_limits(c->s->model)->recipients_per_message;
	uint32_t external =
		sandbox_tenant_external(&c->s->tenant, c->m->recipients, c->m->recipient_count);
	bool near = c->m->recipient_count > most / 100 * NEAR_PERCENT;

	found(c,
		"recipients",
		exchange,
		near ? "warn" : "ok",
		"%zu of %u recipients a message may have; %u of them outside count for the "
		"tenant's day",
		c->m->recipient_count,
		most,
		external);
	if (near)
		step(c, "Above it all are refused at the end of the message: send several.");
}

/* ---- readers ---- */

static void check_fields(struct checking *c)
{
	static const char *const once[] = { "Date",
		"Sender",
		"Reply-To",
		"To",
		"Cc",
		"Bcc",
		"Message-ID",
		"In-Reply-To",
		"References",
		"Subject" };

	for (size_t i = 0; i < COUNT_OF(once); i++) {
		size_t count = header_block_count(c->h, sv_from(once[i]));

		if (count <= 1)
			continue;
		found(c,
			"fields",
			readers,
			"fail",
			"%zu %s fields, where one is allowed",
			count,
			once[i]);
		step(c, "Receivers refuse that, or show one of them: put it into one field.");
	}
	for (size_t i = 0; i < COUNT_OF(once); i++) {
		bool needed = i == 0 || strcmp(once[i], "Message-ID") == 0;

		if (!needed || header_block_count(c->h, sv_from(once[i])))
			continue;
		found(c, "fields", readers, "warn", "no %s field", once[i]);
		step(c,
			"The program that makes the message writes it; many filters count its "
			"absence.");
	}
	if (header_block_count(c->h, SV("Bcc"))) {
		found(c,
			"bcc",
			readers,
			"warn",
			"Bcc stands in the header: every recipient can read it");
		step(c,
			"Take the field out and leave the addresses in RCPT TO; postern does that "
			"by itself.");
	}
}

static void check_lines(struct checking *c)
{
	struct sv rest = sv_make(c->m->raw, c->m->raw_len), line;
	size_t longest = 0;

	while (sv_cut_char(&rest, '\n', &line))
		longest = line.len > longest + 1 ? line.len - 1 : longest;
	if (longest > LINE_BYTES_MAX) {
		found(c,
			"lines",
			readers,
			"fail",
			"a line has %zu bytes, and %d are allowed",
			longest,
			LINE_BYTES_MAX);
		step(c,
			"Use quoted-printable or base64: a server that breaks the line breaks "
			"DKIM's signature, too.");
	} else {
		found(c,
			"lines",
			readers,
			"ok",
			"the longest line has %zu bytes of %d",
			longest,
			LINE_BYTES_MAX);
	}
	if (c->facts.has_8bit) {
		found(c,
			"header-bytes",
			readers,
			"warn",
			"the header has bytes above 127 as they are");
		step(c, "Encode them (RFC 2047): servers without SMTPUTF8 refuse the message.");
	}
}

static void check_alternative(struct checking *c)
{
	json_t *parsed = sandbox_message_parsed(c->m);

	if (json_is_string(json_object_get(parsed, "html")) &&
		!json_is_string(json_object_get(parsed, "text"))) {
		found(c, "text", readers, "note", "HTML without a plain text beside it");
		step(c, "multipart/alternative with both is read everywhere.");
	}
	json_decref(parsed);
}

/* ---- bulk mail ---- */

/* RFC 8058 3.1: an HTTPS address, and the field that says that a POST to it is enough. */
static void check_unsubscribe(struct checking *c)
{
	struct sv list = SV(""), post = SV("");
	bool by_https, one_click;

	(void)!header_block_get(c->h, SV("List-Unsubscribe"), &list);
	(void)!header_block_get(c->h, SV("List-Unsubscribe-Post"), &post);
	by_https = sv_find_nocase(list, SV("<https://")) >= 0;
	one_click = sv_eq_nocase(sv_trim(post), SV("List-Unsubscribe=One-Click"));
	if (list.len == 0) {
		found(c,
			"unsubscribe",
			bulk,
			"note",
			"no List-Unsubscribe: right for a receipt, refused for a newsletter");
		step(c,
			"For marketing write List-Unsubscribe: <https://...> and "
			"List-Unsubscribe-Post: "
			"List-Unsubscribe=One-Click (RFC 8058).");
	} else if (by_https && one_click) {
		found(c, "unsubscribe", bulk, "ok", "one click unsubscribes (RFC 8058)");
	} else {
		found(c,
			"unsubscribe",
			bulk,
			"warn",
			"List-Unsubscribe is there, but %s: no one-click",
			by_https ? "List-Unsubscribe-Post is not \"List-Unsubscribe=One-Click\""
				 : "without an https address");
		step(c,
			"Gmail and Yahoo want one click of who sends 5000 a day: both fields, "
			"signed by DKIM.");
	}
}

static void check_alignment(struct checking *c)
{
	struct sv from = domain_of(c->facts.from), sender = domain_of(sv_from(c->m->sender));
	size_t count;
	const struct provider_receiver *rules = provider_receivers(&count);
	bool same;

	if (from.len == 0 || sender.len == 0)
		return;
	same = sv_eq_nocase(from, sender);
	found(c,
		"alignment",
		bulk,
		same ? "ok" : "warn",
		"From is of %.*s, the envelope of %.*s: %s",
		SV_ARG(from),
		SV_ARG(sender),
		same ? "SPF and DKIM of that domain both count for DMARC"
		     : "unless one domain is below the other, only DKIM can satisfy DMARC");
	if (!same)
		step(c, "Let the envelope's sender be of From's domain, or sign by From's domain.");
	for (size_t i = 0; i < count; i++)
		found(c,
			"authentication",
			rules[i].name,
			"note",
			"of %s it wants SPF, DKIM, and DMARC with one of them aligned (%s)",
			rules[i].who,
			rules[i].source);
	step(c, "Whether the domain has them is in DNS: postern domain check DOMAIN.");
}

json_t *sandbox_checks(struct sandbox *s, const struct sandbox_message *m)
{
	struct checking c = { .s = s, .m = m, .all = json_array() };
	size_t used;
	int rc;

	c.h = header_block_new(LIMIT_HEADER, LIMIT_HEADER_FIELDS);
	rc = header_block_feed(c.h, sv_make(m->raw, m->raw_len), &used);
	if (rc < 0 || (rc == 0 && header_block_end(c.h) < 0)) {
		found(&c, "header", readers, "fail", "the header cannot be read: it is too large");
	} else {
		header_block_facts(c.h, &c.facts);
		check_from(&c);
		check_size(&c);
		check_recipients(&c);
		check_fields(&c);
		check_lines(&c);
		check_alternative(&c);
		check_unsubscribe(&c);
		check_alignment(&c);
	}
	header_block_free(c.h);
	return c.all;
}
