/* SPDX-License-Identifier: Apache-2.0 */
#include "conf/conf.h"

#include "base/must.h"
#include "conf/route.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_lanes(const struct conf *c)
{
	size_t count;
	const struct conf_lane *lanes = conf_lanes(c, &count);

	for (size_t i = 0; i < count; i++) {
		const struct conf_lane *l = &lanes[i];

		must(conf_lane(c, l->key) == l);
		must(conf_lane_named(c, l->name) == l);
		must(l->host.len > 0);
		must(l->port > 0);
		must(l->limits.share_percent >= 1 && l->limits.share_percent <= 100);
		must(l->limits.connections > 0);
		must(l->password.kind == CONF_SECRET_NONE || l->login.len > 0);
	}
}

static void check_listeners(const struct conf *c)
{
	size_t count;
	const struct conf_listener *l = conf_listeners(c, &count);

	for (size_t i = 0; i < count; i++) {
		must(l[i].name.len > 0);
		must(l[i].connections_max > 0 && l[i].connections_per_peer_max > 0);
		must(l[i].auth != CONF_AUTH_REQUIRED || l[i].no_password_count == 0);
		must(l[i].tls == CONF_TLS_NONE || (l[i].certificate.len && l[i].key.name.len));
	}
}

static void check_routes(const struct conf *c)
{
	size_t count;
	const struct conf_route *r = conf_routes(c, &count);

	must(count > 0);
	for (size_t i = 0; i < count; i++) {
		const struct conf_route_query q = { .sender = r[i].sender,
			.recipient = r[i].recipient_count ? r[i].recipients[0] : SV("a@b.c"),
			.device = r[i].device,
			.user = r[i].user,
			.listener = r[i].listener };

		must(r[i].through_count > 0);
		must(conf_route_find(c, &q).route != NULL);
		(void)!conf_route_possible(c, q.sender, q.user, q.listener, q.device);
	}
}

/* What is accepted keeps its promises; what is refused says why, in order and on one line. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct conf_findings f;
	struct conf *c = conf_load_text(sv_make((const char *)data, size), &f);

	must((c == NULL) == (f.error_count > 0));
	for (size_t i = 0; i < f.count; i++) {
		must(f.items[i].line > 0 && f.items[i].column > 0);
		must(i == 0 || f.items[i].line >= f.items[i - 1].line);
		for (const char *p = f.items[i].text; *p; p++)
			must((unsigned char)*p >= 0x20 && *p != 0x7f);
	}
	if (c) {
		must(conf_general(c)->hostname.len > 0);
		check_lanes(c);
		check_listeners(c);
		check_routes(c);
	}
	conf_findings_free(&f);
	conf_unref(c);
	return 0;
}
