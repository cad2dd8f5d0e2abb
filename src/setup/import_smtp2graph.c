/* SPDX-License-Identifier: Apache-2.0 */
#include "setup/import.h"

#include "base/must.h"
#include "setup/config.h"
#include "setup/import_priv.h"

#include <stdio.h>
#include <stdlib.h>
#include <yaml.h>

/* config.yml of SMTP2Graph: an app, a listener, users, and the senders that are allowed. */
struct reader {
	struct setup_import *im;
	yaml_document_t doc;
	struct sv senders[SETUP_IMPORT_MAX];
	size_t sender_count;
	struct sv base, file;
	struct sv tenant; /* as it is called in postern.yaml */
	struct sv forced; /* forceMailbox */
};

static struct sv scalar(const yaml_node_t *n)
{
	if (!n || n->type != YAML_SCALAR_NODE)
		return SV("");
	return sv_make((const char *)n->data.scalar.value, n->data.scalar.length);
}

static yaml_node_t *child(struct reader *r, const yaml_node_t *map, const char *key)
{
	if (!map || map->type != YAML_MAPPING_NODE)
		return NULL;
	for (const yaml_node_pair_t *p = map->data.mapping.pairs.start;
		p < map->data.mapping.pairs.top;
		p++)
		if (sv_eq(scalar(yaml_document_get_node(&r->doc, p->key)), sv_from(key)))
			return yaml_document_get_node(&r->doc, p->value);
	return NULL;
}

static struct sv text_at(struct reader *r, const yaml_node_t *map, const char *key)
{
	return scalar(child(r, map, key));
}

/* The items of a list, one after the other. */
static yaml_node_t *item(struct reader *r, const yaml_node_t *list, size_t i)
{
	if (!list || list->type != YAML_SEQUENCE_NODE ||
		i >= (size_t)(list->data.sequence.items.top - list->data.sequence.items.start))
		return NULL;
	return yaml_document_get_node(&r->doc, list->data.sequence.items.start[i]);
}

static struct import_place place_of(const struct reader *r, const yaml_node_t *n)
{
	return (struct import_place){ r->file, n ? (unsigned)n->start_mark.line + 1 : 0 };
}

/* A mailbox that Graph sends from; its name, or empty when it is no address. */
static struct sv add_sender(struct reader *r, struct sv text, struct import_place at)
{
	char lower[LIMIT_ADDRESS];
	struct sv address;
	struct setup_account *a;

	if (!setup_address(import_trim(text), lower, &address)) {
		import_note(r->im,
			SETUP_NOTE_LOST,
			at,
			"%.*s is no address",
			SV_ARG(sv_head(text, 100)));
		return SV("");
	}
	for (size_t i = 0; i < r->sender_count; i++)
		if (sv_eq(r->senders[i], address))
			return r->senders[i];
	if (r->sender_count == SETUP_IMPORT_MAX || r->im->account_count == SETUP_IMPORT_MAX) {
		import_full(r->im, "senders");
		return SV("");
	}
	address = import_keep(r->im, address);
	r->senders[r->sender_count++] = address;
	/* With forceMailbox the others are senders, not mailboxes. */
	if (r->forced.len && !sv_eq(r->forced, address))
		return address;
	a = &r->im->accounts[r->im->account_count++];
	*a = (struct setup_account){
		.name = address, .provider = SV("graph"), .tenant = r->tenant, .auth = SV("app")
	};
	a->address = a->name;
	a->login = a->name;
	return a->name;
}

static void add_senders(struct reader *r, const yaml_node_t *list)
{
	const yaml_node_t *n;

	for (size_t i = 0; (n = item(r, list, i)) != NULL; i++)
		(void)add_sender(r, scalar(n), place_of(r, n));
}

/* Relative paths are those of the file's folder. */
static struct sv path_at(struct reader *r, const yaml_node_t *map, const char *key)
{
	struct buf whole = BUF_INIT(4096);
	struct sv path = text_at(r, map, key), kept = SV("");

