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

/* A path of a secret that lies where it lay: "file:/etc/ssl/private/relay.key". */
static void put_key(struct writer *w, const char *before, struct sv path)
{
	put_prefixed(w, before, "file:", path);
}

static void put_general(struct writer *w, const struct setup_import *im)
{
	const struct {
		const char *key;
		struct sv value;
	} retry[] = { { "first", im->retry_first },
		{ "ceiling", im->retry_ceiling },
		{ "expire", im->retry_expire } };
	bool head = false;

	put_text(w, "\nhostname: ", im->hostname);
	put_text(w, "\nqualify: ", im->qualify);
	for (size_t i = 0; i < im->alias_count; i++) {
		put_text(w, i ? "\n  " : "\naliases:\n  ", im->aliases[i].name);
		put_text(w, ": ", im->aliases[i].address);
	}
	for (size_t i = 0; i < COUNT_OF(retry); i++) {
		if (!retry[i].value.len)
			continue;
		put(w,
			"%s%s: %.*s",
			head ? ", " : "\nretry: { ",
			retry[i].key,
			SV_ARG(retry[i].value));
		head = true;
	}
	if (head)
		put(w, " }");
	if (im->delay_notice.len)
		put(w, "\ndelay_notice: %.*s", SV_ARG(im->delay_notice));
	if (im->vault)
		put_file(w, "\nvault:\n  key: ", SV("vault.key"));
	put(w, "\n\n");
}

static void put_listeners(struct writer *w, const struct setup_import *im)
{
	for (size_t i = 0; i < im->listener_count; i++) {
		const struct setup_listener *l = &im->listeners[i];

		put_text(w, i ? "  - address: " : "listeners:\n  - address: ", l->address);
		put_text(w, "\n    tls: ", l->tls);
		if (l->tls.len) {
			put_text(w, "\n    certificate: ", l->certificate);
			put_key(w, "\n    key: ", l->key);
		}
		if (l->auth.len)
			put(w, "\n    auth: %.*s", SV_ARG(l->auth));
		if (l->plaintext_auth)
			put(w, "\n    plaintext_auth: true");
		put_list(w, "\n    no_password_from: ", l->networks, l->network_count);
		if (l->message_kb)
			put(w, "\n    message_size: %lluKB", (unsigned long long)l->message_kb);
		if (l->recipients)
			put(w, "\n    recipients: %u", (unsigned)l->recipients);
		if (l->per_peer)
			put(w, "\n    connections_per_peer: %u", (unsigned)l->per_peer);
		put(w, "\n");
	}
	if (im->listener_count)
		put(w, "\n");
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

static void put_app(struct writer *w, const struct setup_import *im, const struct setup_app *a)
{
	put_text(w, "  - name: ", a->tenant);
	put_text(w, "\n    id: ", a->id);
	put_text(w, "\n    cloud: ", a->cloud);
	put_list(w, "\n    domains: ", &a->domain, a->domain.len > 0);
	put_text(w, "\n    endpoints:\n      login: ", a->login_url);
	put_text(w, "\n    app:\n      client_id: ", a->client_id);
	if (!a->client_id.len) {
		put(w, "\n");
		return;
	}
	if (im->sealed)
		put_prefixed(w, "\n      secret: ", "vault:", a->secret_file);
	else
		put_file(w, "\n      secret: ", a->secret_file);
	if (a->key.len) {
		put_text(w, "\n      certificate: ", a->certificate);
		put_key(w, "\n      key: ", a->key);
	}
	put(w, "\n");
}

static void put_tenants(struct writer *w, const struct setup_import *im)
{
	for (size_t i = 0; i < im->app_count; i++) {
		if (!i)
			put(w, "tenants:\n");
		put_app(w, im, &im->apps[i]);
	}
	if (im->app_count)
		put(w, "\n");
}

static void put_server(struct writer *w, const struct setup_account *a)
{
	put_text(w, "\n    host: ", a->host);
	if (a->port)
		put(w, "\n    port: %u", (unsigned)a->port);
	put_text(w, "\n    tls: ", a->tls);
	put_text(w, "\n    ca_file: ", a->ca_file);
	put_text(w, "\n    certificate: ", a->certificate);
	put_key(w, "\n    key: ", a->key);
	put_text(w, "\n    source: ", a->source);
}

static void put_password(struct writer *w, const struct setup_account *a)
{
	put_file(w, "\n    password: ", a->secret_file);
	put_prefixed(w, "\n    password: ", "command:", a->command);
	if (a->script.len)
		put(w,
			"\n    password: \"command:%.*s/%.*s\"",
			SV_ARG(w->folder),
			SV_ARG(a->script));
}

static void put_limits(struct writer *w, const struct setup_account *a)
{
	const struct {
		const char *key;
		uint32_t value;
	} limits[] = { { "connections", a->connections },
		{ "messages_per_minute", a->per_minute },
		{ "recipients_per_message", a->per_message } };
	bool head = false;

	for (size_t i = 0; i < COUNT_OF(limits); i++) {
		if (!limits[i].value)
			continue;
		put(w,
			"%s%s: %u",
			head ? ", " : "\n    limits: { ",
			limits[i].key,
			(unsigned)limits[i].value);
		head = true;
	}
	if (head)
		put(w, " }");
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
		put(w, "\n    auth: %.*s", SV_ARG(a->auth.len ? a->auth : SV("password")));
		if (!sv_eq_nocase(a->login, a->address))
			put_text(w, "\n    login: ", a->login);
		put_password(w, a);
		put_limits(w, a);
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
		put_server(w, a);
		if (a->secret_file.len || a->command.len || a->script.len)
			put_text(w, "\n    login: ", a->login);
		put_password(w, a);
		put_limits(w, a);
		put(w, "\n");
	}
	if (head)
		put(w, "\n");
}

