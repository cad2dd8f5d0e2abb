/* SPDX-License-Identifier: Apache-2.0 */
#include "provider/explain.h"

#include "base/err.h"
#include "base/limits.h"
#include "base/must.h"
#include "provider/explain_priv.h"
#include "provider/http_priv.h"
#include "provider/reply_priv.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

/* Judges what explain_scan.c finds, and keeps of it what says most. */

enum {
	CANDIDATES_MAX = 256, /* different replies of one text; each costs a pass over the tables */
	AADSTS_MAX = 16,
};

struct candidate {
	struct explain_start start;
	struct sv reply;
	const struct provider_row *row;
	struct verdict verdict;
	uint64_t hash;
	bool dropped;
};

struct explainer {
	struct sv text;
	bool report; /* a bounce: other servers speak in it */
	bool failed; /* and that it is over */
	bool token, hve, exchanger, google;
	struct candidate *found;
	size_t count;
};

static bool says(struct sv text, const char *words)
{
	return sv_find_nocase(text, sv_from(words)) >= 0;
}

static void look_around(struct explainer *e)
{
	static const char *const report[] = { "Diagnostic-Code:",
		"Final-Recipient:",
		"Diagnostic information for administrators",
		"Remote Server returned",
		"Reporting-MTA:",
		"did not reach the following recipient" };

	for (size_t i = 0; i < COUNT_OF(report); i++)
		e->report |= says(e->text, report[i]);
	e->failed = says(e->text, "Action: failed");
	e->token = says(e->text, "oauth") || says(e->text, "AADSTS") || says(e->text, "bearer");
	e->hve = says(e->text, "hve");
	e->exchanger = says(e->text, "mail.protection.outlook") || says(e->text, "mx.microsoft");
	e->google = says(e->text, "gsmtp") || says(e->text, "google") ||
		    says(e->text, "application-specific password") ||
		    says(e->text, "Too many login attempts") ||
		    says(e->text, "SMTP relay limit exceeded");
}

/* ---- one reply ---- */

/* The command that it answered, where a log says so; 0: it does not. */
static unsigned stage_told(struct sv before, struct sv reply, struct sv behind)
{
	static const struct {
		const char *words;
		unsigned stages;
	} told[] = {
		{ "in reply to RCPT TO", PROVIDER_AT_RCPT },
		{ "in reply to MAIL FROM", PROVIDER_AT(MAIL) },
		{ "in reply to end of DATA", PROVIDER_AT(DOT) },
		{ "in reply to DATA", PROVIDER_AT(DATA) },
		{ "while sending RCPT TO", PROVIDER_AT_RCPT },
		{ "while sending MAIL FROM", PROVIDER_AT(MAIL) },
		{ "while sending end of data", PROVIDER_AT(DOT) },
		{ "SMTPAuthenticationError", PROVIDER_AT_AUTH },
		{ "Invalid login:", PROVIDER_AT_AUTH },
		{ "refused to talk to me", PROVIDER_AT(GREETING) },
	};

	behind = sv_head(behind, 80);
	for (size_t i = 0; i < COUNT_OF(told); i++)
		if (says(reply, told[i].words) || says(behind, told[i].words) ||
			says(before, told[i].words))
			return told[i].stages;
	return 0;
}

static enum smtp_client_stage first_stage(unsigned stages)
{
	static const enum smtp_client_stage order[] = { SMTP_CLIENT_STAGE_DOT,
		SMTP_CLIENT_STAGE_MAIL,
		SMTP_CLIENT_STAGE_RCPT,
		SMTP_CLIENT_STAGE_AUTH,
		SMTP_CLIENT_STAGE_EHLO };

	for (size_t i = 0; i < COUNT_OF(order); i++)
		if (stages & 1U << order[i])
			return order[i];
	return SMTP_CLIENT_STAGE_GREETING;
}

/* RFC 3463: subjects 1 and 2 speak of an address or a mailbox. */
static enum smtp_client_stage stage_of(
	const struct explainer *e, const struct candidate *c, unsigned told)
{
	unsigned stages = told ? told : c->row ? c->row->on.stages : (unsigned)PROVIDER_AT_MESSAGE;
	const struct provider_remedy *remedy = c->row ? provider_remedy(c->row->cause, NULL) : NULL;
	bool of_recipient = e->report || c->start.nested ||
			    (remedy && remedy->owner == PROVIDER_OWNER_RECIPIENT) ||
			    c->start.enhanced[2] == '1' || c->start.enhanced[2] == '2' ||
			    says(c->reply, "recipient");

	if (of_recipient && (stages & PROVIDER_AT_RCPT))
		return SMTP_CLIENT_STAGE_RCPT;
	return first_stage(stages);
}

