/* SPDX-License-Identifier: Apache-2.0 */
#include "base/must.h"
#include "inbound/inbound_priv.h"
#include "io/log.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

/*
 * Who may take what (limit/account.h): the principals of a connection, and the answer at accept(), before
 * a byte is read and before TLS. Everything later pays from the same accounts.
 */
enum {
	/* One address, uid, user or device alone gets at most three quarters of everything, one listener
	 * seven eighths: the rest is the reserve of all others. */
	SHARE_PEER = 3,
	SHARE_LISTENER = 7,
	/* A client that has said QUIT and does not close keeps its descriptor for CLOSE_S. */
	LINGER_FACTOR = 2,
	/* So much more than now was in use: worth giving it back to the kernel. */
	MEMORY_STEP = 4 << 20,
};
#define MEMORY_LOOK_US (2 * US_PER_S)

/* ---- principals ---- */

static struct sv key_of(const char *kind, struct sv name, char out[PRINCIPAL_MAX])
{
	int n = snprintf(out,
		PRINCIPAL_MAX,
		"%s/%.*s",
		kind,
		SV_ARG(sv_head(name, PRINCIPAL_MAX - sizeof("listener/"))));

	return sv_make(out, (size_t)n);
}

struct sv principal_peer(const struct sockaddr *peer, unsigned uid, char out[PRINCIPAL_MAX])
{
	char text[IO_ADDRESS_TEXT_MAX];

	if (peer->sa_family != AF_UNIX)
		return key_of("ip", sv_from(io_address_site(peer, text)), out);
	(void)snprintf(text, sizeof(text), "%u", uid);
	return key_of("uid", sv_from(text), out);
}

void principal_add_user(struct limit_payer *p, struct sv user)
{
	char key[PRINCIPAL_MAX];

	limit_payer_add(p, key_of("user", user, key), SHARE_PEER);
}

void principals_of(struct inbound *in, const struct sockaddr *peer, unsigned uid,
	struct sv listener, const struct conf_device *device, struct limit_payer *out_payer)
{
	char key[PRINCIPAL_MAX];

	limit_payer_init(out_payer, in->accounts);
	limit_payer_add(out_payer, principal_peer(peer, uid, key), SHARE_PEER);
	limit_payer_add(out_payer, key_of("listener", listener, key), SHARE_LISTENER);
	if (device)
		limit_payer_add(out_payer, key_of("device", device->name, key), SHARE_PEER);
}

void accounts_set(struct inbound *in, const struct conf *conf)
{
	const struct conf_general *g = conf_general(conf);

	limit_accounts_set(in->accounts, LIMIT_RESOURCE_SESSIONS, g->inbound_connections_max);
	limit_accounts_set(in->accounts,
		LIMIT_RESOURCE_CONNECTIONS,
		(uint64_t)LINGER_FACTOR * g->inbound_connections_max);
	limit_accounts_set(in->accounts, LIMIT_RESOURCE_BYTES, g->inbound_memory_bytes);
	limit_accounts_set(in->accounts, LIMIT_RESOURCE_CHECKS, CHECKS_WAITING_MAX);
}

void accounts_note_memory(struct inbound *in)
{
	uint64_t used = limit_accounts_used(in->accounts, LIMIT_RESOURCE_BYTES);

	if (used <= in->memory_peak)
		return;
	in->memory_peak = used;
	if (used > MEMORY_STEP)
		io_timer_start(&in->memory_look, mono_add(io_now(in->loop), MEMORY_LOOK_US));
}

void accounts_look_at_memory(void *arg)
{
	struct inbound *in = arg;
	uint64_t used = limit_accounts_used(in->accounts, LIMIT_RESOURCE_BYTES);

	if (in->memory_peak > used + MEMORY_STEP) {
		io_memory_give_back();
		in->memory_peak = used;
	}
	if (in->memory_peak > MEMORY_STEP)
		io_timer_start(&in->memory_look, mono_add(io_now(in->loop), MEMORY_LOOK_US));
}

/* ---- at accept() ---- */

static enum limit_answer take(struct limit_payer *p, const struct listener *n)
{
	const struct conf_listener *c = n->c;
	uint64_t own = limit_account_used(p->accounts[0], LIMIT_RESOURCE_SESSIONS);
	enum limit_answer got;

	if (c && n->sessions >= c->connections_max)
		return LIMIT_ANSWER_FULL;
	if (c && c->connections_per_peer_max < c->connections_max &&
		own >= c->connections_per_peer_max)
		return LIMIT_ANSWER_TOO_MUCH;
	got = limit_payer_take(p, LIMIT_RESOURCE_SESSIONS, 1);
	if (got == LIMIT_ANSWER_YES)
		got = limit_payer_take(p, LIMIT_RESOURCE_CONNECTIONS, 1);
	if (got == LIMIT_ANSWER_YES)
		got = limit_payer_take(p, LIMIT_RESOURCE_BYTES, SESSION_COST);
	return got;
}

/* In the clear where the client listens for that; behind `tls: implicit` the end has to say it. */
static void say_no(const struct listener *n, int fd, const struct answer *a)
{
	char line[sizeof(*a) + 16];

	(void)snprintf(line, sizeof(line), "%u %s %s\r\n", (unsigned)a->code, a->enhanced, a->text);

	if (!n->c || n->c->tls != CONF_TLS_IMPLICIT)
		io_peer_tell(fd, sv_from(line));
}

bool admit(struct listener *n, int fd, const struct io_address *peer, unsigned uid,
	const struct conf_device *device, struct limit_payer *out_payer)
{
	struct inbound *in = n->in;
	struct mono_time now = io_now(in->loop);
	struct answer a = { 0 };
	uint64_t count;

	principals_of(in, &peer->any, uid, n->name, device, out_payer);
	switch (take(out_payer, n)) {
	case LIMIT_ANSWER_YES:
		return true;
	case LIMIT_ANSWER_FULL:
		answer_set(&a, 421, "4.3.2", "Too many connections, try again later");
		break;
	case LIMIT_ANSWER_TOO_MUCH:
		answer_set(&a,
			421,
			"4.7.0",
			"Too many connections from your %s",
			peer->any.sa_family == AF_UNIX ? "user id" : "address");
		break;
	}
	n->refused++;
	in->refused++;
	if (limit_account_refused(out_payer->accounts[0], now, &count))
		log_turned_away(&peer->any, uid, n->name, &a, count);
	say_no(n, fd, &a);
	limit_payer_end(out_payer, now);
	return false;
}

/* ---- the end ---- */

struct leaving {
	struct io_loop *loop;
	struct limit_payer payer;
};

static void has_left(void *arg)
{
	struct leaving *l = arg;

	limit_payer_end(&l->payer, io_now(l->loop));
	free(l);
}

void admit_end(struct inbound *in, struct limit_payer *p, struct io_stream *stream)
{
	struct leaving *l = xcalloc(1, sizeof(*l));

	accounts_note_memory(in);
	for (unsigned i = 0; i < LIMIT_RESOURCE_COUNT; i++)
		if (i != LIMIT_RESOURCE_CONNECTIONS)
			limit_payer_give(p, i, p->held[i]);
	*l = (struct leaving){ .loop = in->loop, .payer = *p };
	*p = (struct limit_payer){ 0 };
	io_stream_on_end(stream, has_left, l);
}
