/* SPDX-License-Identifier: Apache-2.0 */
#include "base/buf.h"
#include "base/must.h"
#include "simio/simio_priv.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

/* Streams in memory: two ends, and between them segments that arrive in order, later, in pieces. TLS is a flag. */
enum {
	HOSTS_MAX = 16,
	INPUT_MAX = 64 << 20,
};
#define WIRE_US_MIN 100
#define WIRE_US_MAX (60 * US_PER_MS)

enum kind {
	KIND_BYTES,
	KIND_EOF,
	KIND_FAILED,
	KIND_CONNECTED,
	KIND_SECURED,
};

/* On its way to `to`. */
struct segment {
	struct list node;
	struct io_stream *to;
	struct simio_event *event;
	enum kind kind;
	struct buf bytes;
};

struct io_stream {
	struct list node; /* of its loop */
	struct io_loop *loop;
	io_stream_fn *fn;
	void *arg;
	struct io_stream *other; /* NULL: gone, or not connected yet */
	struct buf in;
	struct list flight; /* segments to here, in order */
	uint64_t last_us;   /* arrival of the last of them */
	struct simio_event *connecting;
	bool wants_tls, secured, failed, broken;
	struct err err;
	struct io_address peer;
	char peer_text[IO_ADDRESS_TEXT_MAX];
};

static struct host {
	char address[IO_ADDRESS_TEXT_MAX];
	struct io_loop *loop;
	simio_accept_fn *fn;
	void *arg;
	enum simio_line line;
} hosts[HOSTS_MAX];
static size_t host_count;

void simio_listen(struct io_loop *l, const char *address, simio_accept_fn *fn, void *arg)
{
	struct host *h = &hosts[host_count++];

	must(host_count < HOSTS_MAX);
	(void)snprintf(h->address, sizeof(h->address), "%s", address);
	h->loop = l;
	h->fn = fn;
	h->arg = arg;
}

static struct host *find_host(const char *address)
{
	for (size_t i = 0; i < host_count; i++)
		if (sv_eq(sv_from(hosts[i].address), sv_from(address)))
			return &hosts[i];
	return NULL;
}

void simio_set_line(const char *address, enum simio_line line)
{
	struct host *h = find_host(address);

	must(h != NULL);
	h->line = line;
}

/* ---- arrival ---- */

static void segment_free(struct segment *g)
{
	list_remove(&g->node);
	buf_deinit(&g->bytes);
	free(g);
}

static void arrive(void *arg)
{
	struct segment *g = arg;
	struct io_stream *s = g->to;
	enum io_stream_event event = IO_STREAM_INPUT;

	switch (g->kind) {
	case KIND_BYTES:
		must(buf_append(&s->in, buf_sv(&g->bytes)) == 0);
		break;
	case KIND_EOF:
		event = IO_STREAM_EOF;
		break;
	case KIND_FAILED:
		event = IO_STREAM_FAILED;
		s->failed = true;
		break;
	case KIND_CONNECTED:
		event = IO_STREAM_CONNECTED;
		break;
	case KIND_SECURED:
		event = IO_STREAM_SECURED;
		s->secured = true;
		break;
	}
	segment_free(g);
	if (s->fn)
		s->fn(s->arg, event);
}

static void send_segment(struct io_stream *to, enum kind kind, struct sv bytes)
{
	struct segment *g = xcalloc(1, sizeof(*g));
	uint64_t now = simio_now(), at = now + WIRE_US_MIN + simio_below(WIRE_US_MAX - WIRE_US_MIN);

	/* In order. */
	if (at <= to->last_us)
		at = to->last_us + 1;
	to->last_us = at;
	g->to = to;
	g->kind = kind;
	buf_init(&g->bytes, INPUT_MAX);
	simio_hash_bytes(bytes);
	must(buf_append(&g->bytes, bytes) == 0);
	list_append(&to->flight, &g->node);
	g->event = simio_later(to->loop, at - now, arrive, g);
}

static void fail_later(struct io_stream *s, int rc)
{
	if (s->broken)
		return;
	s->broken = true;
	(void)err_set(&s->err, rc, "%s: %s", s->peer_text, rc_text(rc));
	send_segment(s, KIND_FAILED, SV(""));
}

/* ---- life ---- */

static struct io_stream *stream_new(struct io_loop *l, io_stream_fn *fn, void *arg)
{
	struct io_stream *s = xcalloc(1, sizeof(*s));

	s->loop = l;
	s->fn = fn;
	s->arg = arg;
	buf_init(&s->in, INPUT_MAX);
	list_init(&s->flight);
	list_append(&l->streams, &s->node);
	return s;
}

