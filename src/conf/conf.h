/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/err.h"
#include "base/sv.h"
#include "base/time.h"
#include "io/net.h"
#include "mail/flow.h"
#include "provider/cloud.h"
#include "provider/defaults.h"
#include "provider/limits.h"
#include "smtp/client.h"

/*
 * The configuration: an immutable, reference-counted snapshot. Every value is checked before a
 * snapshot exists; running work keeps the snapshot it began with. Views live as long as the snapshot.
 * The sections below carry the same names and order as postern.yaml (docs/man/postern.yaml.5).
 */
struct conf;

/* Where a value stands: for messages that come later than the load (a file that cannot be read). */
struct conf_place {
	const char *file;
	unsigned line, column;
};

/* A secret is never a value: this says where it is. Resolved by identity/. */
enum conf_secret_kind {
	CONF_SECRET_NONE,
	CONF_SECRET_FILE,       /* file:PATH */
	CONF_SECRET_ENV,        /* env:NAME */
	CONF_SECRET_CREDENTIAL, /* credential:NAME, in $CREDENTIALS_DIRECTORY */
	CONF_SECRET_COMMAND,    /* command:PROGRAM ARGUMENT..., its standard output; no shell */
	CONF_SECRET_VAULT,      /* vault:NAME, in the sealed store of data_dir */
};
struct conf_secret {
	enum conf_secret_kind kind;
	struct sv name; /* path, variable, credential, command line or name in the vault */
	struct conf_place place;
};

enum conf_listener_tls {
	CONF_TLS_NONE,
	CONF_TLS_STARTTLS, /* offered; whoever needs no password may do without */
	CONF_TLS_REQUIRED, /* STARTTLS before anything else */
	CONF_TLS_IMPLICIT
};
enum conf_listener_auth {
	CONF_AUTH_OFF,      /* not offered */
	CONF_AUTH_OPTIONAL, /* offered; needed outside of no_password_from */
	CONF_AUTH_REQUIRED, /* for everybody */
};

/* Whose address the recipient sees. */
enum conf_sender {
	CONF_SENDER_KEEP,    /* what the client wrote */
	CONF_SENDER_REWRITE, /* the mailbox's; the original becomes Reply-To where there is none */
	CONF_SENDER_FORCE,   /* the mailbox's, and nothing is left of the original */
};

/* `class:` of a route, user, device or listener. */
enum conf_class {
	CONF_CLASS_UNSAID,
	CONF_CLASS_TRANSACTIONAL, /* from here on enum mail_class, and one more */
	CONF_CLASS_NORMAL,
	CONF_CLASS_BULK,
};

struct conf_listener {
	struct sv name;            /* "0.0.0.0:587", or the systemd name */
	struct io_address address; /* unused when `systemd` */
	bool systemd;              /* address: systemd:NAME */
	unsigned unix_mode;        /* of a unix socket; default 0666: peers are known by uid */
	enum conf_listener_tls tls;
	struct sv certificate;  /* path; empty unless tls */
	struct conf_secret key; /* kind FILE */
	enum conf_listener_auth auth;
	bool plaintext_auth; /* auth of any kind without TLS: only when written down, or on loopback */
	/* `legacy_tls: true`: TLS 1.0 and RSA key exchange, for devices with `tls: legacy` and nobody
	 * else; only on addresses of private networks, never with AUTH. */
	bool legacy_tls;
	const struct io_network *no_password_from;
	size_t no_password_count;
	uint64_t message_bytes_max;
	uint32_t rcpt_max;
	uint32_t connections_max; /* of this listener */
	uint32_t connections_per_peer_max;
	uint64_t idle_us_max;
	enum conf_class class;
	struct conf_place place;
};

/* The user of a unix socket or of the maildrop: this and the name of the account. */
#define CONF_LOCAL_PREFIX SV("local:")

/* What From, Sender, Resent-From and Resent-Sender may say. */
enum conf_from {
	CONF_FROM_CHECK, /* what the envelope sender could be, too */
	CONF_FROM_FORCE, /* From becomes the envelope sender */
	CONF_FROM_ANY,
};

/* In 24 hours; 0: no limit. */
struct conf_quota {
	uint32_t recipients, messages;
	uint64_t bytes;
};

/*
 * Who may sign in; and "local:NAME", an account of this machine, or "local:*", every other one of them.
 * Those have no password here.
 */
