/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/list.h"
#include "io/net.h"
#include "io/stream.h"
#include "mail/header.h"
#include "sandbox/admin.h"
#include "sandbox/door.h"
#include "sandbox/entra.h"
#include "sandbox/events.h"
#include "sandbox/fault.h"
#include "sandbox/graph.h"
#include "sandbox/messages.h"
#include "sandbox/model.h"
#include "sandbox/sandbox.h"
#include "sandbox/web.h"

struct sandbox {
	struct io_loop *loop;
	struct sandbox_options options;
	struct sandbox_model *model;
	struct sandbox_entra *entra;
	struct sandbox_tenant tenant;
	struct sandbox_graph *graph;
	struct sandbox_admin *admin;
	struct sandbox_messages *messages;
	struct sandbox_messages *inboxes; /* what arrived for its own mailboxes: NDRs */
	struct sandbox_faults faults;
	struct sandbox_events *events;
	struct io_tls *tls;
	struct io_tls *connector_tls; /* asks for a client certificate */
	struct io_listener
		*listeners[SANDBOX_DOOR_GRAPH]; /* of the doors that speak SMTP; NULL: shut */
	struct sandbox_api *api;                /* NULL: none */
	struct sandbox_web *https;              /* sign-in and Graph; NULL: none */
	struct list sessions;
	struct buf ca_path;
	bool starttls_off;
	/* Its clock: `clock_us` at `clock_at`, running `speed` times as fast as the wall. */
	uint64_t clock_us;
	struct mono_time clock_at;
	double speed;
	struct wall_time started_at;
	struct sandbox_totals totals;
	uint64_t next_session;
};

uint64_t sandbox_now_us(const struct sandbox *s);
struct sandbox_instant sandbox_instant(const struct sandbox *s);
void sandbox_set_speed(struct sandbox *s, double speed);
void sandbox_advance(struct sandbox *s, uint64_t us);

void sandbox_session_start(struct sandbox *sandbox, enum sandbox_door door, int fd);
void sandbox_session_close_all(struct sandbox *sandbox);

/* A message that a door took; the recipients' strings are the message's from now on. */
struct sandbox_delivery {
	enum sandbox_door door;
	struct sv mailbox, sender; /* mailbox empty: nobody signed in */
	char **recipients;
	size_t recipient_count;
	struct sv raw;
	const struct header_facts *facts;
};
struct sandbox_message *sandbox_deliver(struct sandbox *s, const struct sandbox_delivery *d);

/* Sets switches, limits, mailboxes and faults of a ready scenario; RC_NOT_FOUND with a list. */
NODISCARD int sandbox_scenario_apply(struct sandbox *s, struct sv name, struct err *err);
/*
 * {"tenant_auth":false, "limits":{...}, "mailboxes":[...]}: what the API's PUT /settings takes too. RC_PARSE
 * names an unknown key or a wrong type, and nothing is set.
 */
NODISCARD int sandbox_settings_apply(struct sandbox *s, const json_t *settings, struct err *err);
json_t *sandbox_settings_json(const struct sandbox *s);
/* As at the start: settings, faults, messages, counts, clock; open sessions end. */
NODISCARD int sandbox_reset(struct sandbox *s, struct err *err);

/* A line for the person at the terminal, when options.tell is set; without line end, made safe to show. */
PRINTF_LIKE(2, 3) void sandbox_tell(struct sandbox *s, const char *format, ...);
void sandbox_tell_message(struct sandbox *s, const char *what, const struct sandbox_message *m);

NODISCARD struct sandbox_api *sandbox_api_open(
	struct sandbox *s, struct sv address, struct err *err);
void sandbox_api_close(struct sandbox_api *a);
int sandbox_api_port(const struct sandbox_api *a);
void sandbox_api_message_arrived(struct sandbox_api *a); /* answers those who wait */
json_t *sandbox_verdict_json(const struct sandbox *s);

/* Microsoft's addresses over HTTPS: each answers, or waits. */
enum MHD_Result sandbox_entra_web(struct sandbox *s, struct sandbox_web_request *r);
enum MHD_Result sandbox_graph_web(struct sandbox *s, struct sandbox_web_request *r);
/* Exchange's counters of now become rows that Get- finds; a sender that was unblocked may send again. */
void sandbox_admin_count(struct sandbox *s);
void sandbox_admin_unblock(struct sandbox *s, const json_t *input);
enum MHD_Result sandbox_admin_web(struct sandbox *s, struct sandbox_web_request *r);
NODISCARD bool sandbox_admin_owns(struct sv path);

/* What a scripted fault does to this request. */
enum sandbox_strike {
	SANDBOX_STRIKE_NONE,  /* go on */
	SANDBOX_STRIKE_TAKEN, /* return *out_result */
	SANDBOX_STRIKE_REPLY, /* answer as *out_fault says; Retry-After is set already */
};
enum sandbox_strike sandbox_web_strike(struct sandbox *s, struct sandbox_web_request *r,
	enum sandbox_stage at, struct sv address, const struct sandbox_fault **out_fault,
	enum MHD_Result *out_result);