/* The doors in the order in which they are likely; 0 ends them. */
static void likely_providers(const struct explainer *e, unsigned out[3])
{
	unsigned usual = PROVIDER_OF_SUBMISSION | PROVIDER_OF_SMTP;

	if (e->hve)
		usual |= PROVIDER_OF_HVE;
	if (e->exchanger)
		usual |= PROVIDER_OF_EXCHANGER;
	out[0] = e->report ? PROVIDER_OF_SMTP : e->google ? PROVIDER_OF_GMAIL : usual;
	out[1] = e->report && e->google ? PROVIDER_OF_GMAIL : usual;
	out[2] = (1U << PROVIDER_COUNT) - 1;
}

static void judge(const struct explainer *e, struct candidate *c, struct sv words)
{
	struct smtp_reply reply = { .code = c->start.code, .text = words };
	bool token = e->token || strcmp(c->start.enhanced, "5.7.3") == 0;
	struct provider_question q = {
		.sign_in = token ? PROVIDER_WITH_TOKEN : PROVIDER_WITH_PASSWORD,
	};
	size_t end = (size_t)(c->reply.ptr - e->text.ptr) + c->reply.len;
	size_t from = (size_t)(c->reply.ptr - e->text.ptr);
	size_t ahead = from < 60 ? from : 60;
	unsigned told =
		stage_told(sv_make(c->reply.ptr - ahead, ahead), c->reply, sv_skip(e->text, end));
	unsigned likely[3];

	memcpy(reply.enhanced, c->start.enhanced, sizeof(reply.enhanced));
	/* "Status: 4.4.7" of a report that says it is over. */
	if (reply.code == 4 && e->failed && strcmp(reply.enhanced, "4.4.7") == 0)
		reply.code = 5;
	likely_providers(e, likely);
	/* First by the step that the text tells; but a row knows its reply at other steps, too. */
	for (unsigned pass = told ? 0 : 1; pass < 2 && !c->row; pass++) {
		q.stages = pass == 0 ? told : (unsigned)PROVIDER_AT_ANY;
		for (size_t i = 0; i < COUNT_OF(likely) && !c->row; i++) {
			q.providers = likely[i];
			c->row = provider_find_row(&q, &reply);
		}
	}
	c->verdict = provider_row_verdict(c->row, stage_of(e, c, told), &reply);
}

static bool seen_before(const struct explainer *e, uint64_t hash)
{
	for (size_t i = 0; i < e->count; i++)
		if (e->found[i].hash == hash)
			return true;
	return false;
}

/* A line of the same reply, as "550-5.1.1" announced it. */
static bool is_next_line(const struct explain_start *first, const struct explain_start *s,
	struct sv text, bool *announced)
{
	size_t from = s->at;

	while (from && s->at - from < 16 &&
		(text.ptr[from - 1] == ' ' || text.ptr[from - 1] == '\t'))
		from--;
	if (!*announced || s->code != first->code)
		return false;
	/* Some programs join the lines: "550-5.7.1 one 550-5.7.1 two 550 5.7.1 three". */
	if (from && text.ptr[from - 1] != '\n' &&
		(!first->enhanced[0] || strcmp(s->enhanced, first->enhanced) != 0))
		return false;
	*announced = text.ptr[s->at + 3] == '-';
	return true;
}

static size_t next_start(struct sv text, const struct explain_start *first)
{
	bool announced = first->code >= 100 && text.ptr[first->at + 3] == '-';
	size_t end = first->behind + 2 * (size_t)EXPLAIN_REPLY_MAX;

	if (end > text.len)
		end = text.len;
	for (size_t at = first->behind; at < end; at++) {
		struct explain_start s = explain_start_at(text, at);

		if (s.sign != EXPLAIN_NONE && !is_next_line(first, &s, text, &announced))
			return at;
	}
	return end;
}

