/* SPDX-License-Identifier: Apache-2.0 */
#include "base/must.h"
#include "mail/address.h"
#include "setup/config.h"
#include "setup/import_postfix.h"

#include <stdio.h>

/*
 * Whose mail becomes whose, and by which server it leaves. Postfix rewrites first and looks up the server by
 * the new address (sender_canonical_maps), or after it (smtp_generic_maps, smtp_header_checks). Here both are one
 * route: { sender, recipient, header } -> { through, rewrite_from }.
 */

/* ---- addresses ---- */

/* "erp@contoso.com", "ERP <erp@contoso.com>", "root" with the origin behind it. */
static struct sv address_of(struct postfix *p, struct sv text)
{
	char lower[LIMIT_ADDRESS];
	struct buf whole = BUF_INIT(LIMIT_ADDRESS);
	struct sv address, found = SV("");
	ptrdiff_t open = sv_rfind_char(text, '<');

	if (open >= 0) {
		text = sv_skip(text, (size_t)open + 1);
		(void)sv_cut_char(&text, '>', &address);
		text = address;
	}
	text = import_trim(text);
	if (buf_append(&whole, text) == 0 && text.len && sv_find_char(text, '@') < 0 &&
		p->origin.len)
		(void)!buf_printf(&whole, "@%.*s", SV_ARG(p->origin));
	if (setup_address(buf_sv(&whole), lower, &address))
		found = import_keep(p->im, address);
	buf_deinit(&whole);
	return found;
}

/* "@contoso.com", "$1@contoso.com": the same name in another domain. */
static struct sv domain_of(struct sv to)
{
	static const struct sv groups[] = {
		SV_INIT("$1@"), SV_INIT("${1}@"), SV_INIT("$(1)@"), SV_INIT("@")
	};
	char text[LIMIT_DOMAIN + 1];
	struct sv domain;

	for (size_t i = 0; i < COUNT_OF(groups); i++)
		if (sv_starts(to, groups[i]) &&
			setup_domain(sv_skip(to, groups[i].len), text, &domain))
			return sv_skip(to, groups[i].len);
	return SV("");
}

/* Is it a domain in which names without one are completed here? */
static bool is_own_domain(struct postfix *p, struct sv pattern)
{
	ptrdiff_t at = sv_rfind_char(pattern, '@');
	struct sv domain = sv_skip(pattern, (size_t)(at + 1));
	struct sv host = postfix_get(p, NULL, "myhostname");

	return at == 1 && pattern.ptr[0] == '*' &&
	       (sv_eq_nocase(domain, p->origin) || sv_eq_nocase(domain, host) ||
		       sv_matches_nocase(domain, p->origin));
}

static void add_rewrite(struct postfix *p, struct postfix_rewrite w, struct import_place at)
{
	if (p->rewrite_count == POSTFIX_REWRITES_MAX) {
		import_full(p->im, "rewritten senders");
		return;
	}
	for (size_t i = 0; i < p->rewrite_count && w.header.len == 0; i++)
		if (sv_eq_nocase(p->rewrites[i].pattern, w.pattern) && !p->rewrites[i].header.len)
			return;
	(void)at;
	w.pattern = import_keep(p->im, w.pattern);
	w.header = import_keep(p->im, w.header);
	p->rewrites[p->rewrite_count++] = w;
}

/* One pattern of one row. */
static void take_pattern(
	struct postfix *p, const struct postfix_row *row, struct sv pattern, bool late)
{
	struct sv to = address_of(p, row->value), domain = domain_of(row->value);
	char lower[LIMIT_DOMAIN + 1];

	if (to.len && sv_find_char(to, '$') < 0) {
		add_rewrite(p,
			(struct postfix_rewrite){ .pattern = pattern, .to = to, .late = late },
			row->at);
		return;
	}
	if (domain.len && is_own_domain(p, pattern) && setup_domain(domain, lower, &domain)) {
		/* Then names are completed with it in the first place. */
		p->im->qualify = import_keep(p->im, domain);
		import_note(p->im,
			SETUP_NOTE_DIFFERENT,
			row->at,
			"names without a domain are completed with %.*s at once (qualify); mail "
			"that "
			"names %.*s keeps it",
			SV_ARG(domain),
			SV_ARG(sv_skip(pattern, 2)));
		return;
	}
	import_note(p->im,
		SETUP_NOTE_LOST,
		row->at,
		"%.*s: senders can become one address (rewrite_from), not each another one",
		SV_ARG(sv_head(row->value, 100)));
}

