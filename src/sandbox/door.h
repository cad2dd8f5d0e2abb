/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "sandbox/apps.h"
#include "sandbox/model.h"

#include <sys/socket.h>

/*
 * The doors of a tenant besides client submission, and their own rules, without I/O: High Volume Email
 * (internal recipients only, its sender is the account) and the connector on port 25 (who is it, and
 * may he relay?). Sources: "Troubleshoot issues with High Volume Email", "Office 365 notice" on
 * attribution, "Introducing more control over Direct Send", NDR table (Microsoft, read 2026-11).
 */
enum sandbox_door {
	SANDBOX_DOOR_SUBMISSION,
	SANDBOX_DOOR_HVE,
	SANDBOX_DOOR_CONNECTOR,
	SANDBOX_DOOR_GRAPH,
	SANDBOX_DOOR_COUNT,
};
const char *sandbox_door_name(enum sandbox_door door);

enum {
	SANDBOX_HVE_RECIPIENTS_MAX = 50,
	SANDBOX_HVE_BYTES_MAX = 10 << 20,
	SANDBOX_HVE_TOKEN_LEFT_S = 600,
	SANDBOX_DOMAIN_RECIPIENTS_MAX = 200, /* port 25: of one domain in one message */
};

struct sandbox_tenant {
	struct sandbox_texts accepted_domains; /* contoso.com, contoso.onmicrosoft.com */
	struct sandbox_texts hve_accounts;     /* address patterns; "*" at first */
	struct sandbox_texts sources; /* networks of the inbound connector; none at first */
	struct sandbox_texts bounces; /* recipients that fail later, by an NDR */
	bool no_certificates;         /* the inbound connector does not go by certificate */
	bool reject_direct_send;
};
void sandbox_tenant_init(struct sandbox_tenant *t);
void sandbox_tenant_deinit(struct sandbox_tenant *t);
/* accepted_domains, hve_accounts, bounces, reject_direct_send, connector {sources, certificate}. */
NODISCARD int sandbox_tenant_apply(
	struct sandbox_tenant *t, const json_t *settings, struct err *err);
void sandbox_tenant_show(const struct sandbox_tenant *t, json_t *out);
bool sandbox_tenant_accepts(const struct sandbox_tenant *t, struct sv domain);
bool sandbox_tenant_is_internal(const struct sandbox_tenant *t, struct sv address);
/* How many of these are outside of it. */
uint32_t sandbox_tenant_external(
	const struct sandbox_tenant *t, char *const *addresses, size_t count);
bool sandbox_tenant_bounces(const struct sandbox_tenant *t, struct sv address);

/* As which connector a client on port 25 counts. */
enum sandbox_attribution {
	SANDBOX_ANONYMOUS,
	SANDBOX_BY_SOURCE,
	SANDBOX_BY_CERTIFICATE,
};
bool sandbox_tenant_knows_source(const struct sandbox_tenant *t, const struct sockaddr *peer);
/* "mail.contoso.com" needs contoso.com (or itself) among the accepted domains. */
bool sandbox_tenant_knows_certificate(const struct sandbox_tenant *t, struct sv name);

/* Each fills the reply with 250, or with the refusal. */
void sandbox_connector_rcpt(const struct sandbox_tenant *t, enum sandbox_attribution who,
	struct sv sender, struct sv recipient, size_t of_its_domain, struct sandbox_reply *out);
void sandbox_hve_account(const struct sandbox_tenant *t, struct sv user, struct sandbox_reply *out);
void sandbox_hve_mail(struct sv account, struct sv sender, struct sandbox_reply *out);
void sandbox_hve_rcpt(const struct sandbox_tenant *t, struct sv recipient, size_t before,
	struct sandbox_reply *out);
void sandbox_hve_end(struct sv account, struct sv from, struct sandbox_reply *out);