	if (path.len && buf_printf(&whole,
				"%.*s%s%.*s",
				SV_ARG(path.ptr[0] == '/' ? SV("") : r->base),
				path.ptr[0] == '/' ? "" : "/",
				SV_ARG(path)) == 0)
		kept = import_keep(r->im, buf_sv(&whole));
	buf_deinit(&whole);
	return kept;
}

static void read_app(struct reader *r, const yaml_node_t *root)
{
	const yaml_node_t *reg = child(r, child(r, root, "send"), "appReg");
	struct sv tenant = text_at(r, reg, "tenant");
	struct buf id = BUF_INIT(LIMIT_DOMAIN);
	bool whole = sv_find_char(tenant, '.') >= 0 || tenant.len == 36;
	const yaml_node_t *certificate = child(r, reg, "certificate");
	struct setup_app app = { .tenant = tenant, .client_id = text_at(r, reg, "id") };

	if (!tenant.len || !app.client_id.len)
		import_note(r->im,
			SETUP_NOTE_LOST,
			place_of(r, reg),
			"send: appReg: tenant and id are not there: write id and client_id under "
			"tenants");
	if (!app.client_id.len)
		app.client_id = SV("00000000-0000-0000-0000-000000000000");
	if (tenant.len &&
		buf_printf(&id, "%.*s%s", SV_ARG(tenant), whole ? "" : ".onmicrosoft.com") == 0)
		app.id = buf_sv(&id);
	if (!app.id.len)
		app.id = SV("00000000-0000-0000-0000-000000000000");
	if (!text_at(r, reg, "secret").len && text_at(r, certificate, "privateKeyPath").len) {
		app.key = path_at(r, certificate, "privateKeyPath");
		app.certificate = SV("/etc/postern/app.pem");
		import_note(r->im,
			SETUP_NOTE_DIFFERENT,
			place_of(r, certificate),
			"SMTP2Graph knows the thumbprint of the certificate only: put the "
			"certificate "
			"itself (PEM) into %.*s",
			SV_ARG(app.certificate));
	}
	r->tenant = import_app(r->im, &app, text_at(r, reg, "secret"));
	buf_deinit(&id);
}

/* ---- the listener ---- */

static bool is_true(struct reader *r, const yaml_node_t *map, const char *key)
{
	struct sv v = text_at(r, map, key);

	return sv_eq_nocase(v, SV("true")) || sv_eq_nocase(v, SV("yes")) ||
	       sv_eq_nocase(v, SV("on"));
}

/* "25m", "500k" */
static void read_size(struct reader *r, const yaml_node_t *receive, struct setup_listener *l)
{
	struct sv text = text_at(r, receive, "maxSize");
	char unit = text.len ? ascii_lower(text.ptr[text.len - 1]) : '\0';
	uint64_t n = 0;

	if (!text.len)
		return;
	if ((unit != 'm' && unit != 'k') ||
		sv_parse_u64(sv_head(text, text.len - 1), LIMIT_MESSAGE, &n) != 0 || !n ||
		n * (unit == 'm' ? 1024 : 1) > LIMIT_MESSAGE / 1024) {
		import_note(r->im,
			SETUP_NOTE_DIFFERENT,
			place_of(r, child(r, receive, "maxSize")),
			"maxSize: %.*s: the most is 150 MB",
			SV_ARG(sv_head(text, 40)));
		return;
	}
	l->message_kb = n * (unit == 'm' ? 1024 : 1);
	if (l->message_kb < 64)
		l->message_kb = 64;
}

