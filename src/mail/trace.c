/* SPDX-License-Identifier: Apache-2.0 */
#include "mail/trace.h"

#include "base/err.h"
#include "base/limits.h"
#include "base/must.h"
#include "base/text.h"

static bool is_alnum(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/*
 * Only what a name, an address literal or a cipher suite is made of. The client chose these bytes:
 * a parenthesis, a quote or a semicolon of its could make readers see another Received field.
 */
static int append_clean(struct buf *out, struct sv v, const char *also)
{
	v = sv_head(v, LIMIT_DOMAIN);
	for (size_t i = 0; i < v.len; i++) {
		char c = v.ptr[i];
		bool ok = is_alnum(c) || (c != '\0' && strchr(also, c));
		int rc = buf_append_char(out, ok ? c : '?');

		if (rc != 0)
			return rc;
	}
	return 0;
}

static const char NAME_BYTES[] = "-._:[]";
static const char WORD_BYTES[] = "-._:/ ";

static int append_from(const struct trace *t, struct buf *out)
{
	int rc;

	if (t->helo.len == 0)
		return 0;
	rc = buf_append(out, SV("from "));
	if (rc == 0)
		rc = append_clean(out, t->helo, NAME_BYTES);
	if (rc == 0 && t->client.len) {
		rc = buf_append(out, SV(" ("));
		if (rc == 0)
			rc = append_clean(out, t->client, NAME_BYTES);
		if (rc == 0)
			rc = buf_append_char(out, ')');
	}
	return rc == 0 ? buf_append(out, SV("\r\n\t")) : rc;
}

/* RFC 5321 4.4 has "from" followed by a domain: without a HELO the client goes into the comment. */
static int append_by(const struct trace *t, struct buf *out)
{
	int rc = buf_append(out, SV("by "));

	if (rc == 0)
		rc = append_clean(out, t->hostname, NAME_BYTES);
	if (rc == 0)
		rc = buf_append(out, SV(" (postern"));
	if (rc == 0 && t->helo.len == 0 && t->client.len) {
		rc = buf_append(out, SV(", from "));
		if (rc == 0)
			rc = append_clean(out, t->client, NAME_BYTES);
	}
	if (rc == 0)
		rc = buf_append_char(out, ')');
	if (rc == 0 && t->protocol.len) {
		rc = buf_append(out, SV(" with "));
		if (rc == 0)
			rc = append_clean(out, t->protocol, "-");
	}
	if (rc == 0 && t->tls.len) {
		rc = buf_append(out, SV("\r\n\t("));
		if (rc == 0)
			rc = append_clean(out, t->tls, WORD_BYTES);
		if (rc == 0)
			rc = buf_append_char(out, ')');
	}
	return rc;
}

int trace_render(const struct trace *t, struct buf *out)
{
	char date[WALL_RFC5322_MAX];
	size_t before = out->len;
	int rc = append_from(t, out);

	/* An accepted address has none of these (mail/address.h). */
	must(sv_find_char(t->for_address, '\r') < 0);
	must(sv_find_char(t->for_address, '\n') < 0);
	if (rc == 0)
		rc = append_by(t, out);
	if (rc == 0 && t->id.len) {
		rc = buf_append(out, SV("\r\n\tid "));
		if (rc == 0)
			rc = append_clean(out, t->id, NAME_BYTES);
	}
	if (rc == 0 && t->for_address.len)
		rc = buf_printf(out, "\r\n\tfor <%.*s>", SV_ARG(t->for_address));
	if (rc == 0)
		rc = buf_printf(out, ";\r\n\t%s", wall_rfc5322(t->at, date));
	if (rc != 0)
		out->len = before;
	return rc;
}

int message_id_render(struct buf *out, uint64_t id, uint64_t random, struct sv hostname)
{
	char text[TEXT_ID_MAX];
	size_t before = out->len;
	int rc = buf_printf(out, "<%s.%016llx@", text_id(id, text), (unsigned long long)random);

	if (rc == 0)
		rc = append_clean(out, hostname, "-._");
	if (rc == 0)
		rc = buf_append_char(out, '>');
	if (rc != 0)
		out->len = before;
	return rc;
}
