/* SPDX-License-Identifier: Apache-2.0 */
#include "provider/reply.h"

#include "base/err.h"
#include "base/must.h"
#include "provider/remedy_priv.h"
#include "provider/reply_priv.h"

#include <errno.h>
#include <stdio.h>

/* These words stand in the configuration and the store: they never change, only grow. */
static const char *const names[] = {
	"submission", "smtp", "hve", "connector", "direct", "graph", "gmail"
};
static_assert(COUNT_OF(names) == PROVIDER_COUNT, "one name a provider");

const char *provider_name(enum provider_kind kind)
{
	must(kind < PROVIDER_COUNT);
	return names[kind];
}

int provider_parse(struct sv name, enum provider_kind *out_kind)
{
	for (size_t i = 0; i < COUNT_OF(names); i++) {
		if (sv_eq_nocase(name, sv_from(names[i]))) {
			*out_kind = (enum provider_kind)i;
			return 0;
		}
	}
	return RC_PARSE;
}

/* "5.7.139" */
struct status {
	uint32_t digit[3];
};

static bool read_status(struct sv text, struct status *out)
{
	struct status s;

	for (size_t i = 0; i < 3; i++) {
		struct sv part;
		bool dot = sv_cut_char(&text, '.', &part);

		if (dot != (i < 2) || part.len > 3 || sv_parse_u32(part, 999, &s.digit[i]) != 0)
			return false;
	}
	if (s.digit[0] != 2 && s.digit[0] != 4 && s.digit[0] != 5)
		return false;
	*out = s;
	return true;
}

/* A reply taken apart once, for all rows. */
struct seen {
	uint16_t code;
	struct sv enhanced; /* empty: none */
	struct status status;
	bool has_status;
	struct sv text;
};

static struct sv cut_word(struct sv *text)
{
	struct sv word = *text;

	for (size_t i = 0; i < text->len; i++) {
		char c = text->ptr[i];

		if (c == ' ' || c == '\n' || c == '\t' || c == '\r') {
			word.len = i;
			break;
		}
	}
	*text = sv_skip(*text, word.len + 1);
	return word;
}

/* A code of one digit is one of which only the class is known. */
static unsigned class_of(const struct seen *seen)
{
	return seen->code < 10 ? seen->code : seen->code / 100U;
}

/*
 * "5.7.57 Client not authenticated to send mail. Error: 535 5.7.139 Authentication unsuccessful, ...":
 * the second reply is the reason, so that one is judged. Only behind 5.7.57: other replies repeat what
 * the sender wrote, and he must not choose the verdict.
 */
static void unglue(struct seen *seen)
{
	ptrdiff_t at;
	struct sv rest, word;

	if (class_of(seen) != 5 || !sv_eq(seen->enhanced, SV("5.7.57")))
		return;
	at = sv_find(seen->text, SV("535 5.7."));
	if (at < 0)
		return;
	rest = sv_skip(seen->text, (size_t)at + 4);
	word = cut_word(&rest);
	if (!read_status(word, &seen->status))
		return;
	seen->code = 535;
	seen->enhanced = word;
	seen->has_status = true;
	seen->text = rest;
}

static void cut_other_class(struct seen *seen)
{
	struct sv rest = seen->text;
	struct sv word = cut_word(&rest);
	struct status status;

	if (!read_status(word, &status) || (status.digit[0] != 4 && status.digit[0] != 5))
		return;
	seen->enhanced = word;
	seen->text = rest;
}

static struct seen look_at(const struct smtp_reply *reply)
{
	struct seen seen = {
		.code = reply->code,
		.enhanced =
			sv_make(reply->enhanced, strnlen(reply->enhanced, sizeof(reply->enhanced))),
		.text = reply->text,
	};

	/* A code of another class than the reply's is text to SMTP: "451 5.7.3 STARTTLS is required". */
	if (seen.enhanced.len == 0)
		cut_other_class(&seen);
	seen.has_status = read_status(seen.enhanced, &seen.status);
	unglue(&seen);
	return seen;
}