struct conf_user {
	struct sv name;
	bool local;
	struct conf_secret password; /* the SCRAM verifier of `postern user add` */
	/* Patterns. None: may use no sender at all, which is an error; of a local one, any that a route takes. */
	const struct sv *senders;
	size_t sender_count;
	/* Who the mail of this user comes from: CONF_SENDER_REWRITE and _FORCE put `as` there. */
	enum conf_sender sender;
	struct sv as;
	enum conf_from from;
	struct conf_quota quota; /* of "local:*": of each account that it stands for */
	enum conf_class class;
	struct conf_place place;
};

/*
 * A device that can do little: known by its address, it needs no password, sends as `sender` only, to
 * `recipients`, so many a day. Its bounces and its own troubles go to `errors_to`.
 */
enum conf_device_recipients {
	CONF_DEVICE_INTERNAL, /* the default: domains of our tenants */
	CONF_DEVICE_ANY,
	CONF_DEVICE_LISTED, /* `recipients: [PATTERN, ...]` */
};
struct conf_device {
	struct sv name;
	const struct io_network *from;
	size_t from_count;
	struct sv sender; /* envelope sender and From, whatever the device says */
	enum conf_device_recipients recipients;
	const struct sv *recipient_patterns;
	size_t recipient_pattern_count;
	struct conf_quota quota;
	bool legacy_tls;     /* `tls: legacy`: may use a listener with legacy_tls */
	struct sv errors_to; /* empty: `bounces: { to }` */
	enum conf_class class;
	struct conf_place place;
};

/* The app registration by which a tenant's mailboxes sign in. */
enum conf_jwt {
	CONF_JWT_PS256, /* x5t#S256: Microsoft's present documentation; the default */
	CONF_JWT_RS256, /* x5t: the older form */
};
struct conf_app {
	struct sv client_id; /* empty: no app */
	struct conf_secret secret;
	struct wall_time secret_expires; /* nobody else can know; 0: not said */
	struct sv certificate;           /* path, PEM */
	struct conf_secret key;          /* PEM */
	struct sv pkcs12;                /* path, instead of certificate and key */
	struct conf_secret passphrase;   /* of key or pkcs12; may be NONE */
	enum conf_jwt jwt;
	struct conf_place place;
};

struct conf_tenant {
	struct sv name;
	struct sv id; /* or a domain of the tenant: Entra takes both in the URL */
	const struct conf_tenant
		*first; /* of those with this id, or itself: it is counted in the books */
	enum provider_cloud cloud;
	const struct sv *domains; /* accepted domains: recipients there are internal */
	size_t domain_count;
	/* Of its limit of external recipients, see provider/limits.h; none is known: licences and external_per_day 0. */
	uint32_t licences, external_per_day;
	bool trial;
	int64_t created_s; /* seconds since 1970; 0: an old one */
	/* Exchange is asked every so often what has been sent; 0: not. `admin` is what a token for that is got with. */
	uint64_t counters_us;
	const struct conf_lane *admin;
	struct conf_app app;
	/* `endpoints:`; the cloud's where not given. URLs without a slash at the end. */
	struct sv login_url, graph_url, exchange_url;
	struct sv scope_host; /* "https://outlook.office365.com" */
	struct sv ca_file;    /* for both; empty: the system's */
	struct conf_place place;
};
/* What its limit of external recipients is reckoned with. */
struct provider_tenant conf_tenant_is(const struct conf_tenant *t, struct wall_time now);

struct conf_limits {
	uint32_t share_percent; /* of every limit below, 1 to 100 */
	uint32_t connections;
	uint32_t messages_per_minute; /* before the share; 0: none */
	uint32_t recipients_per_day;
	uint32_t recipients_per_message; /* not shared; 0: none */
	uint64_t message_bytes_max;      /* 0: none */
	uint32_t recipients_per_domain;  /* of one domain in one message (4.5.3); 0: none */
	/* As the tenant's outbound spam policy says, or the provider; before the share; 0: none. */
	uint32_t external_per_hour, internal_per_hour, recipients_per_hour;
	uint32_t external_per_day, messages_per_day;
	uint32_t
		budget_cents; /* of a calendar month, where each recipient costs; not shared; 0: none */
};

/* How a lane signs in. */
enum conf_sign_in {
	CONF_SIGN_IN_NONE,     /* connector, direct, smtp without a login */
	CONF_SIGN_IN_PASSWORD, /* AUTH LOGIN or PLAIN; basic authentication */
	CONF_SIGN_IN_APP,      /* a token of the tenant's app: client credentials */
	CONF_SIGN_IN_USER,     /* a token of a person: `postern login` */
};

/*
 * One door of a mailbox, or a connector, in one shape: what a lane needs. Name "mailbox" or "connector" by kind. How
 * many messages and recipients may leave is the mailbox's: the same in all of its doors.
 */
