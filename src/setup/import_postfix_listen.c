/* SPDX-License-Identifier: Apache-2.0 */
#include "base/limits.h"
#include "base/must.h"
#include "io/net.h"
#include "setup/import_postfix.h"

#include <stdio.h>

/* Where Postfix takes mail: master.cf's smtpd services, on inet_interfaces, for mynetworks. */
enum {
	PORT_MAX = 65535,
	MESSAGE_KB_MIN = 64,
	LISTS_MAX = 4, /* files in files of mynetworks */
};

/* ---- networks ---- */

struct networks {
	struct postfix *p;
	struct import_place at;
	unsigned depth;
};

static void take_networks(struct networks *x, struct sv list);

/* In a map the value does not matter to Postfix, but who writes REJECT there means it. */
static bool is_refusal(struct sv value)
{
	struct sv word = import_word(&value);

	return sv_eq_nocase(word, SV("reject")) || sv_eq_nocase(word, SV("no")) ||
	       sv_eq_nocase(word, SV("dunno")) || sv_eq_nocase(word, SV("defer")) ||
	       sv_eq_nocase(word, SV("discard"));
}

static void take_network_map(struct networks *x, struct sv map, bool closed)
{
	struct postfix_rows rows = { 0 };

	postfix_rows_of(x->p, "mynetworks", x->at, map, &rows);
	for (size_t i = 0; i < rows.count; i++) {
		const struct postfix_row *row = &rows.items[i];
		bool shut = closed || row->negated || is_refusal(row->value);

		if (row->kind == POSTFIX_ROW_ANY || row->kind == POSTFIX_ROW_EXPRESSION ||
			(row->conditional && !shut) ||
			!import_network(x->p->im, &x->p->networks, row->key, shut))
			import_note(x->p->im,
				SETUP_NOTE_LOST,
				row->at,
				"mynetworks: %.*s is no network with an address",
				SV_ARG(sv_head(row->key, 100)));
	}
}

static void take_network_file(struct networks *x, struct sv path)
{
	struct buf text = BUF_INIT(SETUP_IMPORT_FILE_MAX);
	struct sv rest, line;

	if (x->depth >= LISTS_MAX || x->p->from->read(x->p->from->arg, path, &text) != 0)
		import_note(x->p->im,
			SETUP_NOTE_LOST,
			x->at,
			"mynetworks: the file %.*s cannot be read",
			SV_ARG(sv_head(path, 200)));
	rest = buf_sv(&text);
	x->depth++;
	while (import_line(&rest, &line)) {
		struct sv item;

		(void)sv_cut_char(&line, '#', &item);
		take_networks(x, item);
	}
	x->depth--;
	buf_deinit(&text);
}

static void take_networks(struct networks *x, struct sv list)
{
	struct sv item;

	while (postfix_item(&list, &item)) {
		bool closed = sv_starts(item, SV("!"));
		ptrdiff_t colon;

		item = sv_skip(item, closed ? 1 : 0);
		colon = sv_find_char(item, ':');
		if (import_network(x->p->im, &x->p->networks, item, closed))
			continue;
		if (sv_starts(item, SV("/")) && !closed)
			take_network_file(x, item);
		else if (colon > 0 && item.ptr[0] != '[')
			take_network_map(x, item, closed);
		else
			import_note(x->p->im,
				SETUP_NOTE_LOST,
				x->at,
				"mynetworks: %s%.*s is left out: write its address",
				closed ? "!" : "",
				SV_ARG(sv_head(item, 100)));
	}
}

static void read_networks(
	struct postfix *p, const struct postfix_service *s, struct setup_listener *l)
{
	struct networks x = { .p = p, .at = postfix_at(p, s, "mynetworks") };
	struct sv style = postfix_get(p, s, "mynetworks_style");

	p->networks = (struct import_networks){ 0 };
	if (postfix_has(p, s, "mynetworks")) {
		take_networks(&x, postfix_get(p, s, "mynetworks"));
	} else if (style.len && !sv_eq(style, SV("host"))) {
		import_note(p->im,
			SETUP_NOTE_LOST,
			postfix_at(p, s, "mynetworks_style"),
			"mynetworks_style = %.*s: write the networks that may send into "
			"no_password_from; now only this machine may",
			SV_ARG(sv_head(style, 40)));
	}
	if (!p->networks.open_count && !postfix_has(p, s, "mynetworks"))
		(void)import_network(p->im, &p->networks, SV("127.0.0.0/8"), false);
	l->networks = import_networks_open(p->im, &p->networks, x.at, &l->network_count);
}

/* ---- one listener ---- */

static bool permits(struct postfix *p, const struct postfix_service *s, const char *what)
{
	static const char *const lists[] = { "smtpd_relay_restrictions",
		"smtpd_recipient_restrictions",
		"smtpd_client_restrictions" };
	bool any = false;

	for (size_t i = 0; i < COUNT_OF(lists); i++) {
		struct sv list = postfix_get(p, s, lists[i]), item;

		any = any || list.len;
		while (postfix_item(&list, &item))
			if (sv_eq(item, sv_from(what)))
				return true;
	}
	return !any;
}

