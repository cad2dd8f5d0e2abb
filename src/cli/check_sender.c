/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/check_live_priv.h"

#include <stdio.h>

/* By which routes the mail of one sender leaves, or why not. */

bool check_names_lane(const struct check_run *l)
{
	const struct conf_member *m = l->count ? l->lanes[0]->member : NULL;

	return m && l->count == m->lane_count &&
	       (sv_eq(m->name, l->sender) || sv_eq_nocase(m->name, sv_from(l->o->what)));
}

static void put_recipients(const struct check_ways *w, uint32_t which, struct buf *out)
{
	for (size_t i = 0; i < w->recipient_count; i++)
		if (which & (UINT32_C(1) << i))
			(void)!buf_printf(
				out, "%s%.*s", out->len ? ", " : "", SV_ARG(w->recipients[i]));
}

static void put_condition(const struct conf_route *r, struct buf *out)
{
	if (!r->any_user)
		(void)!buf_printf(out, ", from user %.*s", SV_ARG(r->user));
	if (!r->any_listener)
		(void)!buf_printf(out, ", from listener %.*s", SV_ARG(r->listener));
	if (!r->any_device)
		(void)!buf_printf(out, ", from device %.*s", SV_ARG(r->device));
	if (r->size_over || r->size_under)
		(void)!buf_append(out, SV(", by size"));
	if (r->header_name.len)
		(void)!buf_printf(out, ", by header %.*s", SV_ARG(r->header_name));
}

static void say_way(struct check_run *l, const struct check_way *w)
{
	CLEANUP(buf_deinitp)
	struct buf to = BUF_INIT(LINE_MAX_BYTES), by = BUF_INIT(LINE_MAX_BYTES);
	CLEANUP(buf_deinitp) struct buf line = BUF_INIT(2 * LINE_MAX_BYTES);
	struct sv as = check_way_sender(w, w->members[0]->lanes, l->sender);

	put_recipients(&l->ways, w->recipients, &to);
	put_condition(w->route, &to);
	for (size_t i = 0; i < w->member_count; i++)
		(void)!buf_printf(&by, "%s%.*s", i ? ", else " : "", SV_ARG(w->members[i]->name));
	if (l->o->ctx->json) {
		cli_put_json(json_pack("{s:s, s:o, s:o, s:o, s:o, s:i}",
			"type",
			"route",
			"sender",
			check_json_sv(l->sender),
			"recipients",
			check_json_sv(buf_sv(&to)),
			"through",
			check_json_sv(buf_sv(&by)),
			"as",
			check_json_sv(as),
			"line",
			(int)w->route->place.line));
		return;
	}
	(void)!buf_printf(&line,
		"to %.*s: through %.*s, as %.*s (route in line %u)",
		SV_ARG(buf_sv(&to)),
		SV_ARG(buf_sv(&by)),
		SV_ARG(as),
		w->route->place.line);
	cli_print(STATUS_WIDTH + NAME_WIDTH,
		"  %-8s %-*s %.*s\n",
		"",
		NAME_WIDTH,
		"route",
		SV_ARG(buf_sv(&line)));
}

static void say_refused(struct check_run *l, bool all)
{
	CLEANUP(buf_deinitp)
	struct buf to = BUF_INIT(LINE_MAX_BYTES), text = BUF_INIT(LINE_MAX_BYTES);
	static const char step[] =
		"Add a last route for all that has none: - { through: MAILBOX }, and `sender: "
		"rewrite` at that mailbox; or one for this sender.";
	struct cli_context *ctx = l->o->ctx;

	put_recipients(&l->ways, l->ways.refused, &to);
	(void)!buf_printf(&text,
		"no route takes mail from %.*s to %.*s: it is refused when it is handed in",
		SV_ARG(l->sender),
		SV_ARG(buf_sv(&to)));
	if (l->report)
		(void)fprintf(l->report, "%.*s\n", SV_ARG(buf_sv(&text)));
	if (ctx->json) {
		cli_put_json(json_pack("{s:s, s:o, s:s, s:s, s:s, s:s, s:o, s:s, s:s, s:i}",
			"type",
			"verdict",
			"target",
			check_json_sv(l->sender),
			"status",
			all ? "fail" : "warn",
			"step",
			"route",
			"cause",
			"no-route",
			"owner",
			"you",
			"text",
			check_json_sv(buf_sv(&text)),
			"first",
			step,
			"then",
			"",
			"exit",
			all ? EX_CONFIG : EX_OK));
		return;
	}
	(void)printf("%s%.*s%s: %s%s: no-route%s\n",
		cli_style(ctx, "bold"),
		SV_ARG(l->sender),
		cli_style(ctx, "off"),
		cli_style(ctx, all ? "red" : "yellow"),
		all ? "broken" : "works in part",
		cli_style(ctx, "off"));
	check_print_word(stdout, "what", buf_sv(&text));
	check_print_word(stdout, "who", sv_from(check_owner_text(DIAGNOSE_OWNER_YOU)));
	check_print_word(stdout, "first", sv_from(step));
}

/* The mailbox that was named may be one that its own mail does not leave by. */
static bool leads_elsewhere(const struct check_run *l)
{
	for (size_t i = 0; i < l->ways.count; i++)
		if (check_way_leads_to(&l->ways.ways[i], l->lanes[0]->member))
			return false;
	return true;
}

int check_say_ways(struct check_run *l)
{
	bool all = l->ways.count == 0;

	if (!l->sender.len ||
		(check_names_lane(l) && (l->lanes[0]->kind == CONF_LANE_CONNECTOR ||
						(!leads_elsewhere(l) && !l->ways.refused))))
		return EX_OK;
	if (!l->o->ctx->json)
		(void)printf("%s%.*s%s\n",
			cli_style(l->o->ctx, "bold"),
			SV_ARG(l->sender),
			cli_style(l->o->ctx, "off"));
	for (size_t i = 0; i < l->ways.count; i++)
		say_way(l, &l->ways.ways[i]);
	if (l->ways.refused)
		say_refused(l, all);
	return all ? EX_CONFIG : EX_OK;
}
