/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/err.h"
#include "io/loop.h"
#include "io/net.h"

/*
 * A Microsoft 365 on loopback that a developer uses for its own sake (docs/man/postern-sandbox.1):
 * SMTP AUTH client submission with Exchange Online's dialogue, limits and error texts, scripted faults,
 * an HTTP API, an event log, and a verdict at the end: which limit was broken, when, by whom.
 */
struct sandbox;
struct buf;

struct sandbox_options {
	struct sv smtp_address;      /* "127.0.0.1:2587"; port 0: any. It takes mail from anybody */
	struct sv hve_address;       /* High Volume Email; empty: none */
	struct sv connector_address; /* the tenant's MX, port 25; empty: none */
	struct sv http_address;      /* empty: no API */
	struct sv https_address;     /* sign-in and Graph under Microsoft's paths; empty: none */
	struct sv folder;            /* for ca.pem, certificate and key; made when missing */
	struct sv host_name;         /* certificate name besides localhost and 127.0.0.1 */
	struct sv password;          /* any address signs in with it */
	struct sv scenario;          /* name, empty: none */
	struct sv events_path;       /* JSON lines; empty: none, "-": standard output */
	uint64_t keep_bytes;         /* messages kept for the API; older ones go first */
	double speed;                /* of its clock; 1: like the wall */
	bool rewrite_ids;            /* new Message-IDs in the final 250 */
	bool beyond_loopback; /* listens on any address: whoever reaches it may hand in mail */
	/* A line for each mail and refusal, without line end and safe for a terminal; NULL: nobody looks. */
	void (*tell)(void *arg, const char *line);
	void *tell_arg;
	bool implicit_tls_off; /* offers no STARTTLS (to test that nothing leaves in the clear) */
};

/* The texts of `options` must live as long as the sandbox. */
NODISCARD struct sandbox *sandbox_new(
	struct io_loop *l, const struct sandbox_options *options, struct err *err);
void sandbox_free(struct sandbox *s);

int sandbox_smtp_port(const struct sandbox *s);
int sandbox_hve_port(const struct sandbox *s);       /* 0: none */
int sandbox_connector_port(const struct sandbox *s); /* 0: none */
int sandbox_http_port(const struct sandbox *s);      /* 0: none */
int sandbox_https_port(const struct sandbox *s);     /* 0: none */
struct sv sandbox_ca_path(const struct sandbox *s);

struct sandbox_totals {
	uint64_t sessions, accepted, refused, recipients, duplicates;
	uint64_t hve_recipients; /* what Microsoft bills */
	size_t violations;
};
struct sandbox_totals sandbox_totals(const struct sandbox *s);
/* The verdict as text for a person; one line for each kind of broken limit. */
NODISCARD int sandbox_verdict(const struct sandbox *s, struct buf *out);

/* Names and one-line descriptions of the ready scenarios; NULL past the last. */
const char *sandbox_scenario_name(size_t index, const char **out_does);
