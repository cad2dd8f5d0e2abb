/* SPDX-License-Identifier: Apache-2.0 */
#include "base/must.h"
#include "conf/conf_priv.h"

/*
 * The doors of a mailbox: `doors: [submission, graph]`, or the short form for one, `provider: submission`. Each becomes a lane; what
 * is written of the mailbox holds for all of them, but its endpoint, which is that of the door that speaks SMTP.
 */

static void say_unknown(struct conf_load *ld, const struct conf_node *at)
{
	struct guess guess = { .name = at->text };

	for (unsigned p = 0; p < PROVIDER_COUNT; p++)
		if (!provider_defaults(p)->is_connector)
			guess_try(&guess, sv_from(provider_name(p)));
	if (guess.best.len)
		conf_error(ld,
			at,
			"doors: there is no such door: did you mean '%.*s'?",
			SV_ARG(guess.best));
	else
		conf_error(ld,
			at,
			"doors: must be one of submission, hve, graph, gmail and smtp, or both "
			"[submission, graph]");
}

static void take_door(struct conf_load *ld, const struct conf_node *at, struct conf_doors *doors)
{
	enum provider_kind provider;

	if (!conf_is_text(ld, at))
		return;
	if (provider_parse(at->text, &provider) != 0) {
		say_unknown(ld, at);
		return;
	}
	for (size_t i = 0; i < doors->count; i++) {
		if (doors->items[i].provider != provider)
			continue;
		conf_error(ld,
			at,
			"doors: names %s twice: remove one of them",
			provider_name(provider));
		return;
	}
	if (doors->count == CONF_DOORS_MAX) {
		conf_error(ld, at, "doors: has more than %d of them: remove some", CONF_DOORS_MAX);
		return;
	}
	doors->items[doors->count++] = (struct conf_door){ provider, at };
}

/* Two doors lead to one mailbox, or they are two mailboxes. */
static void check_together(struct conf_load *ld, struct conf_doors *doors)
{
	size_t kept = 0;

	for (size_t i = 0; i < doors->count; i++) {
		const struct conf_door *d = &doors->items[i];

		if (doors->count > 1 && !provider_defaults(d->provider)->shares_mailbox)
			conf_error(ld,
				d->at,
				"doors: only submission and graph lead to the same mailbox: list "
				"%s %s, and name both in a route: through: [ADDRESS, OTHER]",
				provider_name(d->provider),
				provider_defaults(d->provider)->is_connector
					? "under connectors"
					: "as a separate mailbox");
		else
			doors->items[kept++] = *d;
	}
	doors->count = kept;
}

void conf_doors_read(struct conf_load *ld, const struct conf_node *map, struct conf_doors *out)
{
	const struct conf_node *list = conf_find(map, SV("doors"));

	*out = (struct conf_doors){ .listed = list != NULL };
	if (!list) {
		out->items[0].provider = conf_provider_of(map, PROVIDER_SUBMISSION);
		out->count = 1;
		return;
	}
	if (conf_find(map, SV("provider")))
		conf_error(ld,
			conf_find(map, SV("provider")),
			"provider: is the short form of doors, for one door, and doors is here, "
			"too: remove one of them");
	if (list->kind == CONF_NODE_SCALAR && !conf_is_absent(list)) {
		take_door(ld, list, out);
	} else if (conf_is_list(ld, list)) {
		for (const struct conf_node *n = list->first; n; n = n->next)
			take_door(ld, n, out);
		if (!list->first)
			conf_error(ld,
				list,
				"doors: is empty, so the mailbox could send nothing: write "
				"[submission], [graph] or both");
	}
	check_together(ld, out);
	/* The mailbox is known all the same: that its name is not would be a second finding. */
	if (!out->count)
		out->items[out->count++] = (struct conf_door){ PROVIDER_SUBMISSION, list };
}

/* What was given in `limits:` holds for each door; the rest comes with the door. */
static void take_limits(
	struct conf_lane *l, const struct conf_lane *read, const struct conf_node *limits)
{
	const struct conf_lane_draft from = { .lane = *read };
	struct conf_lane_draft to = { .lane = *l };

	for (const struct conf_field *f = conf_lane_limits_fields; f->name.len; f++) {
		size_t size = f->type == CONF_TYPE_SIZE ? sizeof(uint64_t) : sizeof(uint32_t);

		if (limits && conf_find(limits, f->name))
			memcpy((char *)&to + f->offset, (const char *)&from + f->offset, size);
	}
	*l = to.lane;
}

struct conf_lane conf_door_lane(
	const struct conf_lane *read, const struct conf_node *map, const struct conf_door *door)
{
	const struct conf_node *endpoint = conf_find(map, SV("endpoint"));
	struct conf_lane l = *read;

	l.provider = door->provider;
	conf_lane_defaults(&l, read->limits.share_percent);
	l.sender = read->sender;
	take_limits(&l, read, conf_find(map, SV("limits")));
	if (provider_defaults(l.provider)->is_http) {
		l.host = l.ca_file = SV("");
		return l;
	}
	if (endpoint && conf_find(endpoint, SV("port")))
		l.port = read->port;
	if (endpoint && conf_find(endpoint, SV("tls")))
		l.tls = read->tls;
	return l;
}
