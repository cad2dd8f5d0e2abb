/* SPDX-License-Identifier: Apache-2.0 */
#include "setup/import.h"

#include "base/must.h"
#include "base/text.h"
#include "mail/address.h"
#include "setup/config.h"
#include "setup/import_priv.h"

#include <stdarg.h>
#include <stdio.h>

enum {
	NOTE_MAX = 600,
	FILE_NAME_MAX = 80
};

struct sv import_keep(struct setup_import *im, struct sv text)
{
	return text.len ? arena_sv(&im->arena, text) : SV("");
}

/* ---- notes ---- */

const char *setup_note_title(enum setup_note_kind kind)
{
	static const char *const titles[] = {
		[SETUP_NOTE_LOST] = "Not carried over:",
		[SETUP_NOTE_DIFFERENT] = "Different from before, or left to do:",
		[SETUP_NOTE_IDLE] = "Without a meaning for postern:",
	};
	static_assert(COUNT_OF(titles) == SETUP_NOTE_KINDS, "a title for each kind");

	return titles[kind];
}

/* A note becomes a comment in the configuration: one line. */
static void add_note(struct setup_import *im, enum setup_note_kind kind, const char *words)
{
	char text[NOTE_MAX];

	(void)text_line(sv_from(words), text, sizeof(text));
	for (size_t i = 0; i < im->note_count; i++)
		if (im->notes[i].kind == kind && sv_eq(im->notes[i].text, sv_from(text)))
			return;
	if (im->note_count == COUNT_OF(im->notes)) {
		im->notes_beyond++;
		return;
	}
	im->notes[im->note_count++] = (struct setup_note){ kind, import_keep(im, sv_from(text)) };
}

void import_note(struct setup_import *im, enum setup_note_kind kind, struct import_place at,
	const char *fmt, ...)
{
	char text[NOTE_MAX];
	va_list args;
	int n = 0;

	if (at.file.len && at.line)
		n = snprintf(text,
			sizeof(text),
			"%.*s line %u: ",
			SV_ARG(sv_head(at.file, 100)),
			at.line);
	else if (at.file.len)
		n = snprintf(text, sizeof(text), "%.*s: ", SV_ARG(sv_head(at.file, 100)));
	va_start(args, fmt);
	(void)vsnprintf(text + n, sizeof(text) - (size_t)n, fmt, args);
	va_end(args);
	add_note(im, kind, text);
}

