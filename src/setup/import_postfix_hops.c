/* SPDX-License-Identifier: Apache-2.0 */
#include "base/must.h"
#include "io/net.h"
#include "setup/import_postfix.h"

#include <stdlib.h>

/* Where Postfix sends mail, and as whom: next hops, the transports of master.cf, the maps of passwords. */
enum {
	PORT_MAX = 65535,
	SUBMISSION_CONNECTIONS = 2, /* postern.yaml(5): a mailbox's default */
	SUBMISSION_PER_MINUTE = 30,
	SUBMISSION_PER_MESSAGE = 500,
};

/* "[host]:port", "host:port", "host"; service names of port 587 and 465 too. */
static bool read_host(struct sv next, struct import_server *s)
{
	struct sv host = next, port = SV("");
	uint32_t number = 25;
	ptrdiff_t at;

	if (sv_starts(next, SV("["))) {
		next = sv_skip(next, 1);
		if (!sv_cut_char(&next, ']', &host))
			return false;
		if (next.len && next.ptr[0] == ':')
			port = sv_skip(next, 1);
	} else {
		at = sv_rfind_char(next, ':');
		host = at < 0 ? next : sv_head(next, (size_t)at);
		port = at < 0 ? port : sv_skip(next, (size_t)at + 1);
	}
	if (sv_starts(host, SV("ipv6:")) || sv_starts(host, SV("IPv6:")))
		host = sv_skip(host, 5);
	if (sv_eq(port, SV("submission")))
		number = 587;
	else if (sv_eq(port, SV("submissions")) || sv_eq(port, SV("smtps")))
		number = 465;
	else if (port.len && !sv_eq(port, SV("smtp")) &&
		 (sv_parse_u32(port, PORT_MAX, &number) != 0 || !number))
		return false;
	for (size_t i = 0; i < host.len; i++)
		if (host.ptr[i] <= ' ' || host.ptr[i] > '~')
			return false;
	s->host = host;
	s->port = (uint16_t)number;
	return host.len > 0;
}

/* ---- TLS ---- */

static bool is_system_file(struct sv path)
{
	return sv_starts(path, SV("/etc/ssl/certs/ca-")) || sv_starts(path, SV("/etc/pki/")) ||
	       sv_eq(path, SV("/etc/ssl/cert.pem")) ||
	       sv_eq(path, SV("/etc/ssl/certs/ca-certificates.crt"));
}

static bool is_microsoft(struct sv host)
{
	return sv_ends_nocase(host, SV(".office365.com")) ||
	       sv_ends_nocase(host, SV(".mx.microsoft")) ||
	       sv_ends_nocase(host, SV(".outlook.com")) ||
	       sv_ends_nocase(host, SV(".office365.us")) || sv_ends_nocase(host, SV(".gmail.com"));
}

/* Whether passwords go to this server, and whether it is one of the big ones, decides what `may` becomes. */
static void read_tls(
	struct postfix *p, const struct postfix_service *s, struct import_server *server)
{
	struct sv level = postfix_get(p, s, "smtp_tls_security_level"), ca;
	bool wrapped = postfix_is(p, s, "smtp_tls_wrappermode", "yes");
	bool old = postfix_is(p, s, "smtp_use_tls", "yes");
	bool enforced = postfix_is(p, s, "smtp_enforce_tls", "yes");
	bool may = sv_eq(level, SV("may")) || (!level.len && old && !enforced);
	bool none = sv_eq(level, SV("none")) || (!level.len && !old && !enforced);

	if (wrapped || (server->port == 465 && !none))
		server->tls = SV("implicit");
	else if (is_microsoft(server->host) || (!none && (!may || server->login.len)))
		server->tls = SV("required");
	else
		server->tls = SV("none");
	if (sv_eq(server->tls, SV("none")) && may)
		import_note(p->im,
			SETUP_NOTE_DIFFERENT,
			server->at,
			"%.*s was spoken to with TLS where it had it: now never; write tls: "
			"required at "
			"the connector where its certificate is right",
			SV_ARG(sv_head(server->host, 100)));
	if (!is_microsoft(server->host) && !sv_eq(server->tls, SV("none")) &&
		(may || sv_eq(level, SV("encrypt")) || enforced))
		import_note(p->im,
			SETUP_NOTE_DIFFERENT,
			server->at,
			"any certificate of %.*s was taken: now it must be right, or ca_file at "
			"the "
			"connector must name who signed it",
			SV_ARG(sv_head(server->host, 100)));
	ca = postfix_get(p, s, "smtp_tls_CAfile");
	if (ca.len && ca.ptr[0] == '/' && !is_system_file(ca) && !sv_eq(server->tls, SV("none")))
		server->ca_file = ca;
	else if (ca.len && !is_system_file(ca))
		import_note(p->im,
			SETUP_NOTE_LOST,
			postfix_at(p, s, "smtp_tls_CAfile"),
			"smtp_tls_CAfile is of no use without TLS");
}