static bool is_wide(const struct postfix_row *row)
{
	return row->kind == POSTFIX_ROW_EXACT && sv_starts(row->key, SV("@"));
}

static void take_rewrites(struct postfix *p, const char *name, bool late)
{
	struct postfix_rows rows = { 0 };
	struct import_patterns patterns;

	postfix_rows_read(p, NULL, name, &rows);
	/* Whole addresses before domains, as Postfix looks them up. */
	for (int wide = 0; wide < 2; wide++) {
		for (size_t i = 0; i < rows.count; i++) {
			const struct postfix_row *row = &rows.items[i];

			if (is_wide(row) != (wide == 1))
				continue;
			if (postfix_row_patterns(p, row, &patterns) != 0) {
				import_note(p->im,
					SETUP_NOTE_LOST,
					row->at,
					"%s: %.*s cannot be written as a pattern with stars",
					name,
					SV_ARG(sv_head(row->key, 100)));
				continue;
			}
			if (patterns.wider)
				import_note(p->im,
					SETUP_NOTE_DIFFERENT,
					row->at,
					"%s: the pattern for %.*s takes more senders than the "
					"expression",
					name,
					SV_ARG(sv_head(row->key, 100)));
			for (size_t k = 0; k < patterns.count; k++)
				take_pattern(p, row, sv_from(patterns.text[k]), late);
		}
	}
}

/* ---- header checks ---- */

/* "From: *root@*" of an expression over the whole field; empty where it means every From. */
static bool from_pattern(struct sv text, struct buf *out)
{
	struct sv name, rest = text;

	/* "^From" and "^(From|...)" are cut by the colon; what is in front may only be the name. */
	if (!sv_cut_char(&rest, ':', &name)) {
		/* `^From` without a colon, and everything. */
		return sv_starts_nocase(text, SV("From")) && sv_matches_nocase(SV("from*"), text);
	}
	while (sv_starts(name, SV("*")))
		name = sv_skip(name, 1);
	if (!sv_eq_nocase(import_trim(name), SV("From")))
		return false;
	while (rest.len && (rest.ptr[0] == ' ' || rest.ptr[0] == '*'))
		rest = sv_skip(rest, 1);
	if (!rest.len)
		return true;
	return buf_printf(out,
		       "From: %s%.*s",
		       sv_find_char(text, '*') >= 0 ? "*" : "",
		       SV_ARG(rest)) == 0;
}

static bool take_check(struct postfix *p, const struct postfix_row *row)
{
	struct sv action = row->value, word = import_word(&action), to, name;
	struct import_patterns patterns;
	bool taken = false;

	if (row->kind != POSTFIX_ROW_EXPRESSION || row->negated || row->conditional ||
		!sv_eq_nocase(word, SV("REPLACE")) || !sv_cut_char(&action, ':', &name) ||
		!sv_eq_nocase(import_trim(name), SV("From")) ||
		import_patterns(row->key, &patterns) != 0)
		return false;
	to = address_of(p, action);
	if (!to.len || sv_find_char(to, '$') >= 0)
		return false;
	for (size_t i = 0; i < patterns.count; i++) {
		struct buf header = BUF_INIT(IMPORT_PATTERN_BYTES);

		if (from_pattern(sv_from(patterns.text[i]), &header)) {
			add_rewrite(p,
				(struct postfix_rewrite){
					.header = buf_sv(&header), .to = to, .late = true },
				row->at);
			taken = true;
		}
		buf_deinit(&header);
	}
	if (taken && sv_find_char(action, '<') >= 0 && import_trim(action).ptr[0] != '<')
		import_note(p->im,
			SETUP_NOTE_DIFFERENT,
			row->at,
			"From becomes %.*s, with the name that the mail has, and the envelope with "
			"it",
			SV_ARG(to));
	return taken;
}

static void take_checks(struct postfix *p, const char *name)
{
	struct postfix_rows rows = { 0 };

	postfix_rows_read(p, NULL, name, &rows);
	for (size_t i = 0; i < rows.count; i++)
		if (!take_check(p, &rows.items[i]))
			import_note(p->im,
				SETUP_NOTE_LOST,
				rows.items[i].at,
				"%s: %.*s %.*s: postern changes From only",
				name,
				SV_ARG(sv_head(rows.items[i].key, 60)),
				SV_ARG(sv_head(rows.items[i].value, 60)));
}

