/* SPDX-License-Identifier: Apache-2.0 */
#include "base/must.h"
#include "base/text.h"
#include "diagnose/diagnose_priv.h"
#include "provider/defaults.h"

#include <stdio.h>

/* The clock, the token, and what it says of itself. */

enum {
	CLOCK_TOLERATED_S = 60,
	/* An assertion lives ten minutes, and the service allows five either way. */
	CLOCK_BREAKS_S = 5 * 60,
};

/* ---- the clock ---- */

struct probe {
	struct diagnose *d;
	int rc;
	struct wall_time date;
	char error[400];
};

static void on_probe(void *arg, const struct io_https_answer *a)
{
	struct probe *p = arg;

	p->rc = a->rc;
	p->date = a->date;
	(void)snprintf(p->error, sizeof(p->error), "%.*s", SV_ARG(a->error));
	diagnose_done(p->d);
}

static void say_skew(struct diagnose *d, int64_t ahead_s)
{
	bool breaks = d->lane->tenant->app.certificate.len || d->lane->tenant->app.pkcs12.len;
	int64_t off = ahead_s < 0 ? -ahead_s : ahead_s;

	if (off <= CLOCK_TOLERATED_S)
		return;
	diagnose_say(d,
		"clock",
		breaks && off >= CLOCK_BREAKS_S ? DIAGNOSE_FAIL : DIAGNOSE_WARN,
		CAUSE_CLOCK_OFF,
		"the clock of this machine is %lld minutes %s",
		(long long)((off + 30) / 60),
		ahead_s > 0 ? "fast" : "slow");
}

static bool is_intercepted(struct sv words)
{
	return sv_find_nocase(words, SV("issuer")) >= 0 ||
	       sv_find_nocase(words, SV("self-signed")) >= 0 ||
	       sv_find_nocase(words, SV("self signed")) >= 0;
}

static void say_no_service(struct diagnose *d, const struct probe *p)
{
	enum cause cause = p->rc == RC_NO_NAME ? CAUSE_NAME_UNKNOWN
			   : p->rc == RC_DNS   ? CAUSE_DNS_BROKEN
			   : p->rc == RC_TLS && is_intercepted(sv_from(p->error))
				   ? CAUSE_TLS_INTERCEPTED
			   : p->rc == RC_TLS ? CAUSE_TLS_FAILED
					     : CAUSE_HTTPS_BLOCKED;

	diagnose_say(d,
		"sign-in service",
		DIAGNOSE_FAIL,
		cause,
		"%.*s cannot be reached by HTTPS: %s",
		SV_ARG(d->lane->tenant->login_url),
		p->error[0] ? p->error : "no answer within 10 seconds");
}

static bool ask_clock(struct diagnose *d)
{
	const struct conf_tenant *t = d->lane->tenant;
	struct probe p = { .d = d, .rc = RC_TIMEOUT };
	struct io_https_request *request;
	char url[IDENTITY_SCOPE_MAX];
	struct io_https_call call = {
		.method = "GET", .ca_file = t->ca_file, .timeout_us = DIAGNOSE_STEP_S * US_PER_S
	};

	if (t->cloud == PROVIDER_CLOUD_GOOGLE)
		return true;
	(void)snprintf(url,
		sizeof(url),
		"%.*s/%.*s/v2.0/.well-known/openid-configuration",
		SV_ARG(sv_head(t->login_url, 200)),
		SV_ARG(sv_head(t->id, 200)));
	call.url = sv_from(url);
	diagnose_begin(d, "sign-in service");
	request = io_https_start(d->https, &call, on_probe, &p);
	if (!diagnose_wait(d))
		io_https_cancel(request);
	if (p.rc != 0) {
		say_no_service(d, &p);
		return false;
	}
	if (p.date.us)
		say_skew(d, (io_clock_wall().us - p.date.us) / (int64_t)US_PER_S);
	return true;
}

/* ---- the token ---- */

struct ask {
	struct diagnose *d;
	struct verdict verdict;
	char reply[1024];
};

