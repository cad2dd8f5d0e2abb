/* SPDX-License-Identifier: Apache-2.0 */
#include "base/must.h"
#include "conf/conf_priv.h"
#include "mail/address.h"

#include <stdlib.h>

/*
 * Pools: mailboxes that carry one volume together. A mailbox belongs to one pool at most, or two of them would spend its day and
 * neither would know.
 */
enum {
	POOLS_MAX = 1000,
	WEIGHT_MAX = 100,
	PER_DAY_MAX = 1000000,
	PER_DAY_OF_OUTREACH =
		50, /* past it a mailbox that writes to strangers is soon taken for a spammer's */
	WIDE_PATTERNS_MAX = 200, /* a star in the domain: each is tried on all mailboxes */
	TEXT_MAX = 500,
};

struct pool_draft {
	struct conf_pool pool;
	unsigned kind;
	bool keeps_sender;
	const struct conf_node *mailboxes;
};

/* Mailboxes by domain: a list each, through `next`. */
struct of_domain {
	size_t member;
	const struct of_domain *next;
};

struct pools_load {
	struct conf_load *ld;
	struct htable domains; /* in lower case -> struct of_domain */
	size_t wide;
	struct conf_seat *seats; /* of the pool that is read */
	size_t seat_count, seat_cap;
};

static void keep_mailboxes(struct conf_load *ld, const struct conf_node *value, void *out)
{
	(void)ld;
	*(const struct conf_node **)out = value;
}

static void read_pool_sender(struct conf_load *ld, const struct conf_node *value, void *out)
{
	bool *keeps = out;

	if (!conf_is_text(ld, value))
		return;
	*keeps = sv_eq(value->text, SV("keep"));
	if (!*keeps && !sv_eq(value->text, SV("mailbox")))
		conf_error(ld,
			value,
			"sender: must be mailbox (From becomes the address of the mailbox that "
			"sends, and Reply-To keeps the original) or keep");
}

/* What a recipient uses to leave the list: until there is a service for it, an address or a page of the sender's. */
static void read_unsubscribe(struct conf_load *ld, const struct conf_node *value, void *out)
{
	const struct sv mailto = SV("mailto:"), https = SV("https://");
	struct address a;
	bool ok = false;

	if (!conf_is_text(ld, value))
		return;
	if (sv_starts(value->text, mailto)) {
		ok = address_parse(sv_skip(value->text, mailto.len), 0, &a) == 0;
	} else if (sv_starts(value->text, https)) {
		ok = value->text.len > https.len && value->text.ptr[https.len] != '/';
	}
	/* It stands in a header between angle brackets. */
	for (size_t i = 0; i < value->text.len && ok; i++)
		ok = value->text.ptr[i] > ' ' && value->text.ptr[i] <= '~' &&
		     value->text.ptr[i] != '<' && value->text.ptr[i] != '>' &&
		     value->text.ptr[i] != ',';
	if (!ok || value->text.len > TEXT_MAX) {
		conf_error(ld,
			value,
			"unsubscribe: must be mailto:ADDRESS or https://HOST/PATH, where a "
			"recipient can ask for no more mail");
		return;
	}
	*(struct sv *)out = conf_keep(ld, value->text);
}

#define AT(member) .offset = offsetof(struct pool_draft, member)

static const char *const kind_words[] = { "transactional", "newsletter", "outreach", NULL };
static_assert(CONF_POOL_NEWSLETTER == 1 && CONF_POOL_OUTREACH == 2, "order of kind_words");

static const struct conf_field pool_fields[] = {
	{ .name = SV_INIT("name"), .type = CONF_TYPE_NAME, .flags = CONF_REQUIRED, AT(pool.name) },
	{ .name = SV_INIT("mailboxes"),
		.type = CONF_TYPE_READ,
		.flags = CONF_REQUIRED,
		AT(mailboxes),
		.read = keep_mailboxes },
	{ .name = SV_INIT("kind"), .type = CONF_TYPE_CHOICE, AT(kind), .words = kind_words },
	{ .name = SV_INIT("sender"),
		.type = CONF_TYPE_READ,
		AT(keeps_sender),
		.read = read_pool_sender },
	{ .name = SV_INIT("per_day"),
		.type = CONF_TYPE_U32,
		AT(pool.per_day),
		.min = 1,
		.max = PER_DAY_MAX },
	{ .name = SV_INIT("organisation"), .type = CONF_TYPE_TEXT, AT(pool.organisation) },
	{ .name = SV_INIT("postal_address"), .type = CONF_TYPE_TEXT, AT(pool.postal_address) },
	{ .name = SV_INIT("unsubscribe"),
		.type = CONF_TYPE_READ,
		AT(pool.unsubscribe),
		.read = read_unsubscribe },
	CONF_CLASS_FIELD(struct pool_draft, pool.class),
	CONF_FIELDS_END,
};

