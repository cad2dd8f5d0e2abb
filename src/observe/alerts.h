/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/buf.h"
#include "conf/conf.h"
#include "domain/watch.h"
#include "identity/vault.h"
#include "io/https.h"
#include "io/worker.h"
#include "outbound/outbound.h"
#include "store/store.h"

/*
 * One alert an event: what is parked or goes on, a stop for reputation, a disk that is full or fails, what
 * expires. To the log, a webhook, a command, and by mail. What waits is bounded and in memory; what was told
 * of a full disk and of expiry is kept in the queue's parks under "alert:", and that of parks is their own
 * record, so that a restart repeats nothing.
 */
struct observe_alerts;

struct observe_alerts_options {
	struct io_loop *loop;
	struct store *store;
	struct io_https *https;
	struct io_workers *workers;
	struct identity_vault *vault; /* NULL: none */
	struct conf *conf;            /* a reference is taken */
};

NODISCARD struct observe_alerts *observe_alerts_new(const struct observe_alerts_options *options);
/* Before the store is closed: a worker that still looks is not heard. */
void observe_alerts_stop(struct observe_alerts *a);
/* After the workers and HTTPS are gone, or the process ends. */
void observe_alerts_free(struct observe_alerts *a);
/* Reads what was told, then watches. `outbound` carries alert mail. */
void observe_alerts_start(struct observe_alerts *a, struct outbound *outbound);
void observe_alerts_reload(struct observe_alerts *a, struct conf *conf);
/* What ends within 60 days, as it was found last: one sentence each. */
void observe_alerts_each_end(
	struct observe_alerts *a, void (*each)(void *arg, struct sv text), void *arg);
/* A domain_event_fn: a domain that fails or meets is told once, also over restarts; a change each time. */
void observe_alerts_domain(void *alerts, const struct domain_event *e);
/* An outbound_event_fn. */
void observe_alerts_event(void *alerts, const struct outbound_event *e);

/* "t=1764074407,v1=HEX": HMAC-SHA256 over "t.body". */
enum {
	OBSERVE_SIGNATURE_MAX = 128
};
void observe_alert_sign(
	struct sv key, int64_t seconds, struct sv body, char out[OBSERVE_SIGNATURE_MAX]);
