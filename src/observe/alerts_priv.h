/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/htable.h"
#include "base/list.h"
#include "observe/alerts.h"

/*
 * alerts.c       events to alerts, and what was told
 * alert_ways.c   a queue for each way out, retries; the webhook and the command
 * alert_mail.c   by mail
 */
enum {
	ALERT_QUEUE_MAX = 200, /* waiting, for each way */
	ALERT_JSON_MAX = 16384,
	ALERT_TRIES_MAX = 7,
	ALERT_COMMAND_S = 30,
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

struct alert_job;
struct alert_mail;

struct observe_alerts {
	struct io_loop *loop;
	struct store *store;
	struct io_https *https;
	struct io_workers *workers;
	struct identity_vault *vault;
	struct conf *conf;
	struct outbound *outbound;
	struct alert_way webhook, command, mail;
	struct htable told; /* "alert:..." -> char *: what was told of it last */
	struct store_parks_read parks;
	struct arena parks_arena;
	struct io_timer disk_timer;
};

/* alert_ways.c */
void alert_ways_init(struct observe_alerts *a);
void alert_ways_deinit(struct observe_alerts *a);
void alert_way_put(struct alert_way *w, const struct alert *alert); /* a copy */
void alert_way_done(struct alert_way *w, enum alert_outcome outcome, const char *why);

/* alert_mail.c */
void alert_mail_send(struct alert_way *w);
