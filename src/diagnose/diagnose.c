/* SPDX-License-Identifier: Apache-2.0 */
#include "diagnose/diagnose.h"

#include "base/must.h"
#include "diagnose/diagnose_priv.h"
#include "identity/oauth.h"
#include "identity/secrets.h"
#include "mail/address.h"
#include "provider/defaults.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sysexits.h>

enum {
	WORKERS = 1,
	WORKER_QUEUE = 8,
};

const char *diagnose_status_name(enum diagnose_status status)
{
	static const char *const names[] = { "ok", "warn", "fail", "skipped" };

	static_assert(COUNT_OF(names) == DIAGNOSE_STATUS_COUNT, "a name for each status");
	must(status < DIAGNOSE_STATUS_COUNT);
	return names[status];
}

const char *diagnose_owner_name(enum diagnose_owner owner)
{
	static const char *const names[] = {
		"you", "administrator", "network", "recipient", "provider"
	};

	static_assert(COUNT_OF(names) == DIAGNOSE_OWNER_COUNT, "a name for each owner");
	must(owner < DIAGNOSE_OWNER_COUNT);
	return names[owner];
}

/* ---- waiting ---- */

static void too_late(void *arg)
{
	struct diagnose *d = arg;

	d->is_late = true;
	io_loop_stop(d->loop);
}

void diagnose_done(struct diagnose *d)
{
	d->is_done = true;
	io_loop_stop(d->loop);
}

void diagnose_begin(struct diagnose *d, const char *name)
{
	d->is_done = d->is_late = false;
	if (d->o.begins)
		d->o.begins(d->o.arg, d->lane, name);
}

bool diagnose_wait(struct diagnose *d)
{
	io_timer_start(&d->timer, mono_add(io_clock_mono(), DIAGNOSE_STEP_S * US_PER_S));
	while (!d->is_done && !d->is_late)
		io_loop_run(d->loop);
	io_timer_stop(&d->timer);
	return d->is_done;
}

/* ---- saying ---- */

static void tell(struct diagnose *d, const char *name, enum diagnose_status status,
	enum cause cause, struct sv text)
{
	CLEANUP(buf_deinitp)
	struct buf said = BUF_INIT(SMTP_MASK_GROWTH * DIAGNOSE_LINES_MAX * LIMIT_REPLY_KEPT);
	const struct smtp_mask mask = diagnose_mask(d);
	struct diagnose_step step = { d->lane, name, status, cause_name(cause), text, SV("") };
	struct diagnose_verdict *v = &d->verdict;

	/* The first failure counts, else the first warning. */
	if ((status == DIAGNOSE_FAIL && v->status != DIAGNOSE_FAIL) ||
		(status == DIAGNOSE_WARN && v->status == DIAGNOSE_OK)) {
		v->status = status;
		v->step = name;
		v->cause = step.cause;
		v->text = arena_sv(&d->arena, text);
		v->first = v->then = sv_make(NULL, 0);
		if (status == DIAGNOSE_FAIL)
			d->failed = name;
		diagnose_words(d, cause, NULL);
	}
	must(smtp_transcript_take(&d->transcript, &mask, &said) == 0);
	step.transcript = buf_sv(&said);
	d->o.ended(d->o.arg, &step);
}

void diagnose_say(struct diagnose *d, const char *name, enum diagnose_status status,
	enum cause cause, const char *fmt, ...)
{
	char text[DIAGNOSE_TEXT_MAX];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	tell(d, name, status, cause, sv_from(text));
}

void diagnose_say_verdict(
	struct diagnose *d, const char *name, const struct verdict *v, struct sv reply)
{
	bool is_first = !d->failed;

	if (reply.len)
		diagnose_say(d,
			name,
			DIAGNOSE_FAIL,
			v->cause,
			"%s (said: %.*s)",
			diagnose_title(d, v),
			SV_ARG(diagnose_quote(d, reply)));
	else
		diagnose_say(d, name, DIAGNOSE_FAIL, v->cause, "%s", diagnose_title(d, v));
	if (is_first)
		diagnose_words(d, v->cause, v);
}

