/* SPDX-License-Identifier: Apache-2.0 */
#include "base/must.h"
#include "base/text.h"
#include "conf/conf_priv.h"
#include "mail/address.h"

/*
 * The one generic reader: it knows keys, not meanings. Unknown keys, keys given twice, missing keys and
 * maps that are none are found here for every section alike.
 */

const struct conf_node *conf_find(const struct conf_node *map, struct sv key)
{
	if (map->kind != CONF_NODE_MAP)
		return NULL;
	for (const struct conf_node *n = map->first; n; n = n->next)
		if (sv_eq(n->text, key))
			return n->value;
	return NULL;
}

bool conf_is_absent(const struct conf_node *n)
{
	return n->kind == CONF_NODE_SCALAR && n->text.len == 0 && !n->quoted;
}

static size_t field_index(const struct conf_field *fields, struct sv name)
{
	size_t i = 0;

	while (fields[i].name.len && !sv_eq(fields[i].name, name))
		i++;
	must(i < CONF_FIELDS_MAX);
	return i;
}

static void say_unknown(
	struct conf_load *ld, const struct conf_node *key, const struct conf_field *fields)
{
	struct guess guess = { .name = key->text };
	char shown[CONF_SHOWN_MAX];

	for (const struct conf_field *f = fields; f->name.len; f++)
		guess_try(&guess, f->name);
	if (guess.best.len) {
		conf_error(ld,
			key,
			"unknown key %s: did you mean '%.*s'?",
			conf_shown(key->text, shown),
			SV_ARG(guess.best));
		return;
	}
	conf_error(ld,
		key,
		"unknown key %s: remove it, or look for its name in postern.yaml(5)",
		conf_shown(key->text, shown));
}

static void say_twice(
	struct conf_load *ld, const struct conf_node *key, const struct conf_node *first)
{
	/* The name is one of ours here, so it can be shown. */
	if (first->file == key->file)
		conf_error(ld,
			key,
			"%.*s: duplicate key (first on line %u): keep one of them",
			SV_ARG(key->text),
			first->line);
	else
		conf_error(ld,
			key,
			"%.*s: duplicate key (first in %s, line %u): keep one of them",
			SV_ARG(key->text),
			first->file,
			first->line);
}

static void read_key(struct conf_load *ld, const struct conf_node *key,
	const struct conf_field *fields, void *out, struct conf_seen *seen)
{
	size_t i = field_index(fields, key->text);
	const struct conf_field *f = &fields[i];
	const struct conf_node *before;

	if (f->name.len == 0) {
		say_unknown(ld, key, fields);
		return;
	}
	before = seen->at[i];
	if (before && !((f->flags & CONF_REPEAT) && before->file != key->file)) {
		say_twice(ld, key, before);
		return;
	}
	seen->at[i] = key->value;
	conf_read_value(ld, key->value, f, out);
}

static void say_missing(struct conf_load *ld, const struct conf_node *map,
	const struct conf_field *fields, const struct conf_seen *seen)
{
	for (size_t i = 0; fields[i].name.len; i++)
		if ((fields[i].flags & CONF_REQUIRED) && !seen->at[i])
			conf_error(
				ld, map, "%.*s: is missing here: add it", SV_ARG(fields[i].name));
}

bool conf_read_map(struct conf_load *ld, const struct conf_node *map,
	const struct conf_field *fields, void *out, struct conf_seen *seen)
{
	struct conf_seen own = { 0 };
	size_t errors = ld->error_count;

	if (!seen)
		seen = &own;
	if (map->kind != CONF_NODE_MAP) {
		conf_error(ld,
			map,
			"expected keys and values, for example `%.*s: ...` or { %.*s: ... }",
			SV_ARG(fields[0].name),
			SV_ARG(fields[0].name));
		return false;
	}
	for (const struct conf_node *key = map->first; key; key = key->next)
		read_key(ld, key, fields, out, seen);
	say_missing(ld, map, fields, seen);
	return ld->error_count == errors;
}

const struct conf_node *conf_given(
	const struct conf_field *fields, const struct conf_seen *seen, const char *name)
{
	size_t i = field_index(fields, sv_from(name));

	must(fields[i].name.len > 0);
	return seen->at[i];
}