enum conf_lane_kind {
	CONF_LANE_MAILBOX,
	CONF_LANE_CONNECTOR,
	CONF_LANE_POOL, /* of a member alone: no lane is one */
};
struct conf_member;
struct conf_pool;
/* Who signs in for several mailboxes, or for another one. */
struct conf_account {
	struct sv key;                    /* "m:it@contoso.com": the scope of its minute */
	const struct conf_limits *limits; /* of the lane that allows the fewest messages a minute */
	uint32_t member_count;            /* that sign in as it */
	struct conf_place place;          /* of the first */
};
struct conf_lane {
	enum conf_lane_kind kind;
	const struct conf_member *member; /* that it is a door of */
	uint32_t door;                    /* from 0: the order in which its doors are taken */
	/* "erp@contoso.com" in lower case (mailbox), or the connector's name. */
	struct sv name;
	/* Key in the queue and the ledger: never changes with the configuration's order.
	 * "submission/erp@contoso.com", "smtp/lab". */
	struct sv key;
	enum provider_kind provider;
	const struct conf_tenant *tenant; /* NULL: none */
	struct sv host;
	uint16_t port;
	struct sv ca_file; /* empty: the system's */
	enum smtp_client_tls tls;
	enum conf_sign_in sign_in;
	struct sv login; /* sign-in name; empty: no AUTH */
	/* "*@contoso.com": it stands for mailboxes, and is none (conf/made.h). At most so many of them are at work at once. */
	bool is_wildcard;
	uint32_t at_once;
	const struct conf_lane *
		made_of; /* the wildcard's lane that this one was made of; NULL: listed by its name */
	const struct conf_account *account; /* whose minute it shares; NULL: it is its own */
	struct conf_secret password;
	/* The host is the mail exchanger of this domain, looked up; empty: `host` it is. */
	struct sv mx_of;
	struct sv certificate;              /* path, PEM: shown to the server; empty: none */
	struct conf_secret certificate_key; /* of it */
	struct conf_secret passphrase;      /* of the key; NONE: none */
	struct io_address source;           /* connect from here; len 0: any */
	enum conf_sender sender; /* always FORCE or REWRITE where the provider demands it */
	struct conf_limits limits;
	struct conf_place place;
};

/* Where mail may wait: a mailbox with all of its doors, a connector, which is its own only one, or a pool. */
struct conf_member {
	struct sv key;  /* in a queue: "m:erp@contoso.com", "c:lab", "p:outreach" */
	struct sv name; /* "erp@contoso.com", "lab", "outreach" */
	enum conf_lane_kind kind;
	const struct conf_tenant *tenant; /* NULL: none */
	const struct conf_lane *
		lanes; /* in the order of `doors:`; of a pool: its first mailbox's, which stand for all */
	size_t lane_count;            /* at least 1 */
	const struct conf_pool *pool; /* that the mailbox belongs to, or that this is; NULL: none */
	uint32_t weight;              /* of the mailbox in it */
	struct conf_place place;
};
enum {
	CONF_DOORS_MAX = 4
};

/* `pools:` mailboxes that carry one volume together. A mailbox belongs to one at most. */
enum conf_pool_kind {
	CONF_POOL_TRANSACTIONAL, /* the default */
	CONF_POOL_NEWSLETTER,
	CONF_POOL_OUTREACH,
};
struct conf_seat {
	const struct conf_member *member; /* a mailbox */
	uint32_t weight;                  /* how much of the volume it takes beside the others */
};
struct conf_pool {
	struct sv name, key; /* "outreach", "p:outreach" */
	enum conf_pool_kind kind;
	enum conf_class class; /* UNSAID: by its kind */
	bool keeps_sender; /* `sender: keep`; else From is the address of the mailbox that sends */
	/* What each of its mailboxes may send in 24 hours, all of its mail, in recipients, the share not taken off; 0: no more
	 * than its own limits say. */
	uint32_t per_day;
	struct sv organisation,
		postal_address; /* of whoever sends; not empty where the kind needs them */
	struct sv unsubscribe;  /* "mailto:..." or "https://..."; likewise */
	const struct conf_seat
		*seats;    /* by the first pattern that matches, in the order of the file */
	size_t seat_count; /* at least 1 */
	const struct conf_member *way; /* as routes and queues see it */
	struct conf_place place;
};

/* One way of `through:`. */
struct conf_through {
	bool sender;                      /* the mailbox whose address is the sender */
	const struct conf_member *member; /* else this one; it may be a pool */
};

enum conf_recipient_class {
	CONF_RECIPIENT_ANY,
	CONF_RECIPIENT_INTERNAL, /* in a domain of one of our tenants */
	CONF_RECIPIENT_EXTERNAL,
};