void diagnose_skip(struct diagnose *d, const char *name, const char *because)
{
	diagnose_say(d, name, DIAGNOSE_SKIPPED, CAUSE_NONE, "because %s", because);
}

/* ---- secrets ---- */

static void look_at_password(struct diagnose *d)
{
	struct sv text = secret_reveal(d->password);
	char plain[17];

	if (provider_app_password_unspace(text, plain)) {
		secret_free(d->password);
		d->password = secret_new(sv_from(plain));
		secret_wipe(plain, sizeof(plain));
		diagnose_say(d,
			"password",
			DIAGNOSE_OK,
			CAUSE_NONE,
			"it is there: an app password, used without its spaces");
		return;
	}
	d->is_padded =
		text.len && (sv_trim(text).len != text.len || text.ptr[text.len - 1] == '\r' ||
				    text.ptr[text.len - 1] == '\n');
	if (d->is_padded)
		diagnose_say(d,
			"password",
			DIAGNOSE_WARN,
			CAUSE_PASTED_SPACES,
			"it begins or ends with a space or a line end, which count as part of it: "
			"pasted?");
	else if (text.len == 0)
		diagnose_say(d, "password", DIAGNOSE_FAIL, CAUSE_PASSWORD_EMPTY, "it is empty");
	else
		diagnose_say(d, "password", DIAGNOSE_OK, CAUSE_NONE, "it is there");
}

static bool load_password(struct diagnose *d)
{
	const struct conf_lane *l = d->lane;
	const char *warning = NULL;
	struct err err = { 0 };
	int rc;

	if (l->password.kind == CONF_SECRET_NONE)
		return true;
	rc = identity_secret_load(&l->password, d->o.vault, &d->password, &warning, &err);
	if (rc != 0) {
		diagnose_say(d,
			"password",
			DIAGNOSE_FAIL,
			identity_secret_cause(rc, CAUSE_PASSWORD_MISSING),
			"%s",
			err.text);
		return false;
	}
	look_at_password(d);
	return d->password && secret_reveal(d->password).len > 0;
}

static int show_certificate(struct diagnose *d, struct err *err)
{
	const struct conf_lane *l = d->lane;
	struct secret *key = NULL, *passphrase = NULL;
	char *certificate = sv_dup(l->certificate);
	const char *warning = NULL;
	int rc = identity_secret_load(&l->certificate_key, d->o.vault, &key, &warning, err);

	if (rc == 0 && l->passphrase.kind != CONF_SECRET_NONE)
		rc = identity_secret_load(&l->passphrase, d->o.vault, &passphrase, &warning, err);
	if (rc == 0)
		rc = io_tls_client_identity(
			d->tls, certificate, secret_reveal(key), passphrase, err);
	secret_free(key);
	secret_free(passphrase);
	free(certificate);
	return rc;
}

static bool load_tls(struct diagnose *d)
{
	const struct conf_lane *l = d->lane;
	char *ca = sv_dup(l->ca_file);
	struct err err = { 0 };
	int rc = 0;

	d->tls = io_tls_client_new(l->ca_file.len ? ca : NULL, &err);
	free(ca);
	if (!d->tls) {
		diagnose_say(d, "CA file", DIAGNOSE_FAIL, CAUSE_CA_FILE, "%s", err.text);
		return false;
	}
	if (l->certificate.len)
		rc = show_certificate(d, &err);
	if (rc != 0) {
		diagnose_say(
			d, "certificate", DIAGNOSE_FAIL, CAUSE_CLIENT_CERTIFICATE, "%s", err.text);
		return false;
	}
	return true;
}

bool diagnose_secrets(struct diagnose *d)
{
	bool is_there = load_password(d);

	return (provider_defaults(d->lane->provider)->is_http || load_tls(d)) && is_there;
}

/* ---- senders ---- */

