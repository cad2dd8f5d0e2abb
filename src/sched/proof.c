/* SPDX-License-Identifier: Apache-2.0 */
#include "sched/proof.h"

#include "base/must.h"

/* A refusal of yesterday and one of today are no proof of a fault that stands. */
#define MEMORY_US ((int64_t)US_PER_DAY)

bool sched_is_wide(const struct verdict *v)
{
	if (v->kind != VERDICT_RETRY && v->kind != VERDICT_PARK)
		return false;
	return v->scope != VERDICT_SCOPE_RECIPIENT && v->scope != VERDICT_SCOPE_MESSAGE;
}

static bool differ(uint64_t a, uint64_t b)
{
	return a != b || a == 0;
}

/* Of the sender: what is about its address must not be about what stands in one mail. */
static bool proves_sender(const struct sched_refusal *r, const struct sched_witness *before)
{
	if (r->said != SCHED_SAID_CONTENT)
		return true;
	return r->own_author && before->author == r->who.author &&
	       differ(before->content, r->who.content);
}

/* Of a mailbox, a tenant or a route: what the server had heard must differ in what may be at fault. */
static bool proves_more(const struct sched_refusal *r, const struct sched_witness *before)
{
	bool recipient = differ(before->recipient, r->who.recipient);

	/* Banned is a sender, until others are, too; or the mailbox whose address it is. */
	if (r->verdict->nature == VERDICT_NATURE_REPUTATION && !r->own_sender &&
		!differ(before->sender, r->who.sender))
		return false;
	switch (r->said) {
	case SCHED_SAID_RECIPIENT:
		/* Who may not relay may still send to other domains. */
		return r->verdict->nature == VERDICT_NATURE_AUTHENTICATION
			       ? differ(before->domain, r->who.domain)
			       : recipient;
	case SCHED_SAID_CONTENT:
		return differ(before->content, r->who.content);
	case SCHED_SAID_SESSION:
	case SCHED_SAID_SENDER:
		break;
	}
	return true;
}

static bool proves(const struct sched_refusal *r, const struct sched_witness *before)
{
	if (before->cause == 0 || before->message == r->who.message ||
		before->cause != r->who.cause || r->who.at.us - before->at.us > MEMORY_US)
		return false;
	return r->verdict->scope == VERDICT_SCOPE_SENDER ? proves_sender(r, before)
							 : proves_more(r, before);
}

bool sched_proof_widens(const struct sched_refusal *r, const struct sched_proof *before)
{
	if (!sched_is_wide(r->verdict))
		return false;
	if (r->said == SCHED_SAID_SESSION || r->verdict->proved)
		return true;
	for (uint32_t i = 0; i < before->count; i++)
		if (proves(r, &before->who[i]))
			return true;
	return false;
}

static void cut(struct sched_proof *proof, uint32_t at)
{
	for (uint32_t i = at; i + 1 < proof->count; i++)
		proof->who[i] = proof->who[i + 1];
	proof->count--;
}

static void add(struct sched_proof *proof, const struct sched_witness *who)
{
	for (uint32_t i = 0; i < proof->count; i++)
		if (proof->who[i].message == who->message) {
			cut(proof, i);
			break;
		}
	if (proof->count == SCHED_WITNESSES)
		cut(proof, 0);
	proof->who[proof->count++] = *who;
}

void sched_proof_note(struct sched_proof *proof, const struct sched_refusal *r)
{
	if (r->said != SCHED_SAID_SESSION && sched_is_wide(r->verdict))
		add(proof, &r->who);
}

void sched_proof_tried(struct sched_proof *proof, uint64_t message)
{
	if (!sched_proof_has(proof, message))
		add(proof, &(struct sched_witness){ .message = message });
}

bool sched_proof_has(const struct sched_proof *proof, uint64_t message)
{
	for (uint32_t i = 0; i < proof->count; i++)
		if (proof->who[i].message == message)
			return true;
	return false;
}

/* ---- for the store ---- */

enum {
	FIELDS = 8
};

void sched_proof_write(const struct sched_proof *proof, struct buf *out)
{
	for (uint32_t i = 0; i < proof->count; i++) {
		const struct sched_witness *w = &proof->who[i];
		const uint64_t fields[FIELDS] = { w->message,
			w->sender,
			w->author,
			w->content,
			w->recipient,
			w->domain,
			w->cause,
			(uint64_t)w->at.us };

		for (size_t k = 0; k < FIELDS; k++)
			must(buf_printf(out,
				     "%llx%s",
				     (unsigned long long)fields[k],
				     k + 1 < FIELDS         ? ","
				     : i + 1 < proof->count ? ";"
							    : "") == 0);
	}
}

static bool read_hex(struct sv text, uint64_t *out)
{
	uint64_t n = 0;

	if (text.len == 0 || text.len > 16)
		return false;
	for (size_t i = 0; i < text.len; i++) {
		char c = text.ptr[i];

		if (c >= '0' && c <= '9')
			n = n << 4 | (uint64_t)(c - '0');
		else if (c >= 'a' && c <= 'f')
			n = n << 4 | (uint64_t)(c - 'a' + 10);
		else
			return false;
	}
	*out = n;
	return true;
}

static bool read_witness(struct sv text, struct sched_witness *out)
{
	uint64_t fields[FIELDS];
	struct sv part;

	for (size_t k = 0; k < FIELDS; k++) {
		bool more = sv_cut_char(&text, ',', &part);

		if (more != (k + 1 < FIELDS) || !read_hex(part, &fields[k]))
			return false;
	}
	*out = (struct sched_witness){ .message = fields[0],
		.sender = fields[1],
		.author = fields[2],
		.content = fields[3],
		.recipient = fields[4],
		.domain = fields[5],
		.cause = fields[6],
		.at.us = (int64_t)(fields[7] & INT64_MAX) };
	return true;
}

void sched_proof_read(struct sv text, struct sched_proof *out)
{
	bool more = text.len > 0;

	*out = (struct sched_proof){ 0 };
	for (unsigned i = 0; more && i < SCHED_WITNESSES; i++) {
		struct sched_witness who;
		struct sv part;

		more = sv_cut_char(&text, ';', &part);
		if (read_witness(part, &who))
			add(out, &who);
	}
}