/* The points of a part that fits; -1 when it does not. A part that is not set fits for nothing. */

static int match_code(uint16_t code, const struct seen *seen)
{
	if (code == 0)
		return 0;
	if (code < 10)
		return class_of(seen) == code ? 10 : -1;
	if (seen->code < 10)
		return class_of(seen) == code / 100U ? 5 : -1;
	return seen->code == code ? 20 : -1;
}

static int match_enhanced(const struct provider_pattern *on, const struct seen *seen)
{
	struct status first;

	if (!on->enhanced)
		return 0;
	if (!on->detail_max)
		return sv_eq(seen->enhanced, sv_from(on->enhanced)) ? 200 : -1;
	if (!seen->has_status || !read_status(sv_from(on->enhanced), &first))
		return -1;
	if (seen->status.digit[0] != first.digit[0] || seen->status.digit[1] != first.digit[1])
		return -1;
	if (seen->status.digit[2] < first.digit[2] || seen->status.digit[2] > on->detail_max)
		return -1;
	return 100;
}

/* "one*two": each piece is said. */
static int match_text(const char *pattern, const struct seen *seen, const struct provider_own *own)
{
	struct sv words = sv_from(pattern), piece;
	int points = 1000;
	bool first, more = true;

	if (!pattern)
		return 0;
	first = words.ptr[0] == '^';
	words = sv_skip(words, first);
	while (more) {
		more = sv_cut_char(&words, '*', &piece);
		if (!provider_says(seen->text, piece, first, own))
			return -1;
		points += (int)piece.len;
		first = false;
	}
	return points;
}

/*
 * Words that any server may say ("spam") do not win over a number that only one kind of server has: the
 * registered details end at 30 (RFC 3463 and its registry), Exchange's own begin at 50.
 */
static int temper(int text, const struct provider_pattern *on, const struct seen *seen)
{
	if (text > 1000 && !on->enhanced && on->code < 10 && seen->has_status &&
		seen->status.digit[2] >= 50)
		return text < 1040 ? text - 950 : 90;
	return text;
}

static int match(const struct provider_pattern *on, const struct provider_question *q,
	const struct seen *seen)
{
	int code, enhanced, text;

	if (!(on->stages & q->stages))
		return -1;
	if (on->providers && !(on->providers & q->providers))
		return -1;
	if (on->after_uncertain && !q->after_uncertain)
		return -1;
	if (on->sign_in && on->sign_in != q->sign_in)
		return -1;
	/* A code of its own is no sign where only the class is known. */
	if (seen->code < 10 && on->code >= 10 && !on->enhanced && !on->text)
		return -1;
	code = match_code(on->code, seen);
	if (code < 0)
		return -1;
	enhanced = match_enhanced(on, seen);
	if (enhanced < 0)
		return -1;
	text = temper(match_text(on->text, seen, &q->own), on, seen);
	if (text < 0)
		return -1;
	return code + enhanced + text + 2 * (on->sign_in != PROVIDER_WITH_ANY) +
	       (on->providers != 0) + 4 * on->after_uncertain;
}

/* The most specific row: text before enhanced code before code; of equals the first. */
static const struct provider_row *find_row(
	const struct provider_question *q, const struct seen *seen)
{
	const struct provider_row *best = NULL;
	int best_points = -1;

	for (size_t i = 0; i < provider_rows_count; i++) {
		int points = match(&provider_rows[i].on, q, seen);

		if (points > best_points) {
			best = &provider_rows[i];
			best_points = points;
		}
	}
	return best;
}

static bool is_session_stage(enum smtp_client_stage stage)
{
	return (PROVIDER_AT_SESSION | PROVIDER_AT_AUTH) & 1U << stage;
}

