/* SPDX-License-Identifier: Apache-2.0 */
#include "conf/conf_priv.h"

/* alerts: who hears of what holds mail. */
#define AT(member) .offset = offsetof(struct conf_alerts, member)

static const struct conf_field webhook_fields[] = {
	{ .name = SV_INIT("url"), .type = CONF_TYPE_TEXT, .flags = CONF_REQUIRED, AT(webhook_url) },
	{ .name = SV_INIT("secret"),
		.type = CONF_TYPE_SECRET,
		.flags = CONF_REQUIRED | CONF_EXISTS | CONF_LATER,
		AT(webhook_secret) },
	{ .name = SV_INIT("ca_file"),
		.type = CONF_TYPE_PATH,
		.flags = CONF_EXISTS,
		AT(webhook_ca_file) },
	CONF_FIELDS_END,
};

/* It may have a token in it, so that no message shows it. */
static void read_webhook(struct conf_load *ld, const struct conf_node *value, void *out)
{
	struct conf_alerts *a = out;
	struct conf_seen seen = { 0 };

	if (value->kind != CONF_NODE_MAP)
		conf_error(ld, value, "webhook: must be { url: https://..., secret: file:/PATH }");
	else if (conf_read_map(ld, value, webhook_fields, a, &seen) &&
		 (!sv_starts(a->webhook_url, SV("https://")) || a->webhook_url.len < 10 ||
			 sv_find_char(a->webhook_url, ' ') >= 0))
		conf_error(ld,
			conf_given(webhook_fields, &seen, "url"),
			"url: must begin with https://, and have no spaces");
}

/* One name, or a list; looked for when mailboxes and connectors are known. */
static void read_through(struct conf_load *ld, const struct conf_node *value, void *out)
{
	struct conf_alerts *a = out;
	const struct conf_node *first = value->kind == CONF_NODE_LIST ? value->first : value;
	struct sv *names = arena_alloc(&ld->conf->arena, CONF_THROUGH_MAX * sizeof(*names));
	size_t count = 0;

	for (const struct conf_node *n = first; n;
		n = value->kind == CONF_NODE_LIST ? n->next : NULL) {
		if (count == CONF_THROUGH_MAX) {
			conf_error(ld, n, "through: has more than %d names", CONF_THROUGH_MAX);
			return;
		}
		if (!conf_is_text(ld, n))
			return;
		names[count++] = conf_keep(ld, n->text);
	}
	if (count == 0) {
		conf_error(
			ld, value, "through: must name a mailbox or connector, or a list of them");
		return;
	}
	ld->alerts_through = value;
	a->mail_through = names;
	a->mail_through_count = count;
}

static const struct conf_field mail_fields[] = {
	{ .name = SV_INIT("to"), .type = CONF_TYPE_ADDRESS, .flags = CONF_REQUIRED, AT(mail_to) },
	{ .name = SV_INIT("through"),
		.type = CONF_TYPE_READ,
		.flags = CONF_REQUIRED,
		.offset = 0,
		.read = read_through },
	CONF_FIELDS_END,
};

static void read_mail(struct conf_load *ld, const struct conf_node *value, void *out)
{
	if (value->kind != CONF_NODE_MAP)
		conf_error(ld,
			value,
			"mail: must be { to: it@example.org, through: MAILBOX }, best an address "
			"that "
			"does not depend on this relay");
	else
		(void)conf_read_map(ld, value, mail_fields, out, NULL);
}

static const struct conf_field alerts_fields[] = {
	{ .name = SV_INIT("log"), .type = CONF_TYPE_BOOL, AT(log) },
	{ .name = SV_INIT("webhook"), .type = CONF_TYPE_READ, .offset = 0, .read = read_webhook },
	{ .name = SV_INIT("command"), .type = CONF_TYPE_TEXT, AT(command) },
	{ .name = SV_INIT("mail"), .type = CONF_TYPE_READ, .offset = 0, .read = read_mail },
	CONF_FIELDS_END,
};

void conf_read_alerts(struct conf_load *ld, const struct conf_node *value, void *out)
{
	struct conf_alerts *a = out;
	struct conf_seen seen = { 0 };

	if (value->kind != CONF_NODE_MAP)
		conf_error(ld,
			value,
			"alerts: must be a map: alerts: { command: /usr/local/bin/alert, ... }");
	else if (!conf_read_map(ld, value, alerts_fields, a, &seen) || !a->command.len)
		return;
	else if (a->command.ptr[0] != '/')
		conf_error(ld,
			conf_given(alerts_fields, &seen, "command"),
			"command: must be a program by its path from the root, with its arguments");
	else
		conf_outside_keep(ld,
			CONF_OUTSIDE_COMMAND,
			a->command,
			conf_given(alerts_fields, &seen, "command"));
}