/* A canonical address may be rewritten once more on the way out. */
static void chain(struct postfix *p)
{
	for (size_t i = 0; i < p->rewrite_count; i++) {
		struct postfix_rewrite *w = &p->rewrites[i];

		for (size_t k = 0; k < p->rewrite_count && !w->late; k++) {
			const struct postfix_rewrite *late = &p->rewrites[k];

			if (!late->late || late->header.len ||
				(late->pattern.len && !address_matches(late->pattern, w->to)))
				continue;
			w->to = late->to;
			break;
		}
	}
}

/* Postfix can rewrite the envelope alone, or From alone; here both become the same. */
static void read_classes(struct postfix *p)
{
	static const char *const names[] = { "sender_canonical_classes", "canonical_classes" };

	for (size_t i = 0; i < COUNT_OF(names); i++) {
		struct sv list = postfix_get(p, NULL, names[i]), item;
		bool envelope = false, header = false;

		if (!list.len)
			continue;
		while (postfix_item(&list, &item)) {
			envelope = envelope || sv_eq(item, SV("envelope_sender"));
			header = header || sv_eq(item, SV("header_sender"));
		}
		if (!envelope || !header)
			import_note(p->im,
				SETUP_NOTE_DIFFERENT,
				postfix_at(p, NULL, names[i]),
				"%s: the sender of the envelope and From are rewritten together",
				names[i]);
	}
}

void postfix_senders(struct postfix *p)
{
	read_classes(p);
	take_rewrites(p, "sender_canonical_maps", false);
	take_rewrites(p, "canonical_maps", false);
	take_rewrites(p, "smtp_generic_maps", true);
	take_checks(p, "smtp_header_checks");
	take_checks(p, "header_checks");
	chain(p);
}

/* ---- aliases ---- */

/* "root: a@b.c, d" of aliases(5), or "root a@b.c" of a map. */
static void take_alias(struct postfix *p, struct sv name, struct sv targets, struct import_place at)
{
	struct sv first = SV(""), item;
	size_t more = 0;

	while (postfix_item(&targets, &item)) {
		if (!first.len)
			first = item;
		else
			more++;
	}
	if (!first.len)
		return;
	if (first.ptr[0] == '\\')
		first = sv_skip(first, 1);
	if (first.len && (first.ptr[0] == '|' || first.ptr[0] == '/' || first.ptr[0] == ':' ||
				 first.ptr[0] == '"')) {
		import_note(p->im,
			SETUP_NOTE_LOST,
			at,
			"the alias %.*s leads to a program or a file: postern delivers by mail "
			"only",
			SV_ARG(sv_head(name, 100)));
		return;
	}
	if (more)
		import_note(p->im,
			SETUP_NOTE_LOST,
			at,
			"the alias %.*s has %zu addresses: only the first is taken; use a group of "
			"Microsoft 365 for all",
			SV_ARG(sv_head(name, 100)),
			more + 1);
	import_alias(p->im, at, name, first);
}

static void take_aliases_text(struct postfix *p, struct sv text, struct sv file)
{
	struct buf whole = BUF_INIT(POSTFIX_VALUE_MAX);
	unsigned at = 0, line = 0;

	while (postfix_logical(&text, &at, &whole, &line)) {
		struct sv targets = buf_sv(&whole), name;

		if (sv_cut_char(&targets, ':', &name))
			take_alias(
				p, import_trim(name), targets, (struct import_place){ file, line });
	}
	buf_deinit(&whole);
}

/* aliases(5) has its own form, so its maps are read here. */
static void read_alias_maps(struct postfix *p)
{
	struct sv list = postfix_get(p, NULL, "alias_maps"), item;
	struct import_place at = postfix_at(p, NULL, "alias_maps");

	if (!postfix_has(p, NULL, "alias_maps") && sv_eq(p->from->base, SV("/etc/postfix")))
		list = SV("hash:/etc/aliases");
	while (postfix_item(&list, &item)) {
		struct buf text = BUF_INIT(SETUP_IMPORT_FILE_MAX);
		struct sv path = item, type;
		bool plain = sv_cut_char(&path, ':', &type) &&
			     (sv_eq(type, SV("hash")) || sv_eq(type, SV("lmdb")) ||
				     sv_eq(type, SV("btree")) || sv_eq(type, SV("texthash")) ||
				     sv_eq(type, SV("cdb")) || sv_eq(type, SV("dbm")));

		if (plain && p->from->read(p->from->arg, path, &text) == 0)
			take_aliases_text(p,
				buf_sv(&text),
				import_keep(p->im,
					sv_skip(path, (size_t)(sv_rfind_char(path, '/') + 1))));
		else if (at.line)
			import_note(p->im,
				SETUP_NOTE_LOST,
				at,
				"alias_maps: %.*s cannot be read here",
				SV_ARG(sv_head(item, 100)));
		buf_deinit(&text);
	}
}