static enum verdict_scope scope_of_stage(enum smtp_client_stage stage)
{
	if (stage == SMTP_CLIENT_STAGE_RCPT)
		return VERDICT_SCOPE_RECIPIENT;
	if (stage == SMTP_CLIENT_STAGE_AUTH)
		return VERDICT_SCOPE_MAILBOX;
	return is_session_stage(stage) ? VERDICT_SCOPE_ROUTE : VERDICT_SCOPE_MESSAGE;
}

static struct verdict verdict_of(const struct provider_row *row, enum smtp_client_stage stage)
{
	return (struct verdict){
		.kind = row->kind,
		.scope = row->scope == PROVIDER_SCOPE_BY_STAGE ? scope_of_stage(stage) : row->scope,
		.nature = row->nature,
		.retry_after_us = row->retry_after_us,
		.cause = row->cause,
		.summary = row->summary,
	};
}

static struct verdict verdict_of_cause(enum cause cause, enum smtp_client_stage stage)
{
	struct verdict v = cause_verdict(cause);

	if (provider_causes[cause].scope == PROVIDER_SCOPE_BY_STAGE)
		v.scope = scope_of_stage(stage);
	return v;
}

/* What no row knows. */
static struct verdict judge_unknown(enum smtp_client_stage stage, unsigned class)
{
	struct verdict v;

	switch (class) {
	case 4:
		v = verdict_of_cause(CAUSE_UNKNOWN_TRANSIENT, stage);
		/* Before any message was spoken of it is the service that is not there. */
		if (is_session_stage(stage))
			v.nature = VERDICT_NATURE_OUTAGE;
		return v;
	case 5:
		return verdict_of_cause(
			is_session_stage(stage) ? CAUSE_SESSION_REFUSED : CAUSE_UNKNOWN_PERMANENT,
			stage);
	default:
		return verdict_of_cause(class == 2 && stage == SMTP_CLIENT_STAGE_DOT
						? CAUSE_ACCEPTED
						: CAUSE_UNEXPECTED_REPLY,
			stage);
	}
}

/*
 * The status for notices and the queue. Its class must be that of the verdict, or a reader of the
 * notice is misled ("550 4.4.7 message expired" is a bounce, a duplicate a success).
 */
static void set_enhanced(struct verdict *v, const struct seen *seen)
{
	struct status s = seen->has_status ? seen->status : (struct status){ 0 };
	unsigned class = class_of(seen) == 5 ? 5 : 4;

	if (v->kind == VERDICT_DELIVERED) {
		class = 2;
		if (s.digit[0] != 2)
			s = (struct status){ 0 };
	} else if (v->kind == VERDICT_BOUNCE) {
		class = 5;
	}
	(void)snprintf(v->enhanced,
		sizeof(v->enhanced),
		"%u.%u.%u",
		class,
		s.digit[1] % 1000U,
		s.digit[2] % 1000U);
}

const struct provider_row *provider_find_row(
	const struct provider_question *question, const struct smtp_reply *reply)
{
	struct seen seen = look_at(reply);
	unsigned class = class_of(&seen);

	return class == 4 || class == 5 ? find_row(question, &seen) : NULL;
}

/*
 * Before a recipient was named a refusal speaks of us: of the sender's address, the account, the name or
 * the connector. Every message like it meets it, so none bounces for it; what the row says of recipients
 * or of their side does not hold here. Size and form are the message's own also at MAIL.
 */
static bool is_ours(const struct verdict *v, enum smtp_client_stage stage)
{
	return stage == SMTP_CLIENT_STAGE_MAIL && v->kind == VERDICT_BOUNCE &&
	       (v->cause == CAUSE_UNKNOWN_PERMANENT ||
		       provider_remedy(v->cause, NULL)->owner == PROVIDER_OWNER_RECIPIENT);
}

struct verdict provider_row_verdict(const struct provider_row *row, enum smtp_client_stage stage,
	const struct smtp_reply *reply)
{
	struct seen seen = look_at(reply);
	struct verdict v = row ? verdict_of(row, stage) : judge_unknown(stage, class_of(&seen));

	if (is_ours(&v, stage))
		v = cause_verdict(CAUSE_SENDER_REFUSED);
	set_enhanced(&v, &seen);
	return v;
}