static void add_sender(struct diagnose *d, struct sv sender)
{
	struct address a;

	for (size_t i = 0; i < d->sender_count; i++)
		if (address_eq(d->senders[i], sender))
			return;
	if (address_parse(sender, 0, &a) == 0 && d->sender_count < DIAGNOSE_SENDERS_MAX)
		d->senders[d->sender_count++] = sender;
}

static bool leads_here(const struct diagnose *d, const struct conf_route *r)
{
	for (size_t i = 0; i < r->through_count; i++)
		if (r->through[i].member == d->lane->member)
			return true;
	return false;
}

static void add_connector_sender(struct diagnose *d)
{
	const struct conf_tenant *t = d->lane->tenant;
	CLEANUP(buf_deinitp) struct buf text = BUF_INIT(LIMIT_ADDRESS);

	if (d->sender_count || !t || !t->domain_count ||
		buf_printf(&text, "postmaster@%.*s", SV_ARG(t->domains[0])) != 0)
		return;
	add_sender(d, arena_sv(&d->arena, buf_sv(&text)));
}

/* Whose mail the routes lead here: addresses, and whether there are patterns besides. */
static void find_senders(struct diagnose *d)
{
	size_t count;
	const struct conf_route *routes = conf_routes(d->o.conf, &count);

	if (d->as.len) {
		add_sender(d, d->as);
		return;
	}
	if (d->lane->kind == CONF_LANE_MAILBOX)
		add_sender(d, d->lane->name);
	for (size_t i = 0; i < count && d->lane->sender == CONF_SENDER_KEEP; i++) {
		const struct conf_route *r = &routes[i];

		if (!leads_here(d, r))
			continue;
		if (r->rewrite_from.len)
			add_sender(d, r->rewrite_from);
		else if (r->any_sender || sv_find_char(r->sender, '*') >= 0)
			d->has_patterns = true;
		else
			add_sender(d, r->sender);
	}
	add_connector_sender(d);
}

/* ---- the way ---- */

static void begin_lane(struct diagnose *d, const struct conf_lane *lane)
{
	arena_reset(&d->arena);
	d->lane = lane;
	d->failed = NULL;
	d->sender = d->host = sv_make(NULL, 0);
	d->password = d->token = NULL;
	d->tls = NULL;
	d->stream = NULL;
	d->is_padded = d->has_claims = d->claims_fit = d->has_patterns = false;
	d->address_count = d->sender_count = 0;
	d->transcript.lines_max = DIAGNOSE_LINES_MAX;
	d->verdict = (struct diagnose_verdict){ .lane = lane, .step = "", .cause = "" };
	find_senders(d);
}

static void end_lane(struct diagnose *d)
{
	io_stream_free(d->stream);
	smtp_transcript_reset(&d->transcript);
	secret_free(d->password);
	secret_free(d->token);
	io_tls_unref(d->tls);
	d->password = d->token = NULL;
	d->stream = NULL;
	d->tls = NULL;
}

static void smtp(struct diagnose *d)
{
	bool can_connect = diagnose_names(d) && diagnose_connect(d, false);

	if (can_connect)
		diagnose_door(d);
	else
		diagnose_skip(d, "session", "nothing answers at the other end");
}

void diagnose_as(struct diagnose *d, struct sv sender)
{
	d->as = sender;
}

/* What the server said to mail of this sender: the verdict is the one that the relay came to. */
static void hear_of_sender(struct diagnose *d, const struct diagnose_heard *h)
{
	CLEANUP(buf_deinitp) struct buf line = BUF_INIT(LIMIT_REPLY + 2);
	struct smtp_reply_parser parser;
	struct smtp_reply reply;
	struct provider_answer answer = {
		.provider = d->lane->provider, .stage = SMTP_CLIENT_STAGE_DOT, .reply = &reply
	};
	struct verdict v = { .kind = VERDICT_RETRY };
	struct sv rest;

	smtp_reply_parser_init(&parser);
	if (buf_append(&line, h->reply) == 0 && buf_append(&line, SV("\r\n")) == 0) {
		rest = buf_sv(&line);
		if (smtp_reply_parse(&parser, &rest, &reply) == 1)
			v = provider_judge(&answer);
	}
	/* After a message of now, what was heard before is old. */
	if (v.kind == VERDICT_RETRY || (d->o.send && !d->failed))
		diagnose_say(d,
			"relay",
			DIAGNOSE_WARN,
			CAUSE_HELD_BY_RELAY,
			"mail of this sender waits in the relay: %.*s%s%.*s",
			SV_ARG(h->text),
			h->reply.len ? ": " : "",
			SV_ARG(diagnose_quote(d, h->reply)));
	else
		diagnose_say_verdict(d, "relay", &v, h->reply);
	smtp_reply_parser_deinit(&parser);
}

