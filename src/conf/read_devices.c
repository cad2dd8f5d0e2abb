/* SPDX-License-Identifier: Apache-2.0 */
#include "base/must.h"
#include "conf/conf_priv.h"

#include <sys/socket.h>

/* Devices: known by their address, bound to one sender, to their recipients, and to a quota. */

static const char *const tls_words[] = { "modern", "legacy", NULL };

struct device_draft {
	struct conf_device device;
	unsigned tls;
};

#define AT(member) .offset = offsetof(struct device_draft, device.member)

static void read_from(struct conf_load *ld, const struct conf_node *value, void *out)
{
	conf_read_networks(ld, value, "from", out);
}

static_assert(offsetof(struct conf_device, from_count) ==
		      offsetof(struct conf_device, from) + sizeof(const struct io_network *),
	"conf_read_networks() writes a pointer and the count behind it");
static_assert(offsetof(struct conf_device, recipient_pattern_count) ==
		      offsetof(struct conf_device, recipient_patterns) + sizeof(const struct sv *),
	"CONF_TYPE_PATTERNS writes a pointer and the count behind it");

/* `out` is the whole device. */
static void read_recipients(struct conf_load *ld, const struct conf_node *value, void *out)
{
	static const struct conf_field patterns = { .name = SV_INIT("recipients"),
		.type = CONF_TYPE_PATTERNS,
		.offset = offsetof(struct conf_device, recipient_patterns) };
	struct conf_device *d = out;

	if (value->kind == CONF_NODE_LIST) {
		d->recipients = CONF_DEVICE_LISTED;
		conf_read_value(ld, value, &patterns, d);
		if (!value->first)
			conf_error(ld,
				value,
				"recipients: is empty, so this device could send to nobody: list "
				"patterns, or write internal");
	} else if (!conf_is_text(ld, value)) {
		return;
	} else if (sv_eq(value->text, SV("internal"))) {
		d->recipients = CONF_DEVICE_INTERNAL;
	} else if (sv_eq(value->text, SV("any"))) {
		d->recipients = CONF_DEVICE_ANY;
	} else {
		conf_error(ld,
			value,
			"recipients: must be internal, any, or a list of patterns: "
			"[it@contoso.com, \"*@contoso.com\"]");
	}
}

static const struct conf_field device_fields[] = {
	{ .name = SV_INIT("name"), .type = CONF_TYPE_NAME, .flags = CONF_REQUIRED, AT(name) },
	{ .name = SV_INIT("from"),
		.type = CONF_TYPE_READ,
		.flags = CONF_REQUIRED,
		AT(from),
		.read = read_from },
	{ .name = SV_INIT("sender"),
		.type = CONF_TYPE_ADDRESS,
		.flags = CONF_REQUIRED,
		AT(sender) },
	{ .name = SV_INIT("recipients"),
		.type = CONF_TYPE_READ,
		.offset = offsetof(struct device_draft, device),
		.read = read_recipients },
	CONF_QUOTA_FIELDS(struct device_draft, device.quota),
	CONF_CLASS_FIELD(struct device_draft, device.class),
	{ .name = SV_INIT("tls"),
		.type = CONF_TYPE_CHOICE,
		.offset = offsetof(struct device_draft, tls),
		.words = tls_words },
	{ .name = SV_INIT("errors_to"), .type = CONF_TYPE_ADDRESS, AT(errors_to) },
	CONF_FIELDS_END,
};

#undef AT

/* Is `inner` a part of `outer`? */
static bool is_within(const struct io_network *inner, const struct io_network *outer)
{
	union {
		struct sockaddr any;
		struct sockaddr_in v4;
		struct sockaddr_in6 v6;
	} first = { 0 };

	if (inner->family != outer->family || inner->bits < outer->bits)
		return false;
	first.any.sa_family = (sa_family_t)inner->family;
	if (inner->family == AF_INET)
		memcpy(&first.v4.sin_addr, inner->bytes, 4);
	else
		memcpy(&first.v6.sin6_addr, inner->bytes, 16);
	return io_network_holds(outer, &first.any);
}

bool conf_network_is_private(const struct io_network *n)
{
	static const struct sv private[] = {
		SV_INIT("10.0.0.0/8"), /* RFC 1918 */
		SV_INIT("172.16.0.0/12"),
		SV_INIT("192.168.0.0/16"),
		SV_INIT("100.64.0.0/10"),  /* RFC 6598: behind a provider's NAT, and Tailscale */
		SV_INIT("169.254.0.0/16"), /* RFC 3927 */
		SV_INIT("127.0.0.0/8"),
		SV_INIT("fc00::/7"),  /* RFC 4193 */
		SV_INIT("fe80::/10"), /* RFC 4291 2.5.6 */
		SV_INIT("::1"),
	};

	for (size_t i = 0; i < COUNT_OF(private); i++) {
		struct io_network outer;

		must(io_network_parse(private[i], &outer) == 0);
		if (is_within(n, &outer))
			return true;
	}
	return false;
}