static void read_networks(struct reader *r, const yaml_node_t *receive, struct setup_listener *l)
{
	struct import_networks *n = xcalloc(1, sizeof(*n));
	const yaml_node_t *list = child(r, receive, "ipWhitelist"), *one;

	for (size_t i = 0; (one = item(r, list, i)) != NULL; i++)
		if (!import_network(r->im, n, scalar(one), false))
			import_note(r->im,
				SETUP_NOTE_LOST,
				place_of(r, one),
				"ipWhitelist: %.*s is no network",
				SV_ARG(sv_head(scalar(one), 60)));
	if (!list) {
		(void)import_network(r->im, n, SV("127.0.0.0/8"), false);
		import_note(r->im,
			SETUP_NOTE_DIFFERENT,
			place_of(r, receive),
			"everybody could send without a password: now only this machine may; write "
			"the "
			"networks that you know into no_password_from");
	}
	l->networks = import_networks_open(r->im, n, place_of(r, list), &l->network_count);
	free(n);
}

static void read_listener(struct reader *r, const yaml_node_t *receive)
{
	struct sv where = text_at(r, receive, "listenAddress"), port = text_at(r, receive, "port");
	struct setup_listener *l = &r->im->listeners[0];
	struct buf listen = BUF_INIT(100);
	bool v6 = sv_find_char(where, ':') >= 0;

	if (sv_eq(where, SV("0.0.0.0")) || sv_eq(where, SV("::")))
		where = SV("");
	if (buf_printf(&listen,
		    v6 && where.len ? "[%.*s]:%.*s" : "%.*s:%.*s",
		    SV_ARG(where.len ? where : SV("*")),
		    SV_ARG(port.len ? port : SV("25"))) == 0)
		l->address = import_keep(r->im, buf_sv(&listen));
	buf_deinit(&listen);
	r->im->listener_count = 1;
	l->certificate = path_at(r, receive, "tlsCertPath");
	l->key = path_at(r, receive, "tlsKeyPath");
	/* `secure` is TLS from the first byte. */
	if (l->certificate.len && l->key.len)
		l->tls = is_true(r, receive, "secure") ? SV("implicit") : SV("starttls");
	else if (is_true(r, receive, "secure"))
		import_note(r->im,
			SETUP_NOTE_LOST,
			place_of(r, child(r, receive, "secure")),
			"secure: there are no tlsKeyPath and tlsCertPath (SMTP2Graph made a "
			"certificate "
			"of its own)");
	read_size(r, receive, l);
	if (!is_true(r, receive, "requireAuth"))
		read_networks(r, receive, l);
	else if (child(r, receive, "ipWhitelist"))
		import_note(r->im,
			SETUP_NOTE_LOST,
			place_of(r, child(r, receive, "ipWhitelist")),
			"ipWhitelist: with requireAuth all must sign in; close other networks in "
			"the "
			"firewall");
}

/* After the mailboxes: a user without a list may use them all. */
static void read_users(struct reader *r, const yaml_node_t *list)
{
	const yaml_node_t *n;

	for (size_t i = 0; (n = item(r, list, i)) != NULL; i++) {
		struct setup_user *u = &r->im->users[r->im->user_count];
		const yaml_node_t *from = child(r, n, "allowedFrom");
		struct sv *senders = arena_alloc(&r->im->arena, sizeof(r->senders)), one;
		const yaml_node_t *k;

		if (r->im->user_count == SETUP_IMPORT_MAX) {
			import_full(r->im, "users");
			break;
		}
		*u = (struct setup_user){ .name = import_keep(r->im, text_at(r, n, "username")),
			.senders = senders };
		for (size_t j = 0; (k = item(r, from, j)) != NULL && j < SETUP_IMPORT_MAX; j++) {
			one = add_sender(r, scalar(k), place_of(r, k));
			if (one.len)
				senders[u->sender_count++] = one;
		}
		for (size_t j = 0; j < r->sender_count && !from && !r->forced.len; j++)
			senders[u->sender_count++] = r->senders[j];
		if (!u->sender_count)
			senders[u->sender_count++] = SV("*");
		if (u->name.len)
			u->secret_file =
				import_secret(r->im, u->name, text_at(r, n, "password"), true);
		if (u->secret_file.len)
			r->im->user_count++;
		else
			import_note(r->im,
				SETUP_NOTE_LOST,
				place_of(r, n),
				"a user without name or password");
	}
}

