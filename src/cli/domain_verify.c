/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/domain_verify.h"

#include "cli/domain.h"
#include "cli/records.h"
#include "io/loop.h"
#include "mail/address.h"
#include "mail/address_list.h"
#include "mail/lines.h"
#include "setup/domain.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const char help[] =
	"usage: postern domain verify [OPTION...] MESSAGE.eml | -\n\n"
	"What SPF, DKIM, ARC and DMARC say of a received message, and why: each signature\n"
	"by itself, and whether header and body are as they were signed. The message must\n"
	"be as it was received, with all of its header (\"view source\", \"download\n"
	"original\"): forwarding changes it.\n\n"
	"Which host handed it over, for SPF, is read from Received-SPF,\n"
	"Authentication-Results or Received. A sender can write the first two as well: where\n"
	"the receiver wrote none of them, or a gateway of your own stands before it, say it:\n\n"
	"  --ip ADDRESS    the host that handed it over\n"
	"  --helo NAME     the name by which it greeted\n"
	"  --from ADDRESS  the envelope's sender (MAIL FROM); \"\" for a bounce\n"
	"  --at TIME       when it came, for signatures that expire (default: the time of\n"
	"                  its last Received)\n"
	"  --dns ADDRESS   another name server: 192.0.2.1 or 127.0.0.1:5300\n"
	"  --json          objects, one a line\n\n"
	"DNS is asked now: a key that was replaced since then is no longer found. Exit\n"
	"code 0 when the message passes DMARC, 69 when it fails, 75 when DNS did not\n"
	"answer. Of a domain without DMARC, SPF or DKIM must pass for it, or for a domain\n"
	"above or below it.\n\n"
	"examples:\n"
	"  postern domain verify message.eml\n"
	"  postern domain verify --ip 192.0.2.1 --from bounce@contoso.com message.eml\n"
	"  postern domain verify --json - <message.eml\n";

enum {
	/* SPF may ask for some 120, the signatures for 64, DMARC for about 10. */
	QUESTIONS_MAX = 256,
	PIECE = 65536,
};

struct given {
	const char *ip, *helo, *from, *at, *dns;
};

/* ---- the message ---- */

struct reading {
	struct authn_verify *v;
	struct mail_lines lines;
	bool in_header, line_empty;
};

static int feed(struct reading *r, struct sv piece)
{
	/* In the header a piece ends with its line: an empty one ends it. */
	if (r->in_header && piece.len) {
		bool ends = piece.ptr[piece.len - 1] == '\n';

		if (ends && r->line_empty && piece.len <= 2)
			r->in_header = false;
		r->line_empty = ends;
	}
	return authn_verify_feed(r->v, piece);
}

static int read_message(int fd, struct authn_verify *v)
{
	static char bytes[PIECE];
	struct reading r = { .v = v, .in_header = true, .line_empty = true };
	uint64_t total = 0;
	struct sv owed;
	ssize_t n;
	int rc = 0;

	while (rc == 0 && (n = read(fd, bytes, sizeof(bytes))) != 0) {
		struct sv piece, in;

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		total += (uint64_t)n;
		if (total > LIMIT_MESSAGE)
			return RC_LIMIT;
		in = sv_make(bytes, (size_t)n);
		while (rc == 0 && mail_lines_next(&r.lines, &in, r.in_header, &piece))
			rc = feed(&r, piece);
	}
	owed = mail_lines_end(&r.lines);
	return rc == 0 && owed.len ? feed(&r, owed) : rc;
}

static int open_message(const char *path, struct authn_verify *v)
{
	bool is_stdin = strcmp(path, "-") == 0;
	int fd = is_stdin ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC);
	int rc;

	if (fd < 0)
		return cli_fail(EX_NOINPUT, "%s: %s", path, strerror(errno));
	rc = read_message(fd, v);
	if (!is_stdin)
		(void)close(fd);
	if (rc == RC_LIMIT)
		return cli_fail(EX_DATAERR, "%s: the message or its header is too large", path);
	return rc == 0 ? EX_OK : cli_fail(EX_NOINPUT, "%s: %s", path, rc_text(rc));
}

/* ---- who it is from ---- */

