/* SPDX-License-Identifier: Apache-2.0 */
#include "conf/conf_priv.h"
#include "conf/made.h"
#include "mail/address.h"

#include <netinet/in.h>

/* Who may send what without a password, where that is more than one might think; and who cannot. */
enum {
	NETWORKS_SHOWN_MAX = 400,
	DEVICE_TRIES_MAX = 5000000, /* devices by routes */
};

/* Size and header are no hurdle: the client chooses both. */
static bool takes_everything(const struct conf_route *r, const struct conf_listener *l)
{
	return r->any_sender && r->any_recipient && r->recipient_class == CONF_RECIPIENT_ANY &&
	       r->any_user && r->any_device && (r->any_listener || sv_eq(r->listener, l->name));
}

static void network_text(const struct io_network *n, struct buf *out)
{
	struct io_address a = { 0 };
	char text[IO_ADDRESS_TEXT_MAX];
	struct sv shown;

	a.any.sa_family = (sa_family_t)n->family;
	if (n->family == AF_INET)
		memcpy(&a.v4.sin_addr, n->bytes, 4);
	else
		memcpy(&a.v6.sin6_addr, n->bytes, 16);
	shown = sv_from(io_address_text(&a.any, text));
	/* Without ":0", and without the brackets that go with it. */
	shown.len -= 2;
	if (n->family != AF_INET) {
		shown = sv_skip(shown, 1);
		shown.len--;
	}
	/* A very long list is told in part. */
	if (buf_printf(out, "%s%.*s/%u", out->len ? ", " : "", SV_ARG(shown), n->bits) != 0)
		return;
}

static void check_listeners(struct conf_load *ld)
{
	const struct conf *c = ld->conf;

	for (size_t i = 0; i < c->listener_count; i++) {
		const struct conf_listener *l = &c->listeners[i];
		struct conf_node at = conf_node_at(l->place);
		CLEANUP(buf_deinitp) struct buf names = BUF_INIT(NETWORKS_SHOWN_MAX);
		const struct conf_route *open = NULL;

		for (size_t r = 0; r < c->route_count && !open; r++)
			open = takes_everything(&c->routes[r], l) ? &c->routes[r] : NULL;
		for (size_t n = 0; n < l->no_password_count; n++)
			if (!io_network_is_loopback(&l->no_password_from[n]))
				network_text(&l->no_password_from[n], &names);
		if (open && names.len)
			conf_warn(ld,
				&at,
				"everybody in %.*s may send %s to anybody, without a password, "
				"through the route in line %u: "
				"name senders or recipients in that route, or ask for a password "
				"(auth: required)",
				SV_ARG(buf_sv(&names)),
				open->through[0].sender ? "from every mailbox" : "as anybody",
				open->place.line);
	}
}

/* The first route that could carry its mail. */
static const struct conf_route *route_of(const struct conf *c, const struct conf_device *d)
{
	for (size_t i = 0; i < c->route_count; i++) {
		const struct conf_route *r = &c->routes[i];
		bool leads = conf_mailbox_of(c, d->sender) || conf_wildcard_of(c, d->sender);

		for (size_t k = 0; k < r->through_count; k++)
			leads = leads || !r->through[k].sender;
		if (leads && r->any_user && (r->any_device || sv_eq(r->device, d->name)) &&
			(r->any_sender || address_matches(r->sender, d->sender)))
			return r;
	}
	return NULL;
}

static void check_device(struct conf_load *ld, const struct conf_device *d)
{
	struct conf_node at = conf_node_at(d->place);
	CLEANUP(buf_deinitp) struct buf names = BUF_INIT(NETWORKS_SHOWN_MAX);
	const struct conf_route *r = route_of(ld->conf, d);

	if (!r) {
		conf_warn(ld,
			&at,
			"no route takes mail from device '%.*s', which sends as %.*s: add one with "
			"device: %.*s, or that mailbox",
			SV_ARG(d->name),
			SV_ARG(d->sender),
			SV_ARG(d->name));
		return;
	}
	for (size_t n = 0; n < d->from_count; n++)
		if (!io_network_is_loopback(&d->from[n]) &&
			d->from[n].bits < (d->from[n].family == AF_INET ? 32 : 128))
			network_text(&d->from[n], &names);
	if (d->recipients == CONF_DEVICE_ANY && names.len && r->any_recipient &&
		r->recipient_class == CONF_RECIPIENT_ANY)
		conf_warn(ld,
			&at,
			"everybody in %.*s may send as %.*s to anybody, without a password, "
			"through the route in line %u: name recipients of this device, or its "
			"address alone",
			SV_ARG(buf_sv(&names)),
			SV_ARG(d->sender),
			r->place.line);
}

void conf_check_open_networks(struct conf_load *ld)
{
	const struct conf *c = ld->conf;

	check_listeners(ld);
	if (ld->error_count || c->device_count * c->route_count > DEVICE_TRIES_MAX)
		return;
	for (size_t i = 0; i < c->device_count; i++)
		check_device(ld, &c->devices[i]);
}
