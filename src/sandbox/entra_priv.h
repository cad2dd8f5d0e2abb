/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/buf.h"
#include "base/htable.h"
#include "base/list.h"
#include "sandbox/entra.h"

enum {
	ENTRA_LOGINS_MAX = 10000,
	ENTRA_USED_MAX = 100000,
	ENTRA_SCOPE_MAX = 1024,
	ENTRA_CODE_LIFE_S = 600,
};

enum entra_login_state {
	ENTRA_LOGIN_WAITS,
	ENTRA_LOGIN_ALLOWED,
	ENTRA_LOGIN_DECLINED,
	ENTRA_LOGIN_USED,
};

/* A device code, or the code of an authorization: both wait to be turned into tokens. */
struct entra_login {
	struct list node;
	bool device;
	char code[128];
	char user_code[16]; /* device only */
	char *client_id, *scope, *user, *redirect_uri, *challenge, *nonce;
	enum entra_login_state state;
	uint64_t made_s, life_s, interval_s, asked_s;
};

struct sandbox_entra {
	char *folder;
	EVP_PKEY *key; /* made, or read, when it is needed first */
	char key_id[64];
	struct sandbox_apps apps;
	struct sandbox_texts tenants; /* empty: any */
	json_t *delegates;            /* {"shared@x": ["user@x"]} */
	char *auto_user;
	uint64_t token_life_s, refresh_life_s, device_life_s, device_interval_s;
	int64_t skew_s; /* how far its clock is ahead of the clients' */
	bool refresh_once;
	bool graph_audience; /* every token is for Graph */
	uint64_t generation; /* of sessions: revoked when it rises */
	struct list logins;
	size_t login_count;
	struct htable used;   /* ids of assertions, and of refresh tokens once used */
	struct htable counts; /* "grant client user scope" -> struct entra_count */
};

struct entra_count {
	uint64_t count;
};

/* What a scope parameter asks for. */
struct entra_scope {
	enum sandbox_resource resource;
	char audience[128];          /* as asked: "https://outlook.office365.com" */
	char names[ENTRA_SCOPE_MAX]; /* permissions without host, spaces between */
	bool all;                    /* ".default" */
	bool offline, openid;
};
/* RC_PARSE: nothing that exists; RC_LIMIT: more than one resource. */
NODISCARD int entra_scope_parse(struct sv text, struct entra_scope *out_scope);
/* Of those `known`, the ones that belong to the resource (and, unless `all`, were asked for). */
NODISCARD int entra_scope_grant(
	const struct entra_scope *s, const struct sandbox_texts *known, struct buf *out);

struct entra_grant {
	const char *name; /* "client_credentials" ... for the counts */
	const struct sandbox_app *app;
	struct sv user; /* empty: the app */
	struct entra_scope scope;
	struct sv scope_text; /* as asked: kept in the refresh token */
	struct sv nonce;
	char tenant_id[64];
	uint64_t life_s; /* 0: as configured */
};
/* The token answer, counted; RC_LIMIT when it does not fit. */
NODISCARD int entra_issue(struct sandbox_entra *e, const struct entra_grant *g, struct sv base,
	uint64_t now_s, json_t **out_answer);

EVP_PKEY *entra_key(struct sandbox_entra *e);
void entra_random_text(char *out, size_t size);
void entra_guid(struct sv seed, char out[40]); /* the same text, the same id */

/* Errors: the number decides status and name. */
void entra_error(const struct sandbox_entra_request *r, struct sandbox_entra_answer *out,
	unsigned number, const char *fmt, ...) PRINTF_LIKE(4, 5);
void entra_error_named(const struct sandbox_entra_request *r, struct sandbox_entra_answer *out,
	const char *name, unsigned number, const char *text);

/* entra_login.c */
struct entra_login *entra_login_add(struct sandbox_entra *e, bool device);
struct entra_login *entra_login_find(struct sandbox_entra *e, bool device, struct sv code);
void entra_logins_free(struct sandbox_entra *e);
