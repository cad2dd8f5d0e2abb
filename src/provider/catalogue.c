/* SPDX-License-Identifier: Apache-2.0 */
#include "provider/explain.h"
#include "provider/http_priv.h"
#include "provider/reply_priv.h"

#include <stdio.h>

/* All rows, for lists and pages. */

const char *provider_class_name(const struct verdict *v)
{
	bool clears = v->nature == VERDICT_NATURE_QUOTA ||
		      v->scope == VERDICT_SCOPE_MAILBOX_WINDOW ||
		      v->scope == VERDICT_SCOPE_TENANT_EXTERNAL;

	return v->kind == VERDICT_PARK && clears ? "wait" : verdict_kind_name(v->kind);
}

static void each_reply(const struct provider_row *row, provider_catalogue_fn *each, void *arg)
{
	char reply[40] = "";
	const char *text = row->on.text ? row->on.text : "";
	int n = 0;
	const char *enhanced = row->on.enhanced ? row->on.enhanced : "";

	if (row->on.code >= 100)
		n = snprintf(reply, sizeof(reply), "%u%s", row->on.code, enhanced[0] ? " " : "");
	if (row->on.detail_max)
		(void)snprintf(reply + n,
			sizeof(reply) - (size_t)n,
			"%s-%u",
			enhanced,
			row->on.detail_max);
	else
		(void)snprintf(reply + n, sizeof(reply) - (size_t)n, "%s", enhanced);
	each(arg,
		&(struct provider_catalogue_row){
			.reply = reply,
			.text = text[0] == '^' ? text + 1 : text,
			.kind = row->kind,
			.scope = row->scope,
			.nature = row->nature,
			.cause = row->cause,
			.summary = row->summary,
			.source = row->source,
			.checked = row->checked,
		});
}

static void each_http(const struct provider_http_row *row, provider_catalogue_fn *each, void *arg)
{
	char reply[40] = "";

	if (row->aadsts)
		(void)snprintf(reply, sizeof(reply), "AADSTS%u", row->aadsts);
	else if (row->error)
		(void)snprintf(reply, sizeof(reply), "%s", row->error);
	else if (row->status >= 10)
		(void)snprintf(reply, sizeof(reply), "HTTP %u", row->status);
	else if (row->status)
		(void)snprintf(reply, sizeof(reply), "HTTP %uxx", row->status);
	each(arg,
		&(struct provider_catalogue_row){
			.reply = reply,
			.text = row->text ? row->text : "",
			.kind = row->kind,
			.scope = row->scope,
			.nature = row->nature,
			.cause = row->cause,
			.summary = row->summary,
			.source = row->source,
			.checked = row->checked,
		});
}

void provider_catalogue_each(provider_catalogue_fn *each, void *arg)
{
	static const struct provider_http_table *const http[] = {
		&provider_token_app_errors, &provider_token_user_errors, &provider_graph_errors
	};

	for (size_t t = 0; t < PROVIDER_TABLE_COUNT; t++)
		for (size_t i = 0; i < provider_tables[t]->count; i++)
			each_reply(&provider_tables[t]->rows[i], each, arg);
	for (size_t t = 0; t < COUNT_OF(http); t++)
		for (size_t i = 0; i < http[t]->count; i++)
			each_http(&http[t]->rows[i], each, arg);
}