/* "müller.de" is asked for as xn--mller-kva.de. */
static void take_domain(struct sv address, char out[LIMIT_DOMAIN + 1])
{
	struct setup_domain d;
	ptrdiff_t at = address_at(address);

	out[0] = '\0';
	if (at >= 0 && setup_domain_read(sv_skip(address, (size_t)at + 1), &d))
		(void)snprintf(out, LIMIT_DOMAIN + 1, "%s", d.text);
}

static void find_author(struct verified *v)
{
	size_t count;
	const struct authn_field *list =
		authn_fields_list(authn_verify_fields(v->signatures), &count);

	for (size_t i = 0; i < count; i++) {
		struct address_list l;
		struct address_list_item item;

		if (!sv_eq_nocase(list[i].name, SV("From")))
			continue;
		address_list_init(&l, list[i].value);
		while (address_list_next(&l, &item) == 1) {
			if (item.address.len == 0 || v->authors++ > 0)
				continue;
			(void)snprintf(v->author, sizeof(v->author), "%.*s", SV_ARG(item.address));
			take_domain(item.address, v->author_domain);
		}
	}
}

static int take_given(struct verified *v, const struct given *g)
{
	struct authn_origin *o = &v->origin;

	if (g->ip) {
		if (!authn_address_parse(sv_from(g->ip), o->address, &o->is_ipv6))
			return cli_fail(EX_USAGE, "--ip needs an address, not %s", g->ip);
		o->address_text = sv_from(g->ip);
		o->address_from = AUTHN_ORIGIN_GIVEN;
		o->helo = (struct sv){ 0 };
	}
	if (g->helo)
		o->helo = sv_from(g->helo);
	if (g->from) {
		o->sender = sv_from(g->from);
		o->sender_from = AUTHN_ORIGIN_GIVEN;
	}
	if (g->at && wall_parse(sv_from(g->at), &v->at) != 0 &&
		wall_parse_rfc5322(sv_from(g->at), &v->at) != 0)
		return cli_fail(EX_USAGE, "--at needs a time, for example 2026-11-30T12:00Z");
	return EX_OK;
}

/* ---- the checks ---- */

static bool spf_input_of(struct verified *v, struct spf_input *out)
{
	const struct authn_origin *o = &v->origin;
	ptrdiff_t at = address_at(o->sender);

	*out = (struct spf_input){ .sender = o->sender,
		.helo = o->helo,
		.is_ipv6 = o->is_ipv6,
		.receiver = SV("unknown"),
		.now_s = (uint64_t)(v->at.us / (int64_t)US_PER_S) };
	memcpy(out->address, o->address, sizeof(out->address));
	v->spf_domain = o->sender.len ? sv_skip(o->sender, at < 0 ? 0 : (size_t)at + 1) : o->helo;
	v->spf_asked = o->address_from != AUTHN_ORIGIN_NOWHERE && v->spf_domain.len > 0;
	return v->spf_asked;
}

/* Its key was not found out, and nothing else is wrong with it. */
static bool might_be_valid(const struct authn_checked *c)
{
	return c->reason == AUTHN_REASON_KEY_UNKNOWN && c->body != AUTHN_CHANGED;
}

/* False: something is not known yet. */
static bool check_all(struct verified *v, const struct spf_input *in, struct authn_memo *memo)
{
	bool known = authn_verify_check(v->signatures, memo);
	struct sv domains[AUTHN_SIGNATURES_MAX], unknown[AUTHN_SIGNATURES_MAX];
	struct dmarc_input d = {
		.author = sv_from(v->author_domain), .dkim = domains, .dkim_unknown = unknown
	};
	size_t count, more;
	const struct authn_checked *c;

	if (v->spf_asked)
		known = spf_check(in, memo, &v->spf) && known;
	if (!known || d.author.len == 0)
		return known;
	c = authn_verify_signatures(v->signatures, &count, &more);
	for (size_t i = 0; i < count; i++) {
		if (c[i].reason == AUTHN_REASON_GOOD)
			domains[d.dkim_count++] = c[i].signature.domain;
		else if (might_be_valid(&c[i]))
			unknown[d.dkim_unknown_count++] = c[i].signature.domain;
	}
	if (v->spf_asked && v->spf.result == SPF_PASS)
		d.spf = v->spf_domain;
	else if (v->spf_asked && v->spf.result == SPF_TEMPERROR)
		d.spf_unknown = v->spf_domain;
	return dmarc_check(&d, memo, &v->dmarc);
}