static void note_idle(struct postfix *p, const struct postfix_service *s, const char *name)
{
	if (postfix_has(p, s, name))
		import_note(p->im,
			SETUP_NOTE_IDLE,
			postfix_at(p, s, name),
			"%s, since TLS is off at smtpd",
			name);
}

static void read_tls(struct postfix *p, const struct postfix_service *s, struct setup_listener *l)
{
	struct sv certificate = postfix_get(p, s, "smtpd_tls_cert_file");
	struct sv key = postfix_get(p, s, "smtpd_tls_key_file");
	struct sv chain = postfix_get(p, s, "smtpd_tls_chain_files");
	struct sv level = postfix_get(p, s, "smtpd_tls_security_level"), first;
	bool wrapped = postfix_is(p, s, "smtpd_tls_wrappermode", "yes");
	bool used = postfix_is(p, s, "smtpd_use_tls", "yes");
	bool enforced = postfix_is(p, s, "smtpd_enforce_tls", "yes");
	bool wanted = wrapped || used || enforced || sv_eq(level, SV("may")) ||
		      sv_eq(level, SV("encrypt"));

	if (chain.len && postfix_item(&chain, &first)) {
		/* Key and certificates in one file, the key first. */
		certificate = key = first;
		if (postfix_item(&chain, &first))
			certificate = first;
	}
	if (!certificate.len)
		certificate = postfix_get(p, s, "smtpd_tls_eccert_file");
	if (!key.len)
		key = postfix_get(p, s, "smtpd_tls_eckey_file");
	if (!key.len || sv_eq(key, SV("none")))
		key = certificate;
	if (!wanted) {
		note_idle(p, s, "smtpd_tls_cert_file");
		note_idle(p, s, "smtpd_tls_eccert_file");
		note_idle(p, s, "smtpd_tls_eckey_file");
		return;
	}
	if (!certificate.len || certificate.ptr[0] != '/' || key.ptr[0] != '/') {
		import_note(p->im,
			SETUP_NOTE_LOST,
			postfix_at(p,
				s,
				wrapped ? "smtpd_tls_wrappermode" : "smtpd_tls_security_level"),
			"TLS of the listener %.*s: there is no smtpd_tls_cert_file",
			SV_ARG(l->address));
		return;
	}
	l->tls = wrapped ? SV("implicit") : SV("starttls");
	l->certificate = import_keep(p->im, certificate);
	l->key = import_keep(p->im, key);
}

static void read_auth(struct postfix *p, const struct postfix_service *s, struct setup_listener *l)
{
	bool sasl = postfix_is(p, s, "smtpd_sasl_auth_enable", "yes");
	bool without = permits(p, s, "permit_mynetworks");

	if (without)
		read_networks(p, s, l);
	if (sasl)
		import_note(p->im,
			SETUP_NOTE_DIFFERENT,
			postfix_at(p, s, "smtpd_sasl_auth_enable"),
			"clients of the listener %.*s sign in; their passwords lie outside of "
			"Postfix: "
			"postern user add NAME for each, then auth: %s at this listener",
			SV_ARG(l->address),
			without ? "optional" : "required");
	if (!l->network_count) {
		struct sv *loopback = arena_alloc(&p->im->arena, sizeof(*loopback));

		*loopback = SV("127.0.0.0/8");
		l->networks = loopback;
		l->network_count = 1;
	}
}

static uint32_t number(
	struct postfix *p, const struct postfix_service *s, const char *name, uint32_t max)
{
	uint32_t n = 0;
	struct sv value = postfix_get(p, s, name);

	if (!value.len)
		return 0;
	if (sv_parse_u32(value, UINT32_MAX, &n) == 0 && n <= max)
		return n;
	import_note(p->im,
		SETUP_NOTE_LOST,
		postfix_at(p, s, name),
		"%s = %.*s: the most is %u",
		name,
		SV_ARG(sv_head(value, 40)),
		(unsigned)max);
	return max;
}

static void read_size(struct postfix *p, const struct postfix_service *s, struct setup_listener *l)
{
	struct sv value = postfix_get(p, s, "message_size_limit");
	uint64_t bytes = 0;

	if (!value.len)
		return;
	if (sv_parse_u64(value, UINT64_MAX / 2, &bytes) != 0 || bytes == 0 ||
		bytes > LIMIT_MESSAGE) {
		import_note(p->im,
			SETUP_NOTE_DIFFERENT,
			postfix_at(p, s, "message_size_limit"),
			"message_size_limit = %.*s: the most is 150 MB, as at Microsoft",
			SV_ARG(sv_head(value, 40)));
		return;
	}
	l->message_kb = (bytes + 1023) / 1024;
	if (l->message_kb < MESSAGE_KB_MIN)
		l->message_kb = MESSAGE_KB_MIN;
}

