/* SPDX-License-Identifier: Apache-2.0 */
#include "authn/tags.h"

#include "base/err.h"

struct sv authn_trim(struct sv v)
{
	while (v.len && authn_is_blank(v.ptr[0]))
		v = sv_skip(v, 1);
	while (v.len && authn_is_blank(v.ptr[v.len - 1]))
		v.len--;
	return v;
}

static bool is_name(struct sv v)
{
	for (size_t i = 0; i < v.len; i++) {
		char c = ascii_lower(v.ptr[i]);
		bool later = c == '_' || (c >= '0' && c <= '9');

		if (!(c >= 'a' && c <= 'z') && !(later && i > 0))
			return false;
	}
	return v.len > 0;
}

/* Letters above ASCII may stand in values since RFC 8616. */
static bool is_value(struct sv v)
{
	for (size_t i = 0; i < v.len; i++) {
		unsigned char c = (unsigned char)v.ptr[i];

		if (c == 0x7f || (c < 0x20 && !authn_is_blank((char)c)))
			return false;
	}
	return true;
}

bool authn_tags_get(const struct authn_tags *t, struct sv name, struct sv *out_value)
{
	*out_value = (struct sv){ 0 };
	for (size_t i = 0; i < t->count; i++)
		if (sv_eq(t->tags[i].name, name)) {
			*out_value = t->tags[i].value;
			return true;
		}
	return false;
}

int authn_tags_parse(struct sv text, struct authn_tags *out_tags)
{
	bool more = true;

	out_tags->count = 0;
	while (more) {
		struct authn_tag tag;
		struct sv spec, before;

		more = sv_cut_char(&text, ';', &spec);
		if (authn_trim(spec).len == 0) {
			/* A ';' behind the last tag is allowed, one more is not. */
			if (more || out_tags->count == 0)
				return RC_PARSE;
			break;
		}
		if (!sv_cut_char(&spec, '=', &before))
			return RC_PARSE;
		tag.name = authn_trim(before);
		tag.whole = spec;
		tag.value = authn_trim(spec);
		if (!is_name(tag.name) || !is_value(tag.value) ||
			authn_tags_get(out_tags, tag.name, &before))
			return RC_PARSE;
		if (out_tags->count == AUTHN_TAGS_MAX)
			return RC_LIMIT;
		out_tags->tags[out_tags->count++] = tag;
	}
	return 0;
}

bool authn_list_next(struct sv *list, struct sv *out_item)
{
	if (!list->ptr)
		return false;
	if (!sv_cut_char(list, ':', out_item))
		*list = (struct sv){ 0 };
	*out_item = authn_trim(*out_item);
	return true;
}

bool authn_list_has(struct sv list, struct sv item)
{
	struct sv one;

	while (authn_list_next(&list, &one))
		if (sv_eq_nocase(one, item))
			return true;
	return false;
}