static void on_token(void *arg, const struct identity_token *t)
{
	struct ask *a = arg;

	if (t->token)
		a->d->token = secret_new(secret_reveal(t->token));
	a->verdict = t->verdict;
	(void)snprintf(a->reply, sizeof(a->reply), "%.*s", SV_ARG(t->reply));
	diagnose_done(a->d);
}

static const char *flow_of(const struct conf_lane *l)
{
	const struct conf_app *app = &l->tenant->app;

	if (l->sign_in == CONF_SIGN_IN_USER)
		return "refresh token of a person (postern login)";
	return app->certificate.len || app->pkcs12.len ? "client credentials with a certificate"
						       : "client credentials with a secret";
}

static bool get_token(struct diagnose *d)
{
	struct ask a = { .d = d,
		.verdict = { .cause = CAUSE_SILENCE,
			.summary = "The token service did not answer within 10 seconds." } };
	struct identity_token_request *request = NULL;

	diagnose_begin(d, "token");
	if (identity_token_get(d->tokens, d->o.conf, d->lane, 0, on_token, &a, &request) &&
		!diagnose_wait(d))
		identity_token_cancel(request);
	if (!d->token) {
		diagnose_say_verdict(d, "token", &a.verdict, sv_from(a.reply));
		return false;
	}
	diagnose_say(d, "token", DIAGNOSE_OK, CAUSE_NONE, "%s", flow_of(d->lane));
	return true;
}

/* ---- its claims ---- */

static void say_claims(struct diagnose *d)
{
	const struct identity_claims *c = &d->claims;
	char left[TEXT_DURATION_MAX];
	int64_t left_us = c->expires_s * (int64_t)US_PER_S - io_clock_wall().us;

	diagnose_say(d,
		"claims",
		DIAGNOSE_OK,
		CAUSE_NONE,
		"for %s; %s %s; app %s; tenant %s%s%s; ends in %s",
		c->audience,
		c->is_app ? "roles" : "scopes",
		c->permissions[0] ? c->permissions : "none",
		c->app[0] ? c->app : "not said",
		c->tenant[0] ? c->tenant : "not said",
		c->user[0] ? "; user " : "",
		c->user,
		text_span(left_us > 0 ? (uint64_t)left_us : 0, left));
}

static bool look_at_claims(struct diagnose *d)
{
	CLEANUP(buf_deinitp) struct buf text = BUF_INIT(DIAGNOSE_TEXT_MAX);
	struct wall_time now = io_clock_wall();
	enum identity_claims_fault fault;

	if (identity_claims_read(secret_reveal(d->token), &d->claims) != 0) {
		diagnose_say(
			d, "claims", DIAGNOSE_OK, CAUSE_NONE, "the token cannot be looked into");
		return true;
	}
	d->has_claims = true;
	say_skew(d, identity_claims_skew_s(&d->claims, now));
	fault = identity_claims_judge(&d->claims, d->lane, now);
	d->claims_fit = fault == IDENTITY_CLAIMS_FINE;
	if (d->claims_fit) {
		say_claims(d);
		return true;
	}
	must(identity_claims_explain(fault, &d->claims, d->lane, now, &text) == 0);
	diagnose_say(d,
		"claims",
		identity_claims_is_fatal(fault) ? DIAGNOSE_FAIL : DIAGNOSE_WARN,
		identity_claims_fault_cause(fault),
		"%.*s",
		SV_ARG(buf_sv(&text)));
	return !identity_claims_is_fatal(fault);
}

bool diagnose_token(struct diagnose *d)
{
	if (!d->lane->tenant) {
		diagnose_say(d, "token", DIAGNOSE_FAIL, CAUSE_NO_APP, "the mailbox has no tenant");
		return false;
	}
	if (d->lane->sign_in == CONF_SIGN_IN_USER && !d->o.vault) {
		diagnose_say(d,
			"token",
			DIAGNOSE_FAIL,
			CAUSE_VAULT_CLOSED,
			"the sign-in of the person is in the vault, which does not open");
		return false;
	}
	if (!ask_clock(d)) {
		diagnose_skip(d, "token", "the sign-in service cannot be reached");
		return false;
	}
	return get_token(d) && look_at_claims(d);
}