static void add(struct postfix *p, const struct postfix_service *s, struct sv address)
{
	struct setup_listener *l = &p->im->listeners[p->im->listener_count];

	for (size_t i = 0; i < p->im->listener_count; i++)
		if (sv_eq(p->im->listeners[i].address, address))
			return;
	if (p->im->listener_count == COUNT_OF(p->im->listeners)) {
		import_full(p->im, "listeners");
		return;
	}
	*l = (struct setup_listener){ .address = import_keep(p->im, address) };
	read_tls(p, s, l);
	read_auth(p, s, l);
	read_size(p, s, l);
	l->recipients = number(p, s, "smtpd_recipient_limit", LIMIT_RCPT);
	l->per_peer = number(p, s, "smtpd_client_connection_count_limit", 1000);
	p->im->listener_count++;
}

/* ---- where ---- */

static bool port_of(struct sv text, uint32_t *out_port)
{
	static const struct {
		struct sv name;
		uint32_t port;
	} names[] = { { SV_INIT("smtp"), 25 },
		{ SV_INIT("submission"), 587 },
		{ SV_INIT("smtps"), 465 },
		{ SV_INIT("submissions"), 465 },
		{ SV_INIT("urd"), 465 },
		{ SV_INIT("ssmtp"), 465 } };

	for (size_t i = 0; i < COUNT_OF(names); i++)
		if (sv_eq(text, names[i].name)) {
			*out_port = names[i].port;
			return true;
		}
	return sv_parse_u32(text, PORT_MAX, out_port) == 0 && *out_port > 0;
}

/* "10.0.0.5", "[::1]", "localhost": with a port. */
static void add_host(struct postfix *p, const struct postfix_service *s, struct sv host,
	uint32_t port, struct import_place at)
{
	char text[100];
	struct io_network n;

	if (host.len >= 2 && host.ptr[0] == '[')
		host = sv_make(host.ptr + 1, host.len - 2);
	if (sv_eq(host, SV("localhost")))
		host = SV("127.0.0.1");
	if (host.len > 60 || sv_find_char(host, '/') >= 0 || io_network_parse(host, &n) != 0) {
		import_note(p->im,
			SETUP_NOTE_LOST,
			at,
			"the listener on %.*s port %u: write it under listeners with its address",
			SV_ARG(sv_head(host, 100)),
			(unsigned)port);
		return;
	}
	(void)snprintf(text,
		sizeof(text),
		n.family == AF_INET6 ? "[%.*s]:%u" : "%.*s:%u",
		SV_ARG(host),
		(unsigned)port);
	add(p, s, sv_from(text));
}

static void add_everywhere(struct postfix *p, const struct postfix_service *s, uint32_t port)
{
	struct sv list = postfix_get(p, s, "inet_interfaces"), item;
	struct sv protocols = postfix_get(p, s, "inet_protocols");
	struct import_place at = postfix_at(p, s, "inet_interfaces");
	char text[32];

	if (sv_eq(list, SV("loopback-only"))) {
		if (!sv_eq(protocols, SV("ipv6")))
			add_host(p, s, SV("127.0.0.1"), port, at);
		else
			add_host(p, s, SV("::1"), port, at);
		return;
	}
	if (list.len && !sv_eq(list, SV("all"))) {
		while (postfix_item(&list, &item))
			if (!sv_eq(item, SV("loopback-only")))
				add_host(p, s, item, port, at);
			else
				add_host(p, s, SV("127.0.0.1"), port, at);
		return;
	}
	(void)snprintf(text,
		sizeof(text),
		sv_eq(protocols, SV("ipv4"))   ? "0.0.0.0:%u"
		: sv_eq(protocols, SV("ipv6")) ? "[::]:%u"
					       : "*:%u",
		(unsigned)port);
	add(p, s, sv_from(text));
}

static void add_service(struct postfix *p, const struct postfix_service *s)
{
	struct import_place at = { SV("master.cf"), s->line };
	ptrdiff_t colon = sv_rfind_char(s->name, ':');
	struct sv port = sv_skip(s->name, (size_t)(colon + 1));
	uint32_t n = 0;

	if (!port_of(port, &n))
		import_note(p->im,
			SETUP_NOTE_LOST,
			at,
			"the listener %.*s: its port is not known here",
			SV_ARG(sv_head(s->name, 100)));
	else if (colon >= 0)
		add_host(p, s, sv_head(s->name, (size_t)colon), n, at);
	else
		add_everywhere(p, s, n);
}

void postfix_listeners(struct postfix *p)
{
	for (size_t i = 0; i < p->service_count; i++) {
		const struct postfix_service *s = &p->services[i];

		if (sv_eq(s->type, SV("inet")) &&
			(sv_eq(s->command, SV("smtpd")) || sv_eq(s->command, SV("postscreen"))))
			add_service(p, s);
	}
	if (!p->has_master)
		add_everywhere(p, NULL, 25);
	else if (!p->im->listener_count)
		/* Read all the same, so that they are not told as left out. */
		import_note(p->im,
			SETUP_NOTE_DIFFERENT,
			(struct import_place){ SV("master.cf"), 0 },
			"no smtpd listens there, so there are no listeners: mail comes by sendmail "
			"only");
}
