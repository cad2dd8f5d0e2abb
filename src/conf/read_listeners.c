/* SPDX-License-Identifier: Apache-2.0 */
#include "base/must.h"
#include "conf/conf_priv.h"

#include <netinet/in.h>

/*
 * Listeners, and with them the question that decides whether the relay is an open one: who may send
 * without a password? Nothing is open by default but loopback, and what is opened is said aloud.
 */
enum {
	RCPT_DEFAULT = 1000,
	PER_PEER_DEFAULT = 100,
	UNIX_MODE_DEFAULT = 0666,
	SYSTEMD_PREFIX_LEN = 8,
};

static const char *const tls_words[] = { "none", "starttls", "required", "implicit", NULL };
static_assert(CONF_TLS_NONE == 0 && CONF_TLS_STARTTLS == 1 && CONF_TLS_REQUIRED == 2 &&
		      CONF_TLS_IMPLICIT == 3,
	"order of tls_words");
static const char *const auth_words[] = { "off", "optional", "required", NULL };

static void read_listen_address(struct conf_load *ld, const struct conf_node *value, void *out)
{
	struct conf_listener *l = out;
	struct sv text = value->text;

	if (!conf_is_text(ld, value))
		return;
	if (sv_starts(text, SV("systemd:"))) {
		struct sv name = sv_skip(text, SYSTEMD_PREFIX_LEN);

		if (!conf_name_ok(name, "")) {
			conf_error(ld,
				value,
				"address: must be systemd:NAME with the FileDescriptorName= of the "
				"socket unit");
			return;
		}
		l->systemd = true;
		l->name = conf_keep(ld, name);
		return;
	}
	if (io_address_parse(text, &l->address) != 0) {
		conf_error(ld,
			value,
			"address: must be a numeric address with a port from 1 to 65535 "
			"(127.0.0.1:25, \"[::1]:25\", \"*:587\"), "
			"unix:/PATH or systemd:NAME");
		return;
	}
	if (l->address.any.sa_family != AF_UNIX && l->address.v4.sin_port == 0)
		conf_warn(ld,
			value,
			"address: port 0 lets the system choose one that nobody knows: write the "
			"port");
	l->name = conf_keep(ld, text);
}

struct network_list {
	const struct io_network *items;
	size_t count;
};

static bool read_network(struct conf_load *ld, const struct conf_node *n, const char *key,
	struct io_network *out_network)
{
	if (!conf_is_text(ld, n))
		return false;
	if (io_network_parse(n->text, out_network) == 0)
		return true;
	conf_error(ld, n, "%s: must be networks like 10.0.0.0/8, \"::1/128\" or 192.0.2.7", key);
	return false;
}

void conf_read_networks(
	struct conf_load *ld, const struct conf_node *value, const char *key, void *out)
{
	struct network_list *list = out;
	struct io_network *items;
	size_t count = 0;

	if (value->kind == CONF_NODE_SCALAR && !conf_is_absent(value)) {
		items = arena_alloc(&ld->conf->arena, sizeof(*items));
		if (read_network(ld, value, key, items))
			*list = (struct network_list){ items, 1 };
		return;
	}
	if (!conf_is_list(ld, value))
		return;
	for (const struct conf_node *n = value->first; n; n = n->next)
		count++;
	items = arena_alloc(&ld->conf->arena, (count + 1) * sizeof(*items));
	count = 0;
	for (const struct conf_node *n = value->first; n; n = n->next)
		if (read_network(ld, n, key, &items[count]))
			count++;
	*list = (struct network_list){ items, count };
}

static void read_no_password_from(struct conf_load *ld, const struct conf_node *value, void *out)
{
	conf_read_networks(ld, value, "no_password_from", out);
}

static_assert(offsetof(struct conf_listener, no_password_count) ==
		      offsetof(struct conf_listener, no_password_from) +
			      sizeof(const struct io_network *),
	"conf_read_networks() writes a pointer and the count behind it");

static void read_mode(struct conf_load *ld, const struct conf_node *value, void *out)
{
	unsigned *mode = out, n = 0;

	if (!conf_is_text(ld, value))
		return;
	for (size_t i = 0; i < value->text.len; i++) {
		char c = value->text.ptr[i];

		if (c < '0' || c > '7' || value->text.len > 4 || n > 0777) {
			n = 01000;
			break;
		}
		n = n * 8 + (unsigned)(c - '0');
	}
	if (n == 0 || n > 0777)
		conf_error(ld,
			value,
			"mode: must be the permissions of the socket in octal, like \"0660\"");
	else
		*mode = n;
}

