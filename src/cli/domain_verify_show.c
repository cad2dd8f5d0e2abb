/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/domain_verify.h"

#include "observe/json.h"
#include "provider/domain_facts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	NAME_WIDTH = 8,
	RESULT_WIDTH = 11,
	INDENT = NAME_WIDTH + RESULT_WIDTH,
	LINE_BYTES = 8192,
};

static const char *const match_names[] = { NULL, "same", "changed" };

/* ---- lines for people ---- */

static const char *style_of(const char *result)
{
	if (strcmp(result, "pass") == 0)
		return "green";
	if (strcmp(result, "fail") == 0 || strcmp(result, "permerror") == 0)
		return "red";
	return strcmp(result, "none") == 0 ? "dim" : "yellow";
}

static void put(
	const struct cli_context *ctx, const char *name, const char *result, const struct buf *text)
{
	CLEANUP(buf_deinitp) struct buf line = BUF_INIT(LINE_BYTES);

	if (buf_printf(&line,
		    "%-*s%s%-*s%s",
		    NAME_WIDTH,
		    name,
		    cli_style(ctx, style_of(result)),
		    RESULT_WIDTH,
		    result,
		    cli_style(ctx, "off")) != 0)
		return;
	(void)!cli_fold(&line, buf_sv(text), INDENT, INDENT, cli_columns());
	(void)printf("%.*s", SV_ARG(buf_sv(&line)));
}

static void put_text(
	const struct cli_context *ctx, const char *name, const char *result, const char *text)
{
	CLEANUP(buf_deinitp) struct buf line = BUF_INIT(LINE_BYTES);

	if (text[0] && buf_append(&line, sv_from(text)) == 0)
		put(ctx, name, result, &line);
}

static void print_message(const struct cli_context *ctx, const struct verified *v)
{
	CLEANUP(buf_deinitp) struct buf line = BUF_INIT(LINE_BYTES);
	char at[WALL_RFC3339_MAX];

	if (v->authors == 0)
		(void)!buf_printf(&line, "has no address in From");
	else
		(void)!buf_printf(&line, "From %s", v->author);
	if (v->authors > 1)
		(void)!buf_printf(&line,
			" (and %zu more: many receivers refuse such a message)",
			v->authors - 1);
	(void)!buf_printf(&line, ", judged as of %.19sZ", wall_rfc3339(v->at, at));
	put(ctx, "message", "", &line);
}

static void print_spf(const struct cli_context *ctx, const struct verified *v)
{
	const struct authn_origin *o = &v->origin;
	CLEANUP(buf_deinitp) struct buf line = BUF_INIT(LINE_BYTES);

	if (!v->spf_asked) {
		put_text(ctx,
			"SPF",
			"unknown",
			o->address_from == AUTHN_ORIGIN_NOWHERE
				? "The message does not say which host handed it over: --ip tells."
				: "The message has no envelope sender (Return-Path) and no HELO "
				  "name: --from and --helo tell.");
		return;
	}
	(void)!buf_printf(&line,
		"%.*s, sent by %.*s (%s%s)",
		SV_ARG(v->spf_domain),
		SV_ARG(o->address_text),
		o->address_from == AUTHN_ORIGIN_GIVEN ? "" : "taken from ",
		o->address_from == AUTHN_ORIGIN_GIVEN ? "--ip"
						      : authn_origin_name(o->address_from));
	if (o->sender.len == 0)
		(void)!buf_printf(&line, "; a message without sender: the HELO name was checked");
	if (v->spf.term[0])
		(void)!buf_printf(&line, "; decided by %s", v->spf.term);
	if (v->spf.domain[0] && !sv_eq_nocase(sv_from(v->spf.domain), v->spf_domain))
		(void)!buf_printf(&line, " of %s", v->spf.domain);
	put(ctx, "SPF", spf_result_name(v->spf.result), &line);
	put_text(ctx, "", "", v->spf.problem);
	put_text(ctx, "", "", v->spf.explanation);
}

/* What header and body say by themselves: who changed what on the way. */
static const char *change_words(const struct authn_checked *c)
{
	if (c->body == AUTHN_CHANGED && c->header == AUTHN_SAME)
		return "The header is as it was signed: something on the way changed the text or "
		       "added "
		       "to it, as a list's footer or a gateway's disclaimer does.";
	if (c->body == AUTHN_SAME && c->header == AUTHN_CHANGED)
		return "The body is as it was signed: something on the way changed a signed field, "
		       "as a "
		       "tag in Subject does, or the key in DNS is no longer the one it was signed "
		       "with.";
	if (c->body == AUTHN_SAME && c->header == AUTHN_SAME && c->reason != AUTHN_REASON_GOOD)
		return "Header and body are as they were signed.";
	return "";
}

