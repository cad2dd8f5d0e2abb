/* SPDX-License-Identifier: Apache-2.0 */
#include "setup/import.h"

#include "base/must.h"
#include "setup/config.h"
#include "setup/import_priv.h"

#include <stdlib.h>

/* msmtprc: "key value" lines; `account NAME : PARENT` begins an account, `defaults` what all begin with. */
struct account {
	struct sv name;
	struct sv host, from, user, password, command, trust;
	uint32_t port;
	bool tls, implicit;
};

enum {
	ACCOUNTS_MAX = 100,
	PORT_MAX = 65535,
};

struct reader {
	struct setup_import *im;
	struct account defaults, accounts[ACCOUNTS_MAX];
	size_t count;
	struct account *at;
};

/* "value", with \" and \\ as they are: msmtp knows no escapes. */
static struct sv unquote(struct sv v)
{
	if (v.len >= 2 && v.ptr[0] == '"' && v.ptr[v.len - 1] == '"')
		return sv_make(v.ptr + 1, v.len - 2);
	return v;
}

static struct account *find(struct reader *r, struct sv name)
{
	for (size_t i = 0; i < r->count; i++)
		if (sv_eq(r->accounts[i].name, name))
			return &r->accounts[i];
	return NULL;
}

static void begin(struct reader *r, struct sv value)
{
	struct sv name, parents = value;
	struct account *from;

	(void)sv_cut_char(&parents, ':', &name);
	name = import_trim(name);
	if (r->count == ACCOUNTS_MAX) {
		import_note(
			r->im, "more than %d accounts: the rest is left out", (int)ACCOUNTS_MAX);
		r->at = &r->defaults;
		return;
	}
	r->at = &r->accounts[r->count];
	*r->at = r->defaults;
	while (parents.len) {
		struct sv parent;

		(void)sv_cut_char(&parents, ',', &parent);
		from = find(r, import_trim(parent));
		if (from)
			*r->at = *from;
	}
	r->at->name = name;
	r->count++;
}

static bool is_on(struct sv v)
{
	return !v.len || sv_eq(v, SV("on"));
}

static void take(struct reader *r, struct sv key, struct sv value)
{
	struct account *a = r->at;
	const struct {
		struct sv key;
		struct sv *to;
	} texts[] = {
		{ SV("host"), &a->host },
		{ SV("from"), &a->from },
		{ SV("user"), &a->user },
		{ SV("password"), &a->password },
		{ SV("passwordeval"), &a->command },
		{ SV("tls_trust_file"), &a->trust },
	};
	static const struct sv ignored[] = { SV_INIT("auth"),
		SV_INIT("logfile"),
		SV_INIT("syslog"),
		SV_INIT("protocol"),
		SV_INIT("timeout"),
		SV_INIT("tls_certcheck"),
		SV_INIT("tls_min_dh_prime_bits"),
		SV_INIT("tls_priorities"),
		SV_INIT("set_from_header"),
		SV_INIT("set_date_header"),
		SV_INIT("add_missing_date_header"),
		SV_INIT("add_missing_from_header"),
		SV_INIT("undisclosed_recipients"),
		SV_INIT("auto_from"),
		SV_INIT("maildomain") };

	if (sv_eq(key, SV("auth")) &&
		(sv_eq(value, SV("xoauth2")) || sv_eq(value, SV("oauthbearer"))))
		import_note(r->im,
			"account %.*s signs in with tokens of another program: write auth: app or "
			"auth: "
			"user, and postern gets its own",
			SV_ARG(a->name));
	for (size_t i = 0; i < COUNT_OF(texts); i++)
		if (sv_eq(key, texts[i].key)) {
			*texts[i].to = unquote(value);
			/* An account may have another way to its password than its parent. */
			if (texts[i].to == &a->password)
				a->command = SV("");
			else if (texts[i].to == &a->command)
				a->password = SV("");
			return;
		}
	if (sv_eq(key, SV("port"))) {
		if (sv_parse_u32(value, PORT_MAX, &a->port) != 0)
			import_note(r->im, "a port that is no number is left out");
	} else if (sv_eq(key, SV("tls"))) {
		a->tls = is_on(value);
	} else if (sv_eq(key, SV("tls_starttls"))) {
		a->implicit = !is_on(value);
	} else {
		for (size_t i = 0; i < COUNT_OF(ignored); i++)
			if (sv_eq(key, ignored[i]))
				return;
		import_note(r->im, "msmtp's %.*s is not carried over", SV_ARG(sv_head(key, 60)));
	}
}

/* `command:` has no shell: only a program with its path and plain arguments is the same there. */
static struct sv command_of(struct reader *r, const struct account *a)
{
	static const char special[] = "\"'\\$`|&;<>()*?[]{}~#\n";

	if (!a->command.len || a->password.len)
		return SV("");
	for (size_t i = 0; i < a->command.len; i++) {
		if (a->command.ptr[0] == '/' && !strchr(special, a->command.ptr[i]))
			continue;
		import_note(r->im,
			"passwordeval of account %.*s needs a shell: put the password into a file "
			"and "
			"name it as password: file:/PATH",
			SV_ARG(a->name));
		return SV("");
	}
	return a->command;
}

static void give(struct reader *r, const struct account *a, bool any)
{
	const struct import_server s = {
		.host = a->host,
		.port = (uint16_t)a->port,
		.login = a->user,
		.password = a->password,
		.command = command_of(r, a),
		.from = a->from,
		.tls = !a->tls       ? SV("none")
		       : a->implicit ? SV("implicit")
				     : SV("required"),
	};
	struct sv name;

	if (!a->host.len)
		return;
	name = import_account(r->im, &s);
	if (a->trust.len && !sv_starts(a->trust, SV("/etc/ssl/certs/")))
		import_note(r->im,
			"account %.*s trusts its own certificates: write ca_file: at the server",
			SV_ARG(a->name));
	if (any)
		import_rule(r->im, SV(""), name);
	else if (a->from.len)
		import_rule(r->im, a->from, name);
}

int setup_import_msmtp(
	struct setup_import *im, const struct setup_import_source *from, struct err *err)
{
	struct reader *r = xcalloc(1, sizeof(*r));
	struct sv text = from->text, line;
	const struct account *last;

	*im = (struct setup_import){ .listen = SV("127.0.0.1:25") };
	*r = (struct reader){ .im = im, .at = &r->defaults };
	while (import_line(&text, &line)) {
		struct sv value = import_trim(line), key;

		if (!value.len || value.ptr[0] == '#')
			continue;
		key = import_word(&value);
		if (sv_eq(key, SV("defaults")))
			r->at = &r->defaults;
		else if (sv_eq(key, SV("account")))
			begin(r, value);
		else
			take(r, key, value);
	}
	/* A file without accounts is one account. */
	last = find(r, SV("default"));
	if (!r->count)
		give(r, &r->defaults, true);
	for (size_t i = 0; i < r->count; i++)
		if (&r->accounts[i] != last)
			give(r, &r->accounts[i], false);
	if (r->count)
		give(r, last ? last : &r->accounts[0], true);
	/* The account that was meant for all has no host: the first that has one is better than none. */
	if (!im->rule_count && im->account_count)
		import_rule(im, SV(""), im->accounts[0].name);
	secret_wipe(r, sizeof(*r));
	free(r);
	return im->account_count ? 0 : err_set(err, RC_PARSE, "it names no host");
}
