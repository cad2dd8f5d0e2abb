/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/heap.h"
#include "base/htable.h"
#include "base/limits.h"
#include "base/list.h"
#include "identity/users.h"
#include "inbound/inbound.h"
#include "io/names.h"
#include "io/net.h"
#include "io/stream.h"
#include "limit/account.h"
#include "limit/window.h"
#include "mail/header.h"
#include "smtp/server.h"

/*
 * inbound.c    life, reload, drain
 * listener.c   sockets, who may connect
 * admit.c      principals and what they may take; the answer at accept()
 * session.c    one SMTP session; session_auth.c: signing in
 * failures.c   failed sign-ins, remembered by peer and user
 * accept.c     one message on its way into the queue, from wherever it comes
 * accept_from.c whom its header names as author
 * accept_end.c its header edits and the PUT
 * quota.c      what devices and users may send in a day, and what they have
 * drop.c       the maildrop; drop_file.c: one file of it
 */
enum {
	SESSION_COST = 16 * 1024, /* of the memory budget, for an idle session */
	MESSAGE_COST = 8 * 1024,  /* a message that was just begun; what it brings comes on top */
	CHUNKS_UNDER_WAY = 2,     /* of one message; then its sender waits */
	TURN_BYTES = 2048,        /* of commands that one session may have done before others */
	TURN_BODY_FACTOR = 32,    /* bytes of a message cost so much less */
	HANDSHAKE_S = 30,
	CHECKS_WAITING_MAX = 256, /* passwords; at some 10 ms each */
	PRINCIPAL_MAX = 320,      /* the key of an account: a kind and a name */
	CLOSE_S = 5,
};

#define NO_MEMORY "Too much mail at once, try again later"

struct io_passed;

struct listener {
	struct list node;
	struct inbound *in;
	struct conf *conf;
	const struct conf_listener *c; /* NULL: the submit socket */
	struct sv name;                /* on the heap */
	struct io_listener *socket;
	struct io_tls *tls;
	uint32_t sessions;
	uint64_t accepted, refused, legacy_sessions, legacy_messages;
	bool closed; /* lives on until its last session ends */
};

struct inbound {
	struct io_loop *loop;
	struct store *store;
	struct io_workers *workers;
	struct conf *conf;
	struct inbound_dispatch dispatch;
	struct identity_users *users;
	char *salt_key_file;      /* of the made-up ones; NULL: none */
	struct io_passed *passed; /* sockets of systemd */
	struct list listeners;
	struct list sessions;
	uint32_t session_count;
	struct io_names *names; /* of local users */
	struct limit_accounts *accounts;
	uint64_t refused, sign_ins_failed, sign_ins_blocked; /* since the start */
	uint64_t names_seed; /* of hashes over names that strangers choose */
	uint64_t sessions_begun;
	unsigned char nonce_key[SMTP_NONCE_KEY_LEN];
	uint64_t memory_peak; /* of LIMIT_RESOURCE_BYTES, since memory went back to the kernel */
	struct io_timer memory_look;
	size_t accepts;       /* messages alive */
	struct htable quotas; /* "d:scanner-3", "u:erp" -> struct quota_use */
	struct store_ledger_read ledger_op;
	struct arena ledger_arena;
	bool ledger_is_read; /* before that no mail is taken */
	struct drop *drop;
	bool draining;
	void (*drained)(void *arg);
	void *drained_arg;
	struct io_task drain_check;
	struct heap turns; /* of sessions with more input than they may have done at once */
	struct io_task turn;
	uint64_t turn_now; /* the number that is served */
};

/* An answer to a client. */
struct answer {
	uint16_t code;
	char enhanced[8];
	char text[400]; /* a line of SMTP has 512 (RFC 5321 4.5.3.1.5) */
};
void answer_set(struct answer *a, uint16_t code, const char *enhanced, const char *fmt, ...)
	PRINTF_LIKE(4, 5);

/* ---- quota.c ---- */
struct quota_use {
	char *key;
	struct limit_window *day[QUOTA_COUNT]; /* NULL: not counted */
	uint64_t accepted, refused, quota_refused, legacy_sessions;
};
/* Live as long as inbound. NULL: a user of whom nothing is counted. */
struct quota_use *quota_of_device(struct inbound *in, struct sv name);
struct quota_use *quota_of_user(struct inbound *in, struct sv name);