static void find_replies(struct explainer *e)
{
	CLEANUP(buf_deinitp) struct buf words = BUF_INIT(EXPLAIN_REPLY_MAX);

	for (size_t at = 0; at < e->text.len && e->count < CANDIDATES_MAX; at++) {
		struct candidate c = { .start = explain_start_at(e->text, at) };
		size_t end;

		if (c.start.sign == EXPLAIN_NONE)
			continue;
		buf_reset(&words);
		end = explain_words(e->text, &c.start, next_start(e->text, &c.start), &words);
		c.reply = sv_trim(sv_make(e->text.ptr + at, end - at));
		c.hash = sv_hash(sv_head(buf_sv(&words), 200),
			sv_hash(sv_from(c.start.enhanced), c.start.code + 7U * c.start.sign));
		at = end - 1; /* the next reply begins behind it, also one that it tells of */
		if (seen_before(e, c.hash))
			continue;
		judge(e, &c, sv_trim(buf_sv(&words)));
		e->found[e->count++] = c;
	}
}

/*
 * PHPMailer says the words first: "Detail: WORDS SMTP code: 554 Additional SMTP info: 5.2.0". In front of
 * the others, since nothing else in such a text has its words.
 */
static void find_code_behind(struct explainer *e)
{
	CLEANUP(buf_deinitp) struct buf words = BUF_INIT(EXPLAIN_REPLY_MAX);
	const struct sv code_is = SV("SMTP code: "), info_is = SV("Additional SMTP info: ");
	ptrdiff_t at = sv_find(e->text, code_is), from, info;
	struct candidate c = { .start = { .sign = EXPLAIN_STRONG } };
	struct sv rest, detail;
	uint32_t code;

	if (at < 0 || e->count == CANDIDATES_MAX)
		return;
	rest = sv_skip(e->text, (size_t)at + code_is.len);
	if (sv_parse_u32(sv_head(rest, 3), 599, &code) != 0 || code < 400)
		return;
	detail = sv_head(e->text, (size_t)at);
	from = sv_find(detail, SV("Detail: "));
	if (from < 0)
		return;
	detail = sv_trim(sv_skip(detail, (size_t)from + 8));
	info = sv_find(sv_head(rest, 64), info_is);
	if (info >= 0) {
		struct explain_start status = explain_start_at(rest, (size_t)info + info_is.len);

		memcpy(c.start.enhanced, status.enhanced, sizeof(c.start.enhanced));
	}
	c.start.code = (uint16_t)code;
	c.reply = detail;
	if (buf_append(&words, sv_head(detail, EXPLAIN_REPLY_MAX)) != 0)
		return;
	judge(e, &c, buf_sv(&words));
	if (!c.row)
		return;
	memmove(e->found + 1, e->found, e->count * sizeof(e->found[0]));
	e->found[0] = c;
	e->count++;
}

/* ---- what says most ---- */

static bool is_cause(const struct candidate *c, enum cause cause)
{
	return c->verdict.cause == cause;
}

static void drop_nested(struct explainer *e)
{
	for (size_t i = 1; i < e->count; i++) {
		struct candidate *outer = &e->found[i - 1], *inner = &e->found[i];

		if (!inner->start.nested)
			continue;
		if (outer->row && !is_cause(outer, CAUSE_REFUSED_THERE) &&
			!is_cause(outer, CAUSE_EXPIRED_THERE) &&
			!(is_cause(outer, CAUSE_LOOKS_LIKE_SPAM) && inner->row))
			inner->dropped = true;
		else if (inner->row && !is_cause(outer, CAUSE_EXPIRED_THERE))
			outer->dropped = true;
	}
}

/* "5.7.57 ... Error: 535 5.7.139": the sign-in that failed is the reason. */
static void drop_consequences(struct explainer *e)
{
	bool sign_in = false;

	for (size_t i = 0; i < e->count; i++)
		sign_in |= e->found[i].row &&
			   e->found[i].verdict.nature == VERDICT_NATURE_AUTHENTICATION &&
			   !is_cause(&e->found[i], CAUSE_NOT_SIGNED_IN);
	for (size_t i = 0; i < e->count && sign_in; i++)
		if (is_cause(&e->found[i], CAUSE_NOT_SIGNED_IN))
			e->found[i].dropped = true;
}