/* Once the users are known: a password needs somebody who has one. */
static void read_auth(struct reader *r, const yaml_node_t *receive)
{
	struct setup_listener *l = &r->im->listeners[0];
	bool plain = is_true(r, receive, "allowInsecureAuth");
	bool loopback = sv_starts(l->address, SV("127.")) || sv_starts(l->address, SV("[::1]"));

	if (!r->im->user_count)
		return;
	if (!l->tls.len && !plain && !loopback) {
		import_note(r->im,
			SETUP_NOTE_DIFFERENT,
			place_of(r, receive),
			"the users sign in with TLS only, and there is no certificate: they are "
			"written, "
			"but the listener takes no passwords; add tls, certificate, key and auth "
			"to it");
		if (!l->network_count) {
			struct sv *own = arena_alloc(&r->im->arena, sizeof(*own));

			*own = SV("127.0.0.0/8");
			l->networks = own;
			l->network_count = 1;
		}
		return;
	}
	l->auth = is_true(r, receive, "requireAuth") ? SV("required") : SV("optional");
	l->plaintext_auth = plain && !sv_eq(l->tls, SV("implicit"));
}

/* ---- what nobody has read ---- */

static void note_keys(struct reader *r, const yaml_node_t *map, const char *where,
	const char *const *read, size_t count)
{
	static const char *const idle[] = { "banner", "retryLimit", "retryInterval", "mode" };

	if (!map || map->type != YAML_MAPPING_NODE)
		return;
	for (const yaml_node_pair_t *p = map->data.mapping.pairs.start;
		p < map->data.mapping.pairs.top;
		p++) {
		const yaml_node_t *key = yaml_document_get_node(&r->doc, p->key);
		struct sv name = scalar(key);
		bool known = false, is_idle = false;

		for (size_t i = 0; i < count; i++)
			known = known || sv_eq(name, sv_from(read[i]));
		for (size_t i = 0; i < COUNT_OF(idle); i++)
			is_idle = is_idle || sv_eq(name, sv_from(idle[i]));
		if (!known)
			import_note(r->im,
				is_idle ? SETUP_NOTE_IDLE : SETUP_NOTE_LOST,
				place_of(r, key),
				"%s%.*s",
				where,
				SV_ARG(sv_head(name, 60)));
	}
}

static void note_rest(struct reader *r, const yaml_node_t *root)
{
	static const char *const top[] = { "send", "receive" };
	static const char *const send[] = { "appReg", "forceMailbox" };
	static const char *const app[] = { "tenant", "id", "secret", "certificate" };
	static const char *const certificate[] = { "privateKeyPath" };
	static const char *const receive[] = { "port",
		"listenAddress",
		"secure",
		"tlsKeyPath",
		"tlsCertPath",
		"maxSize",
		"ipWhitelist",
		"allowedFrom",
		"allowInsecureAuth",
		"requireAuth",
		"users" };
	static const char *const user[] = { "username", "password", "allowedFrom" };
	const yaml_node_t *in = child(r, root, "receive"), *reg, *n;

	note_keys(r, root, "", top, COUNT_OF(top));
	note_keys(r, in, "receive: ", receive, COUNT_OF(receive));
	note_keys(r, child(r, root, "send"), "send: ", send, COUNT_OF(send));
	reg = child(r, child(r, root, "send"), "appReg");
	note_keys(r, reg, "send: appReg: ", app, COUNT_OF(app));
	note_keys(r,
		child(r, reg, "certificate"),
		"send: appReg: certificate: ",
		certificate,
		COUNT_OF(certificate));
	for (size_t i = 0; (n = item(r, child(r, in, "users"), i)) != NULL; i++)
		note_keys(r, n, "receive: users: ", user, COUNT_OF(user));
}

