/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "conf/conf.h"

#include "cmocka_all.h"

/* Tables of configurations with one fault each, for the tests of conf/. */

/* A configuration without a fault, to which each row adds one. */
#define GOOD                                          \
	"connectors:\n"                               \
	"  - { name: lab, host: mail.example.com }\n" \
	"routes:\n"                                   \
	"  - { through: lab }\n"

#define ID "00000000-0000-0000-0000-00000000000f"

/* With users, a tenant and a mailbox. Ten lines. */
#define MORE                                                                             \
	"users:\n"                                                                       \
	"  - { name: erp, password: file:/s, senders: [erp@contoso.com] }\n"             \
	"tenants:\n"                                                                     \
	"  - { name: contoso, id: " ID ", domains: [contoso.com], app: { client_id: " ID \
	", secret: file:/a } }\n"                                                        \
	"mailboxes:\n"                                                                   \
	"  - { address: erp@contoso.com, tenant: contoso, auth: app }\n" GOOD

struct row {
	const char *name;
	const char *text;
	unsigned line, column;
	const char *says; /* a part of the finding */
};

static inline struct conf *load(const char *text, struct conf_findings *f)
{
	return conf_load_text(sv_from(text), f);
}

static inline const struct conf_finding *find(const struct conf_findings *f, const struct row *r)
{
	for (size_t i = 0; i < f->count; i++)
		if (f->items[i].line == r->line && f->items[i].column == r->column &&
			strstr(f->items[i].text, r->says))
			return &f->items[i];
	return NULL;
}

static inline void print_findings(const struct conf_findings *f)
{
	for (size_t i = 0; i < f->count; i++)
		print_message("  %s:%u:%u: %s%s\n",
			f->items[i].file,
			f->items[i].line,
			f->items[i].column,
			f->items[i].warning ? "warning: " : "",
			f->items[i].text);
}

/* A fault gives one error (a circle one for each of its names): what follows from it is not told. */
static inline void rows_are_refused(const struct row *rows, size_t count)
{
	int wrong = 0;

	for (size_t i = 0; i < count; i++) {
		struct conf_findings f;
		struct conf *c = load(rows[i].text, &f);
		const struct conf_finding *hit = find(&f, &rows[i]);

		if (c || !hit || hit->warning || f.error_count > 2) {
			print_findings(&f);
			print_message("%s: wanted %u:%u %s\n",
				rows[i].name,
				rows[i].line,
				rows[i].column,
				rows[i].says);
			wrong++;
		}
		conf_findings_free(&f);
		conf_unref(c);
	}
	assert_int_equal(wrong, 0);
}

/* One warning, and the file is taken. */
static inline void rows_are_warned_of(const struct row *rows, size_t count)
{
	int wrong = 0;

	for (size_t i = 0; i < count; i++) {
		struct conf_findings f;
		struct conf *c = load(rows[i].text, &f);
		const struct conf_finding *hit = find(&f, &rows[i]);

		if (!c || !hit || !hit->warning || f.count != 1) {
			print_findings(&f);
			print_message("%s: wanted %u:%u %s\n",
				rows[i].name,
				rows[i].line,
				rows[i].column,
				rows[i].says);
			wrong++;
		}
		conf_findings_free(&f);
		conf_unref(c);
	}
	assert_int_equal(wrong, 0);
}
