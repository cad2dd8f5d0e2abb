/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/arena.h"
#include "conf/conf.h"

/*
 * What an administrator must do at Microsoft 365 for a configuration, one step at a time and in an order
 * in which each finds what it needs. Nothing here touches the network: setup/powershell.h writes the
 * steps down. Views live as long as the plan and its configuration.
 */
enum setup_kind {
	SETUP_APP,         /* the registration and its Enterprise application */
	SETUP_APP_ROLE,    /* subject: an application permission */
	SETUP_APP_SCOPE,   /* subject: a permission for people who sign in through the app */
	SETUP_PRINCIPAL,   /* the app is made known to Exchange */
	SETUP_FULL_ACCESS, /* subject: mailbox; trustee: who may use it */
	SETUP_SMTP_AUTH,   /* subject: mailbox */
	SETUP_SENT_COPY,   /* subject: mailbox */
	SETUP_SEND_AS, /* subject: an address that is not the mailbox's; trustee: who sends as it */
	SETUP_CONNECTOR, /* subject: our name of it; certificate, or address, or neither: asked for */
	SETUP_HVE_ACCOUNT, /* subject: the account */
	SETUP_HVE_APP,     /* subject: the account */
	SETUP_DKIM,        /* subject: a domain */
	SETUP_KIND_COUNT,
};

enum setup_api {
	SETUP_API_EXCHANGE, /* Office 365 Exchange Online */
	SETUP_API_GRAPH,
};

struct setup_tenant {
	struct sv name, id;
	struct sv client_id; /* empty: the app is not registered yet */
	enum provider_cloud cloud;
	bool has_app;   /* mailboxes sign in through the app */
	bool has_users; /* people sign in through it */
};

struct setup_step {
	enum setup_kind kind;
	const struct setup_tenant *tenant;
	struct sv subject;
	struct sv trustee; /* a person; empty: the app */
	enum setup_api api;
	struct sv certificate, address; /* of a connector */
	bool password;                  /* an HVE account that signs in with one */
};

struct setup_plan {
	struct arena arena;
	struct setup_step *steps;
	size_t count, room;
	/* What an administrator must decide: sentences without a command. */
	struct sv *notes;
	size_t note_count, note_room;
};

/* `address`: what Microsoft sees connectors without a certificate come from; empty: not known. */
void setup_plan_make(struct setup_plan *out_plan, const struct conf *c, struct sv address);
void setup_plan_deinit(struct setup_plan *p);

/* A client id that stands for "not registered yet". */
#define SETUP_NO_CLIENT_ID "00000000-0000-0000-0000-000000000000"