static void reach(void *arg)
{
	struct io_stream *s = arg, *there;
	struct host *h = find_host(s->peer_text);

	s->connecting = NULL;
	if (!h || h->line == SIMIO_REFUSES) {
		fail_later(s, -ECONNREFUSED);
		return;
	}
	if (h->line == SIMIO_BLACK_HOLE)
		return;
	there = stream_new(h->loop, NULL, NULL);
	(void)snprintf(there->peer_text, sizeof(there->peer_text), "relay");
	there->other = s;
	s->other = there;
	send_segment(s, KIND_CONNECTED, SV(""));
	h->fn(h->arg, there);
}

struct io_stream *io_stream_connect_from(struct io_loop *l, const struct sockaddr *source,
	const struct sockaddr *addr, socklen_t addr_len, io_stream_fn *fn, void *arg)
{
	struct io_stream *s = stream_new(l, fn, arg);

	(void)source;
	memcpy(&s->peer, addr, addr_len);
	s->peer.len = addr_len;
	(void)io_address_text(addr, s->peer_text);
	s->connecting = simio_later(l, WIRE_US_MIN + simio_below(WIRE_US_MAX), reach, s);
	return s;
}

/* The other end learns of it after what was sent before. */
static void part(struct io_stream *s)
{
	struct io_stream *other = s->other;

	if (other) {
		other->other = NULL;
		if (!other->loop->dead)
			send_segment(other, KIND_EOF, SV(""));
	}
	s->other = NULL;
}

void io_stream_free(struct io_stream *s)
{
	if (!s)
		return;
	part(s);
	simio_never(s->connecting);
	list_each_safe (at, after, &s->flight) {
		struct segment *g = list_entry(at, struct segment, node);

		simio_never(g->event);
		segment_free(g);
	}
	list_remove(&s->node);
	buf_deinit(&s->in);
	free(s);
}

void io_stream_close_gently(struct io_stream *s, uint64_t timeout_us)
{
	(void)timeout_us;
	io_stream_free(s);
}

void simio_kill(struct io_loop *l)
{
	l->dead = true;
	list_each (at, &l->streams)
		part(list_entry(at, struct io_stream, node));
}

void io_stream_set_owner(struct io_stream *s, io_stream_fn *fn, void *arg)
{
	s->fn = fn;
	s->arg = arg;
}

/* ---- bytes ---- */

struct sv io_stream_input(const struct io_stream *s)
{
	return buf_sv(&s->in);
}

void io_stream_consume(struct io_stream *s, size_t n)
{
	buf_consume(&s->in, n);
}

int io_stream_write(struct io_stream *s, struct sv bytes)
{
	if (bytes.len == 0)
		return 0;
	if (!s->other) {
		fail_later(s, -ECONNRESET);
		return 0;
	}
	while (bytes.len) {
		size_t n = simio_chance(70) ? bytes.len : 1 + (size_t)simio_below(bytes.len);

		send_segment(s->other, KIND_BYTES, sv_head(bytes, n));
		bytes = sv_skip(bytes, n);
	}
	return 0;
}

size_t io_stream_output_len(const struct io_stream *s)
{
	must(s->loop != NULL);
	return 0;
}

const struct err *io_stream_error(const struct io_stream *s)
{
	return &s->err;
}

struct sv io_stream_peer(const struct io_stream *s)
{
	return sv_from(s->peer_text);
}

const struct sockaddr *io_stream_peer_addr(const struct io_stream *s)
{
	return &s->peer.any;
}

/* ---- TLS ---- */

struct io_tls {
	unsigned refs;
};

struct io_tls *io_tls_client_new(const char *ca_file, struct err *err)
{
	struct io_tls *t = xcalloc(1, sizeof(*t));

	(void)ca_file;
	(void)err;
	t->refs = 1;
	return t;
}

bool io_tls_same(const struct io_tls *a, const struct io_tls *b)
{
	return a && b;
}

struct io_tls *io_tls_ref(struct io_tls *t)
{
	t->refs++;
	return t;
}

void io_tls_unref(struct io_tls *t)
{
	if (t && --t->refs == 0)
		free(t);
}

static void want_tls(struct io_stream *s)
{
	s->wants_tls = true;
	if (!s->other || !s->other->wants_tls)
		return;
	send_segment(s, KIND_SECURED, SV(""));
	send_segment(s->other, KIND_SECURED, SV(""));
}

void io_stream_tls_client_dane(struct io_stream *s, struct io_tls *tls, struct sv host,
	const struct io_tlsa *records, size_t count)
{
	(void)tls;
	(void)host;
	(void)records;
	(void)count;
	want_tls(s);
}

void io_stream_tls_server(struct io_stream *s, struct io_tls *tls)
{
	(void)tls;
	want_tls(s);
}
