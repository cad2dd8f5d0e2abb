/* SPDX-License-Identifier: Apache-2.0 */
#include "domain/set.h"

#include "authn/origin.h"
#include "base/must.h"
#include "io/net.h"

#include <arpa/inet.h>
#include <idn2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void domain_set_deinit(struct domain_set *s)
{
	free(s->questions);
	htable_deinit(&s->seen);
	arena_reset(&s->arena);
	*s = (struct domain_set){ 0 };
}

bool domain_set_add(struct domain_set *s, struct sv name)
{
	char *in, *ascii = NULL;
	bool good;

	if (memchr(name.ptr ? name.ptr : "", '\0', name.len))
		return false;
	/* "contoso.com." is contoso.com, and no other domain. */
	if (name.len && name.ptr[name.len - 1] == '.')
		name.len--;
	in = sv_dup(name);
	good = idn2_to_ascii_8z(in, &ascii, IDN2_NONTRANSITIONAL | IDN2_NFC_INPUT) == IDN2_OK &&
	       authn_name_is_valid(sv_from(ascii)) && strchr(ascii, '.');
	if (good && !htable_get(&s->seen, sv_from(ascii)) && s->name_count < DOMAIN_SET_MAX) {
		s->names = arena_more(
			&s->arena, s->names, s->name_count, &s->name_cap, sizeof(*s->names));
		s->names[s->name_count++] = arena_sv(&s->arena, sv_from(ascii));
		htable_put(&s->seen, sv_from(ascii), s);
	}
	idn2_free(ascii);
	free(in);
	return good;
}

void domain_set_add_all(struct domain_set *s, const struct conf *conf)
{
	size_t count;
	const struct conf_tenant *const *tenants = conf_tenants(conf, &count);
	const struct conf_lane *lanes;

	for (size_t i = 0; i < count; i++)
		for (size_t k = 0; k < tenants[i]->domain_count; k++)
			(void)!domain_set_add(s, tenants[i]->domains[k]);
	lanes = conf_lanes(conf, &count);
	for (size_t i = 0; i < count; i++) {
		ptrdiff_t at = sv_rfind_char(lanes[i].name, '@');

		if (lanes[i].kind == CONF_LANE_MAILBOX && at > 0)
			(void)!domain_set_add(s, sv_skip(lanes[i].name, (size_t)at + 1));
	}
}

static void read_bytes(const struct io_address *from, struct domain_address *a)
{
	a->is_ipv6 = from->any.sa_family == AF_INET6;
	if (a->is_ipv6)
		memcpy(a->bytes, &from->v6.sin6_addr, 16);
	else
		memcpy(a->bytes, &from->v4.sin_addr, 4);
}

void domain_set_read(struct domain_set *s, const struct conf *conf)
{
	const struct conf_domains *d = &conf_general(conf)->domains;
	const struct conf_lane *lanes;
	size_t count;

	for (size_t i = 0; i < d->selector_count && s->selector_count < DOMAIN_SELECTORS_MAX; i++)
		s->selectors[s->selector_count++] = arena_sv(&s->arena, d->selectors[i]);
	for (size_t i = 0; i < d->list_count && s->list_count < DOMAIN_LISTS_MAX; i++)
		s->lists[s->list_count++] = arena_sv(&s->arena, d->lists[i]);
	lanes = conf_lanes(conf, &count);
	for (size_t i = 0; i < count && s->address_count < DOMAIN_ADDRESSES_MAX; i++) {
		struct domain_address *a = &s->addresses[s->address_count];
		char text[LIMIT_DOMAIN + 16];

		/* Those that connectors leave from: the world sees them. */
		if (lanes[i].source.len == 0 || lanes[i].kind != CONF_LANE_CONNECTOR)
			continue;
		*a = (struct domain_address){ .sends = true };
		read_bytes(&lanes[i].source, a);
		must(inet_ntop(lanes[i].source.any.sa_family, a->bytes, text, sizeof(text)) !=
			NULL);
		a->text = arena_sv(&s->arena, sv_from(text));
		(void)snprintf(text,
			sizeof(text),
			"connector %.*s",
			SV_ARG(sv_head(lanes[i].name, LIMIT_DOMAIN)));
		a->why = arena_sv(&s->arena, sv_from(text));
		s->address_count++;
	}
}

static enum provider_cloud cloud_of(const struct conf *conf, struct sv domain)
{
	size_t count;
	const struct conf_tenant *const *tenants = conf ? conf_tenants(conf, &count) : NULL;

	for (size_t i = 0; tenants && i < count; i++) {
		for (size_t k = 0; k < tenants[i]->domain_count; k++) {
			if (sv_eq_nocase(tenants[i]->domains[k], domain))
				return tenants[i]->cloud;
		}
	}
	return tenants && count == 1 ? tenants[0]->cloud : PROVIDER_CLOUD_GLOBAL;
}

void domain_set_ask(struct domain_set *s, const struct conf *conf)
{
	struct sv helo = conf ? arena_sv(&s->arena, conf_general(conf)->hostname) : SV("");

	s->questions = xcalloc(s->name_count + 1, sizeof(*s->questions));
	for (size_t i = 0; i < s->name_count; i++) {
		s->questions[i] = (struct domain_question){ .domain = s->names[i],
			.cloud = cloud_of(conf, s->names[i]),
			.selectors = s->selectors,
			.selector_count = s->selector_count,
			.addresses = s->addresses,
			.address_count = s->address_count,
			.helo = helo,
			.block_lists = s->lists,
			.block_list_count = s->list_count };
	}
}

bool domain_server_text(struct sv given, char out[DOMAIN_SERVER_MAX])
{
	ptrdiff_t colon = sv_rfind_char(given, ':');
	struct sv host = given, port = SV("53");
	unsigned char address[16];
	bool is_ipv6;
	uint32_t number;

	if (colon > 0 && (sv_find_char(given, ':') == colon || given.ptr[colon - 1] == ']')) {
		host = sv_head(given, (size_t)colon);
		port = sv_skip(given, (size_t)colon + 1);
	}
	if (host.len >= 2 && host.ptr[0] == '[' && host.ptr[host.len - 1] == ']')
		host = sv_make(host.ptr + 1, host.len - 2);
	if (!authn_address_parse(host, address, &is_ipv6) ||
		sv_parse_u32(port, 65535, &number) != 0 || number == 0)
		return false;
	(void)snprintf(out, DOMAIN_SERVER_MAX, "%.*s@%u", SV_ARG(host), (unsigned)number);
	return true;
}