/* Signs that say little count only where nothing says more. */
static void drop_weak(struct explainer *e)
{
	bool words = false, status = false, any_words = false;

	for (size_t i = 0; i < e->count; i++) {
		const struct candidate *c = &e->found[i];

		words |= c->row && c->start.sign > EXPLAIN_STATUS && !c->dropped;
		any_words |= c->start.sign >= EXPLAIN_BARE;
		status |= c->row && c->start.sign == EXPLAIN_STATUS;
	}
	for (size_t i = 0; i < e->count; i++) {
		struct candidate *c = &e->found[i];

		if (c->start.sign == EXPLAIN_STATUS)
			c->dropped |= words || any_words || (status && !c->row);
		else if (!c->row && c->start.sign == EXPLAIN_WEAK)
			c->dropped |= words || any_words || status;
		else if (!c->row)
			c->dropped |= words && (c->start.sign == EXPLAIN_BARE || e->report);
	}
}

static bool has_cause(const struct provider_explained *out, enum cause cause)
{
	for (size_t i = 0; i < out->count; i++)
		if (out->items[i].verdict.cause == cause)
			return true;
	return false;
}

static bool has_known(const struct provider_explained *out)
{
	for (size_t i = 0; i < out->count; i++)
		if (out->items[i].known)
			return true;
	return false;
}

static void add(struct provider_explained *out, struct provider_explanation item)
{
	if (out->count == PROVIDER_EXPLAIN_MAX || has_cause(out, item.verdict.cause))
		return;
	item.remedy = provider_remedy(item.verdict.cause, &out->facts);
	must(item.remedy != NULL);
	out->items[out->count++] = item;
}

/* ---- the token service and Graph ---- */

static void add_http(struct provider_explained *out, const struct provider_http_row *row,
	const struct provider_http_answer *answer, struct sv where)
{
	add(out,
		(struct provider_explanation){ .reply = where,
			.verdict = provider_http_row_verdict(row, answer),
			.known = true,
			.source = row->source,
			.checked = row->checked });
}

static bool is_word_byte(char c)
{
	return c == '_' || (c >= '0' && c <= '9') ||
	       (ascii_lower(c) >= 'a' && ascii_lower(c) <= 'z');
}

static size_t line_length(struct sv text)
{
	ptrdiff_t end = sv_find_char(text, '\n');

	return end < 0 ? text.len : (size_t)end;
}

/* The digits after AADSTS. */
static struct sv number_of(struct sv text)
{
	ptrdiff_t at = sv_find(text, SV("AADSTS"));
	size_t n = 0;

	if (at < 0)
		return SV("");
	text = sv_skip(text, (size_t)at + 6);
	while (n < text.len && text.ptr[n] >= '0' && text.ptr[n] <= '9')
		n++;
	return sv_head(text, n);
}

/* The word of `"error":"invalid_grant"`. */
static struct sv error_word(struct sv text)
{
	ptrdiff_t at = sv_find(text, SV("\"error\""));
	size_t n = 0;

	if (at < 0)
		return SV("");
	text = sv_skip(text, (size_t)at + 7);
	while (text.len && (text.ptr[0] == ' ' || text.ptr[0] == ':' || text.ptr[0] == '"'))
		text = sv_skip(text, 1);
	while (n < text.len && is_word_byte(text.ptr[n]))
		n++;
	return sv_head(text, n);
}

static void find_aadsts(struct sv text, struct provider_explained *out)
{
	struct sv error = error_word(text);

	for (unsigned n = 0; n < AADSTS_MAX; n++) {
		ptrdiff_t at = sv_find(text, SV("AADSTS"));
		struct provider_http_answer answer = { .status = 400 };
		const struct provider_http_row *row;

		if (at < 0)
			return;
		text = sv_skip(text, (size_t)at);
		answer.description = sv_head(text, line_length(sv_head(text, 512)));
		answer.error = error;
		row = provider_find_token_row(&answer);
		if (row && row->aadsts)
			add_http(out, row, &answer, answer.description);
		else if (!out->count)
			add(out,
				(struct provider_explanation){ .reply = answer.description,
					.verdict = provider_judge_token(&answer),
					.known = true });
		text = sv_skip(text, 6);
	}
}

static ptrdiff_t find_word(struct sv text, struct sv word)
{
	ptrdiff_t at = sv_find(text, word);
	size_t end = (size_t)at + word.len;

	if (at < 0 || (at > 0 && is_word_byte(text.ptr[at - 1])) ||
		(end < text.len && is_word_byte(text.ptr[end])))
		return -1;
	return at;
}

