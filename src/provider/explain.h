/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "provider/remedy.h"
#include "provider/verdict.h"

/*
 * Replies in any text: a pasted line, several glued or folded into one, a bounce mail, an exception, a
 * log. The tables are those by which the relay judges, only without the place in a session where they
 * were met, as far as the text does not tell it.
 */
enum {
	PROVIDER_EXPLAIN_MAX = 32, /* meanings of one text; a log has fewer */
	PROVIDER_EXPLAIN_TEXT = 4 << 20,
};

struct provider_explanation {
	struct sv reply; /* where it stands in the text */
	struct verdict verdict;
	bool known;                           /* a row of the tables knows it */
	const struct provider_remedy *remedy; /* never NULL */
	const char *source, *checked;         /* of the row; NULL when there is none */
};

struct provider_explained {
	struct provider_explanation items[PROVIDER_EXPLAIN_MAX]; /* each cause once, as they came */
	size_t count;
	struct provider_facts facts; /* views of the text */
};

/* At most PROVIDER_EXPLAIN_TEXT bytes are looked at. Views are of `text`. */
void provider_explain(struct sv text, struct provider_explained *out);

/*
 * A mail as it travels, made readable: bodies in base64 and quoted-printable are decoded, all else is
 * copied. RC_LIMIT when `out` is full; what is in it then is good.
 */
NODISCARD int provider_explain_decode(struct sv mail, struct buf *out);

/* A row of the catalogue, for lists and pages. */
struct provider_catalogue_row {
	const char *reply; /* "5.7.139", "AADSTS7000215", "ErrorAccessDenied", "" */
	const char *text;  /* the piece of the reply that counts; "" */
	enum verdict_kind kind;
	enum verdict_scope scope; /* VERDICT_SCOPE_COUNT: by the step of the session */
	enum verdict_nature nature;
	enum cause cause;
	const char *summary, *source, *checked;
	const char *at;      /* where it is met: "mail rcpt", "token", "graph" */
	const char *doors;   /* by which door: "submission hve"; "" for "token" and "graph" */
	const char *sign_in; /* "password", "token": only with this one; "" */
	const char *example; /* an answer that this row knows; for HTTPS with its status in front */
	bool after_uncertain; /* only when an earlier attempt of the message ended uncertain */
};
typedef void provider_catalogue_fn(void *arg, const struct provider_catalogue_row *row);
void provider_catalogue_each(provider_catalogue_fn *each, void *arg);

/* "retry", "wait", "park", "bounce", "delivered": what people need to know of a verdict. */
const char *provider_class_name(const struct verdict *v);
