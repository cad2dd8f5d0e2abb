/* SPDX-License-Identifier: Apache-2.0 */
#include "setup/import.h"

#include "base/must.h"
#include "setup/quote.h"

#include <stdarg.h>
#include <stdio.h>

struct writer {
	struct buf *out;
	struct sv folder;
	int rc;
};

static void PRINTF_LIKE(2, 3) put(struct writer *w, const char *fmt, ...)
{
	char text[2048];
	va_list args;
	int n;

	va_start(args, fmt);
	n = vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	must(n >= 0 && (size_t)n < sizeof(text));
	if (w->rc == 0)
		w->rc = buf_append(w->out, sv_make(text, (size_t)n));
}

/* In double quotes; what YAML does not take as it is (control characters of both kinds) by its number. */
static int quote(struct buf *out, struct sv text)
{
	int rc = buf_append_char(out, '"');

	while (rc == 0 && text.len) {
		uint32_t c = setup_utf8_next(&text);

		if (c == '"' || c == '\\')
			rc = buf_printf(out, "\\%c", (char)c);
		else if (c >= ' ' && c <= '~')
			rc = buf_append_char(out, (char)c);
		else
			rc = buf_printf(out, "\\U%08X", c);
	}
	return rc ? rc : buf_append_char(out, '"');
}

/* "key: "value"", with what stands in front of it; nothing where there is no value. */
static void put_text(struct writer *w, const char *before, struct sv value)
{
	if (!value.len)
		return;
	put(w, "%s", before);
	if (w->rc == 0)
		w->rc = quote(w->out, value);
}

/* The same for "prefix" and value in one text. */
static void put_prefixed(struct writer *w, const char *before, const char *prefix, struct sv value)
{
	struct buf whole = BUF_INIT(SETUP_IMPORT_FILE_MAX + 64);

	if (w->rc == 0 && value.len)
		w->rc = buf_printf(&whole, "%s%.*s", prefix, SV_ARG(value));
	if (w->rc == 0)
		put_text(w, before, buf_sv(&whole));
	buf_deinit(&whole);
}

static void put_file(struct writer *w, const char *before, struct sv file)
{
	if (file.len)
		put(w, "%s\"file:%.*s/%.*s\"", before, SV_ARG(w->folder), SV_ARG(file));
}

static void put_list(struct writer *w, const char *before, const struct sv *items, size_t count)
{
	if (!count)
		return;
	put(w, "%s[", before);
	for (size_t i = 0; i < count; i++)
		put_text(w, i ? ", " : "", items[i]);
	put(w, "]");
}

static void put_listener(struct writer *w, const struct setup_import *im)
{
	put_text(w, "listeners:\n  - address: ", im->listen);
	if (im->certificate.len && im->key.len) {
		put_text(w, "\n    tls: starttls\n    certificate: ", im->certificate);
		put_prefixed(w, "\n    key: ", "file:", im->key);
	}
	if (im->user_count)
		put(w, "\n    auth: %s", im->auth_required ? "required" : "optional");
	put_list(w, "\n    no_password_from: ", im->networks, im->network_count);
	put(w, "\n\n");
}

static void put_users(struct writer *w, const struct setup_import *im)
{
	if (im->user_count)
		put(w, "users:\n");
	for (size_t i = 0; i < im->user_count; i++) {
		put_text(w, "  - name: ", im->users[i].name);
		put_file(w, "\n    password: ", im->users[i].secret_file);
		put_list(w, "\n    senders: ", im->users[i].senders, im->users[i].sender_count);
		put(w, "\n");
	}
	if (im->user_count)
		put(w, "\n");
}

static void put_app(struct writer *w, const struct setup_app *a)
{
	if (!a->tenant.len)
		return;
	put_text(w, "tenants:\n  - name: ", a->tenant);
	put_text(w, "\n    id: ", a->id);
	put_text(w, "\n    app:\n      client_id: ", a->client_id);
	put_file(w, "\n      secret: ", a->secret_file);
	if (a->key.len) {
		put_text(w, "\n      certificate: ", a->certificate);
		put_prefixed(w, "\n      key: ", "file:", a->key);
	}
	put(w, "\n\n");
}

static void put_server(struct writer *w, const struct setup_account *a, const char *indent)
{
	char before[64];

	(void)snprintf(before, sizeof(before), "\n%shost: ", indent);
	put_text(w, before, a->host);
	if (a->port)
		put(w, "\n%sport: %u", indent, (unsigned)a->port);
	(void)snprintf(before, sizeof(before), "\n%stls: ", indent);
	put_text(w, before, a->tls);
}

static void put_password(struct writer *w, const struct setup_account *a)
{
	put_file(w, "\n    password: ", a->secret_file);
	put_prefixed(w, "\n    password: ", "command:", a->command);
}

static void put_mailboxes(struct writer *w, const struct setup_import *im)
{
	bool head = false;

	for (size_t i = 0; i < im->account_count; i++) {
		const struct setup_account *a = &im->accounts[i];

		if (!a->address.len)
			continue;
		put_text(w, head ? "  - address: " : "mailboxes:\n  - address: ", a->address);
		head = true;
		put_text(w, "\n    tenant: ", a->tenant);
		put_text(w, "\n    provider: ", a->provider);
		put(w, "\n    auth: %s", a->app ? "app" : "password");
		if (!sv_eq_nocase(a->login, a->address))
			put_text(w, "\n    login: ", a->login);
		put_password(w, a);
		put(w, "\n");
	}
	if (head)
		put(w, "\n");
}

static void put_connectors(struct writer *w, const struct setup_import *im)
{
	bool head = false;

	for (size_t i = 0; i < im->account_count; i++) {
		const struct setup_account *a = &im->accounts[i];

		if (a->address.len)
			continue;
		put_text(w, head ? "  - name: " : "connectors:\n  - name: ", a->name);
		head = true;
		put_text(w, "\n    provider: ", a->provider);
		put_server(w, a, "    ");
		if (a->secret_file.len || a->command.len)
			put_text(w, "\n    login: ", a->login);
		put_password(w, a);
		put(w, "\n");
	}
	if (head)
		put(w, "\n");
}

int setup_import_config(
	const struct setup_import *im, struct sv origin, struct sv folder, struct buf *out)
{
	struct writer w = { .out = out, .folder = folder };

	put(&w,
		"# Written by `postern import` from %.*s. postern.yaml(5) explains every key.\n"
		"# After a change: postern check && systemctl reload postern\n",
		SV_ARG(origin));
	for (size_t i = 0; i < im->note_count; i++)
		put(&w, "# Not carried over: %.*s.\n", SV_ARG(im->notes[i]));
	put_text(&w, "\nhostname: ", im->hostname);
	put_text(&w, "\nqualify: ", im->qualify);
	put(&w, "\n\n");
	put_listener(&w, im);
	put_users(&w, im);
	put_app(&w, &im->app);
	put_mailboxes(&w, im);
	put_connectors(&w, im);
	put(&w, "routes:\n");
	for (size_t i = 0; i < im->rule_count; i++) {
		put(&w, "  - { ");
		if (im->rules[i].sender.len) {
			put_text(&w, "sender: ", im->rules[i].sender);
			put(&w, ", ");
		}
		put_text(&w, "through: ", im->rules[i].through);
		put(&w, " }\n");
	}
	return w.rc;
}
