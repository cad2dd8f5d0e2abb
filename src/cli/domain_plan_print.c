/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/domain_plan.h"

#include "base/text.h"
#include "domain/zone_text.h"
#include "observe/json.h"

#include <jansson.h>
#include <stdio.h>

enum {
	INDENT = 10,
	LINE_BYTES = 16384,
	BUDGET = 10, /* look-ups of SPF: RFC 7208 4.6.4 */
};

static const char *const deed_names[] = { "right", "changes", "blocked" };
static const char *const deed_styles[] = { "green", "bold", "red" };

/* ---- diff ---- */

static void put_value(const struct domain_plan_options *o, const char *style, char sign,
	const struct domain_value *v, bool with_type)
{
	CLEANUP(buf_deinitp)
	struct buf data = BUF_INIT(LINE_BYTES), line = BUF_INIT(2 * LINE_BYTES);

	if (domain_plain_data(&data, v) != 0 ||
		buf_printf(&line, "%*s%s%c ", INDENT - 2, "", cli_style(o->ctx, style), sign) != 0)
		return;
	if (with_type && buf_printf(&line, "%s ", domain_type_name(v->type)) != 0)
		return;
	/* Never folded: it is to be copied. What a stranger published is made safe. */
	if (text_show(&line, buf_sv(&data)) == 0)
		(void)printf("%.*s%s\n", SV_ARG(buf_sv(&line)), cli_style(o->ctx, "off"));
}

static void put_text(const char *mark, struct sv text)
{
	if (text.len)
		cli_print(INDENT, "%*s%s%.*s", INDENT, "", mark, SV_ARG(text));
}

static void put_budget(const struct domain_plan_options *o, const struct domain_change *c)
{
	unsigned used = c->lookups_after ? c->lookups_after : c->lookups_before;
	char bar[BUDGET + 1];

	if (used == 0)
		return;
	for (unsigned i = 0; i < BUDGET; i++)
		bar[i] = i < used ? '#' : '.';
	bar[BUDGET] = '\0';
	(void)printf("%*slook-ups  [%s%s%s]  %u of 10",
		INDENT,
		"",
		cli_style(o->ctx,
			used > BUDGET ? "red"
			: used > 8    ? "yellow"
				      : "green"),
		bar,
		cli_style(o->ctx, "off"),
		used);
	if (c->deed == DOMAIN_CHANGES && c->lookups_before != used)
		(void)printf(" (now %u)", c->lookups_before);
	(void)printf("\n");
}

static void put_change(const struct domain_plan_options *o, const struct domain_change *c)
{
	bool mixed = c->before_count && c->before[0].type != c->type;

	(void)printf("  %-7s %.*s %s: %s%s%s\n",
		c->topic,
		SV_ARG(c->name),
		domain_type_name(c->type),
		cli_style(o->ctx, deed_styles[c->deed]),
		c->deed == DOMAIN_IS_RIGHT  ? "is right"
		: c->deed == DOMAIN_CHANGES ? "changes"
					    : "needs you first",
		cli_style(o->ctx, "off"));
	for (size_t i = 0; i < c->before_count; i++)
		put_value(o,
			c->deed == DOMAIN_CHANGES ? "red" : "dim",
			c->deed == DOMAIN_CHANGES ? '-' : ' ',
			&c->before[i],
			mixed);
	for (size_t i = 0; c->deed == DOMAIN_CHANGES && i < c->after_count; i++)
		put_value(o, "green", '+', &c->after[i], mixed);
	put_budget(o, c);
	if (c->deed != DOMAIN_IS_RIGHT)
		put_text("", c->why);
	put_text("mail:  ", c->risk);
	put_text("-> ", c->step);
}

static void print_diff(const struct domain_plan_options *o, const struct domain_plan *p)
{
	(void)printf("%s%.*s%s\n",
		cli_style(o->ctx, "bold"),
		SV_ARG(p->domain),
		cli_style(o->ctx, "off"));
	for (size_t i = 0; i < p->change_count; i++)
		put_change(o, &p->changes[i]);
	(void)printf("  %zu to change, %zu right, %zu that need you first; nothing was changed\n",
		domain_plan_count(p, DOMAIN_CHANGES),
		domain_plan_count(p, DOMAIN_IS_RIGHT),
		domain_plan_count(p, DOMAIN_BLOCKED));
}