struct verdict provider_judge(const struct provider_answer *answer)
{
	struct provider_question question = {
		.stages = 1U << answer->stage,
		.providers = 1U << answer->provider,
		.sign_in = answer->token ? PROVIDER_WITH_TOKEN : PROVIDER_WITH_PASSWORD,
		.after_uncertain = answer->after_uncertain,
		.own = answer->own,
	};
	const struct provider_row *row;
	struct verdict v;

	must(answer->provider < PROVIDER_COUNT);
	must(answer->stage < SMTP_CLIENT_STAGE_COUNT);
	row = provider_find_row(&question, answer->reply);
	v = provider_row_verdict(row, answer->stage, answer->reply);
	provider_bound(&v, row, &question, answer->reply);
	return v;
}

/* ---- failures without a reply ---- */

struct verdict provider_judge_failure(
	enum provider_kind provider, enum smtp_client_stage stage, enum smtp_client_failure failure)
{
	static const enum cause causes[SMTP_CLIENT_FAIL_COUNT] = {
		[SMTP_CLIENT_FAIL_NO_STARTTLS] = CAUSE_STARTTLS_MISSING,
		[SMTP_CLIENT_FAIL_NO_AUTH] = CAUSE_SIGN_IN_MISSING,
		[SMTP_CLIENT_FAIL_PROTOCOL] = CAUSE_PROTOCOL_ERROR,
		[SMTP_CLIENT_FAIL_TIMEOUT] = CAUSE_TIMEOUT,
		[SMTP_CLIENT_FAIL_CLOSED] = CAUSE_CONNECTION_LOST,
	};
	const struct provider_facts there = { .provider = provider };
	struct verdict v;

	must(provider < PROVIDER_COUNT);
	must(stage < SMTP_CLIENT_STAGE_COUNT);
	must(failure < SMTP_CLIENT_FAIL_COUNT);
	/* A failure with a reply is provider_judge()'s. */
	must(causes[failure] != CAUSE_NONE);
	v = verdict_of_cause(causes[failure], stage);
	v.summary = provider_remedy(v.cause, &there)->means;
	v.of_line = failure == SMTP_CLIENT_FAIL_TIMEOUT || failure == SMTP_CLIENT_FAIL_CLOSED;
	return v;
}

/* ---- the network ---- */

static const struct {
	int rc;
	enum cause cause;
} network_rows[] = {
	{ RC_DNS, CAUSE_DNS_FAILURE },
	{ RC_NO_NAME, CAUSE_NO_SUCH_HOST },
	{ RC_TLS, CAUSE_TLS_FAILURE },
	{ RC_TIMEOUT, CAUSE_CONNECT_TIMEOUT },
	{ -ETIMEDOUT, CAUSE_CONNECT_TIMEOUT },
	{ -ECONNREFUSED, CAUSE_CONNECTION_REFUSED },
	{ -EHOSTUNREACH, CAUSE_UNREACHABLE },
	{ -ENETUNREACH, CAUSE_UNREACHABLE },
	{ -ECONNRESET, CAUSE_CONNECTION_LOST },
	{ -EPIPE, CAUSE_CONNECTION_LOST },
	{ RC_CLOSED, CAUSE_CONNECTION_LOST },
	{ -EACCES, CAUSE_FORBIDDEN_HERE },
	{ -EPERM, CAUSE_FORBIDDEN_HERE },
};

struct verdict provider_judge_network(enum provider_kind provider, int rc)
{
	enum cause cause = CAUSE_NETWORK_ERROR;
	struct verdict v;

	must(provider < PROVIDER_COUNT);
	for (size_t i = 0; i < COUNT_OF(network_rows); i++)
		if (network_rows[i].rc == rc)
			cause = network_rows[i].cause;
	v = cause_verdict(cause);
	v.scope = VERDICT_SCOPE_ROUTE;
	v.of_line = true;
	return v;
}
