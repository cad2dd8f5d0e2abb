/* SPDX-License-Identifier: Apache-2.0 */
#include "sandbox/door.h"

#include "base/must.h"
#include "io/net.h"
#include "mail/address.h"

#include <stdio.h>

static const char *const door_names[] = {
	[SANDBOX_DOOR_SUBMISSION] = "submission",
	[SANDBOX_DOOR_HVE] = "hve",
	[SANDBOX_DOOR_CONNECTOR] = "connector",
	[SANDBOX_DOOR_GRAPH] = "graph",
};
static_assert(COUNT_OF(door_names) == SANDBOX_DOOR_COUNT, "name every door");

const char *sandbox_door_name(enum sandbox_door door)
{
	return door_names[door];
}

/* ---- the tenant ---- */

static void set_defaults(struct sandbox_texts *t, const char *first, const char *second)
{
	json_t *list = json_array();

	(void)json_array_append_new(list, json_string(first));
	if (second)
		(void)json_array_append_new(list, json_string(second));
	sandbox_texts_set(t, list);
	json_decref(list);
}

void sandbox_tenant_init(struct sandbox_tenant *t)
{
	*t = (struct sandbox_tenant){ 0 };
	set_defaults(&t->accepted_domains, "contoso.com", "contoso.onmicrosoft.com");
	set_defaults(&t->hve_accounts, "*", NULL);
}

void sandbox_tenant_deinit(struct sandbox_tenant *t)
{
	sandbox_texts_deinit(&t->accepted_domains);
	sandbox_texts_deinit(&t->hve_accounts);
	sandbox_texts_deinit(&t->sources);
	sandbox_texts_deinit(&t->bounces);
}

static void set_list(struct sandbox_texts *t, const json_t *settings, const char *key)
{
	const json_t *list = json_object_get(settings, key);

	if (json_is_array(list))
		sandbox_texts_set(t, list);
}

int sandbox_tenant_apply(struct sandbox_tenant *t, const json_t *settings, struct err *err)
{
	const json_t *connector = json_object_get(settings, "connector");
	const json_t *sources = json_object_get(connector, "sources");
	const json_t *certificate = json_object_get(connector, "certificate");
	const json_t *reject = json_object_get(settings, "reject_direct_send");

	for (size_t i = 0; i < json_array_size(sources); i++) {
		const char *text = json_string_value(json_array_get(sources, i));
		struct io_network network;

		if (!text || io_network_parse(sv_from(text), &network) != 0)
			return err_set(err,
				RC_PARSE,
				"connector: \"sources\" are networks, as \"127.0.0.2/32\"");
	}
	set_list(&t->sources, connector, "sources");
	set_list(&t->accepted_domains, settings, "accepted_domains");
	set_list(&t->hve_accounts, settings, "hve_accounts");
	set_list(&t->bounces, settings, "bounces");
	if (json_is_boolean(certificate))
		t->no_certificates = json_is_false(certificate);
	if (json_is_boolean(reject))
		t->reject_direct_send = json_is_true(reject);
	return 0;
}

void sandbox_tenant_show(const struct sandbox_tenant *t, json_t *out)
{
	json_t *connector = json_object();

	must(json_object_set_new(connector, "sources", sandbox_texts_json(&t->sources)) == 0);
	must(json_object_set_new(connector, "certificate", json_boolean(!t->no_certificates)) == 0);
	must(json_object_set_new(
		     out, "accepted_domains", sandbox_texts_json(&t->accepted_domains)) == 0);
	must(json_object_set_new(out, "hve_accounts", sandbox_texts_json(&t->hve_accounts)) == 0);
	must(json_object_set_new(out, "bounces", sandbox_texts_json(&t->bounces)) == 0);
	must(json_object_set_new(out, "connector", connector) == 0);
	must(json_object_set_new(out, "reject_direct_send", json_boolean(t->reject_direct_send)) ==
		0);
}

bool sandbox_tenant_accepts(const struct sandbox_tenant *t, struct sv domain)
{
	return sandbox_texts_hold(&t->accepted_domains, domain);
}

static struct sv domain_of(struct sv address)
{
	ptrdiff_t at = sv_rfind_char(address, '@');

	return at < 0 ? SV("") : sv_skip(address, (size_t)at + 1);
}

bool sandbox_tenant_is_internal(const struct sandbox_tenant *t, struct sv address)
{
	return sandbox_tenant_accepts(t, domain_of(address));
}