static void put_routes(struct writer *w, const struct setup_import *im)
{
	put(w, "routes:\n");
	for (size_t i = 0; i < im->rule_count; i++) {
		const struct setup_rule *r = &im->rules[i];

		put(w, "  - { ");
		put_text(w, "sender: ", r->sender);
		put_text(w, r->sender.len ? ", recipient: " : "recipient: ", r->recipient);
		put_text(w,
			r->sender.len || r->recipient.len ? ", header: " : "header: ",
			r->header);
		if (r->sender.len || r->recipient.len || r->header.len)
			put(w, ", ");
		if (r->ways == 1)
			put_text(w, "through: ", r->through[0]);
		else
			put_list(w, "through: ", r->through, r->ways);
		put_text(w, ", rewrite_from: ", r->rewrite_from);
		put(w, " }\n");
	}
	if (!im->rule_count)
		put(w,
			"  # No server to send through was found. Add one under mailboxes or "
			"connectors, then:\n"
			"  # - { through: NAME }\n");
}

static void put_notes(struct writer *w, const struct setup_import *im)
{
	for (int kind = 0; kind < SETUP_NOTE_KINDS; kind++) {
		bool head = false;

		for (size_t i = 0; i < im->note_count; i++) {
			if (im->notes[i].kind != (enum setup_note_kind)kind)
				continue;
			if (!head)
				put(w, "#\n# %s\n", setup_note_title(im->notes[i].kind));
			head = true;
			put(w, "#   - %.*s\n", SV_ARG(im->notes[i].text));
		}
	}
	if (im->notes_beyond)
		put(w, "#   - and %zu more\n", im->notes_beyond);
}

int setup_import_config(
	const struct setup_import *im, struct sv origin, struct sv folder, struct buf *out)
{
	struct writer w = { .out = out, .folder = folder };

	put(&w,
		"# Written by `postern import` from %.*s. postern.yaml(5) explains every key.\n"
		"# After a change: postern check && systemctl reload postern\n",
		SV_ARG(origin));
	put_notes(&w, im);
	put_general(&w, im);
	put_listeners(&w, im);
	put_users(&w, im);
	put_tenants(&w, im);
	put_mailboxes(&w, im);
	put_connectors(&w, im);
	put_routes(&w, im);
	return w.rc;
}