static void print_signature(const struct cli_context *ctx, const struct authn_checked *c)
{
	const struct authn_signature *s = &c->signature;
	CLEANUP(buf_deinitp) struct buf line = BUF_INIT(LINE_BYTES);

	if (s->domain.len)
		(void)!buf_printf(&line,
			"%.*s, selector %.*s%s",
			SV_ARG(s->domain),
			SV_ARG(s->selector),
			s->algorithm_name.len ? ", " : "");
	(void)!buf_append(&line, s->algorithm_name);
	if (c->key_bits)
		(void)!buf_printf(&line, ", %u bits", c->key_bits);
	put(ctx, "DKIM", authn_verdict_name(c->reason), &line);
	buf_reset(&line);
	if (c->reason == AUTHN_REASON_KEY_RECORD)
		(void)!buf_printf(&line, "The key record %s.", authn_key_fault_text(c->key_fault));
	else if (c->reason != AUTHN_REASON_GOOD)
		(void)!buf_printf(&line, "The signature %s.", authn_reason_text(c->reason));
	if (line.len)
		put(ctx, "", "", &line);
	put_text(ctx, "", "", change_words(c));
	buf_reset(&line);
	if (c->unsigned_bytes && buf_printf(&line,
					 "%llu bytes at the end of the body are not signed (l=).",
					 (unsigned long long)c->unsigned_bytes) == 0)
		put(ctx, "", "", &line);
	put_text(ctx, "", "", c->key_testing ? "The key is marked as a test (t=y)." : "");
}

static void print_signatures(const struct cli_context *ctx, const struct verified *v)
{
	CLEANUP(buf_deinitp) struct buf line = BUF_INIT(LINE_BYTES);
	size_t count, more;
	const struct authn_checked *c = authn_verify_signatures(v->signatures, &count, &more);

	for (size_t i = 0; i < count; i++)
		print_signature(ctx, &c[i]);
	if (count == 0)
		put_text(ctx, "DKIM", "none", "The message has no DKIM signature.");
	if (more && buf_printf(&line, "%zu more signatures were not looked at.", more) == 0)
		put(ctx, "", "", &line);
}

static void print_arc(const struct cli_context *ctx, const struct verified *v)
{
	const struct authn_arc *arc = authn_verify_arc(v->signatures);
	CLEANUP(buf_deinitp) struct buf line = BUF_INIT(LINE_BYTES);

	if (arc->verdict == AUTHN_CHAIN_NONE)
		return;
	if (arc->verdict == AUTHN_CHAIN_FAIL) {
		(void)!buf_printf(&line, "The chain %s", authn_arc_fault_text(arc->fault));
		if (arc->fault_instance)
			(void)!buf_printf(&line, " (set %u)", arc->fault_instance);
		if (arc->reason != AUTHN_REASON_GOOD)
			(void)!buf_printf(&line, ": it %s", authn_reason_text(arc->reason));
		(void)!buf_append_char(&line, '.');
	} else {
		(void)!buf_printf(&line,
			"%zu set%s, the last by %.*s; the message is as set %u saw it",
			arc->count,
			arc->count == 1 ? "" : "s",
			SV_ARG(arc->sets[arc->count - 1].seal.signature.domain),
			arc->oldest_same);
	}
	put(ctx, "ARC", authn_chain_name(arc->verdict), &line);
	for (size_t i = arc->count; arc->verdict == AUTHN_CHAIN_PASS && i-- > 0;) {
		buf_reset(&line);
		if (buf_printf(&line, "set %zu saw: %.*s", i + 1, SV_ARG(arc->sets[i].results)) ==
			0)
			put(ctx, "", "", &line);
	}
}

static void say_alignment(const struct verified *v, struct buf *line)
{
	const struct dmarc_verdict *d = &v->dmarc;

	if (d->spf_aligned || d->dkim_aligned)
		(void)!buf_printf(line,
			"; shown by %s%s%s",
			d->dkim_aligned ? "DKIM" : "",
			d->spf_aligned && d->dkim_aligned ? " and " : "",
			d->spf_aligned ? "SPF" : "");
	else if (d->result == DMARC_FAIL)
		(void)!buf_printf(
			line, "; neither a valid DKIM signature nor a pass of SPF belongs to it");
}

