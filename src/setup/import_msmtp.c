/* SPDX-License-Identifier: Apache-2.0 */
#include "setup/import.h"

#include "base/must.h"
#include "setup/config.h"
#include "setup/import_priv.h"

#include <stdlib.h>

/* msmtprc: "key value" lines; `account NAME : PARENT` begins an account, `defaults` what all begin with. */
struct account {
	struct sv name;
	struct sv host, from, user, password, command, trust, certificate, key, source, mechanism;
	uint32_t port;
	bool tls, implicit;
	unsigned line;
};

enum {
	ACCOUNTS_MAX = 100,
	PORT_MAX = 65535,
};

struct reader {
	struct setup_import *im;
	const struct setup_import_source *from;
	struct account defaults, accounts[ACCOUNTS_MAX];
	size_t count;
	struct account *at;
	unsigned line;
	struct sv aliases; /* the path of the file */
};

static struct import_place here(const struct reader *r)
{
	return (struct import_place){ r->from->file, r->line };
}

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
		import_full(r->im, "accounts");
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
		else
			import_note(r->im,
				SETUP_NOTE_LOST,
				here(r),
				"there is no account %.*s above",
				SV_ARG(sv_head(import_trim(parent), 60)));
	}
	r->at->name = name;
	r->at->line = r->line;
	r->count++;
}

static bool is_on(struct sv v)
{
	return !v.len || sv_eq(v, SV("on"));
}

/* Without a meaning for a relay. */
static const char *const idle[] = { "logfile",
	"logfile_time_format",
	"syslog",
	"protocol",
	"timeout",
	"tls_min_dh_prime_bits",
	"tls_priorities",
	"set_date_header",
	"add_missing_date_header",
	"add_missing_from_header",
	"remove_bcc_headers",
	"undisclosed_recipients" };

static const struct {
	const char *name, *say;
} told[] = {
	{ "tls_fingerprint", "servers are known by their certificate's name: write ca_file" },
	{ "tls_crl_file", "revocation lists are not read" },
	{ "tls_host_override", "the name in the certificate must be the host's" },
	{ "auto_from", "who sends is written as qualify and rewrite_from" },
	{ "maildomain", "who sends is written as qualify and rewrite_from" },
	{ "allow_from_override", "senders keep their address, except where rewrite_from stands" },
	{ "set_from_header", "write rewrite_from at the route" },
	{ "set_msgid_header", "a missing Message-ID is always added" },
	{ "from_full_name", "the name in From stays as it is" },
	{ "dsn_notify", "is asked for with sendmail -N" },
	{ "dsn_return", "is asked for with sendmail -R" },
	{ "keepbcc", "Bcc is always removed" },
	{ "proxy_host", "SMTP does not pass a proxy" },
	{ "proxy_port", "SMTP does not pass a proxy" },
	{ "socket", "SMTP does not pass a socket" },
	{ "eval", "values that a program prints are not read" },
	{ "domain", "the relay's name is hostname" },
	{ "ntlmdomain", "NTLM is not spoken" },
};

static void note_key(struct reader *r, struct sv key)
{
	for (size_t i = 0; i < COUNT_OF(idle); i++)
		if (sv_eq(key, sv_from(idle[i]))) {
			import_note(r->im, SETUP_NOTE_IDLE, here(r), "%s", idle[i]);
			return;
		}
	for (size_t i = 0; i < COUNT_OF(told); i++)
		if (sv_eq(key, sv_from(told[i].name))) {
			import_note(r->im,
				SETUP_NOTE_LOST,
				here(r),
				"%s: %s",
				told[i].name,
				told[i].say);
			return;
		}
	import_note(r->im, SETUP_NOTE_LOST, here(r), "%.*s", SV_ARG(sv_head(key, 60)));
}

static bool take_text(struct account *a, struct sv key, struct sv value)
{
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
		{ SV("tls_cert_file"), &a->certificate },
		{ SV("tls_key_file"), &a->key },
		{ SV("source_ip"), &a->source },
	};

	for (size_t i = 0; i < COUNT_OF(texts); i++) {
		if (!sv_eq(key, texts[i].key))
			continue;
		*texts[i].to = unquote(value);
		/* An account may have another way to its password than its parent. */
		if (texts[i].to == &a->password)
			a->command = SV("");
		else if (texts[i].to == &a->command)
			a->password = SV("");
		return true;
	}
	return false;
}

static void note_mechanism(struct reader *r, struct sv value)
{
	static const char *const other[] = { "ntlm", "gssapi", "external", "digest-md5" };

	for (size_t i = 0; i < COUNT_OF(other); i++)
		if (sv_eq_nocase(value, sv_from(other[i])))
			import_note(r->im,
				SETUP_NOTE_LOST,
				here(r),
				"auth %s is not spoken: the password goes by PLAIN, LOGIN or SCRAM",
				other[i]);
}

