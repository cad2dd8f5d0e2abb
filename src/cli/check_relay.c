/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/check_relay.h"

#include "base/must.h"
#include "cli/ask.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void take_lane(void *arg, const json_t *line)
{
	struct check_relay *r = arg;
	const char *key = cli_text(line, "lane");

	if (key[0] && cli_text(line, "reason")[0])
		must(json_object_set_new(r->lanes, key, json_deep_copy(line)) == 0);
}

/* One recipient that waits: the first of a lane that has a cause stands for all, and they are counted. */
static void take_waiting(void *arg, const json_t *line)
{
	struct check_relay *r = arg;
	const char *key = cli_text(line, "lane");
	json_t *one;

	if (!key[0] || !cli_text(line, "reason")[0])
		return;
	one = json_object_get(r->senders, key);
	if (!one) {
		one = json_deep_copy(line);
		must(json_object_set_new(r->senders, key, one) == 0);
	}
	must(json_object_set_new(one,
		     "waiting",
		     json_integer(json_integer_value(json_object_get(one, "waiting")) + 1)) == 0);
}

void check_relay_ask(struct conf *c, struct sv sender, struct check_relay *out)
{
	*out = (struct check_relay){ .lanes = json_object(), .senders = json_object() };
	must(out->lanes && out->senders);
	if (!cli_ask_running(c, json_pack("{s:s}", "do", "mailboxes"), take_lane, out)) {
		check_relay_deinit(out);
		return;
	}
	if (sender.len)
		(void)!cli_ask_running(c,
			json_pack("{s:s, s:s%}", "do", "list", "sender", sender.ptr, sender.len),
			take_waiting,
			out);
}

void check_relay_deinit(struct check_relay *r)
{
	json_decref(r->lanes);
	json_decref(r->senders);
	r->lanes = r->senders = NULL;
}

/* The lane's own trouble holds this sender's mail like all other. */
static bool is_its_own(const json_t *lane, const json_t *sender)
{
	return sender &&
	       (!lane || strcmp(cli_text(lane, "reason"), cli_text(sender, "reason")) != 0);
}

enum diagnose_hold check_relay_of(
	struct check_relay *r, const struct conf_lane *lane, struct diagnose_heard *out)
{
	const json_t *held, *sender;
	char *key;

	if (!r->lanes)
		return DIAGNOSE_HOLD_UNKNOWN;
	key = sv_dup(lane->key);
	held = json_object_get(r->lanes, key);
	sender = json_object_get(r->senders, key);
	free(key);
	if (is_its_own(held, sender)) {
		(void)snprintf(r->text,
			sizeof(r->text),
			"%lld waiting, because of %s",
			(long long)json_integer_value(json_object_get(sender, "waiting")),
			cli_text(sender, "reason"));
		*out = (struct diagnose_heard){ sv_from(r->text),
			sv_from(cli_text(sender, "reply")) };
		return DIAGNOSE_HOLD_SENDER;
	}
	if (!held)
		return DIAGNOSE_HOLD_NONE;
	(void)snprintf(r->text,
		sizeof(r->text),
		"since %s, because of %s (%s)%s%.700s",
		cli_text(held, "since"),
		cli_text(held, "reason"),
		cli_text(held, "state"),
		cli_text(held, "reply")[0] ? ": " : "",
		cli_text(held, "reply"));
	*out = (struct diagnose_heard){ .text = sv_from(r->text) };
	return DIAGNOSE_HOLD_LANE;
}
