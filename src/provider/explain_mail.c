/* SPDX-License-Identifier: Apache-2.0 */
#include "mail/mime.h"
#include "provider/explain_priv.h"

/* What a mail carries besides replies: encoded bodies, and who is spoken of. */

enum {
	BOUNDARIES_MAX = 8,
};

struct reader {
	struct buf *out;
	struct sv boundaries[BOUNDARIES_MAX];
	size_t boundary_count;
	bool in_header;
	enum mime_encoding encoding;
	struct mime_decoder decoder;
};

static bool is_boundary(const struct reader *r, struct sv line)
{
	if (!sv_starts(line, SV("--")))
		return false;
	for (size_t i = 0; i < r->boundary_count; i++)
		if (sv_starts(sv_skip(line, 2), r->boundaries[i]))
			return true;
	return false;
}

static void note_boundary(struct reader *r, struct sv line)
{
	ptrdiff_t at = sv_find_nocase(line, SV("boundary="));
	struct sv value;

	if (at < 0 || r->boundary_count == BOUNDARIES_MAX)
		return;
	line = sv_skip(line, (size_t)at + 9);
	if (sv_starts(line, SV("\""))) {
		line = sv_skip(line, 1);
		(void)sv_cut_char(&line, '"', &value);
	} else {
		(void)sv_cut_char(&line, ';', &value);
	}
	value = sv_trim(value);
	if (value.len)
		r->boundaries[r->boundary_count++] = value;
}

static void note_encoding(struct reader *r, struct sv line)
{
	const struct sv field = SV("Content-Transfer-Encoding:");

	if (!sv_starts_nocase(line, field))
		return;
	line = sv_trim(sv_skip(line, field.len));
	r->encoding = sv_starts_nocase(line, SV("base64"))             ? MIME_BASE64
		      : sv_starts_nocase(line, SV("quoted-printable")) ? MIME_QUOTED_PRINTABLE
								       : MIME_IDENTITY;
}

static int put(struct reader *r, struct sv line, struct sv end)
{
	uint64_t count = 0;
	int rc;

	if (r->in_header || r->encoding == MIME_IDENTITY) {
		rc = buf_append(r->out, line);
		return rc ? rc : buf_append(r->out, end);
	}
	rc = mime_decode(&r->decoder, line, r->out, &count);
	return rc ? rc : mime_decode(&r->decoder, SV("\r\n"), r->out, &count);
}

static int end_part(struct reader *r)
{
	uint64_t count = 0;
	int rc = r->in_header || r->encoding == MIME_IDENTITY
			 ? 0
			 : mime_decode_end(&r->decoder, r->out, &count);

	r->in_header = true;
	r->encoding = MIME_IDENTITY;
	return rc ? rc : buf_append(r->out, SV("\n"));
}

int provider_explain_decode(struct sv mail, struct buf *out)
{
	struct reader r = { .out = out, .in_header = true };

	while (mail.len) {
		struct sv line;
		bool ended = sv_cut_char(&mail, '\n', &line);
		int rc;

		if (line.len && line.ptr[line.len - 1] == '\r')
			line.len--;
		if (is_boundary(&r, line)) {
			rc = end_part(&r);
		} else if (r.in_header && line.len == 0) {
			rc = put(&r, line, SV("\n"));
			r.in_header = false;
			r.decoder = (struct mime_decoder){ .encoding = r.encoding };
		} else {
			if (r.in_header) {
				note_boundary(&r, line);
				note_encoding(&r, line);
			}
			rc = put(&r, line, ended ? SV("\n") : SV(""));
		}
		if (rc != 0)
			return rc;
	}
	return end_part(&r);
}

/* ---- who is spoken of ---- */

static bool is_address_byte(char c)
{
	return (c >= '0' && c <= '9') || (ascii_lower(c) >= 'a' && ascii_lower(c) <= 'z') ||
	       c == '.' || c == '_' || c == '-' || c == '+' || c == '@';
}

/* The address or id behind `words`, which may stand in brackets or quotes. */
static struct sv word_behind(struct sv text, const char *words)
{
	ptrdiff_t at = sv_find_nocase(text, sv_from(words));
	size_t n = 0;

	if (at < 0)
		return SV("");
	text = sv_skip(text, (size_t)at + strlen(words));
	while (text.len && (text.ptr[0] == ' ' || text.ptr[0] == '<' || text.ptr[0] == '\'' ||
				   text.ptr[0] == '"'))
		text = sv_skip(text, 1);
	while (n < text.len && n < 320 && is_address_byte(text.ptr[n]))
		n++;
	while (n && text.ptr[n - 1] == '.')
		n--;
	return sv_head(text, n);
}

static struct sv first_of(struct sv text, const char *const *words, size_t count, bool address)
{
	for (size_t i = 0; i < count; i++) {
		struct sv value = word_behind(text, words[i]);

		if (value.len && (!address || sv_find_char(value, '@') > 0))
			return value;
	}
	return SV("");
}

/* "SendAsDenied; erp@contoso.com not allowed to send as boss@contoso.com" */
static struct sv word_before_phrase(struct sv text, struct sv phrase)
{
	ptrdiff_t at = sv_find_nocase(text, phrase);
	size_t end, from;

	if (at <= 0)
		return SV("");
	end = from = (size_t)at;
	while (from > 0 && end - from < 320 && is_address_byte(text.ptr[from - 1]))
		from--;
	return sv_make(text.ptr + from, end - from);
}

void explain_facts(struct sv text, struct provider_facts *out)
{
	static const char *const recipients[] = { "Final-Recipient: rfc822;",
		"Final-Recipient: RFC822;",
		"Original-Recipient: rfc822;",
		"to=<",
		"RCPT TO:<" };
	static const char *const senders[] = {
		"allowed to send as ", "X-Postfix-Sender: rfc822;", "from=<", "MAIL FROM:<"
	};
	static const char *const mailboxes[] = { "user=", "Login user is ", "sasl_username=" };
	static const char *const tenants[] = {
		"directory '", "Directory '", "tenant '", "Tenant '"
	};
	static const char *const apps[] = { "application with identifier '",
		"Application with identifier '",
		"app '",
		"client_id=" };

	out->mailbox = word_before_phrase(text, SV(" not allowed to send as"));
	if (out->mailbox.len == 0)
		out->mailbox = first_of(text, mailboxes, COUNT_OF(mailboxes), true);
	out->recipient = first_of(text, recipients, COUNT_OF(recipients), true);
	out->sender = first_of(text, senders, COUNT_OF(senders), true);
	out->tenant = first_of(text, tenants, COUNT_OF(tenants), false);
	out->app = first_of(text, apps, COUNT_OF(apps), false);
}
