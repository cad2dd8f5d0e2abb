/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "outbound/outbound_priv.h"

/* The inside of a session with a provider: for connection.c and its kinds, and for who lets them connect. */
enum connection_state {
	CONNECTION_TOKEN, /* an access token is asked for */
	CONNECTION_RESOLVING,
	CONNECTION_CONNECTING,
	CONNECTION_SESSION, /* greeting to ready */
	CONNECTION_IDLE,
	CONNECTION_BUSY,
	CONNECTION_QUITTING,
};

/*
 * What a session speaks. connection.c calls these; they end by connection_ready() (a message may come)
 * or with c->ended (freed by connection_pump(), after a callback of their own they call that last).
 */
struct connection_kind {
	/* Begins; ends in connection_ready(), or in lane_hold() and c->ended. */
	void (*open)(struct connection *c);
	/* d->connection is set. The body is asked for by d->wants_body and comes through body(); then
	 * delivery_judge_rest() and delivery_finish(), then connection_ready() or c->ended. */
	void (*begin)(struct connection *c, struct delivery *d);
	bool (*has_room)(const struct connection *c);
	/* `end`: the last piece; the attempt is committed by now, so the message may leave. */
	void (*body)(struct connection *c, struct sv bytes, bool end);
	/* Of every connection_pump(): events, then delivery_feed(c->delivery). */
	void (*run)(struct connection *c);
	/* It has ended under c->delivery: judges it and finishes it, or leaves it, and then it never left. */
	void (*orphan)(struct connection *c);
	struct mono_time (*deadline)(const struct connection *c); /* MONO_NEVER: none */
	void (*tick)(struct connection *c);                       /* the deadline came */
	void (*abandon)(struct connection *c); /* the delivery is gone, c->ended is set */
	void (*quit)(struct connection *c);    /* state QUITTING: says goodbye; or c->ended */
	void (*close)(struct connection *c);   /* frees what is its own */
};
struct connection {
	const struct connection_kind *kind;
	struct graph_session *graph; /* of connection_web: what it knows, its request */
	struct outbound *o;
	struct lane *lane;
	struct conf *conf;
	const struct conf_lane *c;
	enum connection_state state;
	struct list node;
	struct list idle;          /* in o->idle, o->quiet, or endpoint->waiting: as its state is */
	struct endpoint *endpoint; /* NULL: has no handshake of its own (Graph) */
	struct sched_handshake handshake;
	struct sv host; /* what it connects to: as configured, or a mail exchanger */
	struct io_mx *mx;
	size_t mx_count, mx_at;
	struct io_dnssec_query *tlsa_query;
	struct io_tlsa *tlsa;
	size_t tlsa_count;
	struct io_resolve *resolve;
	struct io_address addresses[LIMIT_HOST_ADDRESSES];
	size_t address_count;
	struct io_dial *dial;
	struct io_stream *stream;
	struct smtp_client *client;
	struct io_tls *tls;
	struct secret *password;
	/* Of lanes with sign_in APP or USER: there before kind->open(). */
	struct secret *token;
	struct identity_token_request *token_request;
	uint64_t token_serial;
	struct mono_time token_until; /* for how long it may be used */
	struct io_timer timer;
	struct mono_time connected_at, idle_since;
	struct delivery *delivery;
	bool ended, pumping;
	uint32_t carried; /* messages */
	uint64_t era;     /* in which it was opened: see sched/pace.h */
	bool worn;        /* something went wrong in this session: the next message gets another */
	char relay[256];  /* "smtp.office365.com[52.97.1.2]:587" */
	/* Since its last message ended; once it has carried one, there is none while it is idle. */
	struct smtp_transcript transcript;
};
