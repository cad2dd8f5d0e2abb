/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/init_priv.h"

#include "base/must.h"
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

static void keep_dns(struct init_fact *fact, int rc)
{
	if (rc == 0 || rc == RC_NO_NAME)
		keep(fact, INIT_ABSENT, SV("there is none"));
	else
		keep(fact, INIT_UNKNOWN, SV("no name server answered"));
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

static void on_mx(void *arg, int rc, const struct io_mx *mx, size_t count)
{
	struct asking *a = arg;

	if (rc == 0 && count)
		keep(&a->facts->mx, INIT_FOUND, sv_from(mx[0].host));
	else
		keep_dns(&a->facts->mx, rc);
	done(a);
}

static bool is_spf(struct sv text)
{
	return sv_starts_nocase(text, SV("v=spf1")) && (text.len == 6 || text.ptr[6] == ' ');
}

static void on_txt(void *arg, int rc, const struct sv *texts, size_t count)
{
	struct asking *a = arg;

	for (size_t i = 0; i < count && rc == 0; i++) {
		if (!is_spf(texts[i]))
			continue;
		if (a->facts->spf_count++ == 0)
			keep(&a->facts->spf, INIT_FOUND, texts[i]);
	}
	if (a->facts->spf.known != INIT_FOUND)
		keep_dns(&a->facts->spf, rc);
	done(a);
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

void init_lookup(const struct init_lookup *q, struct init_facts *out_facts)
{
	struct asking a = { .q = q, .facts = out_facts, .loop = io_loop_new() };
	struct err err = { 0 };

	*out_facts = (struct init_facts){ 0 };
	keep(&out_facts->tenant, INIT_UNKNOWN, SV("no answer in time"));
	out_facts->mx = out_facts->spf = out_facts->tenant;
	if (start(&a, &err) == 0) {
		ask_tenant(&a);
		a.open += 2;
		must(io_resolve_mx(a.resolver, q->domain, on_mx, &a) != NULL);
		must(io_resolve_txt(a.resolver, q->domain, on_txt, &a) != NULL);
		io_timer_init(&a.end, a.loop, on_end, &a);
		io_timer_start(&a.end, mono_add(io_now(a.loop), 2 * PATIENCE_S * US_PER_S));
		io_loop_run(a.loop);
		io_timer_stop(&a.end);
	} else {
		keep(&out_facts->tenant, INIT_UNKNOWN, sv_from(err.text));
		out_facts->mx = out_facts->spf = out_facts->tenant;
	}
	io_https_free(a.https);
	io_resolver_free(a.resolver);
	io_loop_free(a.loop);
}