static void print_dmarc(const struct cli_context *ctx, const struct verified *v)
{
	const struct dmarc_found *f = &v->dmarc.found;
	CLEANUP(buf_deinitp) struct buf line = BUF_INIT(LINE_BYTES);

	if (!v->author_domain[0]) {
		put_text(ctx, "DMARC", "none", "From has no domain that could have a policy.");
		return;
	}
	if (f->status == DMARC_NO_RECORD && f->record.notes & DMARC_VOID)
		(void)!buf_printf(&line, "the policy at _dmarc.%s cannot be read", f->at);
	else if (f->status == DMARC_NO_RECORD)
		(void)!buf_printf(&line, "%s has no DMARC record", v->author_domain);
	else if (f->status == DMARC_UNKNOWN)
		(void)!buf_printf(&line, "DNS gave no answer for _dmarc.%s", f->at);
	else
		(void)!buf_printf(&line,
			"%s: policy %s (_dmarc.%s)",
			v->author_domain,
			dmarc_policy_name(v->dmarc.asked),
			f->at);
	say_alignment(v, &line);
	put(ctx, "DMARC", dmarc_result_name(v->dmarc.result), &line);
}

/* The cloud that signed by a name of its own for the tenant, when no other signature counts. NULL: none did. */
static const struct provider_domain_row *tenant_signer(const struct verified *v)
{
	size_t count, more;
	const struct authn_checked *c = authn_verify_signatures(v->signatures, &count, &more);
	const struct provider_domain_row *row = NULL;

	for (size_t i = 0; i < count && !row && !v->dmarc.dkim_aligned; i++)
		if (c[i].reason == AUTHN_REASON_GOOD)
			row = provider_domain_of_tenant(c[i].signature.domain);
	return row;
}

static void print_signer(const struct cli_context *ctx, const struct verified *v)
{
	const struct provider_domain_row *row = tenant_signer(v);
	CLEANUP(buf_deinitp) struct buf line = BUF_INIT(LINE_BYTES);

	if (!row ||
		buf_printf(&line,
			"%s signed it for the tenant, as DKIM is not enabled for %s "
			"(`postern domain check %s` shows its records). ",
			row->signer,
			v->author_domain,
			v->author_domain) != 0 ||
		provider_domain_step(&line, row->step_enable, sv_from(v->author_domain)) != 0 ||
		buf_append_char(&line, '.') != 0)
		return;
	put(ctx, "", "", &line);
}

static void print_result(const struct cli_context *ctx, const struct verified *v)
{
	static const char *const asked[] = {
		[DMARC_P_NONE] = "Receivers are asked to take it all the same, and to report it.",
		[DMARC_P_QUARANTINE] = "Receivers are asked to treat it as spam.",
		[DMARC_P_REJECT] = "Receivers are asked to refuse it.",
	};

	if (v->passes)
		put_text(ctx,
			"result",
			"pass",
			"Receivers can believe that it comes from its domain.");
	else if (v->authors > 1)
		put_text(ctx,
			"result",
			"fail",
			"From names more than one author: receivers refuse it, or show another one "
			"than they judge.");
	else if (v->unknown)
		put_text(ctx, "result", "unknown", "DNS did not answer everything: try again.");
	else
		put_text(ctx,
			"result",
			"fail",
			v->dmarc.result == DMARC_FAIL
				? asked[v->dmarc.asked]
				: "Nothing shows that it comes from its domain: it is refused or "
				  "treated as spam.");
	print_signer(ctx, v);
}

void domain_verified_print(const struct cli_context *ctx, const struct verified *v)
{
	print_message(ctx, v);
	print_spf(ctx, v);
	print_signatures(ctx, v);
	print_arc(ctx, v);
	print_dmarc(ctx, v);
	print_result(ctx, v);
}

/* ---- JSON ---- */

static json_t *object(const char *type)
{
	json_t *o = json_object();

	(void)json_object_set_new(o, "type", json_string(type));
	return o;
}

static void put_word(json_t *o, const char *key, const char *word)
{
	if (word && word[0])
		observe_json_sv(o, key, sv_from(word));
}

static void json_message(const struct verified *v)
{
	json_t *o = object("message");

	put_word(o, "from", v->author);
	put_word(o, "domain", v->author_domain);
	observe_json_wall(o, "judged_at", v->at);
	(void)json_object_set_new(o, "passes", json_boolean(v->passes));
	cli_put_json(o);
}

