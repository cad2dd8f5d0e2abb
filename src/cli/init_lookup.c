/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/init_priv.h"

#include "base/must.h"
#include "cli/records.h"
#include "domain/check.h"
#include "io/https.h"
#include "io/loop.h"
#include "io/net.h"

#include <stdio.h>

enum {
	PATIENCE_S = 15,
	URL_MAX = 1024
};

struct asking {
	const struct init_lookup *q;
	struct init_facts *facts;
	struct io_loop *loop;
	struct io_resolver *resolver;
	struct io_https *https;
	unsigned open;
	struct io_timer end;
};

static void done(struct asking *a)
{
	if (--a->open == 0)
		io_loop_stop(a->loop);
}

/* For a terminal: what a server says may be anything. */
static void keep(struct init_fact *fact, enum init_known known, struct sv text)
{
	size_t n = 0;

	for (size_t i = 0; i < text.len && n + 1 < INIT_TEXT_MAX; i++)
		fact->text[n++] = text.ptr[i] >= ' ' && text.ptr[i] <= '~' ? text.ptr[i] : '?';
	fact->text[n] = '\0';
	fact->known = known;
}

static void on_tenant(void *arg, const struct io_https_answer *answer)
{
	struct init_fact *fact = &((struct asking *)arg)->facts->tenant;
	char id[SETUP_TENANT_ID_MAX];
	char text[INIT_TEXT_MAX];

	if (answer->rc != 0) {
		keep(fact, INIT_UNKNOWN, answer->error);
	} else if (answer->status == 200 && setup_tenant_id(answer->body, id) == 0) {
		keep(fact, INIT_FOUND, sv_from(id));
	} else if (answer->status == 400 || answer->status == 404) {
		keep(fact, INIT_ABSENT, SV("Microsoft knows no tenant with this domain"));
	} else {
		(void)snprintf(text,
			sizeof(text),
			"the sign-in service did not tell (HTTP %u)",
			answer->status);
		keep(fact, INIT_UNKNOWN, sv_from(text));
	}
	done(arg);
}

static void on_end(void *arg)
{
	struct asking *a = arg;

	io_loop_stop(a->loop);
}

static void ask_tenant(struct asking *a)
{
	char url[URL_MAX];
	int n = snprintf(url,
		sizeof(url),
		"%.*s/%.*s/v2.0/.well-known/openid-configuration",
		SV_ARG(a->q->login_url),
		SV_ARG(a->q->domain));
	const struct io_https_call call = { .method = "GET",
		.url = sv_from(url),
		.ca_file = a->q->ca_file,
		.timeout_us = PATIENCE_S * US_PER_S };

	if (n < 0 || (size_t)n >= sizeof(url)) {
		keep(&a->facts->tenant, INIT_UNKNOWN, SV("the address is too long"));
		return;
	}
	a->open++;
	must(io_https_start(a->https, &call, on_tenant, a) != NULL);
}

static int start(struct asking *a, struct err *err)
{
	int rc = 0;

	a->resolver = io_resolver_new(a->loop, err);
	if (!a->resolver)
		return RC_DNS;
	if (a->q->dns.len)
		rc = io_resolver_use(a->resolver, a->q->dns);
	if (rc != 0)
		return err_set(
			err, rc, "--dns needs an address, for example 192.0.2.1 or 127.0.0.1:53");
	a->https = io_https_new(&(struct io_https_options){ a->loop, a->resolver, SV("") }, err);
	return a->https ? 0 : RC_CONFIG;
}

static void look_at_tenant(const struct init_lookup *q, struct init_facts *facts)
{
	struct asking a = { .q = q, .facts = facts, .loop = io_loop_new() };
	struct err err = { 0 };

	keep(&facts->tenant, INIT_UNKNOWN, SV("no answer in time"));
	if (start(&a, &err) == 0) {
		ask_tenant(&a);
		io_timer_init(&a.end, a.loop, on_end, &a);
		io_timer_start(&a.end, mono_add(io_now(a.loop), 2 * PATIENCE_S * US_PER_S));
		if (a.open)
			io_loop_run(a.loop);
		io_timer_stop(&a.end);
	} else {
		keep(&facts->tenant, INIT_UNKNOWN, sv_from(err.text));
	}
	io_https_free(a.https);
	io_resolver_free(a.resolver);
	io_loop_free(a.loop);
}

/* ---- DNS ---- */

static void keep_answer(struct init_fact *fact, enum authn_status status, struct sv text)
{
	if (status == AUTHN_FAILURE)
		keep(fact, INIT_UNKNOWN, SV("no name server answered"));
	else if (text.len)
		keep(fact, INIT_FOUND, text);
	else
		keep(fact, INIT_ABSENT, SV("there is none"));
}

static struct sv first_exchanger(const struct authn_answer *mx)
{
	const struct authn_record *first = mx->count ? &mx->records[0] : NULL;

	for (size_t i = 1; i < mx->count; i++)
		first = mx->records[i].preference < first->preference ? &mx->records[i] : first;
	return first ? first->data : SV("");
}

static void look_at_records(const struct init_lookup *q, struct init_facts *facts)
{
	CLEANUP(cli_records_freep) struct cli_records *records = NULL;
	struct authn_memo *memo = authn_memo_new(DOMAIN_QUESTIONS_MAX);
	const struct domain_wish wish = { .domain = q->domain, .cloud = q->cloud };
	const struct authn_answer *mx, *txt;
	const struct domain_change *spf;
	struct err err = { 0 };

	records = cli_records_new(q->dns, &err);
	if (records) {
		while (!domain_plan(&wish, memo, &facts->plan) ||
			!(mx = authn_memo_look(memo, q->domain, AUTHN_MX)))
			cli_records_serve(records, memo);
		txt = authn_memo_look(memo, q->domain, AUTHN_TXT);
		spf = domain_plan_of(&facts->plan, "SPF");
		keep_answer(&facts->mx, mx->status, first_exchanger(mx));
		keep_answer(&facts->spf,
			txt ? txt->status : AUTHN_FAILURE,
			spf->before_count ? spf->before[0].data : SV(""));
	} else {
		keep(&facts->mx, INIT_UNKNOWN, sv_from(err.text));
		facts->spf = facts->mx;
	}
	authn_memo_free(memo);
}

void init_lookup(const struct init_lookup *q, struct init_facts *out_facts)
{
	*out_facts = (struct init_facts){ 0 };
	look_at_tenant(q, out_facts);
	look_at_records(q, out_facts);
}
