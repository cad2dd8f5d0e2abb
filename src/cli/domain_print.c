/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/domain_priv.h"

#include "observe/json.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

enum {
	STATUS_WIDTH = 11,
	NAME_WIDTH = 13,
	LINE_BYTES = 8192,
};

static const char *const level_styles[] = { "green", "dim", "yellow", "red", "yellow" };
static const char *const meets_styles[] = { "green", "red", "yellow" };

static void put_line(const struct domain_options *o, const char *style, const char *status,
	const char *name, struct sv text)
{
	CLEANUP(buf_deinitp) struct buf line = BUF_INIT(LINE_BYTES);

	if (buf_printf(&line,
		    "  %s%-8s%s %-*s",
		    style[0] ? cli_style(o->ctx, style) : "",
		    status,
		    style[0] ? cli_style(o->ctx, "off") : "",
		    NAME_WIDTH,
		    name) != 0)
		return;
	(void)!cli_fold(
		&line, text, STATUS_WIDTH + NAME_WIDTH, STATUS_WIDTH + NAME_WIDTH, cli_columns());
	(void)printf("%.*s", SV_ARG(buf_sv(&line)));
}

static void put_step(const struct domain_options *o, struct sv step)
{
	CLEANUP(buf_deinitp) struct buf text = BUF_INIT(LINE_BYTES);

	if (step.len && buf_printf(&text, "-> %.*s", SV_ARG(step)) == 0)
		put_line(o, "", "", "", buf_sv(&text));
}

static void print_findings(const struct domain_options *o, const struct domain_report *r)
{
	enum domain_topic last = DOMAIN_TOPIC_COUNT;
	struct sv step = { 0 };

	for (unsigned t = 0; t < DOMAIN_TOPIC_COUNT; t++) {
		for (size_t i = 0; i < r->finding_count; i++) {
			const struct domain_finding *f = &r->findings[i];

			if (f->topic != t || (o->brief && f->level < DOMAIN_FAIL))
				continue;
			put_line(o,
				level_styles[f->level],
				domain_level_name(f->level),
				f->topic == last ? "" : domain_topic_name(f->topic),
				f->text);
			last = f->topic;
			if (f->record.len && !o->brief)
				put_line(o, "", "", "", f->record);
			/* Two selectors, one way out of it. */
			if (!sv_eq(step, f->step))
				put_step(o, f->step);
			step = f->step;
		}
	}
}

static void print_rules(const struct domain_options *o, const struct domain_report *r)
{
	for (size_t i = 0; i < r->rule_count; i++) {
		const struct domain_rule *rule = &r->rules[i];
		CLEANUP(buf_deinitp) struct buf text = BUF_INIT(LINE_BYTES);

		if (buf_printf(&text,
			    "%s%.*s",
			    rule->meets == DOMAIN_MEETS ? "for " : "",
			    SV_ARG(rule->meets == DOMAIN_MEETS ? sv_from(rule->who) : rule->why)) !=
			0)
			continue;
		put_line(o,
			meets_styles[rule->meets],
			domain_meets_name(rule->meets),
			rule->receiver,
			buf_sv(&text));
	}
}

static json_t *text_of(struct sv v)
{
	return observe_json_text(v);
}

static void print_json(const struct domain_report *r)
{
	json_t *findings = json_array(), *rules = json_array(), *o;

	for (size_t i = 0; i < r->finding_count; i++) {
		const struct domain_finding *f = &r->findings[i];
		json_t *one = json_pack("{s:s, s:s, s:o}",
			"topic",
			domain_topic_name(f->topic),
			"level",
			domain_level_name(f->level),
			"text",
			text_of(f->text));

		if (f->step.len)
			(void)json_object_set_new(one, "step", text_of(f->step));
		if (f->record.len)
			(void)json_object_set_new(one, "record", text_of(f->record));
		(void)json_array_append_new(findings, one);
	}
	for (size_t i = 0; i < r->rule_count; i++) {
		const struct domain_rule *rule = &r->rules[i];

		(void)json_array_append_new(rules,
			json_pack("{s:s, s:s, s:o, s:o}",
				"name",
				rule->receiver,
				"verdict",
				domain_meets_name(rule->meets),
				"why",
				text_of(rule->why),
				"step",
				text_of(rule->step)));
	}
	o = json_pack("{s:o, s:s, s:s, s:s, s:s, s:i, s:o, s:o}",
		"domain",
		text_of(r->domain),
		"meets",
		domain_meets_name(domain_report_meets(r)),
		"spf",
		domain_level_name(r->spf),
		"dkim",
		domain_level_name(r->dkim),
		"dmarc",
		domain_level_name(r->dmarc),
		"lookups",
		(int)r->lookups,
		"receivers",
		rules,
		"findings",
		findings);
	cli_put_json(o);
}

void domain_print(const struct domain_options *o, const struct domain_report *r)
{
	enum domain_meets meets = domain_report_meets(r);

	if (o->ctx->json) {
		print_json(r);
		return;
	}
	(void)printf(
		"%s%.*s%s", cli_style(o->ctx, "bold"), SV_ARG(r->domain), cli_style(o->ctx, "off"));
	if (o->brief)
		(void)printf(": %s%s%s",
			cli_style(o->ctx, meets_styles[meets]),
			domain_meets_name(meets),
			cli_style(o->ctx, "off"));
	(void)printf("\n");
	if (!o->brief || meets != DOMAIN_MEETS)
		print_findings(o, r);
	if (!o->brief) {
		(void)printf("\nbulk mail, by the receivers' rules (%u look-ups):\n", r->lookups);
		print_rules(o, r);
	}
	(void)fflush(stdout);
}

void domain_print_sum(const struct domain_options *o, const struct domain_sum *sum)
{
	if (!o->ctx->json && o->brief)
		(void)printf("\n%zu meet the rules for bulk mail, %zu fail, %zu unknown; `postern "
			     "domain check DOMAIN` shows one in full\n",
			sum->meets,
			sum->fails,
			sum->unknown);
}