/* ---- what else the key words of the table become ---- */

static void read_certificate(
	struct postfix *p, const struct postfix_service *s, struct import_server *server)
{
	struct sv certificate = postfix_get(p, s, "smtp_tls_cert_file");
	struct sv key = postfix_get(p, s, "smtp_tls_key_file");
	struct sv chain = postfix_get(p, s, "smtp_tls_chain_files"), first;

	if (chain.len && postfix_item(&chain, &first))
		certificate = key = first;
	if (!certificate.len)
		certificate = postfix_get(p, s, "smtp_tls_eccert_file");
	if (!key.len)
		key = postfix_get(p, s, "smtp_tls_eckey_file");
	if (!key.len)
		key = certificate;
	if (!certificate.len || certificate.ptr[0] != '/' || key.ptr[0] != '/' ||
		sv_eq(server->tls, SV("none")))
		return;
	if (is_microsoft(server->host) && server->login.len) {
		import_note(p->im,
			SETUP_NOTE_IDLE,
			postfix_at(p, s, "smtp_tls_cert_file"),
			"the client certificate: a mailbox signs in without one");
		return;
	}
	server->certificate = certificate;
	server->key = key;
}

static void read_source(
	struct postfix *p, const struct postfix_service *s, struct import_server *server)
{
	struct sv v4 = postfix_get(p, s, "smtp_bind_address");
	struct sv v6 = postfix_get(p, s, "smtp_bind_address6");
	struct sv source = v4.len ? v4 : v6;
	const char *name = v4.len ? "smtp_bind_address" : "smtp_bind_address6";
	struct io_network n;

	if (!source.len)
		return;
	if (sv_find_char(source, '/') >= 0 || io_network_parse(source, &n) != 0) {
		import_note(p->im,
			SETUP_NOTE_LOST,
			postfix_at(p, s, name),
			"%s = %.*s is no address",
			name,
			SV_ARG(sv_head(source, 60)));
		return;
	}
	if (server->login.len && is_microsoft(server->host))
		import_note(p->im,
			SETUP_NOTE_LOST,
			postfix_at(p, s, name),
			"%s: only connectors have a source address; for mailboxes set the route of "
			"the "
			"machine",
			name);
	else
		server->source = source;
	if (v4.len && v6.len)
		import_note(p->im,
			SETUP_NOTE_LOST,
			postfix_at(p, s, "smtp_bind_address6"),
			"smtp_bind_address6: there is one source address, and the IPv4 one is "
			"taken");
}

static uint32_t first_number(
	struct postfix *p, const struct postfix_service *s, const char *const *names, size_t count)
{
	uint32_t n = 0;

	for (size_t i = 0; i < count; i++) {
		struct sv value = postfix_get(p, s, names[i]);

		if (value.len && !n && sv_parse_u32(value, UINT32_MAX, &n) != 0)
			n = 0;
	}
	return n;
}

/* Slower than the provider allows is a wish; faster was none that Microsoft would have granted. */
static void read_limits(
	struct postfix *p, const struct postfix_service *s, struct import_server *server)
{
	static const char *const concurrency[] = { "smtp_destination_concurrency_limit",
		"relay_destination_concurrency_limit",
		"default_destination_concurrency_limit" };
	static const char *const recipients[] = { "smtp_destination_recipient_limit",
		"default_destination_recipient_limit" };
	static const char *const delays[] = { "smtp_destination_rate_delay",
		"smtp_transport_rate_delay",
		"default_destination_rate_delay",
		"default_transport_rate_delay" };
	uint32_t n = first_number(p, s, concurrency, COUNT_OF(concurrency)), seconds = 0;