bool conf_is_list(struct conf_load *ld, const struct conf_node *value)
{
	if (value->kind == CONF_NODE_LIST || conf_is_absent(value))
		return true;
	conf_error(ld, value, "expected a list: begin each item with `- `, or write [a, b]");
	return false;
}

static bool has_control(struct sv v)
{
	bool safe = true;

	while (v.len && safe)
		v = sv_skip(v, text_next(v, &safe));
	return !safe;
}

int conf_parse_dollars(struct sv text, uint32_t most, uint32_t *out_cents)
{
	uint32_t dollars, rest = 0;
	struct sv whole;
	bool point = sv_cut_char(&text, '.', &whole);

	if (sv_parse_u32(whole, most, &dollars) != 0 ||
		(point && (text.len != 2 || sv_parse_u32(text, 99, &rest) != 0)))
		return RC_PARSE;
	*out_cents = dollars * 100 + rest;
	return 0;
}

bool conf_is_text(struct conf_load *ld, const struct conf_node *value)
{
	if (value->kind != CONF_NODE_SCALAR) {
		conf_error(ld, value, "expected one value, not a list or a map");
		return false;
	}
	if (conf_is_absent(value)) {
		conf_error(ld,
			value,
			"the key needs a value: write one after the colon, or remove the key");
		return false;
	}
	if (has_control(value->text)) {
		conf_error(ld,
			value,
			"the value holds a control character (a line break, a tab, a mark of the "
			"direction of writing): write it on one line without escapes");
		return false;
	}
	return true;
}

bool conf_name_ok(struct sv text, const char *more)
{
	for (size_t i = 0; i < text.len; i++) {
		char c = text.ptr[i];
		char low = ascii_lower(c);

		if (!(low >= 'a' && low <= 'z') && !(c >= '0' && c <= '9') &&
			(c == '\0' || !strchr("._-", c)) && (c == '\0' || !strchr(more, c)))
			return false;
	}
	return text.len > 0;
}

bool conf_host_ok(struct sv text)
{
	char address[2 + LIMIT_DOMAIN];
	struct io_network numeric;
	struct address parsed;

	if (text.len == 0 || text.len > LIMIT_DOMAIN)
		return false;
	if (sv_find_char(text, '/') < 0 && io_network_parse(text, &numeric) == 0)
		return true;
	if (text.ptr[0] == '[')
		return false;
	memcpy(address, "x@", 2);
	memcpy(address + 2, text.ptr, text.len);
	return address_parse(sv_make(address, text.len + 2), 0, &parsed) == 0;
}

/* RFC 5321 4.1.2 and 2.3.5: labels of letters, digits and inner dashes, and more than one of them. */
bool conf_hostname_ok(struct sv text)
{
	struct sv label, last = SV("");
	size_t labels = 0;

	if (!text.len || text.len > LIMIT_DOMAIN || text.ptr[text.len - 1] == '.')
		return false;
	while (text.len) {
		(void)sv_cut_char(&text, '.', &label);
		if (!label.len || label.ptr[0] == '-' || label.ptr[label.len - 1] == '-' ||
			sv_find_char(label, '_') >= 0 || !conf_name_ok(label, ""))
			return false;
		last = label;
		labels++;
	}
	return labels > 1 && !sv_eq_nocase(last, SV("localhost")) &&
	       !sv_eq_nocase(last, SV("localdomain"));
}

struct sv conf_keep(struct conf_load *ld, struct sv text)
{
	return arena_sv(&ld->conf->arena, text);
}

struct sv conf_keep_lower(struct conf_load *ld, struct sv text)
{
	char *copy = arena_alloc(&ld->conf->arena, text.len + 1);

	for (size_t i = 0; i < text.len; i++)
		copy[i] = ascii_lower(text.ptr[i]);
	return sv_make(copy, text.len);
}

void conf_outside_keep(struct conf_load *ld, enum conf_outside_kind kind, struct sv name,
	const struct conf_node *at)
{
	struct conf *c = ld->conf;

	c->outsides = conf_grow(c->outsides, c->outside_count, sizeof(*c->outsides));
	c->outsides[c->outside_count++] =
		(struct conf_outside){ kind, name, conf_place_of(ld, at) };
}