/* What one message holds of it. All zero: nobody counts. */
struct quota_taken {
	struct quota_use *use;
	uint32_t held[QUOTA_COUNT];
};
/* `n` more; false: `out` says why not, with 5xx where the message alone exceeds the limit. */
NODISCARD bool quota_take(struct inbound *in, struct quota_taken *taken, enum quota_kind kind,
	uint64_t n, struct answer *out);
/* Takes nothing: could a message of this size come? 0: of any. */
NODISCARD bool quota_has_room(
	struct inbound *in, struct quota_use *use, uint64_t bytes, struct answer *out);
/* Rows for the commit of the message, beside those of `put`. They live in `a`. */
void quota_write(struct inbound *in, struct arena *a, const struct quota_taken *taken,
	struct store_put *put);
void quota_settle(struct inbound *in, struct quota_taken *taken); /* it is committed */
void quota_give_back(struct quota_taken *taken);                  /* it came to nothing */
/* Reads what was used, then calls inbound_begin(). */
void quotas_start(struct inbound *in);
void quotas_free(struct inbound *in);

/* ---- accept.c: one message ---- */
struct accept_origin {
	struct sv user;                   /* "erp", "local:www-data", "" */
	const struct conf_user *account;  /* whose senders are checked; NULL: anybody's */
	const struct conf_device *device; /* known by its address; NULL: none */
	struct sv client;                 /* "[10.0.5.30]:4711", "unix", "maildrop" */
	const struct limit_payer *payer;  /* whose accounts it is charged to; copied */
	struct sv listener;
	const struct conf_listener *rules; /* of it; NULL: the submit socket, or the maildrop */
	struct sv helo, protocol, tls;     /* for the Received field; set before the body comes */
	uint64_t bytes_max;
	bool park_no_route; /* local mail is kept, visible, even when no route leads anywhere */
	bool is_whole;      /* it lies in a file; see accept_pay_whole() */
};

struct accept;
typedef void accept_done_fn(void *arg, const struct answer *answer);
typedef void accept_room_fn(void *arg);

/* The strings of `origin` are copied; account, device and rules are of `conf`. */
NODISCARD struct accept *accept_new(
	struct inbound *in, struct conf *conf, const struct accept_origin *origin);
/* Gives it up; what is in the queue already is taken back. Not after accept_end(). */
void accept_abort(struct accept *a);

void accept_mail(struct accept *a, const struct smtp_server_event *e, struct answer *out);
void accept_rcpt(struct accept *a, const struct smtp_server_event *e, struct answer *out);
/* Of mail that is there as a whole: what it takes of the quota of its user. A client pays as it goes on. */
NODISCARD bool accept_pay_whole(struct accept *a, uint64_t size, struct answer *out);
/* The body begins: `helo`, `protocol`, `tls` are final now. `id` 0: a new one. */
void accept_begin_body(
	struct accept *a, uint64_t id, struct sv helo, struct sv protocol, struct sv tls);
void accept_body(struct accept *a, struct sv bytes);
/* Too many pieces are on their way into the queue: stop feeding until `room` is called. */
bool accept_is_full(const struct accept *a);
void accept_on_room(struct accept *a, accept_room_fn *room, void *arg);
/* Takes the message; `done` comes once, later, unless accept_forget() is called before. */
void accept_end(struct accept *a, accept_done_fn *done, void *arg);
void accept_forget(struct accept *a); /* the client is gone; the message goes on */
uint64_t accept_id(const struct accept *a);
struct sv accept_sender(const struct accept *a); /* as it was given; empty: none */
size_t accept_recipient_count(const struct accept *a);

/* ---- listener.c ---- */
struct inbound_fresh {
	struct identity_users *users;
	struct io_tls **tls; /* of each listener of the snapshot; NULL: it has none */
	size_t tls_count;
};
NODISCARD int listener_load_tls(
	const struct conf_listener *c, struct io_tls **out_tls, struct err *err);
NODISCARD int listeners_open(
	struct inbound *in, struct conf *conf, const struct inbound_fresh *fresh, struct err *err);
/* Stored sockets that `conf` does not want any more: one of them could be in the way of a new one. */
void listeners_drop_unwanted(struct inbound *in, const struct conf *conf);
void listeners_close_all(struct inbound *in);
void listener_release(struct listener *n); /* a session ended */
void listeners_pause(struct inbound *in, bool paused);
/* `rules` NULL: those of the submit socket. */
bool listener_needs_password(const struct conf_listener *rules, const struct sockaddr *peer,
	const struct conf_device *device);
/* Says why not in `out`. */
NODISCARD bool listener_peer_allowed(const struct conf_listener *rules, const struct sockaddr *peer,
	const struct conf_device *device, struct answer *out);