/* Other maps of recipients: what concerns names of this machine is an alias. */
static void read_recipient_map(struct postfix *p, const char *name)
{
	struct postfix_rows rows = { 0 };
	struct sv host = postfix_get(p, NULL, "myhostname");

	postfix_rows_read(p, NULL, name, &rows);
	for (size_t i = 0; i < rows.count; i++) {
		const struct postfix_row *row = &rows.items[i];
		struct sv domain = row->key, local;
		bool has_domain = sv_cut_char(&domain, '@', &local);
		bool own = !has_domain || sv_eq_nocase(domain, host) ||
			   sv_eq_nocase(domain, p->origin) || sv_eq(domain, SV("localhost"));

		if (row->kind == POSTFIX_ROW_EXACT && local.len && own)
			take_alias(p, local, row->value, row->at);
		else
			import_note(p->im,
				SETUP_NOTE_LOST,
				row->at,
				"%s: %.*s: recipients with a domain are not rewritten; make it an "
				"alias or a forwarding at Microsoft 365",
				name,
				SV_ARG(sv_head(row->key, 100)));
	}
}

static bool has_alias(const struct postfix *p, struct sv name)
{
	for (size_t i = 0; i < p->im->alias_count; i++)
		if (sv_eq_nocase(p->im->aliases[i].name, name))
			return true;
	return false;
}

/* Was mail to root delivered on this machine? */
static bool root_is_local(struct postfix *p)
{
	struct sv list = postfix_get(p, NULL, "mydestination"), item;

	if (!postfix_has(p, NULL, "mydestination"))
		return true;
	while (postfix_item(&list, &item))
		if (sv_eq_nocase(item, p->origin) ||
			sv_eq_nocase(item, postfix_get(p, NULL, "myhostname")))
			return true;
	return false;
}

void postfix_aliases(struct postfix *p)
{
	const struct setup_account *a = NULL;

	read_recipient_map(p, "virtual_alias_maps");
	read_recipient_map(p, "recipient_canonical_maps");
	read_alias_maps(p);
	if (has_alias(p, SV("root")) || !root_is_local(p))
		return;
	/* The last rule is the general one. */
	for (size_t i = p->im->rule_count; i > 0 && !a; i--)
		a = import_account_named(p->im, p->im->rules[i - 1].through[0]);
	if (a && !a->address.len)
		a = NULL;
	if (a)
		import_alias(p->im, (struct import_place){ 0 }, SV("root"), a->address);
	import_note(p->im,
		SETUP_NOTE_DIFFERENT,
		(struct import_place){ 0 },
		"mail to root lay on this machine (/var/mail); %s%.*s: write who reads it into "
		"aliases: root",
		a ? "now it goes to " : "now it goes to root at the domain of qualify",
		SV_ARG(a ? a->address : SV("")));
}

/* ---- routes ---- */

/* Is root's mail rewritten? Then those who set this up have thought of senders that Microsoft refuses. */
static bool root_is_rewritten(const struct postfix *p)
{
	char text[LIMIT_ADDRESS + LIMIT_DOMAIN];
	struct sv domain = p->im->qualify.len ? p->im->qualify : SV("localhost");
	int n = snprintf(text, sizeof(text), "root@%.*s", SV_ARG(domain));

	for (size_t i = 0; i < p->rewrite_count && n > 0; i++)
		if (!p->rewrites[i].header.len &&
			(!p->rewrites[i].pattern.len ||
				address_matches(p->rewrites[i].pattern, sv_make(text, (size_t)n))))
			return true;
	return false;
}

/* What cron sends: root, completed as names without a domain are. */
static struct sv root_of(struct postfix *p)
{
	char text[LIMIT_ADDRESS + LIMIT_DOMAIN];
	int n = snprintf(text, sizeof(text), "root@%.*s", SV_ARG(p->im->qualify));

	return p->im->qualify.len ? import_keep(p->im, sv_make(text, (size_t)n)) : SV("");
}

/*
 * A rule for a whole domain takes cron's mail along, which its mailbox may not send as root@: in front of it goes one
 * for root alone.
 */