/* The error words of JSON answers: ErrorAccessDenied, invalid_client. */
/* Of the rows of a word the one whose words are said, too. */
static bool says_more(struct sv text, const struct provider_http_row *row,
	const struct provider_http_row *rows, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (&rows[i] != row && rows[i].error && rows[i].text &&
			strcmp(rows[i].error, row->error) == 0 && says(text, rows[i].text))
			return true;
	return false;
}

static void find_words(struct sv text, const struct provider_http_row *rows, size_t count,
	struct provider_explained *out)
{
	for (size_t i = 0; i < count; i++) {
		const struct provider_http_row *row = &rows[i];
		struct provider_http_answer answer = { .status = 400 };
		ptrdiff_t at;

		if (!row->error || row->aadsts || (row->text && !says(text, row->text)))
			continue;
		if (!row->text && says_more(text, row, rows, count))
			continue;
		at = find_word(text, sv_from(row->error));
		if (at < 0)
			continue;
		text = sv_head(text, text.len);
		add_http(out, row, &answer, sv_make(text.ptr + at, strlen(row->error)));
	}
}

/* ---- no reply at all ---- */

/* Where the phrase begins; "one*two": each piece is there, the second behind the first. */
static ptrdiff_t phrase_at(struct sv text, const char *phrase)
{
	struct sv pieces = sv_from(phrase), piece;
	ptrdiff_t at = -1, found;
	size_t from = 0;
	bool more = true;

	while (more) {
		more = sv_cut_char(&pieces, '*', &piece);
		found = sv_find_nocase(sv_skip(text, from), piece);
		if (found < 0)
			return -1;
		if (at < 0)
			at = found;
		from += (size_t)found + piece.len;
	}
	return at;
}

/* What no server said: the first row that is there; they stand in order, the more special first. */
static void find_phrases(struct sv text, struct provider_explained *out)
{
	const struct provider_phrase *best = NULL;
	ptrdiff_t best_at = 0;

	for (size_t i = 0; i < provider_phrases_count; i++) {
		const struct provider_phrase *p = &provider_phrases[i];
		ptrdiff_t at = phrase_at(text, p->text);

		if (at >= 0) {
			best = p;
			best_at = at;
			break;
		}
	}
	if (!best)
		return;
	add(out,
		(struct provider_explanation){
			.reply = sv_make(text.ptr + best_at, strcspn(best->text, "*")),
			.verdict = { .kind = best->kind,
				.scope = best->scope == PROVIDER_SCOPE_BY_STAGE
						 ? VERDICT_SCOPE_RECIPIENT
						 : best->scope,
				.nature = best->nature,
				.retry_after_us = best->retry_after_us,
				.cause = best->cause,
				.summary = best->summary },
			.known = true,
			.source = best->source,
			.checked = best->checked });
}

void provider_explain(struct sv text, struct provider_explained *out)
{
	struct explainer e = { .text = sv_head(text, PROVIDER_EXPLAIN_TEXT) };

	*out = (struct provider_explained){ 0 };
	explain_facts(e.text, &out->facts);
	out->facts.number = number_of(e.text);
	e.found = xcalloc(CANDIDATES_MAX, sizeof(e.found[0]));
	look_around(&e);
	if (e.google)
		out->facts.provider = PROVIDER_GMAIL;
	find_replies(&e);
	find_code_behind(&e);
	drop_nested(&e);
	drop_consequences(&e);
	drop_weak(&e);
	find_aadsts(e.text, out);
	if (says(e.text, "error")) {
		find_words(e.text, provider_graph_rows, provider_graph_rows_count, out);
		if (out->count == 0)
			find_words(e.text, provider_token_rows, provider_token_rows_count, out);
	}
	for (size_t i = 0; i < e.count; i++) {
		const struct candidate *c = &e.found[i];

		if (!c->dropped)
			add(out,
				(struct provider_explanation){ .reply = c->reply,
					.verdict = c->verdict,
					.known = c->row != NULL,
					.source = c->row ? c->row->source : NULL,
					.checked = c->row ? c->row->checked : NULL });
	}
	if (!has_known(out))
		find_phrases(e.text, out);
	free(e.found);
}
