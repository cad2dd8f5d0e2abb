/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "outbound/outbound_priv.h"

/* The inside of an attempt: for what makes one, carries it, judges it and ends it. */

/* What a delivery asks of whatever carries it. */
struct delivery_carrier {
	bool (*has_room)(const struct connection *c);
	void (*body)(struct connection *c, struct sv bytes, bool end);
	void (*begin)(struct connection *c); /* what it waited for is there */
	void (*pump)(struct connection *c);
	void (*abandon)(struct connection *c);
	/* It has ended, and takes with it what is to be known of the session. */
	void (*leave)(struct connection *c, struct delivery *d, bool reached_all);
};

/* A recipient's part of an attempt. */
struct delivery_recipient {
	struct store_recipient r;
	bool answered, accepted;
	enum sched_said said; /* what the server had heard when it refused */
	bool alone; /* refused for more than this message, which is not proved: only it waits */
	struct verdict verdict;
	struct sv reply;
};

/*
 * Where an attempt stands, by one setter: delivery_set_state(). Nothing is done for it before it is committed (I5). Its end
 * is a struct change: the sender is told, the outcome is written.
 */
enum attempt_state {
	ATTEMPT_TAKING,   /* it is being committed */
	ATTEMPT_READY,    /* it is committed */
	ATTEMPT_RUNNING,  /* its transaction runs */
	ATTEMPT_RELEASED, /* the dot may have left: attempt_release() */
	ATTEMPT_ENDING,   /* it is over, and the queue still works on it */
	ATTEMPT_STATE_COUNT,
};
enum attempt_end {
	ATTEMPT_JUDGED,    /* its recipients have their verdicts */
	ATTEMPT_WITHDRAWN, /* it never left */
};

struct delivery {
	struct work work;
	struct list node; /* in lane->fresh */
	struct lane *lane;
	struct connection *connection;
	const struct delivery_carrier *by; /* of `connection` */
	bool begun;                        /* there */
	struct arena arena;
	struct store_message m;
	struct delivery_recipient *recipients;
	struct smtp_client_recipient *envelope;
	uint32_t *indexes;
	size_t count;
	struct buf body;     /* what is in memory: from body_at on */
	uint64_t body_at;    /* offset of body[0] in the message */
	uint64_t body_given; /* handed to the client */
	struct rewrite rewrite;
	struct sv header;  /* as stored, once `body` has left it behind; see witness.c */
	struct buf head;   /* goes instead of the stored header; empty: that goes */
	size_t head_given; /* of it */
	enum attempt_state state;
	enum attempt_end end; /* while ENDING */
	bool reads;           /* the queue reads its body */
	bool wants_body, probe;
	bool stayed; /* released, but it is known that it never left */
	bool apart;  /* it goes back, and then to one recipient at a time */
	struct mono_time begun_at;
	struct limit_slots
		slots; /* of what its mailbox or connector, account and tenant may send */
	struct store_attempt attempt;
	struct sched_pick pick; /* of the take */
	struct store_take take;
	struct store_body body_op;
	struct limit_entry ledger[LIMIT_ENTRIES_MAX];
	struct sv stage;   /* in which it ended */
	bool next_hop_dsn; /* it takes NOTIFY over from us */
	struct sv remote_message_id;
	struct smtp_client_message message;
	struct sv relay;
	struct sv transcript; /* of its session, where it did not reach all recipients */
};

void delivery_set_state(struct delivery *d, enum attempt_state next);
/* It is over, or its end can go on now. */
void delivery_end(struct delivery *d, enum attempt_end end);