	if (n && n < SUBMISSION_CONNECTIONS)
		server->connections = n;
	n = first_number(p, s, recipients, COUNT_OF(recipients));
	if (n > 1 && n < SUBMISSION_PER_MESSAGE)
		server->per_message = n;
	for (size_t i = 0; i < COUNT_OF(delays); i++) {
		struct sv value = postfix_get(p, s, delays[i]);
		char unit = value.len ? value.ptr[value.len - 1] : '0';
		bool minutes = unit == 'm';

		if (unit == 's' || unit == 'm')
			value = sv_head(value, value.len - 1);
		if (!seconds && value.len && sv_parse_u32(value, 86400, &n) == 0)
			seconds = minutes ? n * 60 : n;
	}
	if (seconds)
		server->per_minute = seconds >= 60 ? 1 : 60 / seconds;
	if (server->per_minute >= SUBMISSION_PER_MINUTE)
		server->per_minute = 0;
}

/* ---- passwords ---- */

static const struct postfix_rows *passwords_of(struct postfix *p, struct postfix_service *s)
{
	struct sv enabled = postfix_get(p, s, "smtp_sasl_auth_enable");

	if (s->passwords)
		return s->passwords;
	s->passwords = arena_alloc(&p->arena, sizeof(*s->passwords));
	if (!enabled.len || sv_eq_nocase(enabled, SV("yes")))
		postfix_rows_read(p, s, "smtp_sasl_password_maps", s->passwords);
	else if (postfix_has(p, s, "smtp_sasl_password_maps"))
		import_note(p->im,
			SETUP_NOTE_IDLE,
			postfix_at(p, s, "smtp_sasl_password_maps"),
			"smtp_sasl_password_maps, since smtp_sasl_auth_enable is not yes");
	return s->passwords;
}

static bool by_sender(struct postfix *p, const struct postfix_service *s)
{
	return postfix_is(p, s, "smtp_sender_dependent_authentication", "yes");
}

/* Mechanisms that are tokens: the "password" is the path of a file then (sasl-xoauth2). */
static bool has_token_mechanism(struct postfix *p, const struct postfix_service *s)
{
	struct sv list = postfix_get(p, s, "smtp_sasl_mechanism_filter"), item;

	while (postfix_item(&list, &item))
		if (sv_eq_nocase(item, SV("xoauth2")) || sv_eq_nocase(item, SV("oauthbearer")))
			return true;
	return false;
}

/* In /etc, or as Postfix sees it from its chroot. */
static bool read_token_file(struct postfix *p, struct sv path, struct import_token *t)
{
	struct buf text = BUF_INIT(SETUP_IMPORT_FILE_MAX), other = BUF_INIT(4096);
	bool there = p->from->read(p->from->arg, path, &text) == 0;

	if (!there && buf_printf(&other, "/var/spool/postfix%.*s", SV_ARG(path)) == 0)
		there = p->from->read(p->from->arg, buf_sv(&other), &text) == 0;
	if (there)
		import_token_read(p->im, buf_sv(&text), t);
	if (text.cap)
		secret_wipe(text.ptr, text.cap);
	buf_deinit(&text);
	buf_deinit(&other);
	return there;
}

/* Is it the path of a token file? With the mechanism always; else a path that leads to one. */
static bool use_tokens(
	struct postfix *p, const struct postfix_service *s, struct import_server *server)
{
	struct import_token t = { 0 };
	struct sv path = server->password;
	bool is_path = sv_starts(path, SV("/")), certain = has_token_mechanism(p, s), there;

	if (!is_path && !certain)
		return false;
	(void)read_token_file(p, SV("/etc/sasl-xoauth2.conf"), &t);
	there = is_path && read_token_file(p, path, &t);
	if (!certain && !there && sv_find_char(sv_skip(path, 1), '/') < 0) {
		import_token_deinit(&t);
		return false;
	}
	if (is_path && !there)
		import_note(p->im,
			SETUP_NOTE_LOST,
			server->at,
			"the token file %.*s cannot be read",
			SV_ARG(sv_head(path, 200)));
	server->password = SV("");
	import_token_use(p->im, &t, server);
	import_token_deinit(&t);
	return true;
}

static const struct postfix_row *credentials(struct postfix *p, struct postfix_service *s,
	struct sv next, struct sv host, struct sv sender, bool *out_own)
{
	const struct postfix_rows *rows = passwords_of(p, s);
	const struct postfix_row *row = NULL;