static void take(struct reader *r, struct sv key, struct sv value)
{
	struct account *a = r->at;

	if (take_text(a, key, value))
		return;
	if (sv_eq(key, SV("port"))) {
		if (sv_parse_u32(value, PORT_MAX, &a->port) != 0)
			import_note(r->im, SETUP_NOTE_LOST, here(r), "a port that is no number");
	} else if (sv_eq(key, SV("auth"))) {
		a->mechanism = value;
		note_mechanism(r, value);
	} else if (sv_eq(key, SV("aliases"))) {
		r->aliases = unquote(value);
	} else if (sv_eq(key, SV("tls")) || sv_eq(key, SV("tls_nocertcheck"))) {
		a->tls = is_on(value);
	} else if (sv_eq(key, SV("tls_starttls"))) {
		a->implicit = !is_on(value);
	} else if (sv_eq(key, SV("tls_certcheck"))) {
		if (!is_on(value))
			import_note(r->im,
				SETUP_NOTE_DIFFERENT,
				here(r),
				"any certificate was taken: now it must be right, or ca_file must "
				"name who signed it");
	} else {
		note_key(r, key);
	}
}

/* msmtp gives the line to a shell, and `command:` has none: what is more than a plain program is a script. */
static bool is_plain(struct sv command)
{
	static const char special[] = "\"'\\$`|&;<>()*?[]{}~#=\n";

	for (size_t i = 0; i < command.len; i++)
		if (strchr(special, command.ptr[i]))
			return false;
	return command.len && command.ptr[0] == '/';
}

static void give_command(struct reader *r, const struct account *a, struct import_server *s)
{
	if (!a->command.len || a->password.len)
		return;
	if (is_plain(a->command))
		s->command = a->command;
	else
		s->script = a->command;
	import_note(r->im,
		SETUP_NOTE_DIFFERENT,
		(struct import_place){ r->from->file, a->line },
		"passwordeval of %.*s is run as the daemon's user, who must be able to read what "
		"it reads "
		"(gpg, pass and secret-tool keep their keys with a person); else: postern vault "
		"put",
		SV_ARG(a->name.len ? a->name : a->host));
}

static bool is_token(const struct account *a)
{
	return sv_eq(a->mechanism, SV("xoauth2")) || sv_eq(a->mechanism, SV("oauthbearer"));
}

static bool is_system(struct sv trust)
{
	return !trust.len || sv_eq(trust, SV("system")) ||
	       sv_starts(trust, SV("/etc/ssl/certs/")) || sv_starts(trust, SV("/etc/pki/"));
}

/* A system-wide file may be read with a ~ in it; nobody's home is meant then. */
static struct sv whole_path(struct sv path)
{
	return path.len && path.ptr[0] == '/' ? path : SV("");
}

static void give(struct reader *r, const struct account *a, bool any)
{
	const struct import_place at = { r->from->file, a->line };
	struct import_server s = {
		.host = a->host,
		.port = (uint16_t)(a->port                 ? a->port
				   : a->tls && a->implicit ? 465
							   : 25),
		.login = sv_eq(a->mechanism, SV("off")) ? SV("") : a->user,
		.password = a->password,
		.from = a->from,
		.tls = !a->tls       ? SV("none")
		       : a->implicit ? SV("implicit")
				     : SV("required"),
		.ca_file = is_system(a->trust) ? SV("") : whole_path(a->trust),
		.certificate = whole_path(a->key).len ? whole_path(a->certificate) : SV(""),
		.key = whole_path(a->certificate).len ? whole_path(a->key) : SV(""),
		.source = a->source,
		.at = at,
	};
	struct setup_rule rule = { .ways = 1 };
	const struct setup_account *account;

	if (!a->host.len) {
		import_note(r->im,
			SETUP_NOTE_LOST,
			at,
			"account %.*s has no host",
			SV_ARG(sv_head(a->name, 60)));
		return;
	}
	if (is_token(a)) {
		/* Its "password" is an access token, of another program. */
		s.password = SV("");
		import_token_use(r->im, &(struct import_token){ 0 }, &s);
	} else {
		give_command(r, a, &s);
	}
	if (!is_system(a->trust) && !s.ca_file.len)
		import_note(r->im,
			SETUP_NOTE_LOST,
			at,
			"tls_trust_file of %.*s: write its full path as ca_file",
			SV_ARG(sv_head(a->name, 60)));
	rule.through[0] = import_account(r->im, &s);
	account = import_account_named(r->im, rule.through[0]);
	if (a->from.len && sv_find_char(a->from, '@') > 0 && sv_find_char(a->from, '*') < 0 &&
		!any) {
		rule.sender = a->from;
		(void)import_rule(r->im, &rule);
	}
	if (!any)
		return;
	rule.sender = SV("");
	/* msmtp sends all mail as `from`. */
	if (import_is_strict(account)) {
		rule.rewrite_from = account->address;
		import_note(r->im,
			SETUP_NOTE_DIFFERENT,
			at,
			"mail of other senders leaves as %.*s, and Reply-To keeps who wrote it",
			SV_ARG(account->address));
	} else if (a->from.len && sv_find_char(a->from, '@') > 0 &&
		   sv_find_char(a->from, '*') < 0) {
		rule.rewrite_from = a->from;
	}
	(void)import_rule(r->im, &rule);
}