static void rewrite_root(struct postfix *p)
{
	struct setup_import *im = p->im;
	struct sv root = root_of(p);

	for (size_t i = 0; i < im->rule_count && root.len; i++) {
		struct setup_rule r = im->rules[i];
		const struct setup_account *a = import_account_named(im, r.through[0]);

		if (r.sender.len && !address_matches(r.sender, root))
			continue;
		/* The general rule has seen to it; so has one for root. */
		if (!r.sender.len || r.rewrite_from.len || sv_find_char(r.sender, '*') < 0) {
			if (!r.recipient.len && !r.header.len)
				return;
			continue;
		}
		if (!import_is_strict(a) || sv_eq_nocase(a->address, root) ||
			im->rule_count == SETUP_IMPORT_RULES_MAX)
			continue;
		r.sender = root;
		r.rewrite_from = a->address;
		memmove(&im->rules[i + 1],
			&im->rules[i],
			(im->rule_count - i) * sizeof(im->rules[0]));
		im->rules[i++] = r;
		im->rule_count++;
		import_note(im,
			SETUP_NOTE_DIFFERENT,
			(struct import_place){ 0 },
			"mail of %.*s leaves as %.*s, which Microsoft takes",
			SV_ARG(root),
			SV_ARG(a->address));
	}
}

/* The rest of the mail by a mailbox is the mailbox's own. */
static void own_sender(struct postfix *p, struct setup_rule *rule)
{
	const struct setup_account *a =
		rule->ways ? import_account_named(p->im, rule->through[0]) : NULL;

	if (rule->rewrite_from.len || !import_is_strict(a) || root_is_rewritten(p))
		return;
	rule->rewrite_from = a->address;
	import_note(p->im,
		SETUP_NOTE_DIFFERENT,
		(struct import_place){ 0 },
		"mail of senders that are not named above leaves as %.*s, and Reply-To keeps who "
		"wrote "
		"it: Microsoft refuses other senders, unless the mailbox may send as them "
		"(SendAs); then "
		"remove that rewrite_from",
		SV_ARG(a->address));
}

/*
 * Who is rewritten before the server is looked up goes first; who is rewritten after it goes behind, but in
 * front of a whole domain that has a server of its own, and everybody goes last.
 */
enum phase {
	PHASE_EARLY,
	PHASE_LATE,
	PHASE_EVERYBODY,
	PHASE_ALL,
};

static bool is_in(enum phase phase, const struct postfix_rewrite *w)
{
	if (phase == PHASE_ALL)
		return true;
	if (!w->late)
		return phase == PHASE_EARLY;
	return (phase == PHASE_EVERYBODY) == !w->pattern.len;
}

/* What such senders become on the way out. */
static struct sv late_address(const struct postfix *p, struct sv pattern)
{
	for (size_t i = 0; i < p->rewrite_count; i++) {
		const struct postfix_rewrite *w = &p->rewrites[i];

		if (w->late && !w->header.len &&
			(!w->pattern.len || (pattern.len && address_matches(w->pattern, pattern))))
			return w->to;
	}
	return SV("");
}

/* A route for each of the rewritten senders. With `fixed` the way of `base` is theirs. */
static void add_rewrites(
	struct postfix *p, const struct setup_rule *base, enum phase phase, bool fixed)
{
	struct setup_rule r;

	for (size_t i = 0; i < p->rewrite_count; i++) {
		const struct postfix_rewrite *w = &p->rewrites[i];

		if (!is_in(phase, w))
			continue;
		r = *base;
		r.sender = w->pattern;
		r.header = w->header;
		r.rewrite_from = w->to;
		if (!fixed)
			postfix_way(p, w->late ? w->pattern : w->to, &r);
		if (!import_rule(p->im, &r))
			return;
	}
}

