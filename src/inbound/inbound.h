/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/arena.h"
#include "base/err.h"
#include "conf/conf.h"
#include "io/worker.h"
#include "store/store.h"

/*
 * Takes mail: listeners, SMTP sessions, the local submission socket and the maildrop. Nothing is answered
 * with 250 before its commit.
 */
struct inbound;

/* The other side of the queue; cli/serve fills it with outbound's functions (outbound/outbound.h). */
struct inbound_dispatch {
	void *arg;
	/* Before the PUT: may open attempts in it, for some or all recipients. NULL: all of them wait. */
	void *(*claim)(void *arg, struct arena *arena, struct store_put *put,
		struct store_message *message, struct store_recipient *recipients);
	/* The PUT is committed: arena and body are taken over. */
	void (*committed)(void *arg, void *claim, struct arena *arena, struct buf *body);
	void (*withdrawn)(void *arg, void *claim);
	/* So many recipients of the message wait in this flow from now on: those that no attempt was opened for. */
	void (*queued)(
		void *arg, uint64_t message_id, const struct mail_flow *flow, uint32_t recipients);
};

struct inbound_options {
	struct io_loop *loop;
	struct store *store;
	struct io_workers *workers;
	struct conf *conf; /* a reference is taken */
	struct inbound_dispatch dispatch;
	const char *salt_key_file; /* of identity_users_new(); copied; may be NULL */
};

/* Opens every listener, or none: err says which cannot be opened and why. */
NODISCARD struct inbound *inbound_new(const struct inbound_options *options, struct err *err);
void inbound_free(struct inbound *in);

/*
 * What a reload brings: verifiers of users, certificates of listeners. From any thread, `workers` and `salt_key_file`
 * as in the options; NULL: a file cannot be used.
 */
struct inbound_fresh;
NODISCARD struct inbound_fresh *inbound_fresh_read(const struct conf *conf,
	struct io_workers *workers, const char *salt_key_file, struct err *err);
void inbound_fresh_free(struct inbound_fresh *f);
/*
 * Listeners that stay keep their sockets, and TLS contexts that are the same; sessions end on their old snapshot.
 * `fresh` is of this `conf`; what is taken is gone from it, the rest is the caller's to free. On failure nothing changed.
 */
NODISCARD int inbound_reload(
	struct inbound *in, struct conf *conf, struct inbound_fresh *fresh, struct err *err);
/* Closes the listeners, ends idle sessions, lets messages under way be answered; then `done`. */
void inbound_drain(struct inbound *in, void (*done)(void *arg), void *arg);

struct inbound_status {
	uint64_t sessions, sessions_max, memory_bytes, memory_max_bytes;
	/* Since the start. */
	uint64_t refused;          /* connections, commands and messages that were turned away */
	uint64_t quota_refused;    /* of them, because a quota was used up */
	uint64_t sign_ins_failed;  /* wrong passwords, unknown users */
	uint64_t sign_ins_blocked; /* not checked: too many from there have failed */
};
struct inbound_status inbound_status(const struct inbound *in);

struct inbound_listener_status {
	struct sv name;
	uint32_t sessions;
	uint64_t accepted, refused; /* messages; connections and messages that were turned away */
	bool legacy_tls;            /* it speaks TLS older than 1.2, too */
	uint64_t legacy_sessions, legacy_messages; /* that were older than TLS 1.2 */
};
void inbound_each_listener(struct inbound *in,
	void (*each)(void *arg, const struct inbound_listener_status *status), void *arg);

enum quota_kind {
	QUOTA_RECIPIENTS,
	QUOTA_MESSAGES,
	QUOTA_BYTES,
	QUOTA_COUNT,
};

/* Devices that have been heard of since the start, or have sent something in the last 24 hours; likewise users
 * and local accounts with a quota. */
struct inbound_quota_status {
	struct sv name;
	bool is_device; /* else a user */
	struct {
		uint64_t used, limit; /* in the last 24 hours; limit 0: none */
	} of[QUOTA_COUNT];
	uint64_t accepted, refused; /* messages; commands and connections that were turned away */
	uint64_t quota_refused;     /* of them, because a quota was used up */
	uint64_t legacy_sessions;   /* of a device, older than TLS 1.2 */
};
/* Their keys, to look at them one by one: copies in `a`. */
struct sv *inbound_quota_keys(const struct inbound *in, struct arena *a, size_t *out_count);
/* False: there is nothing to tell of it. */
bool inbound_quota_look(struct inbound *in, struct sv key, struct inbound_quota_status *out_status);