#define AT(member) .offset = offsetof(struct conf_listener, member)

static const struct conf_field listener_fields[] = {
	{ .name = SV_INIT("address"),
		.type = CONF_TYPE_READ,
		.flags = CONF_REQUIRED,
		.read = read_listen_address },
	{ .name = SV_INIT("tls"), .type = CONF_TYPE_CHOICE, AT(tls), .words = tls_words },
	{ .name = SV_INIT("certificate"),
		.type = CONF_TYPE_PATH,
		.flags = CONF_EXISTS,
		AT(certificate) },
	{ .name = SV_INIT("key"), .type = CONF_TYPE_SECRET, .flags = CONF_EXISTS, AT(key) },
	{ .name = SV_INIT("legacy_tls"), .type = CONF_TYPE_BOOL, AT(legacy_tls) },
	{ .name = SV_INIT("auth"), .type = CONF_TYPE_CHOICE, AT(auth), .words = auth_words },
	{ .name = SV_INIT("plaintext_auth"), .type = CONF_TYPE_BOOL, AT(plaintext_auth) },
	{ .name = SV_INIT("no_password_from"),
		.type = CONF_TYPE_READ,
		AT(no_password_from),
		.read = read_no_password_from },
	{ .name = SV_INIT("message_size"),
		.type = CONF_TYPE_SIZE,
		AT(message_bytes_max),
		.min = 65536,
		.max = LIMIT_MESSAGE },
	{ .name = SV_INIT("recipients"),
		.type = CONF_TYPE_U32,
		AT(rcpt_max),
		.min = 1,
		.max = LIMIT_RCPT },
	{ .name = SV_INIT("connections"),
		.type = CONF_TYPE_U32,
		AT(connections_max),
		.min = 1,
		.max = 1000000 },
	{ .name = SV_INIT("connections_per_peer"),
		.type = CONF_TYPE_U32,
		AT(connections_per_peer_max),
		.min = 1,
		.max = 1000000 },
	{ .name = SV_INIT("idle"),
		.type = CONF_TYPE_DURATION,
		AT(idle_us_max),
		.min = US_PER_S,
		.max = US_PER_HOUR },
	{ .name = SV_INIT("mode"), .type = CONF_TYPE_READ, AT(unix_mode), .read = read_mode },
	CONF_CLASS_FIELD(struct conf_listener, class),
	CONF_FIELDS_END,
};

static bool is_loopback(const struct conf_listener *l)
{
	return !l->systemd && io_address_is_loopback(&l->address.any);
}

static bool is_unix(const struct conf_listener *l)
{
	return !l->systemd && l->address.any.sa_family == AF_UNIX;
}

/* A part of one listener's check: the map, what was given in it, and the listener so far. */
struct listening {
	struct conf_load *ld;
	const struct conf_node *map;
	const struct conf_seen *seen;
	struct conf_listener *l;
};

static const struct conf_node *given(const struct listening *x, const char *name)
{
	return conf_given(listener_fields, x->seen, name);
}

static void check_tls(const struct listening *x)
{
	const struct conf_node *certificate = given(x, "certificate");
	const struct conf_node *key = given(x, "key");
	const struct conf_node *tls = given(x, "tls");

	/* Whoever has a certificate means TLS. On loopback nobody listens in between. */
	if (!tls && (certificate || key) && !is_unix(x->l)) {
		x->l->tls = is_loopback(x->l) ? CONF_TLS_STARTTLS : CONF_TLS_REQUIRED;
		tls = certificate ? certificate : key;
	}
	if (x->l->tls == CONF_TLS_NONE) {
		if (certificate || key)
			conf_error(x->ld,
				certificate ? certificate : key,
				"certificate and key are of no use without TLS: add tls: required "
				"(port 587) or tls: implicit (port 465), or remove them");
		return;
	}
	if (!certificate)
		conf_error(x->ld,
			tls,
			"tls: needs a certificate: add certificate: /PATH with the PEM chain");
	if (!key)
		conf_error(x->ld, tls, "tls: needs a private key: add key: file:/PATH");
	else if (x->l->key.kind != CONF_SECRET_FILE)
		conf_error(x->ld, key, "key: must be a file: write file:/PATH");
}

static bool somebody_signs_in(const struct conf *c)
{
	for (size_t i = 0; i < c->user_count; i++)
		if (!c->users[i].local)
			return true;
	return false;
}

