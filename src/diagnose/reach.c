/* SPDX-License-Identifier: Apache-2.0 */
#include "diagnose/diagnose_priv.h"
#include "provider/defaults.h"

#include <errno.h>
#include <stdio.h>

/* Name and TCP. */

/* ---- names ---- */

struct lookup {
	struct diagnose *d;
	int rc;
	struct io_mx mx[IO_MX_MAX];
	size_t mx_count;
};

static void on_mx(void *arg, int rc, const struct io_mx *mx, size_t count)
{
	struct lookup *l = arg;

	l->rc = rc;
	l->mx_count = rc == 0 ? count : 0;
	if (l->mx_count)
		memcpy(l->mx, mx, l->mx_count * sizeof(*mx));
	diagnose_done(l->d);
}

static void on_host(void *arg, int rc, const struct io_address *addresses, size_t count)
{
	struct lookup *l = arg;
	struct diagnose *d = l->d;

	l->rc = rc;
	d->address_count = rc != 0                          ? 0
			   : count < COUNT_OF(d->addresses) ? count
							    : COUNT_OF(d->addresses);
	if (d->address_count)
		memcpy(d->addresses, addresses, d->address_count * sizeof(*addresses));
	diagnose_done(d);
}

static void say_unresolved(struct diagnose *d, const char *step, struct sv name, int rc)
{
	if (rc == RC_NO_NAME)
		diagnose_say(d,
			step,
			DIAGNOSE_FAIL,
			CAUSE_NAME_UNKNOWN,
			"the name %.*s does not exist",
			SV_ARG(name));
	else
		diagnose_say(d,
			step,
			DIAGNOSE_FAIL,
			CAUSE_DNS_BROKEN,
			"the name servers of this machine did not tell about %.*s: %s",
			SV_ARG(name),
			rc_text(rc));
}

static bool find_exchanger(struct diagnose *d)
{
	struct lookup l = { .d = d, .rc = RC_TIMEOUT };
	/* Any other name is nobody's word: the record is not signed (outbound/connection_smtp.c). */
	bool known = false,
	     trusted = d->lane->tls == SMTP_CLIENT_TLS_NONE || d->lane->ca_file.len > 0;
	struct io_resolve *q;
	struct sv host = SV("");

	diagnose_begin(d, "mail exchanger");
	q = io_resolve_mx(d->resolver, d->lane->mx_of, on_mx, &l);
	if (!diagnose_wait(d))
		io_resolve_cancel(q);
	if (l.mx_count == 0) {
		say_unresolved(d, "mail exchanger", d->lane->mx_of, l.rc);
		return false;
	}
	for (size_t i = 0; i < l.mx_count && !known; i++) {
		known = provider_is_exchanger(sv_from(l.mx[i].host));
		host = sv_from(l.mx[known ? i : 0].host);
	}
	d->host = arena_sv(&d->arena, host);
	if (known)
		diagnose_say(d,
			"mail exchanger",
			DIAGNOSE_OK,
			CAUSE_NONE,
			"%.*s: %.*s",
			SV_ARG(d->lane->mx_of),
			SV_ARG(host));
	else
		diagnose_say(d,
			"mail exchanger",
			trusted ? DIAGNOSE_WARN : DIAGNOSE_FAIL,
			CAUSE_EXCHANGER_NOT_MICROSOFT,
			"%.*s: %.*s, which is not Microsoft's: a filter in front of it?",
			SV_ARG(d->lane->mx_of),
			SV_ARG(host));
	return known || trusted;
}

static void say_addresses(struct diagnose *d)
{
	char text[IO_ADDRESS_TEXT_MAX];
	char all[600] = "";
	size_t at = 0;

	for (size_t i = 0; i < d->address_count && at < sizeof(all) - IO_ADDRESS_TEXT_MAX - 3; i++)
		at += (size_t)snprintf(all + at,
			sizeof(all) - at,
			"%s%s",
			i ? ", " : "",
			io_address_text(&d->addresses[i].any, text));
	diagnose_say(d, "name", DIAGNOSE_OK, CAUSE_NONE, "%.*s: %s", SV_ARG(d->host), all);
}

bool diagnose_names(struct diagnose *d)
{
	struct lookup l = { .d = d, .rc = RC_TIMEOUT };
	struct io_resolve *q;

	d->host = d->lane->host;
	if (d->lane->mx_of.len && !find_exchanger(d))
		return false;
	diagnose_begin(d, "name");
	q = io_resolve_host(d->resolver, d->host, d->lane->port, on_host, &l);
	if (!diagnose_wait(d))
		io_resolve_cancel(q);
	if (d->address_count == 0) {
		say_unresolved(d, "name", d->host, l.rc == 0 ? RC_NO_NAME : l.rc);
		return false;
	}
	say_addresses(d);
	return true;
}

/* ---- TCP ---- */

struct attempt {
	struct attempts *all;
	struct io_stream *stream;
	bool is_up, has_failed;
	int rc;
};
struct attempts {
	struct diagnose *d;
	struct attempt one[LIMIT_HOST_ADDRESSES];
	size_t count, open;
};