/* ---- for other programs and hosts ---- */

static void print_zone(const struct domain_plan *p)
{
	for (size_t i = 0; i < p->change_count; i++) {
		const struct domain_change *c = &p->changes[i];

		for (unsigned side = 0; c->deed == DOMAIN_CHANGES && side < 2; side++) {
			const struct domain_value *values = side ? c->after : c->before;

			for (size_t v = 0; v < (side ? c->after_count : c->before_count); v++) {
				CLEANUP(buf_deinitp) struct buf line = BUF_INIT(LINE_BYTES);

				/* What goes stands there as a comment: a zone file is read as a whole. */
				if (domain_zone_record(&line, c->name, &values[v]) == 0)
					(void)printf("%s%.*s",
						side ? "" : "; remove: ",
						SV_ARG(buf_sv(&line)));
			}
		}
	}
}

/* As the forms of hosts want it: the name without the domain, "@" for the domain itself. */
static void print_paste(const struct domain_plan *p)
{
	for (size_t i = 0; i < p->change_count; i++) {
		const struct domain_change *c = &p->changes[i];
		struct sv host = c->name.len > p->domain.len
					 ? sv_head(c->name, c->name.len - p->domain.len - 1)
					 : SV("@");

		if (c->deed != DOMAIN_CHANGES)
			continue;
		for (size_t v = 0; v < c->after_count; v++) {
			CLEANUP(buf_deinitp) struct buf data = BUF_INIT(LINE_BYTES);

			if (domain_plain_data(&data, &c->after[v]) != 0)
				continue;
			(void)printf("%s %s\n  name   %.*s\n  value  %.*s\n\n",
				c->before_count ? "change" : "add",
				domain_type_name(c->type),
				SV_ARG(host),
				SV_ARG(buf_sv(&data)));
		}
	}
}

static json_t *values_json(const struct domain_value *values, size_t count)
{
	json_t *all = json_array();

	for (size_t i = 0; i < count; i++) {
		CLEANUP(buf_deinitp) struct buf data = BUF_INIT(LINE_BYTES);
		json_t *one = json_object();

		if (domain_plain_data(&data, &values[i]) != 0)
			buf_reset(&data);
		(void)json_object_set_new(
			one, "type", json_string(domain_type_name(values[i].type)));
		(void)json_object_set_new(one, "data", observe_json_text(buf_sv(&data)));
		(void)json_array_append_new(all, one);
	}
	return all;
}

static void print_json(const struct domain_plan *p)
{
	json_t *o = json_object(), *changes = json_array();

	for (size_t i = 0; i < p->change_count; i++) {
		const struct domain_change *c = &p->changes[i];
		json_t *one = json_object();

		(void)json_object_set_new(one, "topic", json_string(c->topic));
		observe_json_sv(one, "name", c->name);
		(void)json_object_set_new(one, "type", json_string(domain_type_name(c->type)));
		(void)json_object_set_new(one, "deed", json_string(deed_names[c->deed]));
		(void)json_object_set_new(one, "before", values_json(c->before, c->before_count));
		(void)json_object_set_new(one, "after", values_json(c->after, c->after_count));
		observe_json_sv(one, "why", c->why);
		observe_json_sv(one, "risk", c->risk);
		observe_json_sv(one, "step", c->step);
		if (c->lookups_before || c->lookups_after) {
			observe_json_int(one, "lookups_before", c->lookups_before);
			observe_json_int(one, "lookups_after", c->lookups_after);
		}
		(void)json_array_append_new(changes, one);
	}
	observe_json_sv(o, "domain", p->domain);
	(void)json_object_set_new(o, "changes", changes);
	cli_put_json(o);
}

void domain_plan_print(const struct domain_plan_options *o, const struct domain_plan *p)
{
	if (o->ctx->json)
		print_json(p);
	else if (o->format == DOMAIN_FORMAT_ZONE)
		print_zone(p);
	else if (o->format == DOMAIN_FORMAT_PASTE)
		print_paste(p);
	else
		print_diff(o, p);
	(void)fflush(stdout);
}