	*out_own = false;
	if (sender.len && by_sender(p, s)) {
		row = postfix_rows_find(rows, sender);
		*out_own = row != NULL;
	}
	if (!row)
		row = postfix_rows_key(rows, next);
	return row ? row : postfix_rows_key(rows, host);
}

struct sv postfix_account(
	struct postfix *p, struct postfix_service *s, struct sv next, struct sv sender)
{
	struct import_server server = { .at = postfix_at(p, s, "relayhost") };
	const struct postfix_row *row;
	struct sv login;
	bool own;

	if (!read_host(next, &server)) {
		import_note(p->im,
			SETUP_NOTE_LOST,
			server.at,
			"%.*s is no server with a port",
			SV_ARG(sv_head(next, 100)));
		return SV("");
	}
	row = credentials(p, s, next, server.host, sender, &own);
	if (row) {
		server.at = row->at;
		login = row->value;
		(void)sv_cut_char(&login, ':', &server.login);
		server.password = login;
		/* The password of a server serves many senders; its mailbox is who signs in. */
		if (own && sv_rfind_char(sender, '@') > 0)
			server.from = sender;
	}
	read_tls(p, s, &server);
	read_certificate(p, s, &server);
	read_source(p, s, &server);
	read_limits(p, s, &server);
	if (server.login.len)
		(void)use_tokens(p, s, &server);
	return import_account(p->im, &server);
}

/* ---- transports ---- */

bool postfix_transport(struct postfix *p, struct sv value, struct import_place at,
	struct postfix_service **out_service, struct sv *out_next)
{
	struct sv next = value, name;
	struct postfix_service *s;
	bool bare = !sv_cut_char(&next, ':', &name);

	if (bare)
		next = SV("");
	s = name.len ? postfix_service(p, name) : &p->main;
	if (!s && (sv_eq(name, SV("smtp")) || sv_eq(name, SV("relay"))))
		s = &p->main;
	if (s && s != &p->main && !sv_eq(s->command, SV("smtp")))
		s = NULL;
	*out_service = s;
	*out_next = next;
	if (s)
		return true;
	import_note(p->im,
		SETUP_NOTE_LOST,
		at,
		"%.*s: postern sends by SMTP and Graph only, and has no transport %.*s",
		SV_ARG(sv_head(value, 100)),
		SV_ARG(sv_head(name, 40)));
	return false;
}

/* relayhost and what replaces it; several with commas are tried in turn, and smtp_fallback_relay last. */
static void general_way(
	struct postfix *p, struct postfix_service *s, struct sv sender, struct setup_rule *rule)
{
	static const char *const names[] = { "relayhost", "smtp_fallback_relay" };
	struct sv item;

	for (size_t i = 0; i < COUNT_OF(names); i++) {
		struct sv list = postfix_get(p, s, names[i]);

		while (postfix_item(&list, &item) && rule->ways < SETUP_IMPORT_WAYS_MAX) {
			struct sv name = postfix_account(p, s, item, sender);
			bool again = !name.len;

			for (size_t k = 0; k < rule->ways; k++)
				again = again || sv_eq(rule->through[k], name);
			if (!again)
				rule->through[rule->ways++] = name;
		}
	}
}

void postfix_way(struct postfix *p, struct sv sender, struct setup_rule *rule)
{
	const struct postfix_row *transport =
		sender.len ? postfix_rows_find(&p->sender_transports, sender) : NULL;
	const struct postfix_row *host =
		sender.len ? postfix_rows_find(&p->relayhosts, sender) : NULL;
	struct sv value = transport ? transport->value : postfix_get(p, NULL, "default_transport");
	struct import_place at =
		transport ? transport->at : postfix_at(p, NULL, "default_transport");
	struct postfix_service *s = &p->main;
	struct sv next = SV("");

	rule->ways = 0;
	if (value.len && !postfix_transport(p, value, at, &s, &next))
		return;
	if (host && !sv_eq_nocase(host->value, SV("DUNNO")))
		next = host->value;
	if (!next.len) {
		general_way(p, s, sender, rule);
		return;
	}
	rule->through[0] = postfix_account(p, s, next, sender);
	rule->ways = rule->through[0].len > 0;
}
