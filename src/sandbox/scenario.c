/* SPDX-License-Identifier: Apache-2.0 */
#include "sandbox/sandbox_priv.h"

#include "base/must.h"

#include <stdio.h>

/* Ready scenarios: settings and faults as JSON, the same that the API takes. */
static const struct {
	const char *name;
	const char *does;
	const char *settings; /* NULL: none */
	const char *faults;
} scenarios[] = {
	{ "smtp-auth-off",
		"SMTP AUTH is switched off for the tenant (535 5.7.139)",
		"{\"tenant_auth\":false}",
		NULL },
	{ "basic-auth-off",
		"basic authentication is gone: only XOAUTH2 signs in",
		"{\"basic_auth\":false}",
		NULL },
	{ "security-defaults",
		"Entra security defaults lock password sign-in",
		"{\"security_defaults\":true}",
		NULL },
	{ "mailbox-full",
		"every mailbox is full (554 5.2.2 after DATA)",
		"{\"all_full\":true}",
		NULL },
	{ "throttled",
		"a quarter of the messages meet 4.4.2, the submission rate",
		NULL,
		"{\"at\":\"dot\",\"do\":\"reply\",\"probability\":0.25,\"reply\":\"451 4.4.2 "
		"Message submission rate for this client has exceeded the configured limit\"}" },
	{ "busy",
		"temporary server errors at all stages",
		NULL,
		"[{\"at\":\"connect\",\"do\":\"reply\",\"probability\":0.1,\"reply\":\"421 4.3.2 "
		"Service not active\"},"
		"{\"at\":\"mail\",\"do\":\"reply\",\"probability\":0.1,\"reply\":\"451 4.7.0 "
		"Temporary server error. Please try again later. PRX4\"},"
		"{\"at\":\"dot\",\"do\":\"reply\",\"probability\":0.1,\"reply\":\"451 4.7.0 "
		"Temporary server error. Please try again later. PRX2\"}]" },
	{ "cut-before-reply",
		"one message in ten: the connection is cut, the message is not taken",
		NULL,
		"{\"at\":\"dot\",\"do\":\"cut\",\"probability\":0.1}" },
	{ "cut-after-reply",
		"one message in ten: taken, but the connection is cut before the reply",
		NULL,
		"{\"at\":\"dot\",\"do\":\"cut-after\",\"probability\":0.1}" },
	{ "slow",
		"the final reply takes two seconds",
		NULL,
		"{\"at\":\"dot\",\"do\":\"slow\",\"delay_ms\":2000}" },
	{ "token-service-down",
		"the token service answers 503 with Retry-After",
		NULL,
		"{\"at\":\"token\",\"do\":\"reply\",\"retry_after\":5,\"reply\":\"503 "
		"AADSTS90033: A transient error has occurred. Please try again.\"}" },
	{ "secret-expired",
		"the app's client secret has expired (AADSTS7000222)",
		"{\"apps\":[{\"client_id\":\"" SANDBOX_APP_DEFAULT "\",\"secret_expired\":true}]}",
		NULL },
	{ "smtp-sendasapp-missing",
		"the app lacks SMTP.SendAsApp: tokens are issued, Exchange says 535 5.7.3",
		"{\"apps\":[{\"client_id\":\"" SANDBOX_APP_DEFAULT
		"\",\"roles\":[\"Mail.Send\"]}]}",
		NULL },
	{ "connector-unknown",
		"no inbound connector fits: 550 5.7.64 for recipients elsewhere",
		"{\"connector\":{\"sources\":[],\"certificate\":false}}",
		NULL },
	{ "hve-external",
		"HVE: every recipient is elsewhere (550 5.5.105)",
		"{\"accepted_domains\":[]}",
		NULL },
	{ "graph-audience",
		"tokens are for Microsoft Graph whatever was asked for: Exchange says 535 5.7.3",
		"{\"graph_audience\":true}",
		NULL },
	{ "graph-throttled",
		"a third of Graph's answers are 429 with Retry-After",
		NULL,
		"{\"at\":\"graph\",\"do\":\"reply\",\"probability\":0.33,\"retry_after\":2,"
		"\"reply\":\"429 ApplicationThrottled: Application is over its MailboxConcurrency "
		"limit.\"}" },
	{ "strict",
		"the tenant's limits refuse, too: external recipients, onmicrosoft, direct send, "
		"HVE's money; the verdict says how near it came to each",
		"{\"tenant_limits\":{\"strict\":true}}",
		NULL },
	{ "young-tenant",
		"strict, and the tenant is three days old: a tenth of the external recipients",
		"{\"tenant_limits\":{\"strict\":true,\"age_days\":3}}",
		NULL },
	{ "trial-tenant",
		"strict, and the tenant is on trial (550 5.7.232)",
		"{\"tenant_limits\":{\"strict\":true,\"trial\":true}}",
		NULL },
	{ "tiny-limits",
		"3 messages a minute, 10 recipients a day, 1 connection",
		"{\"limits\":{\"messages_per_minute\":3,\"recipients_per_day\":10,\"connections\":"
		"1}}",
		NULL },
};

const char *sandbox_scenario_name(size_t index, const char **out_does)
{
	if (index >= COUNT_OF(scenarios))
		return NULL;
	*out_does = scenarios[index].does;
	return scenarios[index].name;
}

static json_t *parsed(const char *text)
{
	json_t *value = json_loads(text, 0, NULL);

	must(value != NULL);
	return value;
}

int sandbox_scenario_apply(struct sandbox *s, struct sv name, struct err *err)
{
	for (size_t i = 0; i < COUNT_OF(scenarios); i++) {
		int rc = 0;

		if (!sv_eq(name, sv_from(scenarios[i].name)))
			continue;
		if (scenarios[i].settings) {
			json_t *settings = parsed(scenarios[i].settings);

			rc = sandbox_settings_apply(s, settings, err);
			json_decref(settings);
		}
		if (rc == 0 && scenarios[i].faults) {
			json_t *faults = parsed(scenarios[i].faults);

			rc = sandbox_faults_add(&s->faults, faults, err);
			json_decref(faults);
		}
		return rc;
	}
	return err_set(err,
		RC_NOT_FOUND,
		"no scenario is called '%.*s'; `postern sandbox --scenarios` lists them",
		SV_ARG(name));
}