static void add_transports(struct postfix *p)
{
	/* Whole addresses, domains, domains with their subdomains, everything. */
	for (int pass = 0; pass < 4; pass++) {
		for (size_t i = 0; i < p->transports.count; i++) {
			const struct postfix_row *row = &p->transports.items[i];
			struct setup_rule r = { 0 };
			struct postfix_service *s;
			struct sv next, key = row->key;
			char pattern[LIMIT_ADDRESS];
			int kind = sv_eq(key, SV("*"))            ? 3
				   : key.len && key.ptr[0] == '.' ? 2
				   : sv_find_char(key, '@') > 0   ? 0
								  : 1;
			int n = kind == 0 ? snprintf(pattern, sizeof(pattern), "%.*s", SV_ARG(key))
				: kind == 1
					? snprintf(pattern, sizeof(pattern), "*@%.*s", SV_ARG(key))
				: kind == 2
					? snprintf(pattern, sizeof(pattern), "*@*%.*s", SV_ARG(key))
					: 0;

			if (kind != pass)
				continue;
			if (row->kind != POSTFIX_ROW_EXACT || n < 0 ||
				(size_t)n >= sizeof(pattern) ||
				(n && address_pattern_check(sv_make(pattern, (size_t)n)) != 0)) {
				import_note(p->im,
					SETUP_NOTE_LOST,
					row->at,
					"transport_maps: %.*s is no domain or address",
					SV_ARG(sv_head(key, 100)));
				continue;
			}
			if (!postfix_transport(p, row->value, row->at, &s, &next))
				continue;
			r.recipient = sv_make(pattern, (size_t)n);
			if (!next.len) {
				/* "smtp:" is the receiver's own mail exchanger; ":" changes nothing. */
				if (!sv_eq(row->value, SV(":")))
					import_note(p->im,
						SETUP_NOTE_LOST,
						row->at,
						"transport_maps: %.*s went to its own mail "
						"exchanger; "
						"postern has no such way: it leaves like all other "
						"mail",
						SV_ARG(sv_head(key, 100)));
				continue;
			}
			r.through[0] = postfix_account(p, s, next, SV(""));
			r.ways = r.through[0].len > 0;
			add_rewrites(p, &r, PHASE_ALL, true);
			own_sender(p, &r);
			(void)import_rule(p->im, &r);
		}
	}
}

/* Senders with a server, or a password, of their own. */
static void add_senders(struct postfix *p, const struct postfix_rows *rows, bool only_addresses)
{
	struct import_patterns patterns;

	for (int wide = 0; wide < 2; wide++) {
		for (size_t i = 0; i < rows->count; i++) {
			const struct postfix_row *row = &rows->items[i];
			struct setup_rule r = { 0 };

			if (is_wide(row) != (wide == 1) ||
				(only_addresses && sv_rfind_char(row->key, '@') < 0))
				continue;
			if (only_addresses && row->kind == POSTFIX_ROW_EXACT &&
				sv_starts(row->key, SV("[")))
				continue;
			if (postfix_row_patterns(p, row, &patterns) != 0) {
				import_note(p->im,
					SETUP_NOTE_LOST,
					row->at,
					"%.*s cannot be written as a pattern of senders",
					SV_ARG(sv_head(row->key, 100)));
				continue;
			}
			for (size_t k = 0; k < patterns.count; k++) {
				struct sv pattern = sv_from(patterns.text[k]);
				struct sv one = row->kind == POSTFIX_ROW_EXACT ? row->key : pattern;

				postfix_way(p, one, &r);
				r.sender = pattern;
				r.rewrite_from = late_address(p, pattern);
				(void)import_rule(p->im, &r);
			}
		}
	}
}

void postfix_routes(struct postfix *p)
{
	struct setup_rule all = { 0 }, none = { 0 };

	postfix_rows_read(p, NULL, "transport_maps", &p->transports);
	postfix_rows_read(p, NULL, "sender_dependent_relayhost_maps", &p->relayhosts);
	postfix_rows_read(
		p, NULL, "sender_dependent_default_transport_maps", &p->sender_transports);
	add_transports(p);
	add_rewrites(p, &none, PHASE_EARLY, false);
	add_rewrites(p, &none, PHASE_LATE, false);
	add_senders(p, &p->relayhosts, false);
	add_senders(p, &p->sender_transports, false);
	/* This looks the passwords up, so that they are there. */
	postfix_way(p, SV(""), &all);
	if (p->main.passwords && postfix_is(p, NULL, "smtp_sender_dependent_authentication", "yes"))
		add_senders(p, p->main.passwords, true);
	add_rewrites(p, &none, PHASE_EVERYBODY, false);
	own_sender(p, &all);
	if (all.ways)
		(void)import_rule(p->im, &all);
	else
		import_note(p->im,
			SETUP_NOTE_LOST,
			postfix_at(p, NULL, "relayhost"),
			"there is no server for mail in general (relayhost): Postfix delivered to "
			"each "
			"receiver's own mail exchanger, which postern does not; name a mailbox in "
			"routes");
	rewrite_root(p);
}