/* "root: it@contoso.com", "default: it@contoso.com". */
static void read_aliases(struct reader *r)
{
	struct buf text = BUF_INIT(SETUP_IMPORT_FILE_MAX);
	struct sv rest, line,
		file = sv_skip(r->aliases, (size_t)(sv_rfind_char(r->aliases, '/') + 1));
	struct import_place at = { import_keep(r->im, file), 0 };

	if (!r->aliases.len)
		return;
	if (r->from->read(r->from->arg, r->aliases, &text) != 0)
		import_note(r->im,
			SETUP_NOTE_LOST,
			(struct import_place){ r->from->file, 0 },
			"aliases: the file %.*s cannot be read",
			SV_ARG(sv_head(r->aliases, 200)));
	rest = buf_sv(&text);
	while (import_line(&rest, &line)) {
		struct sv target = import_trim(line), name, first;

		at.line++;
		if (!target.len || target.ptr[0] == '#' || !sv_cut_char(&target, ':', &name))
			continue;
		name = import_trim(name);
		if (sv_cut_char(&target, ',', &first) && import_trim(target).len)
			import_note(r->im,
				SETUP_NOTE_LOST,
				at,
				"the alias %.*s has several addresses: only the first is taken; "
				"use a "
				"group of Microsoft 365 for all",
				SV_ARG(sv_head(name, 60)));
		first = import_trim(first);
		if (sv_eq(name, SV("default")))
			import_note(r->im,
				SETUP_NOTE_LOST,
				at,
				"default: names without a domain that have no alias are completed "
				"with "
				"qualify");
		else
			import_alias(r->im, at, name, first);
	}
	buf_deinit(&text);
}

/* Names without a domain are completed with that of who sends. */
static void read_names(struct reader *r, const struct account *main)
{
	char text[LIMIT_DOMAIN + 1];
	struct sv address = main->from.len ? main->from : main->user, domain;
	struct sv *loopback = arena_alloc(&r->im->arena, sizeof(*loopback));
	ptrdiff_t at = sv_rfind_char(address, '@');

	if (at >= 0 && setup_domain(sv_skip(address, (size_t)at + 1), text, &domain))
		r->im->qualify = import_keep(r->im, domain);
	*loopback = SV("127.0.0.0/8");
	r->im->listeners[r->im->listener_count++] = (struct setup_listener){
		.address = SV("127.0.0.1:25"), .networks = loopback, .network_count = 1
	};
}

static void read_lines(struct reader *r)
{
	struct sv text = r->from->text, line;

	while (import_line(&text, &line)) {
		struct sv value = import_trim(line), key;

		r->line++;
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
}

int setup_import_msmtp(
	struct setup_import *im, const struct setup_import_source *from, struct err *err)
{
	struct reader *r = xcalloc(1, sizeof(*r));
	struct setup_import_source named = *from;
	const struct account *all;
	int rc = 0;

	*im = (struct setup_import){ 0 };
	if (!named.file.len)
		named.file = SV("msmtprc");
	*r = (struct reader){ .im = im, .from = &named, .at = &r->defaults };
	read_lines(r);
	/* A file without accounts is one account; the one that others take is the last. */
	all = find(r, SV("default"));
	if (!all || !all->host.len)
		for (size_t i = 0; i < r->count && (!all || !all->host.len); i++)
			all = &r->accounts[i];
	if (!r->count)
		all = &r->defaults;
	for (size_t i = 0; i < r->count; i++)
		if (&r->accounts[i] != all)
			give(r, &r->accounts[i], false);
	give(r, all, true);
	read_aliases(r);
	read_names(r, all);
	if (!im->account_count)
		rc = err_set(err, RC_PARSE, "it names no host");
	secret_wipe(r, sizeof(*r));
	free(r);
	return rc;
}
