/* SPDX-License-Identifier: Apache-2.0 */
#include "setup/import.h"

#include "base/must.h"
#include "mail/address.h"
#include "setup/config.h"
#include "setup/import_priv.h"

#include <stdlib.h>

/*
 * main.cf (postconf(5)): "name = value"; a line that begins with a blank goes on with the one before; the
 * last one counts; $name and ${name} are put in. Of the maps only their text sources are read.
 */
enum {
	VALUE_MAX = 16384,
	DEPTH_MAX = 8,
	SETTINGS_MAX = 1000,
	PORT_MAX = 65535,
};

struct setting {
	struct sv name, value;
};

struct reader {
	struct setup_import *im;
	const struct setup_import_source *from;
	struct setting settings[SETTINGS_MAX];
	size_t count;
	struct buf passwords; /* text of the map */
	bool by_sender;       /* its keys may be senders */
	struct sv tls;
};

/* Carried over, or without a meaning for a relay that only sends. */
static const char *const known[] = { "relayhost",
	"sender_dependent_relayhost_maps",
	"smtp_sasl_password_maps",
	"smtp_sasl_auth_enable",
	"smtp_sender_dependent_authentication",
	"smtp_tls_security_level",
	"smtp_tls_wrappermode",
	"smtp_use_tls",
	"mydomain",
	"myorigin",
	"myhostname",
	"mynetworks",
	"inet_interfaces",
	"inet_protocols",
	"compatibility_level",
	"smtp_sasl_security_options",
	"smtp_sasl_tls_security_options",
	"smtp_sasl_mechanism_filter",
	"smtp_tls_CAfile",
	"smtp_tls_CApath",
	"smtp_tls_session_cache_database",
	"smtpd_tls_session_cache_database",
	"append_dot_mydomain",
	"biff",
	"readme_directory",
	"smtpd_banner",
	"recipient_delimiter",
	"mailbox_size_limit",
	"queue_directory",
	"command_directory",
	"daemon_directory",
	"data_directory",
	"mail_owner",
	"setgid_group",
	"sendmail_path",
	"newaliases_path",
	"mailq_path",
	"html_directory",
	"manpage_directory",
	"sample_directory",
	"meta_directory",
	"shlib_directory",
	"debug_peer_level",
	"debugger_command",
	"unknown_local_recipient_reject_code",
	"smtp_tls_note_starttls_offer",
	"mydestination",
	"alias_database",
	"smtpd_use_tls",
	"mail_spool_directory" };

/* ---- the file ---- */

static struct setting *find(struct reader *r, struct sv name)
{
	for (size_t i = 0; i < r->count; i++)
		if (sv_eq(r->settings[i].name, name))
			return &r->settings[i];
	return NULL;
}

static void take(struct reader *r, struct sv line)
{
	struct sv value = line, name;
	struct setting *s;

	if (!sv_cut_char(&value, '=', &name))
		return;
	name = import_trim(name);
	s = find(r, name);
	if (!s && (r->count == SETTINGS_MAX || !name.len))
		return;
	if (!s)
		s = &r->settings[r->count++];
	*s = (struct setting){ import_keep(r->im, name), import_keep(r->im, import_trim(value)) };
}

static void read_settings(struct reader *r)
{
	struct buf whole = BUF_INIT(VALUE_MAX);
	struct sv text = r->from->text, line;

	while (import_line(&text, &line)) {
		struct sv trimmed = import_trim(line);
		bool goes_on = line.len && (unsigned char)line.ptr[0] <= ' ';

		if (!trimmed.len || trimmed.ptr[0] == '#')
			continue;
		if (!goes_on) {
			take(r, buf_sv(&whole));
			buf_reset(&whole);
		}
		if (buf_append(&whole, goes_on ? SV(" ") : SV("")) != 0 ||
			buf_append(&whole, trimmed) != 0)
			buf_reset(&whole);
	}
	take(r, buf_sv(&whole));
	if (whole.cap)
		secret_wipe(whole.ptr, whole.cap);
	buf_deinit(&whole);
}

static bool is_name(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       c == '_';
}

static int expand(struct reader *r, struct sv value, struct buf *out, unsigned depth);

/* "name" of $name, ${name} or $(name); conditions inside of braces are left out. */
static int expand_name(struct reader *r, struct sv *rest, struct buf *out, unsigned depth)
{
	char close = rest->ptr[0] == '{' ? '}' : rest->ptr[0] == '(' ? ')' : '\0';
	struct setting *s;
	struct sv name;
	size_t n = 0;

	if (close) {
		*rest = sv_skip(*rest, 1);
		(void)sv_cut_char(rest, close, &name);
	} else {
		while (n < rest->len && is_name(rest->ptr[n]))
			n++;
		name = sv_head(*rest, n);
		*rest = sv_skip(*rest, n);
	}
	s = find(r, name);
	return s && depth < DEPTH_MAX ? expand(r, s->value, out, depth + 1) : 0;
}