/* Mail that really went counts for more than what a session without a message shows. */
static void hear(struct diagnose *d)
{
	struct diagnose_heard h = { 0 };

	switch (d->o.heard ? d->o.heard(d->o.arg, d->lane, &h) : DIAGNOSE_HOLD_UNKNOWN) {
	case DIAGNOSE_HOLD_UNKNOWN:
		return;
	case DIAGNOSE_HOLD_NONE:
		diagnose_say(d,
			"relay",
			DIAGNOSE_OK,
			CAUSE_NONE,
			"the relay that runs holds nothing of it");
		return;
	case DIAGNOSE_HOLD_LANE:
		diagnose_say(d,
			"relay",
			DIAGNOSE_WARN,
			CAUSE_HELD_BY_RELAY,
			"the relay holds this %s %.*s",
			d->lane->kind == CONF_LANE_MAILBOX ? "mailbox" : "connector",
			SV_ARG(h.text));
		return;
	case DIAGNOSE_HOLD_SENDER:
		hear_of_sender(d, &h);
		return;
	}
}

void diagnose_lane(
	struct diagnose *d, const struct conf_lane *lane, struct diagnose_verdict *out_verdict)
{
	begin_lane(d, lane);
	if (!diagnose_secrets(d))
		diagnose_skip(d, "session", "what it needs to sign in or to connect is missing");
	else if (!provider_defaults(lane->provider)->is_http)
		smtp(d);
	else if (diagnose_token(d))
		diagnose_web(d);
	else
		diagnose_skip(d, "mailbox", "there is no token to ask with");
	diagnose_limits(d);
	hear(d);
	end_lane(d);
	*out_verdict = d->verdict;
}

struct diagnose *diagnose_new(const struct diagnose_options *options, struct err *err)
{
	struct diagnose *d = xcalloc(1, sizeof(*d));

	identity_oauth_init();
	d->o = *options;
	d->loop = io_loop_new();
	io_timer_init(&d->timer, d->loop, too_late, d);
	d->resolver = io_resolver_new(d->loop, err);
	if (d->resolver && options->name_servers.len &&
		io_resolver_use(d->resolver, options->name_servers) != 0)
		(void)err_set(err, RC_DNS, "these name servers cannot be used");
	else if (d->resolver)
		d->https = io_https_new(&(struct io_https_options){ .loop = d->loop,
						.resolver = d->resolver,
						.proxy = conf_general(options->conf)->proxy },
			err);
	if (!d->https) {
		diagnose_free(d);
		return NULL;
	}
	d->workers = io_workers_new(d->loop, WORKERS, WORKER_QUEUE);
	d->tokens = identity_tokens_new(&(struct identity_tokens_options){ .loop = d->loop,
		.https = d->https,
		.workers = d->workers,
		.vault = options->vault });
	return d;
}

void diagnose_free(struct diagnose *d)
{
	if (!d)
		return;
	io_timer_stop(&d->timer);
	if (d->tokens)
		identity_tokens_free(d->tokens);
	if (d->workers)
		io_workers_free(d->workers);
	if (d->https)
		io_https_free(d->https);
	if (d->resolver)
		io_resolver_free(d->resolver);
	io_loop_free(d->loop);
	arena_reset(&d->arena);
	free(d);
}
