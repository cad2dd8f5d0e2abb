/* SPDX-License-Identifier: Apache-2.0 */
#include "base/must.h"
#include "mail/address.h"
#include "mail/header.h"
#include "outbound/attempt_priv.h"

/*
 * What a message says of itself: the words that a reply may only repeat (provider/own_words), and what
 * tells it from another (sched/hold). Asked for refusals alone, so that nearly no message is looked at.
 */
enum {
	HEADER_LOOKED_AT = 65536, /* of a header, and of a body */
	SEED = 0x706f7374,        /* hashes stand in the queue: always the same */
};

struct words {
	struct arena *arena;
	struct sv *list;
	size_t count;
};

static void add(struct words *w, struct sv word)
{
	word = sv_head(sv_trim(word), PROVIDER_OWN_BYTES);
	if (word.len && w->count < PROVIDER_OWN_MAX)
		w->list[w->count++] = arena_sv(w->arena, word);
}

static void add_address(void *arg, struct sv address)
{
	struct words *w = arg;
	ptrdiff_t at = sv_rfind_char(address, '@');

	add(w, address);
	if (at > 0)
		add(w, sv_head(address, (size_t)at));
}

/* What stands in memory of the header that the server saw; empty: it is not there (any more). */
static struct sv header_of(const struct delivery *d)
{
	struct sv header = d->header;

	if (d->head.len)
		header = buf_sv(&d->head);
	else if (header.len == 0 && d->body_at == 0 && !d->reads)
		header = sv_head(buf_sv(&d->body), d->m.header_size);
	return sv_head(header, HEADER_LOOKED_AT);
}

/* Piecewise bodies: the first piece goes from memory. */
void witness_keep_header(struct delivery *d)
{
	if (d->body_at == 0 && d->body.len && d->header.len == 0)
		d->header = arena_sv(&d->arena,
			sv_head(sv_head(buf_sv(&d->body), d->m.header_size), HEADER_LOOKED_AT));
}

static struct header_block *read_header(const struct delivery *d)
{
	struct header_block *h = header_block_new(LIMIT_HEADER, LIMIT_HEADER_FIELDS);
	size_t used;
	int rc = header_block_feed(h, header_of(d), &used);

	if (rc == 0)
		rc = header_block_end(h);
	if (rc >= 0)
		return h;
	header_block_free(h);
	return NULL;
}

static void add_header(struct words *w, const struct delivery *d)
{
	static const struct sv lists[] = { SV_INIT("From"),
		SV_INIT("Sender"),
		SV_INIT("Reply-To"),
		SV_INIT("To"),
		SV_INIT("Cc") };
	CLEANUP(header_block_freep) struct header_block *h = read_header(d);
	struct sv value;

	add(w, d->m.subject);
	add(w, d->m.message_id);
	if (!h)
		return;
	if (header_block_get(h, SV("Subject"), &value))
		add(w, value);
	if (header_block_get(h, SV("Message-ID"), &value))
		add(w, value);
	for (size_t i = 0; i < COUNT_OF(lists); i++) {
		if (header_block_get(h, lists[i], &value))
			add(w, value);
		if (header_block_addresses(h, lists[i], add_address, add_address, w) != 0)
			continue; /* what could be read of it is there */
	}
}

struct provider_own witness_words(
	struct delivery *d, enum smtp_client_stage stage, size_t recipient)
{
	struct words w = { .arena = &d->arena };

	w.list = arena_alloc(&d->arena, PROVIDER_OWN_MAX * sizeof(*w.list));
	add(&w, conf_general(d->lane->o->conf)->hostname);
	if (stage >= SMTP_CLIENT_STAGE_MAIL) {
		add_address(&w, d->m.sender);
		add_address(&w, d->rewrite.sender);
	}
	if (stage == SMTP_CLIENT_STAGE_RCPT && recipient < d->count)
		add_address(&w, d->recipients[recipient].r.address);
	if (stage >= SMTP_CLIENT_STAGE_DATA)
		add_header(&w, d);
	for (size_t i = 0; stage >= SMTP_CLIENT_STAGE_RCPT && i < d->count; i++)
		add_address(&w, d->recipients[i].r.address);
	if (d->rewrite.redirect.len)
		add_address(&w, d->rewrite.redirect);
	return (struct provider_own){ w.list, w.count };
}

/* ---- what tells it from another ---- */

static uint64_t hash_address(struct sv address)
{
	CLEANUP(buf_deinitp) struct buf key = BUF_INIT(2 * LIMIT_ADDRESS);

	if (address_key(&key, address) == 0)
		return sv_hash(buf_sv(&key), SEED);
	return sv_hash(sv_head(address, LIMIT_ADDRESS), SEED);
}

static uint64_t hash_domain(struct sv address)
{
	ptrdiff_t at = sv_rfind_char(address, '@');

	return hash_address(sv_skip(address, (size_t)(at + 1)));
}

static uint64_t hash_body(const struct delivery *d)
{
	uint64_t size = d->m.size - d->m.header_size;
	struct sv body = SV("");

	if (d->body_at == 0 && !d->reads)
		body = sv_head(sv_skip(buf_sv(&d->body), d->m.header_size), HEADER_LOOKED_AT);
	return sv_hash(body, sv_hash(sv_make((const char *)&size, sizeof(size)), SEED));
}

static void set_content(struct sched_refusal *r, const struct delivery *d, struct sv sender)
{
	CLEANUP(header_block_freep) struct header_block *h = read_header(d);
	struct header_facts facts = { 0 };

	if (!h || header_of(d).len == 0)
		return;
	header_block_facts(h, &facts);
	r->who.author = hash_address(facts.from);
	r->who.content = sv_hash(facts.subject, r->who.author ^ hash_body(d));
	r->own_author = facts.from.len && address_eq(facts.from, sender);
}

struct sched_refusal witness_of(struct delivery *d, const struct delivery_recipient *r)
{
	struct sv sender = d->rewrite.sender.ptr ? d->rewrite.sender : d->m.sender;
	struct sched_refusal refusal = { .verdict = &r->verdict,
		.said = r->said,
		.who = { .message = d->m.id,
			.sender = hash_address(sender),
			.recipient = hash_address(r->r.address),
			.domain = hash_domain(r->r.address),
			.cause = sv_hash(sv_from(cause_name(r->verdict.cause)), SEED),
			.at = io_wall(d->lane->o->loop) } };

	refusal.own_sender = d->lane->c && address_eq(sender, d->lane->c->name);
	if (r->said == SCHED_SAID_CONTENT)
		set_content(&refusal, d, sender);
	return refusal;
}