/* ---- routes ---- */

static void add_routes(struct reader *r, const yaml_node_t *root)
{
	struct setup_rule all = { .through = { r->forced }, .ways = 1 };

	if (r->forced.len) {
		/* Graph sends from the mailbox, whatever From says; it refuses what it may not send as. */
		all.rewrite_from = r->forced;
		(void)import_rule(r->im, &all);
		import_note(r->im,
			SETUP_NOTE_DIFFERENT,
			place_of(r, child(r, child(r, root, "send"), "forceMailbox")),
			"all mail leaves as %.*s, and Reply-To keeps who wrote it; if the mailbox "
			"may send "
			"as the others (SendAs), remove rewrite_from",
			SV_ARG(r->forced));
		return;
	}
	if (r->sender_count) {
		import_rule_for(r->im, SV(""), SV("sender"));
		/* root's mail, and all other that has no mailbox. */
		all.through[0] = r->senders[0];
		all.rewrite_from = r->senders[0];
		(void)import_rule(r->im, &all);
		return;
	}
	import_note(r->im,
		SETUP_NOTE_LOST,
		place_of(r, child(r, root, "send")),
		"any mailbox could send, and none is named: import again with --sender ADDRESS for "
		"one "
		"that does, or write them under mailboxes");
}

static int read_all(struct reader *r, const struct setup_import_source *from, struct err *err)
{
	const yaml_node_t *root = yaml_document_get_root_node(&r->doc), *forced, *receive, *n;
	char lower[LIMIT_ADDRESS];
	struct sv address;

	if (!child(r, root, "send") && !child(r, root, "receive"))
		return err_set(err, RC_PARSE, "it has neither send: nor receive:");
	read_app(r, root);
	receive = child(r, root, "receive");
	forced = child(r, child(r, root, "send"), "forceMailbox");
	if (setup_address(import_trim(scalar(forced)), lower, &address)) {
		r->forced = import_keep(r->im, address);
		(void)add_sender(r, address, place_of(r, forced));
	} else if (forced) {
		import_note(r->im,
			SETUP_NOTE_LOST,
			place_of(r, forced),
			"forceMailbox: %.*s is no address",
			SV_ARG(sv_head(scalar(forced), 60)));
	}
	read_listener(r, receive);
	add_senders(r, child(r, receive, "allowedFrom"));
	for (size_t i = 0; (n = item(r, child(r, receive, "users"), i)) != NULL; i++)
		add_senders(r, child(r, n, "allowedFrom"));
	if (from->sender.len)
		(void)add_sender(r, from->sender, (struct import_place){ SV("--sender"), 0 });
	read_users(r, child(r, receive, "users"));
	read_auth(r, receive);
	add_routes(r, root);
	note_rest(r, root);
	if (r->sender_count)
		r->im->qualify =
			sv_skip(r->senders[0], (size_t)(sv_rfind_char(r->senders[0], '@') + 1));
	return 0;
}

int setup_import_smtp2graph(
	struct setup_import *im, const struct setup_import_source *from, struct err *err)
{
	struct reader *r = xcalloc(1, sizeof(*r));
	yaml_parser_t parser;
	int rc;

	*im = (struct setup_import){ 0 };
	r->im = im;
	r->base = from->base;
	r->file = from->file.len ? from->file : SV("config.yml");
	must(yaml_parser_initialize(&parser) == 1);
	yaml_parser_set_input_string(
		&parser, (const unsigned char *)from->text.ptr, from->text.len);
	if (yaml_parser_load(&parser, &r->doc)) {
		rc = read_all(r, from, err);
		yaml_document_delete(&r->doc);
	} else {
		rc = err_set(err, RC_PARSE, "line %zu is not YAML", parser.problem_mark.line + 1);
	}
	yaml_parser_delete(&parser);
	free(r);
	return rc;
}