static int expand(struct reader *r, struct sv value, struct buf *out, unsigned depth)
{
	int rc = 0;

	while (value.len && rc == 0) {
		char c = value.ptr[0];

		value = sv_skip(value, 1);
		if (c == '$' && value.len)
			rc = expand_name(r, &value, out, depth);
		else
			rc = buf_append_char(out, c);
	}
	return rc;
}

static struct sv get(struct reader *r, const char *name)
{
	CLEANUP(buf_deinitp) struct buf out = BUF_INIT(VALUE_MAX);
	struct setting *s = find(r, sv_from(name));

	if (!s || expand(r, s->value, &out, 0) != 0)
		return SV("");
	return import_keep(r->im, import_trim(buf_sv(&out)));
}

/* ---- maps ---- */

/* The text behind "hash:/etc/postfix/x"; the last of several maps is left out with a note. */
static int read_map(struct reader *r, const char *name, struct buf *out)
{
	struct sv value = get(r, name), type, path;
	static const struct sv types[] = { SV_INIT("hash"),
		SV_INIT("lmdb"),
		SV_INIT("btree"),
		SV_INIT("cdb"),
		SV_INIT("dbm"),
		SV_INIT("sdbm"),
		SV_INIT("texthash") };
	bool text = false;

	if (!value.len)
		return RC_NOT_FOUND;
	path = import_word(&value);
	if (value.len)
		import_note(r->im, "%s has several maps: only the first is read", name);
	if (path.ptr[path.len - 1] == ',')
		path = sv_head(path, path.len - 1);
	(void)sv_cut_char(&path, ':', &type);
	for (size_t i = 0; i < COUNT_OF(types); i++)
		text = text || sv_eq(type, types[i]);
	if (!text) {
		import_note(r->im,
			"%s is a map of type %.*s, which cannot be read here",
			name,
			SV_ARG(sv_head(type, 40)));
		return RC_PARSE;
	}
	if (r->from->read(r->from->arg, path, out) != 0) {
		import_note(r->im,
			"%s: the file %.*s cannot be read (it is needed as text, not only as .db)",
			name,
			SV_ARG(sv_head(path, 200)));
		return RC_NOT_FOUND;
	}
	return 0;
}

/* "key value" lines. */
static bool next_row(struct sv *text, struct sv *out_key, struct sv *out_value)
{
	struct sv line;

	while (import_line(text, &line)) {
		struct sv value = import_trim(line);

		if (!value.len || value.ptr[0] == '#')
			continue;
		*out_key = import_word(&value);
		*out_value = value;
		return true;
	}
	return false;
}

static bool look_up(const struct reader *r, struct sv key, struct sv *out_value)
{
	struct sv text = buf_sv(&r->passwords), row_key;

	while (next_row(&text, &row_key, out_value))
		if (sv_eq_nocase(row_key, key))
			return true;
	return false;
}

/* ---- servers ---- */

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
	if (sv_eq(port, SV("submission")) || sv_eq(port, SV("submissions")))
		number = sv_eq(port, SV("submission")) ? 587 : 465;
	else if (port.len && !sv_eq(port, SV("smtp")) && sv_parse_u32(port, PORT_MAX, &number) != 0)
		return false;
	s->host = host;
	s->port = (uint16_t)number;
	return host.len > 0;
}

/* The account of a next hop; `sender` when its own password may be meant. */
static struct sv account(struct reader *r, struct sv next, struct sv sender)
{
	struct import_server s = { .tls = r->tls };
	struct sv login;
	bool own;

	if (!read_host(next, &s)) {
		import_note(r->im, "%.*s is no server with a port", SV_ARG(sv_head(next, 100)));
		return SV("");
	}
	own = r->by_sender && sender.len && look_up(r, sender, &login);
	if (own || look_up(r, next, &login) || look_up(r, s.host, &login)) {
		(void)sv_cut_char(&login, ':', &s.login);
		s.password = login;
		/* The password of a server serves many senders; its mailbox is who signs in. */
		if (own && sv_rfind_char(sender, '@') > 0)
			s.from = sender;
	}
	return import_account(r->im, &s);
}

/* A key of a map by senders: "a@b.c", or "@b.c". */
static struct sv pattern_of(struct setup_import *im, struct sv key)
{
	struct buf text = BUF_INIT(LIMIT_ADDRESS);
	struct sv kept = SV("");

	if (buf_printf(&text, "%s%.*s", key.ptr[0] == '@' ? "*" : "", SV_ARG(key)) == 0 &&
		sv_find_char(key, '@') >= 0 && address_pattern_check(buf_sv(&text)) == 0)
		kept = import_keep(im, buf_sv(&text));
	buf_deinit(&text);
	return kept;
}

static void read_senders(struct reader *r)
{
	CLEANUP(buf_deinitp) struct buf map = BUF_INIT(SETUP_IMPORT_FILE_MAX);
	struct sv text, key, value;

	if (read_map(r, "sender_dependent_relayhost_maps", &map) != 0)
		return;
	text = buf_sv(&map);
	/* Whole addresses before domains, as Postfix looks them up. */
	for (int domains = 0; domains < 2; domains++, text = buf_sv(&map)) {
		while (next_row(&text, &key, &value)) {
			struct sv pattern = pattern_of(r->im, key);

			if (pattern.len && (key.ptr[0] == '@') == (domains == 1))
				import_rule(r->im, pattern, account(r, value, key));
		}
	}
}