static void check_auth(const struct listening *x)
{
	struct conf_listener *l = x->l;
	const struct conf_node *plaintext = given(x, "plaintext_auth");
	const struct conf_node *auth = given(x, "auth");

	if (plaintext && l->plaintext_auth && l->tls == CONF_TLS_REQUIRED)
		conf_error(x->ld,
			plaintext,
			"plaintext_auth: contradicts tls: required: remove it, or write tls: "
			"starttls");
	if (l->auth == CONF_AUTH_OFF) {
		if (plaintext)
			conf_error(x->ld,
				plaintext,
				"plaintext_auth: has no meaning without auth: add auth: required, "
				"or remove it");
		return;
	}
	if (!somebody_signs_in(x->ld->conf) && !x->ld->incomplete)
		conf_error(x->ld,
			auth,
			"auth: there are no users who could sign in: add some with `postern user "
			"add` and list them under users");
	/* On loopback nobody listens in between. With TLS on offer, the password waits for it. */
	if (!plaintext && l->tls == CONF_TLS_NONE && is_loopback(l))
		l->plaintext_auth = true;
	if (l->tls == CONF_TLS_NONE && !l->plaintext_auth)
		conf_error(x->ld,
			auth,
			"auth: passwords would cross the network in the clear: add tls: required "
			"with a certificate, "
			"or write plaintext_auth: true when the network is trusted");
	else if (plaintext && l->plaintext_auth && l->tls != CONF_TLS_IMPLICIT &&
		 l->tls != CONF_TLS_REQUIRED && !is_loopback(l))
		conf_warn(x->ld,
			plaintext,
			"plaintext_auth: passwords cross the network in the clear: prefer tls: "
			"required without plaintext_auth");
}

static void default_networks(const struct listening *x)
{
	struct io_network *n = arena_alloc(&x->ld->conf->arena, 2 * sizeof(*n));

	must(io_network_parse(SV("127.0.0.0/8"), &n[0]) == 0);
	must(io_network_parse(SV("::1"), &n[1]) == 0);
	x->l->no_password_from = n;
	x->l->no_password_count = 2;
}

/* TLS that everybody can break is spoken where only our own devices can reach it. */
static void check_legacy_tls(const struct listening *x)
{
	const struct conf_listener *l = x->l;
	const struct conf_node *at = given(x, "legacy_tls");
	struct io_network n = { .family = l->address.any.sa_family, .bits = 128 };

	if (!l->legacy_tls)
		return;
	if (l->tls == CONF_TLS_NONE)
		conf_error(x->ld,
			at,
			"legacy_tls: needs TLS: add tls: starttls or tls: implicit, with "
			"certificate and key");
	if (l->auth != CONF_AUTH_OFF)
		conf_error(x->ld,
			at,
			"legacy_tls: passwords are not safe in such TLS: remove auth, the devices "
			"are known by their addresses");
	if (given(x, "no_password_from"))
		conf_error(x->ld,
			given(x, "no_password_from"),
			"no_password_from: a listener with legacy_tls is for devices with tls: "
			"legacy only: remove it");
	if (l->systemd || is_unix(l)) {
		conf_error(x->ld,
			at,
			"legacy_tls: needs a listener with an address of a private network, like "
			"10.0.5.1:465");
		return;
	}
	if (l->address.any.sa_family == AF_INET) {
		memcpy(n.bytes, &l->address.v4.sin_addr, 4);
		n.bits = 32;
	} else {
		memcpy(n.bytes, &l->address.v6.sin6_addr, 16);
	}
	if (!conf_network_is_private(&n))
		conf_error(x->ld,
			given(x, "address"),
			"address: legacy_tls is possible on an address of a private network only, "
			"and this is a public one or all of them: write the machine's own, like "
			"10.0.5.1:465");
}

static void check_public(const struct listening *x, const struct conf_node *n)
{
	struct io_network network;

	if (n->kind != CONF_NODE_SCALAR || io_network_parse(n->text, &network) != 0 ||
		conf_network_is_private(&network) ||
		network.bits == (network.family == AF_INET ? 32 : 128))
		return;
	conf_error(x->ld,
		n,
		"no_password_from: %.*s is not a private network, and anybody in it could send "
		"without a password: list single addresses of your own machines, or private "
		"networks like 10.0.0.0/8, and ask all others for a password (auth: optional)",
		SV_ARG(n->text));
}