/* ---- which mailboxes ---- */

static struct sv domain_of(struct sv address)
{
	return sv_skip(address, (size_t)(sv_rfind_char(address, '@') + 1));
}

/* A wildcard is no mailbox: those that it stands for are not known before they send. */
static bool is_listed(const struct conf_member *m)
{
	return m->kind == CONF_LANE_MAILBOX && !m->lanes[0].is_wildcard;
}

static void note_domains(struct pools_load *pl)
{
	const struct conf *c = pl->ld->conf;

	for (size_t i = c->member_count; i-- > 0;) {
		struct of_domain *d;
		struct sv domain = domain_of(c->members[i].name);

		if (!is_listed(&c->members[i]))
			continue;
		d = arena_alloc(&pl->ld->nodes, sizeof(*d));
		*d = (struct of_domain){ i, htable_get(&pl->domains, domain) };
		htable_put(&pl->domains, domain, d);
	}
}

static void add_seat(struct pools_load *pl, const struct conf_seat *seat)
{
	if (pl->seat_count == pl->seat_cap) {
		pl->seat_cap = pl->seat_cap ? 2 * pl->seat_cap : 64;
		pl->seats = xrealloc(pl->seats, pl->seat_cap * sizeof(*pl->seats));
	}
	pl->seats[pl->seat_count++] = *seat;
}

/* One entry of `mailboxes:`, as far as it has been read. */
struct entry {
	const struct conf_node *at; /* its pattern */
	struct sv pattern;
	uint32_t weight;
	struct conf_pool *pool;
	bool any;     /* it matches a mailbox */
	bool clashes; /* with another pool, which has been told */
};

static void seat_member(struct pools_load *pl, struct entry *e, struct conf_member *m)
{
	/* "*@contoso.com" stands for mailboxes of which nobody knows yet. */
	if (m->lanes[0].is_wildcard)
		return;
	e->any = true;
	if (m->pool == e->pool || e->clashes)
		return; /* the first entry that matches says the weight */
	if (m->pool) {
		e->clashes = true;
		conf_error(pl->ld,
			e->at,
			"mailboxes: %.*s is in pool '%.*s' already (%s line %u): a mailbox "
			"belongs to one pool; make one of the two patterns narrower",
			SV_ARG(m->name),
			SV_ARG(m->pool->name),
			m->pool->place.file,
			m->pool->place.line);
		return;
	}
	m->pool = e->pool;
	m->weight = e->weight;
	add_seat(pl, &(struct conf_seat){ m, e->weight });
}

static void say_no_mailbox(struct pools_load *pl, const struct entry *e)
{
	const struct conf *c = pl->ld->conf;
	struct guess guess = { .name = e->pattern };
	bool exact = sv_find_char(e->pattern, '*') < 0;
	char shown[CONF_SHOWN_MAX];

	for (size_t i = 0; i < c->member_count && exact && pl->ld->error_count < CONF_GUESSES_MAX;
		i++)
		if (c->members[i].kind == CONF_LANE_MAILBOX)
			guess_try(&guess, c->members[i].name);
	if (guess.best.len)
		conf_error(pl->ld,
			e->at,
			"mailboxes: there is no mailbox %s: did you mean '%.*s'?",
			conf_shown(e->pattern, shown),
			SV_ARG(guess.best));
	else
		conf_error(pl->ld,
			e->at,
			"mailboxes: no mailbox matches %s: list it under mailboxes (or "
			"mailboxes_from), or correct it",
			conf_shown(e->pattern, shown));
}

/* Few patterns have a star in the domain; of all others only the mailboxes of that domain are looked at. */
static void match_wide(struct pools_load *pl, struct entry *e)
{
	struct conf *c = pl->ld->conf;

	if (pl->wide++ >= WIDE_PATTERNS_MAX) {
		e->any = true;
		if (pl->wide == WIDE_PATTERNS_MAX + 1)
			conf_error(pl->ld,
				e->at,
				"mailboxes: more than %d patterns of all pools have a star in the "
				"domain: name the domains",
				WIDE_PATTERNS_MAX);
		return;
	}
	for (size_t i = 0; i < c->member_count; i++)
		if (is_listed(&c->members[i]) && address_matches(e->pattern, c->members[i].name))
			seat_member(pl, e, &c->members[i]);
}

