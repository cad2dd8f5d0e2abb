/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/explain_priv.h"

#include <stdio.h>

/* ---- the catalogue ---- */

static const char *scope_name(enum verdict_scope scope)
{
	return scope == VERDICT_SCOPE_COUNT ? "by-step" : verdict_scope_name(scope);
}

static const char *class_name(const struct provider_catalogue_row *row)
{
	struct verdict v = { .kind = row->kind, .scope = row->scope, .nature = row->nature };

	return provider_class_name(&v);
}

static void print_row(void *arg, const struct provider_catalogue_row *row)
{
	struct cli_context *ctx = arg;
	const struct provider_remedy *remedy = provider_remedy(row->cause, NULL);
	json_t *o;

	if (!ctx->json) {
		(void)printf("%-24s %-7s %-28s %s\n",
			row->reply,
			class_name(row),
			cause_name(row->cause),
			row->text);
		return;
	}
	o = json_object();
	observe_json_sv(o, "reply", sv_from(row->reply));
	observe_json_sv(o, "text", sv_from(row->text));
	observe_json_sv(o, "class", sv_from(class_name(row)));
	observe_json_sv(o, "kind", sv_from(verdict_kind_name(row->kind)));
	observe_json_sv(o, "scope", sv_from(scope_name(row->scope)));
	observe_json_sv(o, "nature", sv_from(verdict_nature_name(row->nature)));
	observe_json_sv(o, "cause", sv_from(cause_name(row->cause)));
	observe_json_sv(o, "summary", sv_from(row->summary));
	observe_json_sv(o, "title", sv_from(remedy ? remedy->title : ""));
	observe_json_sv(o, "owner", sv_from(remedy ? provider_owner_name(remedy->owner) : ""));
	observe_json_sv(o, "link", sv_from(remedy ? remedy->link : ""));
	observe_json_sv(o, "source", sv_from(row->source));
	observe_json_sv(o, "checked", sv_from(row->checked));
	observe_json_sv(o, "at", sv_from(row->at));
	observe_json_sv(o, "doors", sv_from(row->doors));
	observe_json_sv(o, "sign_in", sv_from(row->sign_in));
	observe_json_sv(o, "example", sv_from(row->example));
	if (row->after_uncertain)
		(void)json_object_set_new(o, "after_uncertain", json_true());
	cli_put_json(o);
}

int cli_explain_catalogue(struct cli_context *ctx)
{
	provider_catalogue_each(print_row, ctx);
	return EX_OK;
}