static void on_stream(void *arg, enum io_stream_event event)
{
	struct attempt *a = arg;

	if (a->is_up || a->has_failed)
		return;
	if (event == IO_STREAM_CONNECTED) {
		a->is_up = true;
		/* Its greeting is for whoever takes it. */
		io_stream_pause(a->stream);
	} else if (event == IO_STREAM_FAILED) {
		a->has_failed = true;
		a->rc = io_stream_error(a->stream)->code;
	} else {
		return;
	}
	if (--a->all->open == 0)
		diagnose_done(a->all->d);
}

static void start_all(struct attempts *all)
{
	const struct conf_lane *l = all->d->lane;

	for (size_t i = 0; i < all->count; i++) {
		const struct io_address *to = &all->d->addresses[i];
		struct attempt *a = &all->one[i];

		a->all = all;
		a->rc = RC_TIMEOUT;
		a->stream = l->source.len ? io_stream_connect_from(all->d->loop,
						    &l->source.any,
						    &to->any,
						    to->len,
						    on_stream,
						    a)
					  : io_stream_connect(
						    all->d->loop, &to->any, to->len, on_stream, a);
	}
}

static void say_unreachable(struct diagnose *d, const struct attempts *all)
{
	unsigned port = d->lane->port;
	int rc = all->one[0].rc;
	bool timed_out = rc == RC_TIMEOUT || rc == -ETIMEDOUT;
	bool mail_port = port == 25 || port == 587;

	/* One that refuses says more than those that are silent. */
	for (size_t i = 0; i < all->count; i++)
		if (all->one[i].rc == -ECONNREFUSED)
			rc = -ECONNREFUSED;
	if (rc == -ENETUNREACH || rc == -EHOSTUNREACH)
		diagnose_say(d,
			"connect",
			DIAGNOSE_FAIL,
			CAUSE_NO_WAY,
			"no way leads from here to %.*s: %s",
			SV_ARG(d->host),
			rc_text(rc));
	else if (rc == -ECONNREFUSED && !mail_port)
		diagnose_say(d,
			"connect",
			DIAGNOSE_FAIL,
			CAUSE_WRONG_PORT,
			"nothing listens on port %u of %.*s: a wrong port",
			port,
			SV_ARG(d->host));
	else if (rc == -ECONNREFUSED || timed_out)
		diagnose_say(d,
			"connect",
			DIAGNOSE_FAIL,
			port == 465 ? CAUSE_WRONG_PORT : CAUSE_PORT_BLOCKED,
			"port %u of %.*s %s: %s",
			port,
			SV_ARG(d->host),
			rc == -ECONNREFUSED ? "refuses" : "does not answer within 10 seconds",
			port == 465 ? "Microsoft 365 does not offer it"
			: mail_port
				? "a firewall, or the provider of this network, blocks outgoing "
				  "mail"
				: "a firewall is in between, or the port is wrong");
	else
		diagnose_say(d,
			"connect",
			DIAGNOSE_FAIL,
			CAUSE_NO_CONNECTION,
			"%.*s cannot be connected to: %s",
			SV_ARG(d->host),
			rc_text(rc));
}

static void say_connected(struct diagnose *d, const struct attempts *all, size_t up)
{
	char text[IO_ADDRESS_TEXT_MAX];

	if (up == all->count) {
		diagnose_say(d,
			"connect",
			DIAGNOSE_OK,
			CAUSE_NONE,
			"port %u answers%s",
			(unsigned)d->lane->port,
			up > 1 ? " at all addresses" : "");
		return;
	}
	for (size_t i = 0; i < all->count; i++) {
		const struct attempt *a = &all->one[i];

		if (a->is_up)
			continue;
		diagnose_say(d,
			"connect",
			DIAGNOSE_WARN,
			CAUSE_SOME_ADDRESSES_DEAD,
			"%zu of %zu addresses answer; %s does not: %s%s",
			up,
			all->count,
			io_address_text(&d->addresses[i].any, text),
			rc_text(a->rc),
			d->addresses[i].any.sa_family == AF_INET6
				? " (this machine has no way by IPv6?)"
				: "");
		return;
	}
}

/* Between two owners. */
static void nobody(void *arg, enum io_stream_event event)
{
	(void)arg;
	(void)event;
}

bool diagnose_connect(struct diagnose *d, bool quiet)
{
	struct attempts all = { .d = d, .count = d->address_count, .open = d->address_count };
	size_t up = 0;

	diagnose_begin(d, "connect");
	start_all(&all);
	(void)diagnose_wait(d);
	for (size_t i = 0; i < all.count; i++) {
		struct attempt *a = &all.one[i];

		if (a->is_up && up++ == 0) {
			d->stream = a->stream;
			io_stream_set_owner(d->stream, nobody, NULL);
		} else {
			io_stream_free(a->stream);
		}
	}
	if (up && !quiet)
		say_connected(d, &all, up);
	else if (!up)
		say_unreachable(d, &all);
	return up > 0;
}