static bool matches_any(const struct sandbox_texts *patterns, struct sv address)
{
	for (size_t i = 0; i < patterns->count; i++) {
		if (address_matches(sv_from(patterns->items[i]), address))
			return true;
	}
	return false;
}

uint32_t sandbox_tenant_external(
	const struct sandbox_tenant *t, char *const *addresses, size_t count)
{
	uint32_t n = 0;

	for (size_t i = 0; i < count; i++)
		n += !sandbox_tenant_is_internal(t, sv_from(addresses[i]));
	return n;
}

bool sandbox_tenant_bounces(const struct sandbox_tenant *t, struct sv address)
{
	return matches_any(&t->bounces, address);
}

bool sandbox_tenant_knows_source(const struct sandbox_tenant *t, const struct sockaddr *peer)
{
	for (size_t i = 0; i < t->sources.count; i++) {
		struct io_network network;

		if (io_network_parse(sv_from(t->sources.items[i]), &network) == 0 &&
			io_network_holds(&network, peer))
			return true;
	}
	return false;
}

bool sandbox_tenant_knows_certificate(const struct sandbox_tenant *t, struct sv name)
{
	ptrdiff_t dot = sv_find_char(name, '.');

	if (t->no_certificates)
		return false;
	return sandbox_tenant_accepts(t, name) ||
	       (dot >= 0 && sandbox_tenant_accepts(t, sv_skip(name, (size_t)dot + 1)));
}

/* ---- replies ---- */

static void say(struct sandbox_reply *r, uint16_t code, const char *enhanced, const char *text)
{
	r->code = code;
	(void)snprintf(r->enhanced, sizeof(r->enhanced), "%s", enhanced);
	(void)snprintf(r->text, sizeof(r->text), "%s", text);
}

void sandbox_connector_rcpt(const struct sandbox_tenant *t, enum sandbox_attribution who,
	struct sv sender, struct sv recipient, size_t of_its_domain, struct sandbox_reply *out)
{
	bool ours = sandbox_tenant_is_internal(t, sender);

	if (of_its_domain >= SANDBOX_DOMAIN_RECIPIENTS_MAX) {
		say(out, 452, "4.5.3", "Too many recipients");
		return;
	}
	if (who == SANDBOX_ANONYMOUS && sandbox_tenant_is_internal(t, recipient)) {
		/* Direct send, or mail as from anywhere on the internet. */
		if (t->reject_direct_send && ours)
			say(out,
				550,
				"5.7.68",
				"TenantInboundAttribution; Direct Send not allowed for this "
				"organization from unauthorized sources");
		else
			say(out, 250, "2.1.5", "Recipient OK");
		return;
	}
	if (who == SANDBOX_ANONYMOUS)
		say(out, 550, "5.7.64", "TenantAttribution; Relay Access Denied SMTP");
	else if (who == SANDBOX_BY_SOURCE && !ours && !sandbox_tenant_is_internal(t, recipient))
		say(out,
			550,
			"5.7.64",
			"Relay Access Denied ATTR36. For more details please refer to KB 3169958");
	else
		say(out, 250, "2.1.5", "Recipient OK");
}

void sandbox_hve_account(const struct sandbox_tenant *t, struct sv user, struct sandbox_reply *out)
{
	if (matches_any(&t->hve_accounts, user))
		say(out, 235, "2.7.0", "Authentication successful");
	else
		say(out, 550, "5.2.240", "The account is not a High Volume Email account");
}

void sandbox_hve_mail(struct sv account, struct sv sender, struct sandbox_reply *out)
{
	if (address_eq(account, sender))
		say(out, 250, "2.1.0", "Sender OK");
	else
		say(out,
			550,
			"5.7.62",
			"The sender address is not that of the High Volume Email account");
}

void sandbox_hve_rcpt(const struct sandbox_tenant *t, struct sv recipient, size_t before,
	struct sandbox_reply *out)
{
	if (!sandbox_tenant_is_internal(t, recipient))
		say(out,
			550,
			"5.5.105",
			"External sending is not supported for High Volume Email accounts");
	else if (before >= SANDBOX_HVE_RECIPIENTS_MAX)
		say(out, 452, "4.5.3", "Too many recipients");
	else
		say(out, 250, "2.1.5", "Recipient OK");
}

void sandbox_hve_end(struct sv account, struct sv from, struct sandbox_reply *out)
{
	if (from.len == 0 || address_eq(account, from))
		say(out, 250, "2.0.0", "");
	else
		say(out,
			550,
			"5.6.241",
			"The From header is not the address of the High Volume Email account");
}
