/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/err.h"
#include "base/sv.h"
#include "sandbox/apps.h"
#include "sandbox/form.h"

#include <jansson.h>

/*
 * Microsoft Entra's token service without its sockets: apps, every grant that postern knows, tokens
 * signed with a key that lies in the sandbox's folder, and what Exchange checks of them. Error numbers
 * and texts: Microsoft's "Microsoft Entra authentication and authorization error codes" and the pages
 * of the flows (MicrosoftDocs/entra-docs, 2026-11).
 *
 * Access and refresh tokens carry their own content, so that they outlive a restart; codes do not.
 */
struct sandbox_entra;

#define SANDBOX_TENANT_DEFAULT "22222222-2222-2222-2222-222222222222"

NODISCARD struct sandbox_entra *sandbox_entra_new(struct sv folder);
void sandbox_entra_free(struct sandbox_entra *e);
/* apps, tenants, token_life, refresh_life, refresh_once, revoke_sessions, device_interval, ... */
NODISCARD int sandbox_entra_apply(struct sandbox_entra *e, const json_t *settings, struct err *err);
void sandbox_entra_show(const struct sandbox_entra *e, json_t *out); /* secrets are not shown */

/* The sandbox's own clock, and the wall's: what clients sign is dated by theirs. Seconds since 1970. */
struct sandbox_instant {
	uint64_t now_s, wall_s;
};

struct sandbox_entra_request {
	struct sv tenant; /* of the path */
	struct sv base;   /* "https://localhost:2543" */
	const struct sandbox_form *form;
	struct sandbox_instant at;
};

/* What the service says. `note` is for the event log: who got what, or the error's number and text. */
struct sandbox_entra_answer {
	unsigned status;
	json_t *body; /* the caller's */
	char note[400];
	char client_id[64];
	char user[320];
};
void sandbox_entra_token(struct sandbox_entra *e, const struct sandbox_entra_request *r,
	struct sandbox_entra_answer *out);
void sandbox_entra_device_code(struct sandbox_entra *e, const struct sandbox_entra_request *r,
	struct sandbox_entra_answer *out);
/*
 * The authorize page: 0 with a code for the redirect in *out (at most 512 bytes), or RC_STATE: *out
 * answer holds the error. `user` signed in; with `allow` false he declined.
 */
NODISCARD int sandbox_entra_authorize(struct sandbox_entra *e,
	const struct sandbox_entra_request *r, struct sv user, char out_code[512],
	struct sandbox_entra_answer *out);
/* 404 for a client or redirect that cannot be: to show before anybody signs in. RC_STATE as above. */
NODISCARD int sandbox_entra_authorize_check(struct sandbox_entra *e,
	const struct sandbox_entra_request *r, struct sandbox_entra_answer *out);
/* An error body for faults: "AADSTS53003: text", "invalid_grant: AADSTS53003: text", or one of the two. */
void sandbox_entra_refuse(const struct sandbox_entra_request *r, unsigned status, struct sv text,
	struct sandbox_entra_answer *out);
NODISCARD int sandbox_entra_tenant_check(struct sandbox_entra *e,
	const struct sandbox_entra_request *r, struct sandbox_entra_answer *out);

/* A person at the device page: RC_NOT_FOUND when no such code waits. */
NODISCARD int sandbox_entra_device_answer(
	struct sandbox_entra *e, struct sv user_code, struct sv user, bool allow, uint64_t now_s);
json_t *sandbox_entra_logins(const struct sandbox_entra *e);      /* those that wait */
struct sv sandbox_entra_auto_user(const struct sandbox_entra *e); /* empty: a person decides */

json_t *sandbox_entra_keys(struct sandbox_entra *e); /* JWKS */
const char *sandbox_entra_tenant_id(const struct sandbox_entra *e, struct sv tenant, char out[64]);
json_t *sandbox_entra_counts(const struct sandbox_entra *e); /* tokens issued: who, how often */

/* Straight to a token, for tests: {"user":..., "client_id":..., "scope":..., "life":...}. */
NODISCARD int sandbox_entra_mint(struct sandbox_entra *e, const json_t *spec,
	struct sandbox_instant at, json_t **out_answer, struct err *err);

enum sandbox_resource {
	SANDBOX_RESOURCE_EXCHANGE,
	SANDBOX_RESOURCE_GRAPH,
	SANDBOX_RESOURCE_OTHER,
};

/* A token that was shown, checked. Views live as long as `claims`. */
struct sandbox_bearer {
	json_t *claims;
	enum sandbox_resource resource;
	struct sv user;                /* empty: the app itself */
	const struct sandbox_app *app; /* NULL: not known any more */
	uint64_t expires_s;
};
/* NULL, or why it is no good: one sentence for the event log, which never goes over the wire. */
extern const char sandbox_bearer_expired[]; /* what it says of a token that has ended */
const char *sandbox_entra_check(struct sandbox_entra *e, struct sv token, uint64_t now_s,
	struct sandbox_bearer *out_bearer);
void sandbox_bearer_deinit(struct sandbox_bearer *b);
/* `scope` for a token of a user, `role` for one of an app. */
bool sandbox_bearer_may(const struct sandbox_bearer *b, const char *scope, const char *role);
/* May this token act on that mailbox: the user himself, his delegation, or the app's FullAccess? */
bool sandbox_bearer_owns(
	const struct sandbox_entra *e, const struct sandbox_bearer *b, struct sv mailbox);
/*
 * NULL, or why Exchange refuses the sign-in. `role` "SMTP.SendAsApp" or HVE's "Mail.Send". Whether an app may
 * open the mailbox it does not ask here, but for each message: sandbox_bearer_owns().
 */
const char *sandbox_bearer_smtp(const struct sandbox_entra *e, const struct sandbox_bearer *b,
	struct sv mailbox, const char *scope, const char *role);
