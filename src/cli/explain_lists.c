/* SPDX-License-Identifier: Apache-2.0 */
#include "base/buf.h"
#include "cli/explain_priv.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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
	const struct provider_remedy *remedy = provider_remedy(row->cause);
	json_t *o;

	if (!ctx->json) {
		(void)printf("%-24s %-7s %-28s %s\n",
			row->reply,
			class_name(row),
			row->cause,
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
	observe_json_sv(o, "cause", sv_from(row->cause));
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
	cli_explain_put_json(o);
}

int cli_explain_catalogue(struct cli_context *ctx)
{
	provider_catalogue_each(print_row, ctx);
	return EX_OK;
}

/* ---- pages ---- */

enum {
	PAGES_MAX = 300,
};

struct page {
	const char *cause;
	FILE *file;
};

struct pages {
	const char *folder;
	FILE *index;
	struct page of[PAGES_MAX];
	size_t count;
	int rc;
};

static void begin_page(const struct provider_catalogue_row *row, FILE *f)
{
	static const struct provider_facts none;
	const struct provider_remedy *remedy = provider_remedy(row->cause);

	must(remedy != NULL);
	if (remedy->literal)
		(void)fprintf(f, "# %s\n\n", remedy->literal);
	else
		(void)fprintf(f,
			"# %s%s%s\n\n",
			row->reply,
			row->reply[0] && row->text[0] ? " " : "",
			row->text[0]    ? row->text
			: row->reply[0] ? ""
					: row->cause);
	(void)fprintf(f, "**%s.** %s\n\n", remedy->title, row->summary);
	(void)fprintf(f, "* Whose it is: %s\n", provider_owner_words(remedy->owner));
	(void)fprintf(f,
		"* What postern does: %s; scope: %s; cause `%s`\n\n## What to do\n\n",
		class_name(row),
		scope_name(row->scope),
		row->cause);
	for (size_t i = 0; i < PROVIDER_STEPS_MAX && remedy->steps[i]; i++) {
		CLEANUP(buf_deinitp) struct buf text = BUF_INIT(8192);

		if (provider_remedy_fill(remedy->steps[i], &none, &text) == 0)
			(void)fprintf(f, "%zu. %.*s\n", i + 1, SV_ARG(buf_sv(&text)));
	}
	for (size_t i = 0; i < PROVIDER_STEPS_MAX && remedy->powershell[i]; i++) {
		CLEANUP(buf_deinitp) struct buf text = BUF_INIT(8192);

		if (provider_remedy_fill(remedy->powershell[i], &none, &text) == 0)
			(void)fprintf(f, "%s    %.*s\n", i ? "" : "\n", SV_ARG(buf_sv(&text)));
	}
	(void)fprintf(f, "\nRead on: %s\n\n## Replies with this meaning\n\n", remedy->link);
	(void)fprintf(f, "| reply | text | class | scope | source |\n|---|---|---|---|---|\n");
}

static FILE *page_of(struct pages *p, const struct provider_catalogue_row *row)
{
	char path[4096];

	for (size_t i = 0; i < p->count; i++)
		if (strcmp(p->of[i].cause, row->cause) == 0)
			return p->of[i].file;
	must(p->count < PAGES_MAX);
	(void)snprintf(path, sizeof(path), "%s/%s.md", p->folder, row->cause);
	p->of[p->count] = (struct page){ row->cause, fopen(path, "we") };
	if (!p->of[p->count].file) {
		p->rc = -errno;
		return NULL;
	}
	begin_page(row, p->of[p->count].file);
	(void)fprintf(p->index,
		"| [%s](%s.md) | %s | %s |\n",
		provider_remedy(row->cause)->title,
		row->cause,
		provider_owner_name(provider_remedy(row->cause)->owner),
		row->reply);
	return p->of[p->count++].file;
}

static void put_row(void *arg, const struct provider_catalogue_row *row)
{
	struct pages *p = arg;
	FILE *f = p->rc ? NULL : page_of(p, row);

	if (!f)
		return;
	(void)fprintf(f,
		"| %s | %s | %s | %s | %s, read %s |\n",
		row->reply,
		row->text,
		class_name(row),
		scope_name(row->scope),
		row->source,
		row->checked);
}

int cli_explain_pages(const char *folder)
{
	struct pages *p = xcalloc(1, sizeof(*p));
	char path[4096];
	int rc;

	p->folder = folder;
	(void)snprintf(path, sizeof(path), "%s/README.md", folder);
	p->index = fopen(path, "we");
	if (!p->index) {
		free(p);
		return cli_fail(EX_CANTCREAT, "%s: %s", path, rc_text(-errno));
	}
	(void)fprintf(p->index,
		"# Error texts, and what to do\n\n"
		"One page a meaning, made by `postern explain --pages docs/errors` from the tables "
		"in `src/provider/`.\n`postern explain 'TEXT'` finds the right one for any "
		"text.\n\n"
		"| meaning | whose | first reply |\n|---|---|---|\n");
	provider_catalogue_each(put_row, p);
	for (size_t i = 0; i < p->count; i++)
		if (fclose(p->of[i].file) != 0 && p->rc == 0)
			p->rc = -errno;
	if (fclose(p->index) != 0 && p->rc == 0)
		p->rc = -errno;
	rc = p->rc;
	free(p);
	return rc ? cli_fail(EX_IOERR, "%s: %s", folder, rc_text(rc)) : EX_OK;
}
