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
	struct sv base;
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

/* A mailbox that Graph sends from; its name, or empty when it is no address. */
static struct sv add_sender(struct reader *r, struct sv text)
{
	char lower[LIMIT_ADDRESS];
	struct sv address;
	struct setup_account *a;

	if (!setup_address(import_trim(text), lower, &address)) {
		import_note(r->im, "allowedFrom: an entry that is no address is left out");
		return SV("");
	}
	for (size_t i = 0; i < r->sender_count; i++)
		if (sv_eq(r->senders[i], address))
			return r->senders[i];
	if (r->sender_count == SETUP_IMPORT_MAX)
		return SV("");
	a = &r->im->accounts[r->im->account_count++];
	*a = (struct setup_account){ .name = import_keep(r->im, address),
		.provider = SV("graph"),
		.tenant = r->im->app.tenant,
		.app = true };
	a->address = a->name;
	a->login = a->name;
	r->senders[r->sender_count++] = a->name;
	return a->name;
}

static void add_senders(struct reader *r, const yaml_node_t *list)
{
	const yaml_node_t *n;

	for (size_t i = 0; (n = item(r, list, i)) != NULL; i++)
		(void)add_sender(r, scalar(n));
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

static int read_app(struct reader *r, const yaml_node_t *root, struct err *err)
{
	const yaml_node_t *reg = child(r, child(r, root, "send"), "appReg");
	struct sv tenant = text_at(r, reg, "tenant"), label, rest = tenant;
	struct setup_app *a = &r->im->app;
	struct buf id = BUF_INIT(LIMIT_DOMAIN);
	bool whole = sv_find_char(tenant, '.') >= 0 || tenant.len == 36;
	const yaml_node_t *certificate = child(r, reg, "certificate");
	int rc = buf_printf(&id, "%.*s%s", SV_ARG(tenant), whole ? "" : ".onmicrosoft.com");

	a->id = rc == 0 ? import_keep(r->im, buf_sv(&id)) : SV("");
	buf_deinit(&id);
	a->client_id = import_keep(r->im, text_at(r, reg, "id"));
	if (!tenant.len || !a->id.len || !a->client_id.len)
		return err_set(err, RC_PARSE, "it has no send: appReg: with tenant and id");
	(void)sv_cut_char(&rest, '.', &label);
	a->tenant = import_keep(r->im, sv_head(label, 60));
	if (text_at(r, reg, "secret").len)
		a->secret_file = import_secret(r->im, a->tenant, text_at(r, reg, "secret"), false);
	else if (text_at(r, certificate, "privateKeyPath").len) {
		a->key = path_at(r, certificate, "privateKeyPath");
		a->certificate = SV("/etc/postern/app.pem");
		import_note(r->im,
			"the certificate itself, of which SMTP2Graph knows the thumbprint only: "
			"put it "
			"(PEM) where certificate: says");
	}
	return 0;
}

static void read_listener(struct reader *r, const yaml_node_t *receive)
{
	struct sv where = text_at(r, receive, "listenAddress"), port = text_at(r, receive, "port");
	struct buf listen = BUF_INIT(100);
	const yaml_node_t *n;
	bool v6 = sv_find_char(where, ':') >= 0;

	if (buf_printf(&listen,
		    v6 ? "[%.*s]:%.*s" : "%.*s:%.*s",
		    SV_ARG(where.len ? where : SV("*")),
		    SV_ARG(port.len ? port : SV("25"))) == 0)
		r->im->listen = import_keep(r->im, buf_sv(&listen));
	buf_deinit(&listen);
	r->im->certificate = path_at(r, receive, "tlsCertPath");
	r->im->key = path_at(r, receive, "tlsKeyPath");
	r->im->auth_required = sv_eq_nocase(text_at(r, receive, "requireAuth"), SV("true"));
	for (size_t i = 0; (n = item(r, child(r, receive, "ipWhitelist"), i)) != NULL; i++)
		if (!r->im->auth_required)
			import_network(r->im, scalar(n));
	if (!r->im->auth_required && !r->im->network_count) {
		import_network(r->im, SV("127.0.0.0/8"));
		import_note(r->im,
			"that everybody may send without a password: write the networks into "
			"no_password_from, now only this machine may");
	}
	if (r->im->auth_required && child(r, receive, "ipWhitelist"))
		import_note(r->im,
			"ipWhitelist: with requireAuth all must sign in; close other networks "
			"in the firewall");
	for (size_t i = 0; (n = item(r, child(r, receive, "users"), i)) != NULL; i++)
		add_senders(r, child(r, n, "allowedFrom"));
	add_senders(r, child(r, receive, "allowedFrom"));
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

		if (r->im->user_count == SETUP_IMPORT_MAX || !text_at(r, n, "username").len)
			break;
		*u = (struct setup_user){ .name = import_keep(r->im, text_at(r, n, "username")),
			.senders = senders };
		for (size_t j = 0; (k = item(r, from, j)) != NULL && j < SETUP_IMPORT_MAX; j++) {
			one = add_sender(r, scalar(k));
			if (one.len)
				senders[u->sender_count++] = one;
		}
		for (size_t j = 0; j < r->sender_count && !from; j++)
			senders[u->sender_count++] = r->senders[j];
		u->secret_file = import_secret(r->im, u->name, text_at(r, n, "password"), true);
		if (u->secret_file.len && u->sender_count)
			r->im->user_count++;
	}
}

static void note_the_rest(struct reader *r, const yaml_node_t *root)
{
	static const char *const receive[] = {
		"allowedRcpt", "rateLimit", "authLimit", "banner", "maxSize"
	};
	const yaml_node_t *map = child(r, root, "receive");

	for (size_t i = 0; i < COUNT_OF(receive); i++)
		if (child(r, map, receive[i]))
			import_note(r->im, "receive: %s of config.yml", receive[i]);
	if (child(r, map, "allowInsecureAuth") &&
		sv_eq_nocase(text_at(r, map, "allowInsecureAuth"), SV("true")))
		import_note(r->im,
			"allowInsecureAuth: passwords without TLS: postern wants plaintext_auth: "
			"true at "
			"the listener for that");
	if (text_at(r, root, "mode").len && !sv_eq(text_at(r, root, "mode"), SV("full")))
		import_note(r->im, "mode: postern both takes and sends mail");
}

static int read_all(struct reader *r, const struct setup_import_source *from, struct err *err)
{
	const yaml_node_t *root = yaml_document_get_root_node(&r->doc);
	int rc = read_app(r, root, err);

	if (rc != 0)
		return rc;
	read_listener(r, child(r, root, "receive"));
	if (from->sender.len)
		(void)add_sender(r, from->sender);
	read_users(r, child(r, child(r, root, "receive"), "users"));
	note_the_rest(r, root);
	if (!r->sender_count)
		return err_set(err,
			RC_PARSE,
			"it lets any mailbox send and names none: add --sender ADDRESS for one "
			"that "
			"does");
	import_rule(r->im, SV(""), SV("sender"));
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
	must(yaml_parser_initialize(&parser) == 1);
	yaml_parser_set_input_string(
		&parser, (const unsigned char *)from->text.ptr, from->text.len);
	if (yaml_parser_load(&parser, &r->doc)) {
		rc = read_all(r, from, err);
		yaml_document_delete(&r->doc);
	} else {
		rc = err_set(err, RC_PARSE, "line %zu is no YAML", parser.problem_mark.line + 1);
	}
	yaml_parser_delete(&parser);
	free(r);
	return rc;
}