static void match(struct pools_load *pl, struct entry *e)
{
	struct conf *c = pl->ld->conf;
	struct sv domain = domain_of(e->pattern);
	const struct of_domain *first;

	if (sv_find_char(e->pattern, '*') < 0) {
		const struct conf_member *m = conf_mailbox_of(c, e->pattern);

		if (m)
			seat_member(pl, e, &c->members[m - c->members]);
	} else if (sv_find_char(domain, '*') >= 0) {
		match_wide(pl, e);
	} else {
		first = conf_get_lower(&pl->domains, domain);
		for (const struct of_domain *d = first; d; d = d->next)
			if (address_matches(e->pattern, c->members[d->member].name))
				seat_member(pl, e, &c->members[d->member]);
	}
	if (!e->any && !pl->ld->incomplete)
		say_no_mailbox(pl, e);
}

struct entry_draft {
	struct sv mailbox;
	uint32_t weight;
};
static const struct conf_field entry_fields[] = {
	{ .name = SV_INIT("mailbox"),
		.type = CONF_TYPE_PATTERN,
		.flags = CONF_REQUIRED,
		.offset = offsetof(struct entry_draft, mailbox) },
	{ .name = SV_INIT("weight"),
		.type = CONF_TYPE_U32,
		.offset = offsetof(struct entry_draft, weight),
		.min = 1,
		.max = WEIGHT_MAX },
	CONF_FIELDS_END,
};

static void read_entry(struct pools_load *pl, const struct conf_node *n, struct conf_pool *pool)
{
	struct entry_draft d = { .weight = 1 };
	struct entry e = { .at = n, .pool = pool };
	struct conf_seen seen = { 0 };

	if (n->kind == CONF_NODE_MAP) {
		if (!conf_read_map(pl->ld, n, entry_fields, &d, &seen))
			return;
		e.at = conf_given(entry_fields, &seen, "mailbox");
	} else {
		conf_read_value(pl->ld, n, &entry_fields[0], &d.mailbox);
	}
	if (!d.mailbox.len)
		return;
	e.pattern = d.mailbox;
	e.weight = d.weight;
	match(pl, &e);
}

static void read_entries(
	struct pools_load *pl, const struct conf_node *list, struct conf_pool *pool)
{
	struct conf_seat *seats;

	pl->seat_count = 0;
	if (list->kind == CONF_NODE_SCALAR && list->text.len) {
		read_entry(pl, list, pool);
	} else if (conf_is_list(pl->ld, list)) {
		if (!list->first)
			conf_error(pl->ld,
				list,
				"mailboxes: is empty: list addresses, or patterns like "
				"\"*@go.contoso.com\"");
		for (const struct conf_node *n = list->first; n; n = n->next)
			read_entry(pl, n, pool);
	}
	seats = arena_alloc(&pl->ld->conf->arena, (pl->seat_count + 1) * sizeof(*seats));
	if (pl->seat_count)
		memcpy(seats, pl->seats, pl->seat_count * sizeof(*seats));
	pool->seats = seats;
	pool->seat_count = pl->seat_count;
}

/* ---- what each kind needs ---- */

static void check_kind(struct conf_load *ld, const struct conf_node *map,
	const struct conf_seen *seen, const struct conf_pool *p)
{
	const struct {
		const char *name;
		struct sv value;
		const char *why;
	} needed[] = {
		{ "organisation", p->organisation, "who sends it" },
		{ "postal_address", p->postal_address, "where that is" },
		{ "unsubscribe", p->unsubscribe, "how to stop it (mailto:ADDRESS or https://...)" },
	};
	const struct conf_node *at = conf_given(pool_fields, seen, "kind");

	if (p->kind == CONF_POOL_TRANSACTIONAL)
		return;
	for (size_t i = 0; i < COUNT_OF(needed); i++)
		if (!needed[i].value.len && !conf_given(pool_fields, seen, needed[i].name))
			conf_error(ld,
				at ? at : map,
				"kind: %s needs %s: its recipients must be able to see %s",
				kind_words[p->kind],
				needed[i].name,
				needed[i].why);
}

static void warn_per_day(struct conf_load *ld, const struct conf_node *map,
	const struct conf_seen *seen, const struct conf_pool *p)
{
	const struct conf_node *at = conf_given(pool_fields, seen, "per_day");

	if (p->kind != CONF_POOL_OUTREACH || (p->per_day && p->per_day <= PER_DAY_OF_OUTREACH))
		return;
	if (p->per_day)
		conf_warn(ld,
			at ? at : map,
			"per_day: %u a day and mailbox is much for outreach: above %d, mailboxes "
			"are blocked sooner than they pay; lower it, or add mailboxes",
			p->per_day,
			PER_DAY_OF_OUTREACH);
	else
		conf_warn(ld,
			map,
			"per_day: is missing, so a mailbox of this pool may send as much as its "
			"provider takes: for outreach write per_day: %d or less",
			PER_DAY_OF_OUTREACH);
}

