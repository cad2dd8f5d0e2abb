/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/htable.h"
#include "base/list.h"
#include "observe/alerts.h"
#include "store/store_health.h"

/*
 * alerts.c       events to alerts, and what was told
 * alert_ways.c   a queue for each way out, retries; the webhook and the command
 * alert_mail.c   by mail
 * alert_expiry.c what ends some day
 */
enum {
	ALERT_QUEUE_MAX = 200, /* waiting, for each way */
	ALERT_TRIES_MAX = 7,
	ALERT_COMMAND_S = 30,
	ALERT_ENDS_MAX = 1000, /* that are near, and kept for `status` */
};

/* All texts are on the heap, and NUL-ended. */
struct alert {
	struct list node;
	char *json, *subject, *text;
	char *lane; /* not by this one; "" */
};

enum alert_outcome {
	ALERT_DONE,
	ALERT_AGAIN, /* after a pause */
	ALERT_NEVER, /* no use */
};

struct alert_way {
	struct observe_alerts *a;
	const char *name;
	/* Sends way->busy; ends in alert_way_done(), perhaps before it returns. */
	void (*send)(struct alert_way *w);
	struct list queue;
	size_t count;
	struct alert *busy; /* being sent, or waiting for its next try */
	unsigned tries;
	struct io_https_request *request; /* under way; io_https_free() ends it */
	struct io_timer timer;
};

/* What ends soon. Texts are on the heap. */
struct alert_end {
	char *scope, *text; /* "client-secret:contoso" */
	struct wall_time ends;
	int stage; /* identity_expiry_stage() */
};

struct alert_held {
	struct alert_held *next;
	struct domain_event event;
};

struct observe_alerts {
	struct io_loop *loop;
	struct store *store;
	struct io_https *https;
	struct io_workers *workers;
	struct identity_vault *vault;
	struct conf *conf;
	struct outbound *outbound;
	struct alert_way webhook, command, mail;
	bool told_read;                      /* what was told before is known */
	struct alert_held *held, **held_end; /* events of domains until then, in `held_arena` */
	struct arena held_arena;
	struct htable told; /* "alert:..." -> char *: what was told of it last */
	struct store_parks_read parks;
	struct arena parks_arena;
	struct io_timer disk_timer, look_timer;
	enum store_trouble trouble_told;
	bool damage_told;
	uint64_t damage_named; /* messages that the log has */
	struct mono_time damage_at;
	struct alert_end *ends;
	size_t end_count;
	bool looking; /* a worker does */
	bool stopped;
};

/* alert_ways.c */
void alert_ways_init(struct observe_alerts *a);
void alert_ways_deinit(struct observe_alerts *a);
void alert_way_put(struct alert_way *w, const struct alert *alert); /* a copy */
void alert_way_done(struct alert_way *w, enum alert_outcome outcome, const char *why);

/* alerts.c */
void alert_tell_end(struct observe_alerts *a, const struct alert_end *end); /* unless it was */

/* alert_expiry.c */
void alert_look_for_ends(void *alerts);
void alert_ends_forget(struct observe_alerts *a);

/* alert_mail.c */
void alert_mail_send(struct alert_way *w);
