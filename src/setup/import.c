/* SPDX-License-Identifier: Apache-2.0 */
#include "setup/import.h"

#include "base/must.h"
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

void import_note(struct setup_import *im, const char *fmt, ...)
{
	char text[NOTE_MAX];
	va_list args;

	va_start(args, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	for (char *c = text; *c; c++)
		if (*c < ' ' || *c > '~')
			*c = '?';
	for (size_t i = 0; i < im->note_count; i++)
		if (sv_eq(im->notes[i], sv_from(text)))
			return;
	if (im->note_count < SETUP_IMPORT_MAX)
		im->notes[im->note_count++] = import_keep(im, sv_from(text));
}

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

	if (im->secret_count == COUNT_OF(im->secrets) || !value.len ||
		value.len > LIMIT_COMMAND_LINE)
		return SV("");
	s->file = file_name(im, name, is_user ? ".scram" : ".secret");
	s->value = secret_new(value);
	s->is_user = is_user;
	im->secret_count++;
	return s->file;
}

static bool ends_in(struct sv host, struct sv domain)
{
	return host.len > domain.len && sv_ends_nocase(host, domain);
}

/* What Microsoft and Google are called here. */
static void place(struct setup_account *a, const struct import_server *s, bool address)
{
	bool submission = sv_eq_nocase(s->host, SV("smtp.office365.com")) ||
			  sv_eq_nocase(s->host, SV("smtp-legacy.office365.com")) ||
			  sv_eq_nocase(s->host, SV("outlook.office365.com"));
	bool hve = sv_eq_nocase(s->host, SV("smtp.hve.mx.microsoft")) ||
		   sv_eq_nocase(s->host, SV("smtp-hve.office365.com"));
	bool gmail = sv_eq_nocase(s->host, SV("smtp.gmail.com"));

	a->provider = SV("smtp");
	if (address && (submission || hve || gmail)) {
		a->provider = submission ? SV("submission") : hve ? SV("hve") : SV("gmail");
		a->host = SV("");
		a->port = 0;
		a->tls = SV("");
	} else if (!s->login.len && (ends_in(s->host, SV(".mail.protection.outlook.com")) ||
					    ends_in(s->host, SV(".mx.microsoft")))) {
		a->provider = SV("connector");
		a->tls = SV("");
		a->port = 0;
	}
}

static struct setup_account *same_account(struct setup_import *im, const struct import_server *s)
{
	for (size_t i = 0; i < im->account_count; i++) {
		struct setup_account *a = &im->accounts[i];
		struct setup_account fresh = { .host = s->host, .port = s->port, .tls = s->tls };

		place(&fresh, s, a->address.len > 0);
		if (sv_eq(a->provider, fresh.provider) && sv_eq_nocase(a->host, fresh.host) &&
			a->port == fresh.port && sv_eq(a->login, s->login) &&
			(!a->address.len ||
				sv_eq_nocase(a->address, s->from.len ? s->from : s->login)))
			return a;
	}
	return NULL;
}

static void keep_password(
	struct setup_import *im, struct setup_account *a, const struct import_server *s)
{
	if (s->password.len)
		a->secret_file = import_secret(
			im, a->address.len ? a->address : a->name, s->password, false);
	else
		a->command = import_keep(im, s->command);
}

struct sv import_account(struct setup_import *im, const struct import_server *s)
{
	char text[LIMIT_ADDRESS], name[32];
	struct setup_account *a = same_account(im, s);
	struct sv address = SV("");
	bool is_address = setup_address(s->from.len ? s->from : s->login, text, &address);

	if (a)
		return a->name;
	if (im->account_count == SETUP_IMPORT_MAX || !s->host.len)
		return SV("");
	a = &im->accounts[im->account_count++];
	*a = (struct setup_account){ .host = import_keep(im, s->host),
		.port = s->port,
		.tls = s->tls,
		.login = import_keep(im, s->login) };
	place(a, s, is_address && s->login.len);
	if (!a->host.len)
		a->address = import_keep(im, address);
	(void)snprintf(name, sizeof(name), "server%zu", im->account_count);
	a->name = a->address.len ? a->address : import_keep(im, sv_from(name));
	for (size_t i = 0; i + 1 < im->account_count; i++)
		if (sv_eq(im->accounts[i].name, a->name)) {
			im->account_count--;
			import_note(im,
				"%.*s is there twice with different servers or logins: only the "
				"first is "
				"taken",
				SV_ARG(a->name));
			return im->accounts[i].name;
		}
	keep_password(im, a, s);
	return a->name;
}

void import_rule(struct setup_import *im, struct sv sender, struct sv through)
{
	struct setup_rule r = { import_keep(im, sender), through };

	if (!through.len || im->rule_count == SETUP_IMPORT_MAX)
		return;
	for (size_t i = 0; i < im->rule_count; i++)
		if (sv_eq_nocase(im->rules[i].sender, sender) || !im->rules[i].sender.len)
			return;
	im->rules[im->rule_count++] = r;
}

void import_network(struct setup_import *im, struct sv network)
{
	if (im->network_count < SETUP_IMPORT_MAX)
		im->networks[im->network_count++] = import_keep(im, network);
}

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
	arena_reset(&im->arena);
	*im = (struct setup_import){ 0 };
}