/* ---- admit.c ---- */
/* "ip/192.0.2.7", "uid/33" */
struct sv principal_peer(const struct sockaddr *peer, unsigned uid, char out[PRINCIPAL_MAX]);
void principals_of(struct inbound *in, const struct sockaddr *peer, unsigned uid,
	struct sv listener, const struct conf_device *device, struct limit_payer *out_payer);
void principal_add_user(struct limit_payer *p, struct sv user);
void accounts_set(struct inbound *in, const struct conf *conf);
/* Before memory is given back to the accounts. */
void accounts_note_memory(struct inbound *in);
void accounts_look_at_memory(void *arg); /* of in->memory_look */
/* May it have a session? If not it is told, and logged; the descriptor stays the caller's. */
NODISCARD bool admit(struct listener *n, int fd, const struct io_address *peer, unsigned uid,
	const struct conf_device *device, struct limit_payer *out_payer);
/* The session is over: its memory comes back now, its connection when the descriptor is closed. */
void admit_end(struct inbound *in, struct limit_payer *p, struct io_stream *stream);

/* ---- session.c ---- */
struct session {
	struct list node;
	struct inbound *in;
	struct listener *listener;
	/* What it began with: a reload gives the listener other rules, and none of them to this session. */
	struct conf *conf;
	const struct conf_listener *rules; /* in `conf`; NULL: the submit socket */
	struct io_tls *tls;
	struct io_stream *stream;
	struct heap_node turn; /* in in->turns while it waits for one */
	struct smtp_server *smtp;
	struct io_timer timer; /* the machine's deadline, or the handshake's */
	struct io_timer auth_delay;
	struct accept *accept;
	const struct conf_user *account;
	const struct conf_device
		*device; /* known by its address, till somebody signs in; NULL: none */
	char *user;      /* NULL: nobody signed in */
	char *peer_key;  /* its address without the port, for the log */
	struct limit_payer payer;
	unsigned uid; /* of a unix socket */
	struct io_name_query *name_query;
	bool nameless;          /* its name is not to be had now */
	const char *mechanism;  /* of the sign-in under way */
	bool for_another;       /* likewise: SCRAM with an authzid that is not its user */
	bool password_not_utf8; /* likewise */
	struct identity_check *check;
	char *check_user;
	unsigned auth_failures;
	bool signed_in; /* its user pays as well */
	bool pumping, ended, waits_for_room, in_handshake;
	bool legacy_tls;  /* what was agreed on is older than TLS 1.2 */
	bool input_ended; /* the client has shut its side; what it sent is still answered */
	enum smtp_server_event_kind asked;
	struct answer held; /* the delayed answer to a failed sign-in */
};
void session_begin(struct listener *n, int fd);
void session_pump(struct session *s);
void session_turn(void *arg); /* of in->turn */
void session_shut(struct session *s, const char *enhanced, struct sv text);
/* After a reload: ends those of users and devices that are gone, and of users with another password. */
void sessions_review(struct inbound *in, const struct identity_users *before);
struct mono_time session_now(const struct session *s);

/* ---- failures.c ---- */
/* Too many failed: no password of this user is checked for the peer of `s` in the next minutes. */
NODISCARD bool failures_block(const struct session *s, struct sv user, unsigned *out_minutes);
uint32_t failures_late(const struct session *s, struct sv user); /* identity_ask.late */
void failures_note(const struct session *s, struct sv user, bool ok);

/* ---- session_auth.c ---- */
void session_auth_init(struct session *s);
void session_auth_event(struct session *s, const struct smtp_server_event *e);

/* ---- log_lines.c ---- */
void log_accepted(const struct accept_origin *origin, struct sv id, const struct store_message *m);
/* `stage`: "CONNECT", "MAIL", "RCPT", "END-OF-MESSAGE". `sender`: of the message so far. */
void log_refused(const struct session *s, const struct answer *a, const char *stage,
	struct sv address, struct sv sender);
/* A connection that got no session; `count`: with those that were not logged. */
void log_turned_away(const struct sockaddr *peer, unsigned uid, struct sv listener,
	const struct answer *a, uint64_t count);
void log_auth_failed(const struct session *s, struct sv user, const char *why);

/* ---- drop.c ---- */
struct drop;
NODISCARD struct drop *drop_open(struct inbound *in);
void drop_close(struct drop *d);
void drop_reload(struct drop *d);

/* ---- inbound.c ---- */
void inbound_begin(struct inbound *in); /* what it counts is known: mail may come */
void inbound_check_drained(struct inbound *in);