/* First match wins. All that is asked for must hold. */
struct conf_route {
	struct sv sender; /* address pattern; empty view with `any_sender` */
	const struct sv
		*recipients; /* patterns, one of which must match; none with `any_recipient` */
	size_t recipient_count;
	enum conf_recipient_class recipient_class; /* besides the patterns */
	struct sv user;     /* exact; local submissions are user "local:NAME" */
	struct sv listener; /* name of the listener; exact */
	struct sv device;   /* name of the device; exact */
	bool any_sender, any_recipient, any_user, any_listener, any_device;
	/* Known only after DATA: until then a route with one of these may still match. */
	uint64_t size_over;  /* more bytes than this; 0: not asked */
	uint64_t size_under; /* this or less, so that the two divide all mail; 0: not asked */
	struct sv header_name, header_pattern; /* empty name: not asked; stars in the pattern */
	/* The first is the usual way; the others are taken while it is parked for authentication,
	 * quota or outage. At least one, at most CONF_THROUGH_MAX. */
	const struct conf_through *through;
	size_t through_count;
	struct sv rewrite_from; /* envelope sender and From become this; empty: kept */
	enum conf_class class;
	struct conf_place place;
};
enum {
	CONF_THROUGH_MAX = 8
};

enum conf_uncertain {
	CONF_UNCERTAIN_RETRY,
	CONF_UNCERTAIN_HOLD,
	CONF_UNCERTAIN_ASSUME_SENT
};

/* Who hears of what holds mail: one alert an event. */
struct conf_alerts {
	bool log;
	struct sv webhook_url; /* https://...; empty: none. May hold a token: not logged */
	struct conf_secret webhook_secret; /* signs what is sent */
	struct sv webhook_ca_file;         /* empty: the system's */
	struct sv command;                 /* PROGRAM ARGUMENT...; empty: none; no shell */
	struct sv mail_to;                 /* empty: no mail */
	const struct sv *mail_through;     /* mailboxes or connectors: the first that is healthy */
	size_t mail_through_count;
};

/* What is known of the domains that send, and whether the daemon looks at them (domain/watch.h). */
struct conf_domains {
	bool watch;
	struct sv dns; /* "192.0.2.1:53": asked about them; empty: as resolv.conf says */
	const struct sv *selectors; /* of DKIM, beside Microsoft's */
	size_t selector_count;
	const struct sv *lists; /* block lists: "list.example.org" */
	size_t list_count;
};

struct conf_general {
	struct sv data_dir;       /* /var/lib/postern */
	struct sv maildrop;       /* /var/spool/postern/maildrop */
	struct sv submit_socket;  /* /run/postern/submit.sock: local submission by peer uid */
	struct sv control_socket; /* /run/postern/control.sock */
	struct sv hostname;       /* EHLO, Received, Message-ID */
	struct sv qualify;        /* domain for bare addresses; empty: bare addresses are refused */
	struct sv log_format;     /* "text" or "json" */
	struct sv log_level;
	uint64_t retry_first_us, retry_ceiling_us, retry_expire_us;
	uint64_t delay_notice_us;  /* 0: no notice */
	uint64_t parked_expire_us; /* parked mail has its own expiry */
	/* `classes:` the time to live of each class, through any hold; 0: none but the expiry of all mail. */
	uint64_t class_expire_us[MAIL_CLASS_COUNT];
	uint64_t history_keep_us, history_bytes_max;
	struct sv bounces_through; /* mailbox or connector name; empty: the member that failed */
	struct sv
		bounces_to; /* copy target for bounces that have no sender; empty: dropped with a log line */
	uint64_t min_free_bytes;       /* 0: the default rule */
	uint64_t inbound_memory_bytes; /* one budget for all sessions */
	uint32_t inbound_connections_max;
	uint32_t upstream_connections_max;
	uint64_t local_bytes_per_uid_max; /* maildrop and socket, waiting */
	enum conf_uncertain uncertain;
	bool keep_subject;
	struct sv redirect_all;       /* staging: every recipient becomes this one; empty: off */
	struct sv proxy;              /* "http://proxy:3128", for all HTTPS calls; empty: none */
	struct conf_secret vault_key; /* seals the vault; NONE: no vault is possible */
	struct sv dnssec_anchor;      /* file of trust anchors, for DANE; empty: DANE is off */
	struct conf_alerts alerts;
	struct conf_domains domains;
	uint32_t hve_price_cents; /* for a million delivered recipients; 4200 */
	bool confine;             /* the daemon gives up what it does not need (io/confine.h) */
};