/* Senders with a password of their own use the general server. */
static void read_sender_passwords(struct reader *r, struct sv relayhost)
{
	struct sv text = buf_sv(&r->passwords), key, value;

	if (!r->by_sender || !relayhost.len)
		return;
	while (next_row(&text, &key, &value)) {
		struct sv pattern = sv_rfind_char(key, '@') > 0 ? pattern_of(r->im, key) : SV("");

		if (pattern.len)
			import_rule(r->im, pattern, account(r, relayhost, key));
	}
}

/* ---- the rest ---- */

static void read_networks(struct reader *r)
{
	struct sv value = get(r, "mynetworks");

	if (!value.len)
		import_network(r->im, SV("127.0.0.0/8"));
	while (value.len) {
		struct sv word = import_word(&value);
		char text[64];
		size_t n = 0;

		/* Postfix writes [::1]/128, and divides by commas too. */
		for (size_t i = 0; i < word.len && n < sizeof(text); i++)
			if (word.ptr[i] != '[' && word.ptr[i] != ']' && word.ptr[i] != ',')
				text[n++] = word.ptr[i];
		if (n == sizeof(text) || sv_find_char(word, '/') == 0 ||
			(word.len && (word.ptr[0] == '!' || sv_starts(word, SV("hash:")) ||
					     sv_starts(word, SV("cidr:")))))
			import_note(
				r->im, "mynetworks: %.*s is left out", SV_ARG(sv_head(word, 100)));
		else if (n)
			import_network(r->im, sv_make(text, n));
	}
}

static void read_names(struct reader *r)
{
	char text[LIMIT_DOMAIN + 1];
	struct sv domain, interfaces = get(r, "inet_interfaces");

	if (setup_domain(get(r, "myhostname"), text, &domain))
		r->im->hostname = import_keep(r->im, domain);
	if (setup_domain(get(r, "myorigin"), text, &domain) ||
		setup_domain(get(r, "mydomain"), text, &domain) ||
		setup_domain(get(r, "myhostname"), text, &domain))
		r->im->qualify = import_keep(r->im, domain);
	r->im->listen = SV("127.0.0.1:25");
	if (!sv_eq(interfaces, SV("loopback-only")) && !sv_eq(interfaces, SV("localhost")) &&
		!sv_eq(interfaces, SV("127.0.0.1")))
		r->im->listen = SV("*:25");
}

static void note_the_rest(struct reader *r)
{
	for (size_t i = 0; i < r->count; i++) {
		struct sv name = r->settings[i].name;
		bool is_known = false;

		for (size_t k = 0; k < COUNT_OF(known); k++)
			is_known = is_known || sv_eq(name, sv_from(known[k]));
		if (!is_known && r->settings[i].value.len)
			import_note(r->im, "%.*s of main.cf", SV_ARG(sv_head(name, 100)));
	}
}

static int read_all(struct reader *r, struct err *err)
{
	struct sv relayhost, level;

	read_settings(r);
	level = get(r, "smtp_tls_security_level");
	r->by_sender = sv_eq(get(r, "smtp_sender_dependent_authentication"), SV("yes"));
	r->tls = sv_eq(get(r, "smtp_tls_wrappermode"), SV("yes")) ? SV("implicit")
		 : sv_eq(level, SV("none")) ||
				 (!level.len && !sv_eq(get(r, "smtp_use_tls"), SV("yes")))
			 ? SV("none")
			 : SV("required");
	if (sv_eq(level, SV("may")) || sv_eq(level, SV("encrypt")))
		import_note(r->im,
			"smtp_tls_security_level = %.*s takes any certificate; postern wants one "
			"that is "
			"right, or ca_file: at the server",
			SV_ARG(level));
	(void)read_map(r, "smtp_sasl_password_maps", &r->passwords);
	relayhost = get(r, "relayhost");
	read_names(r);
	read_networks(r);
	read_senders(r);
	read_sender_passwords(r, relayhost);
	if (relayhost.len)
		import_rule(r->im, SV(""), account(r, relayhost, SV("")));
	note_the_rest(r);
	if (!r->im->rule_count)
		return err_set(err,
			RC_PARSE,
			"it names no server to send through (relayhost, "
			"sender_dependent_relayhost_maps)");
	return 0;
}

int setup_import_postfix(
	struct setup_import *im, const struct setup_import_source *from, struct err *err)
{
	struct reader *r = xcalloc(1, sizeof(*r));
	int rc;

	*im = (struct setup_import){ 0 };
	*r = (struct reader){
		.im = im, .from = from, .passwords = BUF_INIT(SETUP_IMPORT_FILE_MAX)
	};
	rc = read_all(r, err);
	if (r->passwords.cap)
		secret_wipe(r->passwords.ptr, r->passwords.cap);
	buf_deinit(&r->passwords);
	free(r);
	return rc;
}