/* Spam finds an open relay within hours; what nobody outside can reach may say what it likes. */
static void check_public_networks(const struct listening *x, const struct conf_node *networks)
{
	if (is_loopback(x->l) || is_unix(x->l))
		return;
	if (networks->kind == CONF_NODE_SCALAR)
		check_public(x, networks);
	else if (networks->kind == CONF_NODE_LIST)
		for (const struct conf_node *n = networks->first; n; n = n->next)
			check_public(x, n);
}

/* The rule: nothing given and no password means loopback and devices only. */
static void check_networks(const struct listening *x)
{
	const struct conf_node *networks = given(x, "no_password_from");
	struct conf_listener *l = x->l;

	if (l->auth == CONF_AUTH_REQUIRED) {
		if (networks && l->no_password_count)
			conf_error(x->ld,
				networks,
				"no_password_from: contradicts auth: required: write auth: "
				"optional, or remove it");
		return;
	}
	if (networks) {
		if (l->auth == CONF_AUTH_OFF && l->no_password_count == 0 && !is_unix(l))
			conf_error(x->ld,
				networks,
				"no_password_from: is empty and auth is off, so nobody could send: "
				"list networks, or add auth: required");
		check_public_networks(x, networks);
		return;
	}
	if (l->auth == CONF_AUTH_OFF && !l->systemd && !is_loopback(l) &&
		!x->ld->conf->device_count && !x->ld->incomplete) {
		conf_error(x->ld,
			x->map,
			"this listener is reachable from the network and asks for no password: add "
			"auth: required "
			"(with users), no_password_from: with the networks that may send without "
			"one, or devices");
		return;
	}
	if (!l->legacy_tls)
		default_networks(x);
}

static void check_numbers(const struct listening *x)
{
	struct conf_listener *l = x->l;
	bool local = l->systemd || is_loopback(l);

	if (!l->connections_max)
		l->connections_max = x->ld->conf->general.inbound_connections_max;
	if (!l->connections_per_peer_max)
		l->connections_per_peer_max = local || l->connections_max < PER_PEER_DEFAULT
						      ? l->connections_max
						      : PER_PEER_DEFAULT;
	if (l->connections_per_peer_max > l->connections_max)
		conf_error(x->ld,
			given(x, "connections_per_peer") ? given(x, "connections_per_peer")
							 : x->map,
			"connections_per_peer: is more than the %u connections of the listener: "
			"lower it",
			l->connections_max);
	if (given(x, "mode") && !is_unix(l))
		conf_error(x->ld, given(x, "mode"), "mode: is for unix: sockets only: remove it");
}

static void check_twice(const struct listening *x)
{
	const struct conf *c = x->ld->conf;

	for (size_t i = 0; i < c->listener_count; i++) {
		const struct conf_listener *other = &c->listeners[i];

		if (other->systemd == x->l->systemd && sv_eq(other->name, x->l->name))
			conf_error(x->ld,
				given(x, "address"),
				"address: another listener has it already (%s line %u): remove one "
				"of them",
				other->place.file,
				other->place.line);
	}
}

static void read_listener(struct conf_load *ld, const struct conf_node *map)
{
	struct conf *c = ld->conf;
	struct conf_seen seen = { 0 };
	struct conf_listener l = {
		.unix_mode = UNIX_MODE_DEFAULT,
		.message_bytes_max = LIMIT_MESSAGE,
		.rcpt_max = RCPT_DEFAULT,
		.idle_us_max = 5 * US_PER_MIN, /* RFC 5321 4.5.3.2.7 */
		.place = conf_place_of(ld, map),
	};
	const struct listening x = { ld, map, &seen, &l };

	if (c->listener_count >= CONF_LISTENERS_MAX) {
		conf_error(ld, map, "listeners: there are more than %d", CONF_LISTENERS_MAX);
		return;
	}
	if (conf_read_map(ld, map, listener_fields, &l, &seen)) {
		check_tls(&x);
		check_auth(&x);
		check_legacy_tls(&x);
		check_networks(&x);
		check_numbers(&x);
		check_twice(&x);
	}
	if (!l.name.len)
		return;
	c->listeners = conf_grow(c->listeners, c->listener_count, sizeof(*c->listeners));
	c->listeners[c->listener_count++] = l;
}

void conf_read_listeners(struct conf_load *ld)
{
	for (size_t i = 0; i < ld->section_count[CONF_SECTION_LISTENERS]; i++) {
		const struct conf_node *list = ld->sections[CONF_SECTION_LISTENERS][i];

		if (conf_is_list(ld, list))
			for (const struct conf_node *n = list->first; n; n = n->next)
				read_listener(ld, n);
	}
}
