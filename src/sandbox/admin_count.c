/* SPDX-License-Identifier: Apache-2.0 */
#include "base/must.h"
#include "sandbox/sandbox_priv.h"

#include <string.h>

/*
 * Exchange's own counters, for administrators: Get-LimitsEnforcementStatus and Get-BlockedSenderAddress, with the
 * properties that CSS-Exchange's and CIPP's scripts read. The words of Verdict are not documented.
 */

static json_t *limits_of(struct sandbox *s)
{
	uint64_t allowed, used = sandbox_model_external(s->model, sandbox_now_us(s), &allowed);

	return json_pack("[{s:s, s:I, s:I, s:s, s:b}]",
		"LimitType",
		"TenantExternalRecipientRateLimit",
		"ObservedValue",
		(json_int_t)used,
		"Threshold",
		(json_int_t)allowed,
		"Verdict",
		used >= allowed ? "Exceeded" : "WithinLimit",
		"EnforcementEnabled",
		sandbox_model_limits(s->model)->strict);
}

static json_t *blocked_of(const struct sandbox *s)
{
	json_t *rows = json_array();

	for (size_t i = 0; i < sandbox_model_mailbox_count(s->model); i++) {
		const struct sandbox_mailbox *b = sandbox_model_mailbox_at(s->model, i);

		if (b->blocked)
			(void)json_array_append_new(rows,
				json_pack("{s:s, s:s, s:I, s:b}",
					"SenderAddress",
					b->address,
					"ExceedingLimitType",
					"OutboundSpam",
					"MessageCountToday",
					(json_int_t)b->accepted,
					"TemporaryBlock",
					0));
	}
	return rows;
}

void sandbox_admin_count(struct sandbox *s)
{
	json_t *counts = json_pack("{s:o, s:o}", "limits", limits_of(s), "blocked", blocked_of(s));

	must(sandbox_admin_apply(s->admin, counts, NULL) == 0);
	json_decref(counts);
}

void sandbox_admin_unblock(struct sandbox *s, const json_t *input)
{
	const json_t *cmdlet = json_object_get(input, "CmdletInput");
	const char *name = json_string_value(json_object_get(cmdlet, "CmdletName"));
	const char *address = json_string_value(
		json_object_get(json_object_get(cmdlet, "Parameters"), "SenderAddress"));
	struct sandbox_mailbox *b;

	if (!name || !address || strcmp(name, "Remove-BlockedSenderAddress") != 0)
		return;
	b = sandbox_model_mailbox(s->model, sv_from(address), false);
	if (b)
		b->blocked = false;
}