/* Without DMARC there is no rule who may vouch for whom: the domain itself, and those above and below it. */
static bool is_related(const struct verified *v, struct sv name)
{
	struct sv author = sv_from(v->author_domain);

	return author.len && name.len &&
	       (sv_eq_nocase(name, author) || authn_name_is_below(name, author) ||
		       authn_name_is_below(author, name));
}

static void conclude(struct verified *v)
{
	size_t count, more;
	const struct authn_checked *c = authn_verify_signatures(v->signatures, &count, &more);
	bool any = v->spf_asked && v->spf.result == SPF_PASS && is_related(v, v->spf_domain);

	/* With a policy DMARC has weighed what is unknown. Without one, only what could vouch for the author counts. */
	bool open = v->dmarc.result == DMARC_NONE && v->spf_asked &&
		    v->spf.result == SPF_TEMPERROR && is_related(v, v->spf_domain);

	for (size_t i = 0; i < count; i++) {
		any |= c[i].reason == AUTHN_REASON_GOOD && is_related(v, c[i].signature.domain);
		open |= v->dmarc.result == DMARC_NONE && might_be_valid(&c[i]) &&
			is_related(v, c[i].signature.domain);
	}
	v->unknown = v->dmarc.result == DMARC_TEMPERROR || open;
	/* Of several authors the first is judged, and another one shown: what holds for one says nothing of the message. */
	v->passes = v->authors <= 1 &&
		    (v->dmarc.result == DMARC_PASS || (v->dmarc.result == DMARC_NONE && any));
}

static int verify(struct cli_context *ctx, const struct given *g, struct verified *v)
{
	struct err err = { 0 };
	CLEANUP(cli_records_freep)
	struct cli_records *look = cli_records_new(sv_from(g->dns), &err);
	CLEANUP(authn_memo_freep) struct authn_memo *memo = authn_memo_new(QUESTIONS_MAX);
	struct spf_input in;

	if (!look)
		return cli_fail(err.code == RC_PARSE ? EX_USAGE : EX_OSERR, "%s", err.text);
	(void)spf_input_of(v, &in);
	while (!check_all(v, &in, memo))
		cli_records_serve(look, memo);
	conclude(v);
	if (ctx->json)
		domain_verified_json(v);
	else
		domain_verified_print(ctx, v);
	if (v->passes)
		return EX_OK;
	return v->unknown ? EX_TEMPFAIL : EX_UNAVAILABLE;
}

static int run(struct cli_context *ctx, const struct given *g, const char *path)
{
	CLEANUP(authn_verify_freep) struct authn_verify *signatures = authn_verify_new();
	struct verified v = { .signatures = signatures };
	int code = open_message(path, signatures);

	if (code != EX_OK)
		return code;
	if (authn_verify_end(signatures, io_clock_wall()) != 0)
		return cli_fail(EX_DATAERR, "%s: the header is too large", path);
	authn_origin_find(authn_verify_fields(signatures), &v.origin);
	find_author(&v);
	v.at = v.origin.has_time ? v.origin.received : io_clock_wall();
	code = take_given(&v, g);
	if (code != EX_OK)
		return code;
	authn_verify_at(signatures, v.at);
	return verify(ctx, g, &v);
}

int cli_domain_verify(struct cli_context *ctx, int argc, char **argv)
{
	static const struct cli_option options[] = {
		{ "ip", true },
		{ "helo", true },
		{ "from", true },
		{ "at", true },
		{ "dns", true },
		{ NULL, false },
	};
	struct given g = { 0 };
	const char **into[] = { &g.ip, &g.helo, &g.from, &g.at, &g.dns };
	const char *value = NULL;
	int seen;

	while ((seen = cli_option(ctx, argc, argv, options, help, &value)) >= 0)
		*into[seen] = value;
	if (seen != CLI_OPTION_END)
		return seen == CLI_OPTION_HELP ? EX_OK : EX_USAGE;
	if (optind + 1 != argc)
		return cli_fail(EX_USAGE, "which message? A file, or - for standard input");
	return run(ctx, &g, argv[optind]);
}
