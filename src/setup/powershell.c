/* SPDX-License-Identifier: Apache-2.0 */
#include "setup/powershell.h"

#include "base/must.h"
#include "setup/powershell_priv.h"
#include "setup/quote.h"

/* Application ids that are the same in every tenant. */
static struct sv api_id(enum setup_api api)
{
	return api == SETUP_API_GRAPH ? SV("00000003-0000-0000-c000-000000000000")
				      : SV("00000002-0000-0ff1-ce00-000000000000");
}

/* Which cloud the two modules sign in to; the global one needs no word. */
static const struct {
	const char *exchange, *graph;
} clouds[] = {
	[PROVIDER_CLOUD_GLOBAL] = { "", "" },
	[PROVIDER_CLOUD_GCC_HIGH] = { " -ExchangeEnvironmentName O365USGovGCCHigh",
		" -Environment USGov" },
	[PROVIDER_CLOUD_DOD] = { " -ExchangeEnvironmentName O365USGovDoD",
		" -Environment USGovDoD" },
	[PROVIDER_CLOUD_21VIANET] = { " -ExchangeEnvironmentName O365China",
		" -Environment China" },
	[PROVIDER_CLOUD_GOOGLE] = { "", "" },
};
static_assert(COUNT_OF(clouds) == PROVIDER_CLOUD_COUNT, "a row for each cloud");

static struct sv value_of(const struct setup_step *s, struct sv name)
{
	const struct {
		struct sv name, value;
	} values[] = {
		{ SV("subject"), s->subject },
		{ SV("trustee"), s->trustee },
		{ SV("certificate"), s->certificate },
		{ SV("address"), s->address },
		{ SV("client"), s->tenant->client_id },
		{ SV("id"), s->tenant->id },
		{ SV("tenant"), s->tenant->name },
		{ SV("api"), api_id(s->api) },
	};

	for (size_t i = 0; i < COUNT_OF(values); i++)
		if (sv_eq(name, values[i].name))
			return values[i].value;
	must(false); /* a name that the templates do not use */
	return SV("");
}

static int put_value(struct buf *out, const struct setup_step *s, struct sv name)
{
	bool comment = sv_starts(name, SV("#"));

	name = sv_skip(name, comment ? 1 : 0);
	if (sv_eq(name, SV("exchange")))
		return buf_append(out, sv_from(clouds[s->tenant->cloud].exchange));
	if (sv_eq(name, SV("graph")))
		return buf_append(out, sv_from(clouds[s->tenant->cloud].graph));
	if (sv_eq(name, SV("trustee")) && !s->trustee.len)
		return buf_append(out, comment ? SV("the app") : SV("$sp.Id"));
	return comment ? setup_ps_comment(out, value_of(s, name))
		       : setup_ps_quote(out, value_of(s, name));
}

static int put(struct buf *out, const char *template, const struct setup_step *s)
{
	struct sv rest = sv_from(template);
	int rc = 0;

	while (rc == 0) {
		ptrdiff_t at = sv_find(rest, SV("<<")), end;

		if (at < 0)
			return buf_append(out, rest);
		rc = buf_append(out, sv_head(rest, (size_t)at));
		rest = sv_skip(rest, (size_t)at + 2);
		end = sv_find(rest, SV(">>"));
		must(end > 0);
		if (rc == 0)
			rc = put_value(out, s, sv_head(rest, (size_t)end));
		rest = sv_skip(rest, (size_t)end + 2);
	}
	return rc;
}

int setup_powershell_step(const struct setup_step *step, struct buf *out)
{
	return put(out, setup_ps_template(step), step);
}

static int put_tenant(struct buf *out, const struct setup_step *first)
{
	int rc = put(out, setup_ps_tenant, first);

	if (rc == 0 && (first->tenant->has_app || first->tenant->has_users))
		rc = put(out, setup_ps_graph, first);
	return rc;
}

static int put_notes(struct buf *out, const struct setup_plan *p)
{
	int rc = p->note_count ? buf_append(out, SV("\n# What no command can do:\n")) : 0;

	for (size_t i = 0; i < p->note_count && rc == 0; i++) {
		rc = buf_append(out, SV("#  - "));
		if (rc == 0)
			rc = setup_ps_comment(out, p->notes[i]);
		if (rc == 0)
			rc = buf_append_char(out, '\n');
	}
	return rc;
}

int setup_powershell(const struct setup_plan *p, struct buf *out)
{
	const struct setup_tenant *tenant = NULL;
	int rc = buf_append(out, sv_from(setup_ps_head));

	for (size_t i = 0; i < p->count && rc == 0; i++) {
		if (p->steps[i].tenant != tenant)
			rc = put_tenant(out, &p->steps[i]);
		tenant = p->steps[i].tenant;
		if (rc == 0)
			rc = setup_powershell_step(&p->steps[i], out);
	}
	if (rc == 0)
		rc = put_notes(out, p);
	return rc ? rc : buf_append(out, sv_from(setup_ps_foot));
}