static void json_spf(const struct verified *v)
{
	const struct authn_origin *origin = &v->origin;
	json_t *o = object("spf");

	put_word(o, "result", v->spf_asked ? spf_result_name(v->spf.result) : "unknown");
	if (origin->address_from != AUTHN_ORIGIN_NOWHERE) {
		observe_json_sv(o, "address", origin->address_text);
		put_word(o, "address_source", authn_origin_name(origin->address_from));
	}
	observe_json_sv(o, "helo", origin->helo);
	if (origin->sender_from != AUTHN_ORIGIN_NOWHERE) {
		observe_json_sv(o, "sender", origin->sender);
		put_word(o, "sender_source", authn_origin_name(origin->sender_from));
	}
	observe_json_sv(o, "domain", v->spf_domain);
	put_word(o, "record_of", v->spf.domain);
	put_word(o, "term", v->spf.term);
	put_word(o, "problem", v->spf.problem);
	put_word(o, "explanation", v->spf.explanation);
	if (v->spf_asked)
		observe_json_int(o, "lookups", v->spf.lookups);
	cli_put_json(o);
}

static void put_checked(json_t *o, const struct authn_checked *c)
{
	const struct authn_signature *s = &c->signature;

	put_word(o, "result", authn_verdict_name(c->reason));
	put_word(o, "reason", authn_reason_name(c->reason));
	observe_json_sv(o, "domain", s->domain);
	observe_json_sv(o, "selector", s->selector);
	put_word(o, "identity", s->identity);
	observe_json_sv(o, "algorithm", s->algorithm_name);
	if (c->key_bits)
		observe_json_int(o, "key_bits", c->key_bits);
	if (c->reason == AUTHN_REASON_KEY_RECORD)
		put_word(o, "key_fault", authn_key_fault_text(c->key_fault));
	put_word(o, "header", match_names[c->header]);
	put_word(o, "body", match_names[c->body]);
	if (c->unsigned_bytes)
		observe_json_int(o, "unsigned_bytes", c->unsigned_bytes);
	if (c->key_testing)
		(void)json_object_set_new(o, "key_testing", json_true());
}

static void json_signatures(const struct verified *v)
{
	size_t count, more;
	const struct authn_checked *c = authn_verify_signatures(v->signatures, &count, &more);

	for (size_t i = 0; i < count; i++) {
		json_t *o = object("dkim");

		put_checked(o, &c[i]);
		cli_put_json(o);
	}
}

static void json_arc(const struct verified *v)
{
	const struct authn_arc *arc = authn_verify_arc(v->signatures);
	json_t *o = object("arc");

	put_word(o, "result", authn_chain_name(arc->verdict));
	if (arc->fault != AUTHN_ARC_GOOD)
		put_word(o, "reason", authn_arc_fault_name(arc->fault));
	if (arc->reason != AUTHN_REASON_GOOD)
		put_word(o, "signature_reason", authn_reason_name(arc->reason));
	if (arc->fault_instance)
		observe_json_int(o, "set", arc->fault_instance);
	if (arc->count) {
		observe_json_int(o, "sets", arc->count);
		observe_json_int(o, "oldest_same", arc->oldest_same);
	}
	cli_put_json(o);
	for (size_t i = 0; i < arc->count; i++) {
		json_t *message = object("arc-message"), *seal = object("arc-seal");

		observe_json_int(message, "set", i + 1);
		put_checked(message, &arc->sets[i].message);
		observe_json_sv(message, "saw", arc->sets[i].results);
		observe_json_int(seal, "set", i + 1);
		put_checked(seal, &arc->sets[i].seal);
		cli_put_json(message);
		cli_put_json(seal);
	}
}

static void json_dmarc(const struct verified *v)
{
	const struct dmarc_verdict *d = &v->dmarc;
	json_t *o = object("dmarc");

	put_word(o, "result", v->author_domain[0] ? dmarc_result_name(d->result) : "none");
	put_word(o, "domain", v->author_domain);
	put_word(o, "organisation", d->found.organisation);
	if (v->author_domain[0] && d->found.status == DMARC_RECORD) {
		put_word(o, "record_at", d->found.at);
		put_word(o, "policy", dmarc_policy_name(d->found.policy));
		put_word(o, "asked", dmarc_policy_name(d->asked));
	}
	(void)json_object_set_new(o, "dkim_aligned", json_boolean(d->dkim_aligned));
	(void)json_object_set_new(o, "spf_aligned", json_boolean(d->spf_aligned));
	cli_put_json(o);
}

void domain_verified_json(const struct verified *v)
{
	json_message(v);
	json_spf(v);
	json_signatures(v);
	json_arc(v);
	json_dmarc(v);
}