/* What the configuration names outside of itself: the daemon reaches these, and nothing else of their kind. */
enum conf_outside_kind {
	CONF_OUTSIDE_FILE,     /* is read, and may be replaced while the daemon runs */
	CONF_OUTSIDE_COMMAND,  /* PROGRAM ARGUMENT... */
	CONF_OUTSIDE_VARIABLE, /* of the environment, with a secret in it */
};
struct conf_outside {
	enum conf_outside_kind kind;
	struct sv name;
	struct conf_place place;
};

const struct conf_general *conf_general(const struct conf *c);
/* Its own files (includes, CSV) are among them; the folders and sockets of conf_general() are not. */
const struct conf_outside *conf_outsides(const struct conf *c, size_t *out_count);
const struct conf_listener *conf_listeners(const struct conf *c, size_t *out_count);
const struct conf_user *conf_users(const struct conf *c, size_t *out_count);
const struct conf_user *conf_user(const struct conf *c, struct sv name); /* NULL: unknown */
/* What is said of "local:www-data", by its name or by "local:*"; NULL: nothing, or it is no local user. */
const struct conf_user *conf_local_user(const struct conf *c, struct sv name);
const struct conf_device *conf_devices(const struct conf *c, size_t *out_count);
/* The device at this address, the most exact network first; NULL: none. */
const struct conf_device *conf_device_at(const struct conf *c, const struct sockaddr *peer);
const struct conf_device *conf_device(const struct conf *c, struct sv name);
const struct conf_tenant *const *conf_tenants(const struct conf *c, size_t *out_count);
/* Is the address in an accepted domain of `tenant`, or of any tenant when that is NULL? */
NODISCARD bool conf_is_internal(
	const struct conf *c, const struct conf_tenant *tenant, struct sv address);
const struct conf_lane *conf_lanes(const struct conf *c, size_t *out_count); /* doors, connectors */
const struct conf_lane *conf_lane(const struct conf *c, struct sv key);      /* NULL: gone */
const struct conf_member *conf_members(
	const struct conf *c, size_t *out_count); /* mailboxes, connectors */
const struct conf_member *conf_member(const struct conf *c, struct sv key); /* NULL: gone */
const struct conf_member *conf_member_named(const struct conf *c, struct sv name);
const struct conf_pool *const *conf_pools(const struct conf *c, size_t *out_count);
const struct conf_pool *conf_pool(const struct conf *c, struct sv name); /* NULL: gone */
/* Do several mailboxes sign in as this one ("m:it@contoso.com")? */
bool conf_has_account(const struct conf *c, struct sv key);
/* The first of its doors that a person signs in for: once for all of them. NULL: none. */
const struct conf_lane *conf_person_door(const struct conf_member *m);
/* Does a mailbox of this provider sign in with a password? */
bool conf_has_password(const struct conf *c, enum provider_kind provider);
/* The first door of a mailbox, or a connector. */
const struct conf_lane *conf_lane_named(const struct conf *c, struct sv name);
const struct conf_route *conf_routes(const struct conf *c, size_t *out_count);
/* `aliases:` one step, already checked for loops: "root" -> "it@contoso.com"; empty: no alias. */
struct sv conf_alias(const struct conf *c, struct sv local_part);

/* Could it be `hostname:`, as servers take it in EHLO: relay.example.com, not relay or relay_1? */
NODISCARD bool conf_hostname_ok(struct sv text);

struct conf *conf_ref(struct conf *c);
void conf_unref(struct conf *c);
DEFINE_CLEANUP(struct conf, conf_unref);

/* One finding of a load. Errors refuse the file; warnings do not. */
struct conf_finding {
	bool warning;
	const char *file;
	unsigned line, column; /* from 1 */
	const char *text;      /* what is wrong, and the fix */
};

struct conf_findings {
	struct arena *arena;
	struct conf_finding *items;
	size_t count;
	size_t error_count;
	/* As far as it could be read: the daemon that runs can be asked, whatever else is wrong. */
	struct sv control_socket;
	/* A file could not be read for a reason that may pass (EMFILE, EIO, rights that are given later). */
	bool passing;
};
void conf_findings_free(struct conf_findings *f);

/*
 * Loads and checks `path` with its includes. All findings are reported at once, in the order of the
 * files. NULL when there is an error. Touches files (includes, CSV, the existence of named files) but
 * never the network.
 */
NODISCARD struct conf *conf_load(const char *path, struct conf_findings *out_findings);
/* The same for a text held in memory (tests, fuzzing, `init`): no includes from disk. */
NODISCARD struct conf *conf_load_text(struct sv text, struct conf_findings *out_findings);