static void check_networks(
	struct conf_load *ld, const struct conf_node *at, const struct conf_device *d)
{
	if (!d->from_count)
		conf_error(ld,
			at,
			"from: is empty, so nobody is this device: write its address, like "
			"10.0.5.30");
	for (size_t i = 0; i < d->from_count; i++) {
		if (conf_network_is_private(&d->from[i]))
			continue;
		conf_warn(ld,
			at,
			"from: is not in a private network, and whoever has that address sends as "
			"%.*s without a password: make sure that nobody else can have it",
			SV_ARG(d->sender));
		return;
	}
}

static void check_device(struct conf_load *ld, const struct conf_node *map,
	const struct conf_device *d, const struct conf_seen *seen)
{
	const struct conf_node *recipients = conf_given(device_fields, seen, "recipients");
	const struct conf *c = ld->conf;

	check_networks(ld, conf_given(device_fields, seen, "from"), d);
	if (d->recipients == CONF_DEVICE_INTERNAL && !c->tenant_by_domain.count && !ld->incomplete)
		conf_error(ld,
			recipients ? recipients : map,
			"recipients: internal means the domains of the tenants, but there are "
			"none, so this device could send to nobody: add domains: [...] to a "
			"tenant, or list recipients");
}

/* The most exact network decides (conf_device_at()); of two equal ones none can. */
static void keep_networks(struct conf_load *ld, const struct conf_node *at,
	const struct conf_device *d, struct htable *taken)
{
	struct conf_device *copy = arena_alloc(&ld->nodes, sizeof(*copy));

	*copy = *d;
	for (size_t i = 0; i < d->from_count; i++) {
		struct sv key = { (const char *)&d->from[i], sizeof(d->from[i]) };
		const struct conf_device *first = htable_get(taken, key);

		if (first && first->from != d->from)
			conf_error(ld,
				at,
				"from: device '%.*s' in %s line %u has the same address: give each "
				"network to one device",
				SV_ARG(first->name),
				first->place.file,
				first->place.line);
		else
			htable_put(taken, key, copy);
	}
}

static void read_device(struct conf_load *ld, const struct conf_node *map, struct htable *taken)
{
	struct conf *c = ld->conf;
	struct device_draft draft = { .device.place = conf_place_of(ld, map) };
	struct conf_device *d = &draft.device;
	struct conf_seen seen = { 0 };
	const struct conf_device *first;
	size_t *place;

	if (c->device_count >= CONF_DEVICES_MAX) {
		if (c->device_count++ == CONF_DEVICES_MAX)
			conf_error(ld,
				map,
				"devices: there are more than %d: give some of them a network "
				"together",
				CONF_DEVICES_MAX);
		c->device_count = CONF_DEVICES_MAX;
		return;
	}
	if (conf_read_map(ld, map, device_fields, &draft, &seen)) {
		check_device(ld, map, d, &seen);
		keep_networks(ld, conf_given(device_fields, &seen, "from"), d, taken);
	}
	d->legacy_tls = draft.tls != 0;
	if (!d->name.len)
		return;
	first = conf_device(c, d->name);
	if (first) {
		conf_error(ld,
			conf_given(device_fields, &seen, "name"),
			"name: there is a device of this name in %s line %u already: choose "
			"another",
			first->place.file,
			first->place.line);
		return;
	}
	c->devices = conf_grow(c->devices, c->device_count, sizeof(*c->devices));
	c->devices[c->device_count++] = *d;
	place = arena_alloc(&c->arena, sizeof(*place));
	*place = c->device_count;
	htable_put(&c->device_by_name, d->name, place);
}

void conf_read_devices(struct conf_load *ld)
{
	struct htable taken = { 0 };

	for (size_t i = 0; i < ld->section_count[CONF_SECTION_DEVICES]; i++) {
		const struct conf_node *list = ld->sections[CONF_SECTION_DEVICES][i];

		if (conf_is_list(ld, list))
			for (const struct conf_node *n = list->first; n; n = n->next)
				read_device(ld, n, &taken);
	}
	htable_deinit(&taken);
}

/* Legacy TLS is for devices and they for it: one without the other is a mistake. */
void conf_check_devices(struct conf_load *ld)
{
	const struct conf *c = ld->conf;
	const struct conf_listener *listener = NULL;
	const struct conf_device *device = NULL;
	struct conf_node at;

	for (size_t i = 0; i < c->listener_count && !listener; i++)
		listener = c->listeners[i].legacy_tls ? &c->listeners[i] : NULL;
	for (size_t i = 0; i < c->device_count && !device; i++)
		device = c->devices[i].legacy_tls ? &c->devices[i] : NULL;
	if (ld->incomplete || !listener == !device)
		return;
	at = conf_node_at(listener ? listener->place : device->place);
	if (listener)
		conf_error(ld,
			&at,
			"legacy_tls: is for devices with tls: legacy, but there are none: add one "
			"under devices, or remove legacy_tls");
	else
		conf_error(ld,
			&at,
			"tls: legacy needs a listener of its own: add one with legacy_tls: true on "
			"an address of your private network, or remove tls: legacy");
}