/* A door that reaches its own organisation only carries nothing of a pool to anybody else. */
static void check_doors(struct conf_load *ld, const struct conf_node *at, const struct conf_pool *p)
{
	for (size_t i = 0; i < p->seat_count; i++)
		for (size_t k = 0; k < p->seats[i].member->lane_count; k++) {
			const struct conf_lane *l = &p->seats[i].member->lanes[k];

			if (!provider_defaults(l->provider)->internal_only)
				continue;
			conf_error(ld,
				at,
				"mailboxes: %.*s leaves by %s, which reaches recipients of its own "
				"organisation only: a pool needs mailboxes that reach everybody",
				SV_ARG(l->name),
				provider_name(l->provider));
			return;
		}
}

static bool is_name_taken(struct conf_load *ld, const struct conf_node *at, struct sv name)
{
	const struct conf_pool *other = conf_pool(ld->conf, name);

	if (other) {
		conf_error(ld,
			at,
			"name: pool '%.*s' is listed twice, first in %s line %u: rename one of "
			"them",
			SV_ARG(name),
			other->place.file,
			other->place.line);
		return true;
	}
	if (sv_eq(name, SV("sender"))) {
		conf_error(ld,
			at,
			"name: sender is what a route writes for the sender's own mailbox: choose "
			"another name");
		return true;
	}
	return conf_lane_is_taken(ld, at, name, "name: this name of a pool or connector");
}

/* The pool, as routes and queues see it. */
static const struct conf_member *make_way(struct conf_load *ld, const struct conf_pool *p)
{
	struct conf_member *m = arena_alloc(&ld->conf->arena, sizeof(*m));
	const struct conf_member *first = p->seats[0].member;

	*m = (struct conf_member){ .key = p->key,
		.name = p->name,
		.kind = CONF_LANE_POOL,
		.tenant = first->tenant,
		.lanes = first->lanes,
		.lane_count = first->lane_count,
		.pool = p,
		.place = p->place };
	htable_put(&ld->conf->member_by_key, m->key, m);
	return m;
}

static void keep_pool(struct conf_load *ld, struct conf_pool *p)
{
	struct conf *c = ld->conf;
	char *key = arena_alloc(&c->arena, p->name.len + 3);

	memcpy(key, "p:", 2);
	memcpy(key + 2, p->name.ptr, p->name.len);
	p->key = sv_make(key, p->name.len + 2);
	c->pools = conf_grow(c->pools, c->pool_count, sizeof(*c->pools));
	c->pools[c->pool_count++] = p;
	htable_put(&c->pool_by_name, p->name, p);
	if (p->seat_count)
		p->way = make_way(ld, p);
}

static void read_pool(struct pools_load *pl, const struct conf_node *map)
{
	struct conf_load *ld = pl->ld;
	struct pool_draft d = { .pool.place = conf_place_of(ld, map) };
	struct conf_pool *p = arena_alloc(&ld->conf->arena, sizeof(*p));
	struct conf_seen seen = { 0 };

	if (ld->conf->pool_count >= POOLS_MAX) {
		if (ld->conf->pool_count == POOLS_MAX && !pl->ld->incomplete)
			conf_error(ld, map, "pools: there are more than %d: join some", POOLS_MAX);
		return;
	}
	if (!conf_read_map(ld, map, pool_fields, &d, &seen) ||
		is_name_taken(ld, conf_given(pool_fields, &seen, "name"), d.pool.name)) {
		/* Routes that name it are not to blame. */
		ld->incomplete = true;
		return;
	}
	*p = d.pool;
	p->kind = (enum conf_pool_kind)d.kind;
	p->keeps_sender = d.keeps_sender;
	read_entries(pl, d.mailboxes, p);
	check_kind(ld, map, &seen, p);
	warn_per_day(ld, map, &seen, p);
	check_doors(ld, d.mailboxes, p);
	keep_pool(ld, p);
}

void conf_read_pools(struct conf_load *ld)
{
	struct pools_load pl = { .ld = ld };

	for (size_t i = 0; i < ld->section_count[CONF_SECTION_POOLS]; i++) {
		const struct conf_node *list = ld->sections[CONF_SECTION_POOLS][i];

		if (!conf_is_list(ld, list))
			continue;
		if (!pl.domains.count)
			note_domains(&pl);
		for (const struct conf_node *n = list->first; n; n = n->next)
			read_pool(&pl, n);
	}
	free(pl.seats);
	htable_deinit(&pl.domains);
}
