/* SPDX-License-Identifier: Apache-2.0 */
#include "provider/explain.h"
#include "provider/http_priv.h"
#include "provider/reply_priv.h"

#include <stdio.h>
#include <string.h>

/* All rows, for lists and pages. */

const char *provider_class_name(const struct verdict *v)
{
	bool clears = v->nature == VERDICT_NATURE_QUOTA ||
		      v->scope == VERDICT_SCOPE_MAILBOX_WINDOW ||
		      v->scope == VERDICT_SCOPE_TENANT_EXTERNAL;

	return v->kind == VERDICT_PARK && clears ? "wait" : verdict_kind_name(v->kind);
}

static void add_word(char *words, size_t size, const char *word)
{
	size_t n = strlen(words);

	(void)snprintf(words + n, size - n, "%s%s", n ? " " : "", word);
}

static void name_places(const struct provider_row *row, char *at, char *doors, size_t size)
{
	static const char *const steps[SMTP_CLIENT_STAGE_COUNT] = {
		[SMTP_CLIENT_STAGE_GREETING] = "connect",
		[SMTP_CLIENT_STAGE_EHLO] = "ehlo",
		[SMTP_CLIENT_STAGE_AUTH] = "auth",
		[SMTP_CLIENT_STAGE_MAIL] = "mail",
		[SMTP_CLIENT_STAGE_RCPT] = "rcpt",
		[SMTP_CLIENT_STAGE_DATA] = "data",
		[SMTP_CLIENT_STAGE_DOT] = "dot",
	};

	for (unsigned i = 0; i < SMTP_CLIENT_STAGE_COUNT; i++)
		if (steps[i] && (row->on.stages & 1U << i))
			add_word(at, size, steps[i]);
	for (unsigned i = 0; i < PROVIDER_COUNT; i++)
		if (!row->on.providers || (row->on.providers & 1U << i))
			add_word(doors, size, provider_name((enum provider_kind)i));
}

/* What a row leaves open is filled in: any number of its class, any words. */
static void write_example(const struct provider_row *row, char *out, size_t size)
{
	const char *enhanced = row->on.enhanced ? row->on.enhanced : "";
	const char *text = row->on.text ? row->on.text : "Refused";
	bool later = row->on.code == 4 || enhanced[0] == '4' ||
		     (!row->on.code && !enhanced[0] && row->kind == VERDICT_RETRY);
	unsigned code = row->on.code >= 100 ? row->on.code : later ? 451 : 550;

	(void)snprintf(out,
		size,
		"%u %s%s%s",
		code,
		enhanced,
		enhanced[0] ? " " : "",
		text + (text[0] == '^'));
	/* "one*two" */
	for (char *c = out; *c; c++)
		if (*c == '*')
			*c = ' ';
}

static void each_reply(const struct provider_row *row, provider_catalogue_fn *each, void *arg)
{
	char reply[40] = "";
	const char *text = row->on.text ? row->on.text : "";
	int n = 0;
	const char *enhanced = row->on.enhanced ? row->on.enhanced : "";
	char at[80] = "", doors[80] = "", example[256];

	name_places(row, at, doors, sizeof(at));
	write_example(row, example, sizeof(example));
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
			.at = at,
			.doors = doors,
			.sign_in = row->on.sign_in == PROVIDER_WITH_TOKEN      ? "token"
				   : row->on.sign_in == PROVIDER_WITH_PASSWORD ? "password"
									       : "",
			.example = example,
			.after_uncertain = row->on.after_uncertain,
		});
}

static void write_http_example(const struct provider_http_row *row, char *out, size_t size)
{
	unsigned status = row->status >= 10 ? row->status : row->status ? row->status * 100U : 400;
	const char *text = row->text ? row->text : "Refused";

	if (row->aadsts)
		(void)snprintf(out, size, "%u AADSTS%u: %s", status, row->aadsts, text);
	else if (row->error)
		(void)snprintf(out, size, "%u %s: %s", status, row->error, text);
	else
		(void)snprintf(out, size, "%u %s", status, text);
}

static void each_http(
	const struct provider_http_row *row, const char *at, provider_catalogue_fn *each, void *arg)
{
	char reply[40] = "", example[256];

	write_http_example(row, example, sizeof(example));

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
			.at = at,
			.doors = "",
			.sign_in = "",
			.example = example,
		});
}

static void each_phrase(const struct provider_phrase *row, provider_catalogue_fn *each, void *arg)
{
	each(arg,
		&(struct provider_catalogue_row){
			.reply = "",
			.text = row->text,
			.kind = row->kind,
			.scope = row->scope,
			.nature = row->nature,
			.cause = row->cause,
			.summary = row->summary,
			.source = row->source,
			.checked = row->checked,
			.at = "text",
			.doors = "",
			.sign_in = "",
			.example = row->text,
		});
}

void provider_catalogue_each(provider_catalogue_fn *each, void *arg)
{
	for (size_t i = 0; i < provider_rows_count; i++)
		each_reply(&provider_rows[i], each, arg);
	for (size_t i = 0; i < provider_token_rows_count; i++)
		each_http(&provider_token_rows[i], "token", each, arg);
	for (size_t i = 0; i < provider_graph_rows_count; i++)
		each_http(&provider_graph_rows[i], "graph", each, arg);
	for (size_t i = 0; i < provider_phrases_count; i++)
		each_phrase(&provider_phrases[i], each, arg);
}