void setup_import_say(struct setup_import *im, const char *fmt, ...)
{
	char text[NOTE_MAX];
	va_list args;

	va_start(args, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	add_note(im, SETUP_NOTE_DIFFERENT, text);
}

void import_full(struct setup_import *im, const char *what)
{
	import_note(im,
		SETUP_NOTE_LOST,
		(struct import_place){ 0 },
		"there are too many %s: some are left out",
		what);
}

/* ---- secrets ---- */

static struct sv file_name(struct setup_import *im, struct sv name, const char *end)
{
	char text[FILE_NAME_MAX + 32];
	size_t n = 0;

	for (size_t i = 0; i < name.len && n < FILE_NAME_MAX; i++) {
		char c = ascii_lower(name.ptr[i]);
		bool plain = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '@' ||
			     c == '_' || c == '-' || (c == '.' && n);

		text[n++] = plain ? c : '-';
	}
	/* Of a file that leaves a name out: nothing but the end would be a hidden file. */
	if (n == 0)
		n = (size_t)snprintf(text, sizeof(text), "unnamed");
	(void)snprintf(text + n, sizeof(text) - n, "%s", end);
	for (size_t i = 0; i < im->secret_count; i++)
		if (sv_eq(im->secrets[i].file, sv_from(text)))
			(void)snprintf(
				text + n, sizeof(text) - n, "-%zu%s", im->secret_count + 1, end);
	return import_keep(im, sv_from(text));
}

struct sv import_secret(struct setup_import *im, struct sv name, struct sv value, bool is_user)
{
	struct setup_secret *s = &im->secrets[im->secret_count];

	if (im->secret_count == COUNT_OF(im->secrets)) {
		import_full(im, "passwords");
		return SV("");
	}
	if (!value.len || value.len > LIMIT_COMMAND_LINE)
		return SV("");
	*s = (struct setup_secret){ .file = file_name(im, name, is_user ? ".scram" : ".secret"),
		.value = secret_new(value),
		.is_user = is_user };
	im->secret_count++;
	return s->file;
}

/* ---- servers ---- */

static bool ends_in(struct sv host, struct sv domain)
{
	return host.len > domain.len && sv_ends_nocase(host, domain);
}

/* What Microsoft and Google are called here. */
static void place(struct setup_account *a, const struct import_server *s, bool address)
{
	static const struct {
		struct sv host, provider;
	} known[] = {
		{ SV_INIT("smtp.office365.com"), SV_INIT("submission") },
		{ SV_INIT("smtp-legacy.office365.com"), SV_INIT("submission") },
		{ SV_INIT("outlook.office365.com"), SV_INIT("submission") },
		{ SV_INIT("smtp.outlook.office365.com"), SV_INIT("submission") },
		{ SV_INIT("smtp.hve.mx.microsoft"), SV_INIT("hve") },
		{ SV_INIT("smtp-hve.office365.com"), SV_INIT("hve") },
		{ SV_INIT("smtp.gmail.com"), SV_INIT("gmail") },
		{ SV_INIT("smtp-relay.gmail.com"), SV_INIT("gmail") },
	};

	a->provider = SV("smtp");
	for (size_t i = 0; i < COUNT_OF(known) && address; i++) {
		if (!sv_eq_nocase(s->host, known[i].host))
			continue;
		a->provider = known[i].provider;
		a->host = SV("");
		a->port = 0;
		a->tls = SV("");
		a->ca_file = a->certificate = a->key = a->source = SV("");
		return;
	}
	if (!s->login.len && (ends_in(s->host, SV(".mail.protection.outlook.com")) ||
				     ends_in(s->host, SV(".mx.microsoft")))) {
		a->provider = SV("connector");
		a->tls = SV("");
		a->port = 0;
	} else if (sv_eq(a->tls, SV("none"))) {
		a->certificate = a->key = SV("");
	}
}

static bool same_server(const struct setup_account *a, const struct import_server *s)
{
	struct setup_account fresh = { .host = s->host,
		.port = s->port,
		.tls = s->tls,
		.certificate = s->certificate,
		.source = s->source };

	place(&fresh, s, a->address.len > 0);
	return sv_eq(a->provider, fresh.provider) && sv_eq_nocase(a->host, fresh.host) &&
	       a->port == fresh.port && sv_eq(a->login, s->login) &&
	       sv_eq(a->certificate, fresh.certificate) && sv_eq(a->source, fresh.source) &&
	       (!a->address.len || sv_eq_nocase(a->address, s->from.len ? s->from : s->login));
}

static struct sv keep_script(struct setup_import *im, struct sv name, struct sv line)
{
	struct buf text = BUF_INIT(LIMIT_COMMAND_LINE);
	struct sv file = SV("");

	if (buf_printf(&text, "#!/bin/sh\n%.*s\n", SV_ARG(line)) == 0)
		file = import_secret(im, name, buf_sv(&text), false);
	if (file.len)
		im->secrets[im->secret_count - 1].is_script = true;
	if (text.cap)
		secret_wipe(text.ptr, text.cap);
	buf_deinit(&text);
	return file;
}

static void keep_password(
	struct setup_import *im, struct setup_account *a, const struct import_server *s)
{
	if (s->auth.len)
		a->auth = s->auth;
	else if (s->password.len)
		a->secret_file = import_secret(
			im, a->address.len ? a->address : a->name, s->password, false);
	else if (s->script.len)
		a->script = keep_script(im, a->name, s->script);
	else
		a->command = import_keep(im, s->command);
	a->tenant = import_keep(im, s->tenant);
	/* High Volume Email reaches the tenant's own domains only: one of them is known. */
	if (sv_eq(a->provider, SV("hve")) && !a->tenant.len) {
		struct sv domain =
			sv_skip(a->address, (size_t)(sv_rfind_char(a->address, '@') + 1));

		a->tenant = import_app(
			im, &(struct setup_app){ .tenant = domain, .domain = domain }, SV(""));
		import_note(im,
			SETUP_NOTE_DIFFERENT,
			s->at,
			"High Volume Email reaches the tenant's own domains only: write all of "
			"them into "
			"domains of the tenant");
	}
	/* A mailbox without its password is parked until there is one, which is better than no mailbox. */
	if (a->address.len && !a->auth.len && !a->secret_file.len && !a->command.len &&
		!a->script.len) {
		a->secret_file = file_name(im, a->address, ".secret");
		import_note(im,
			SETUP_NOTE_DIFFERENT,
			s->at,
			"the password of %.*s is not known: write it into %.*s beside "
			"postern.yaml",
			SV_ARG(a->address),
			SV_ARG(a->secret_file));
	}
}

/* Microsoft's and Google's own endpoints take none of these. */
static void note_left_out(
	struct setup_import *im, const struct import_server *s, const struct setup_account *a)
{
	const struct {
		bool is;
		const char *say;
	} left[] = {
		{ s->source.len && !a->source.len, "the address that connections came from" },
		{ s->ca_file.len && !a->ca_file.len,
			"the certificate authority of its own: the system's are used" },
		{ s->certificate.len && !a->certificate.len, "the client certificate" },
		{ !a->tls.len && sv_eq(s->tls, SV("none")),
			"a connection without TLS: it is encrypted now" },
		{ !a->tls.len && sv_eq(s->tls, SV("implicit")),
			"TLS from the first byte: it is STARTTLS now" },
	};

	for (size_t i = 0; i < COUNT_OF(left); i++)
		if (left[i].is)
			import_note(im,
				SETUP_NOTE_DIFFERENT,
				s->at,
				"%.*s: not carried over: %s",
				SV_ARG(sv_head(s->host, 100)),
				left[i].say);
}

static struct setup_account *add_account(
	struct setup_import *im, const struct import_server *s, struct sv address)
{
	char name[32];
	struct setup_account *a = &im->accounts[im->account_count++];

	*a = (struct setup_account){ .host = import_keep(im, s->host),
		.port = s->port,
		.tls = s->tls,
		.login = import_keep(im, s->login),
		.ca_file = import_keep(im, s->ca_file),
		.certificate = import_keep(im, s->certificate),
		.key = import_keep(im, s->key),
		.source = import_keep(im, s->source),
		.connections = s->connections,
		.per_minute = s->per_minute,
		.per_message = s->per_message };
	place(a, s, address.len > 0);
	note_left_out(im, s, a);
	if (!a->host.len)
		a->address = import_keep(im, address);
	(void)snprintf(name, sizeof(name), "server%zu", im->account_count);
	a->name = a->address.len ? a->address : import_keep(im, sv_from(name));
	return a;
}

struct sv import_account(struct setup_import *im, const struct import_server *s)
{
	char text[LIMIT_ADDRESS];
	struct setup_account *a;
	struct sv address = SV("");

	if (!s->login.len || !setup_address(s->from.len ? s->from : s->login, text, &address))
		address = SV("");
	for (size_t i = 0; i < im->account_count; i++)
		if (same_server(&im->accounts[i], s))
			return im->accounts[i].name;
	if (im->account_count == SETUP_IMPORT_MAX)
		import_full(im, "servers");
	if (im->account_count == SETUP_IMPORT_MAX || !s->host.len)
		return SV("");
	a = add_account(im, s, address);
	for (size_t i = 0; i + 1 < im->account_count; i++)
		if (sv_eq(im->accounts[i].name, a->name)) {
			im->account_count--;
			import_note(im,
				SETUP_NOTE_LOST,
				s->at,
				"%.*s is there twice with different servers or logins: only the "
				"first is taken",
				SV_ARG(a->name));
			return im->accounts[i].name;
		}
	keep_password(im, a, s);
	return a->name;
}

struct setup_account *import_account_named(struct setup_import *im, struct sv name)
{
	for (size_t i = 0; i < im->account_count && name.len; i++)
		if (sv_eq(im->accounts[i].name, name))
			return &im->accounts[i];
	return NULL;
}

bool import_is_strict(const struct setup_account *a)
{
	return a && a->address.len && !sv_eq(a->provider, SV("smtp"));
}

/* ---- rules ---- */

static bool is_any(struct sv pattern)
{
	return !pattern.len || sv_eq(pattern, SV("*"));
}

static bool covers(const struct setup_rule *a, const struct setup_rule *b)
{
	if (!is_any(a->sender) && (is_any(b->sender) || !address_matches(a->sender, b->sender)))
		return false;
	if (!is_any(a->recipient) &&
		(is_any(b->recipient) || !address_matches(a->recipient, b->recipient)))
		return false;
	return !a->header.len || sv_eq_nocase(a->header, b->header);
}

bool import_rule(struct setup_import *im, const struct setup_rule *rule)
{
	struct setup_rule r = *rule;

	if (!r.ways || !r.through[0].len)
		return true;
	for (size_t i = 0; i < im->rule_count; i++)
		if (covers(&im->rules[i], &r) && !sv_eq(im->rules[i].through[0], SV("sender")))
			return true;
	if (im->rule_count == SETUP_IMPORT_RULES_MAX) {
		import_full(im, "rules");
		return false;
	}
	r.sender = import_keep(im, is_any(r.sender) ? SV("") : r.sender);
	r.recipient = import_keep(im, is_any(r.recipient) ? SV("") : r.recipient);
	r.header = import_keep(im, r.header);
	r.rewrite_from = import_keep(im, r.rewrite_from);
	for (size_t i = 0; i < r.ways; i++)
		r.through[i] = import_keep(im, r.through[i]);
	im->rules[im->rule_count++] = r;
	return true;
}

void import_rule_for(struct setup_import *im, struct sv sender, struct sv through)
{
	(void)import_rule(
		im, &(struct setup_rule){ .sender = sender, .through = { through }, .ways = 1 });
}

/* ---- the rest ---- */

/* postern.yaml's names of aliases: no domain, nothing odd. */
static bool alias_name(struct sv name)
{
	struct address a;

	if (!name.len || name.len > LIMIT_ADDRESS || sv_find_char(name, '@') >= 0)
		return false;
	return address_parse(name, ADDRESS_NO_DOMAIN, &a) == 0 && name.ptr[0] != '"';
}

void import_alias(
	struct setup_import *im, struct import_place at, struct sv name, struct sv address)
{
	struct address a;

	if (!alias_name(name) || address_parse(address, ADDRESS_NO_DOMAIN, &a) != 0) {
		import_note(im,
			SETUP_NOTE_LOST,
			at,
			"the alias %.*s: aliases lead from a name to one address",
			SV_ARG(sv_head(name, 100)));
		return;
	}
	for (size_t i = 0; i < im->alias_count; i++)
		if (sv_eq_nocase(im->aliases[i].name, name))
			return;
	if (sv_eq_nocase(name, address))
		return;
	if (im->alias_count == COUNT_OF(im->aliases)) {
		import_full(im, "aliases");
		return;
	}
	im->aliases[im->alias_count++] =
		(struct setup_alias){ import_keep(im, name), import_keep(im, address) };
}

static bool is_word(char c)
{
	c = ascii_lower(c);
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-';
}

struct sv import_app(struct setup_import *im, const struct setup_app *app, struct sv secret)
{
	struct setup_app *a = &im->apps[im->app_count];
	struct sv label, rest = app->tenant;
	char name[100];
	size_t same = 0, n = 0;

	(void)sv_cut_char(&rest, '.', &label);
	label = sv_head(label, 60);
	for (size_t i = 0; i < im->app_count; i++) {
		if (sv_eq_nocase(im->apps[i].id, app->id) &&
			sv_eq_nocase(im->apps[i].domain, app->domain) &&
			sv_eq(im->apps[i].client_id, app->client_id))
			return im->apps[i].tenant;
		same += sv_starts(im->apps[i].tenant, label);
	}
	if (im->app_count == COUNT_OF(im->apps)) {
		import_full(im, "tenants");
		return SV("");
	}
	for (size_t i = 0; i < label.len; i++)
		name[n++] = is_word(label.ptr[i]) ? label.ptr[i] : '-';
	if (!n)
		n = (size_t)snprintf(name, sizeof(name), "tenant");
	name[n] = '\0';
	if (same)
		(void)snprintf(name + n, sizeof(name) - n, "-%zu", same + 1);
	im->app_count++;
	*a = (struct setup_app){ .tenant = import_keep(im, sv_from(name)),
		.id = import_keep(im, app->id),
		.client_id = import_keep(im, app->client_id),
		.domain = import_keep(im, app->domain),
		.cloud = app->cloud,
		.login_url = import_keep(im, app->login_url),
		.certificate = app->certificate,
		.key = app->key };
	a->secret_file = import_secret(im, a->tenant, secret, false);
	if (a->secret_file.len)
		im->secrets[im->secret_count - 1].in_vault = true;
	return a->tenant;
}

/* ---- text ---- */

struct sv import_trim(struct sv text)
{
	while (text.len && ((unsigned char)text.ptr[0] <= ' '))
		text = sv_skip(text, 1);
	while (text.len && ((unsigned char)text.ptr[text.len - 1] <= ' '))
		text = sv_head(text, text.len - 1);
	return text;
}

bool import_line(struct sv *text, struct sv *out_line)
{
	if (!text->len)
		return false;
	(void)sv_cut_char(text, '\n', out_line);
	if (out_line->len && out_line->ptr[out_line->len - 1] == '\r')
		*out_line = sv_head(*out_line, out_line->len - 1);
	return true;
}

struct sv import_word(struct sv *text)
{
	struct sv rest = import_trim(*text), word;
	size_t n = 0;

	while (n < rest.len && (unsigned char)rest.ptr[n] > ' ')
		n++;
	word = sv_head(rest, n);
	*text = import_trim(sv_skip(rest, n));
	return word;
}

void setup_import_deinit(struct setup_import *im)
{
	for (size_t i = 0; i < im->secret_count; i++)
		secret_free(im->secrets[i].value);
	for (size_t i = 0; i < im->login_count; i++)
		secret_free(im->logins[i].refresh_token);
	arena_reset(&im->arena);
	*im = (struct setup_import){ 0 };
}
