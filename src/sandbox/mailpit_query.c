/* SPDX-License-Identifier: Apache-2.0 */
#include "base/buf.h"
#include "base/must.h"
#include "sandbox/mailpit_priv.h"

#include <stdlib.h>

/* Mailpit's search filters (https://mailpit.axllent.org/docs/usage/search-filters/), but tags. */
enum {
	WORDS_MAX = 32,
	WORD_MAX_BYTES = 500,
};

enum key {
	KEY_ANYWHERE,
	KEY_TO,
	KEY_FROM,
	KEY_CC,
	KEY_BCC,
	KEY_REPLY_TO,
	KEY_ADDRESSED,
	KEY_SUBJECT,
	KEY_MESSAGE_ID,
	KEY_LARGER,
	KEY_SMALLER,
	KEY_AFTER,
	KEY_BEFORE,
	KEY_IS,
	KEY_HAS,
	KEY_TAG,
	KEY_COUNT,
};

static const struct sv key_names[KEY_COUNT] = {
	[KEY_ANYWHERE] = SV_INIT(""),
	[KEY_TO] = SV_INIT("to:"),
	[KEY_FROM] = SV_INIT("from:"),
	[KEY_CC] = SV_INIT("cc:"),
	[KEY_BCC] = SV_INIT("bcc:"),
	[KEY_REPLY_TO] = SV_INIT("reply-to:"),
	[KEY_ADDRESSED] = SV_INIT("addressed:"),
	[KEY_SUBJECT] = SV_INIT("subject:"),
	[KEY_MESSAGE_ID] = SV_INIT("message-id:"),
	[KEY_LARGER] = SV_INIT("larger:"),
	[KEY_SMALLER] = SV_INIT("smaller:"),
	[KEY_AFTER] = SV_INIT("after:"),
	[KEY_BEFORE] = SV_INIT("before:"),
	[KEY_IS] = SV_INIT("is:"),
	[KEY_HAS] = SV_INIT("has:"),
	[KEY_TAG] = SV_INIT("tag:"),
};

struct word {
	enum key key;
	bool turned;
	char *text;
	uint64_t bytes;      /* of larger, smaller */
	struct wall_time at; /* of after, before */
};

struct mailpit_query {
	struct word words[WORDS_MAX];
	size_t count;
};

/* ---- reading ---- */

/* The next word, quotes taken out; false at the end. */
static bool next_word(struct sv *text, struct buf *word)
{
	char quote = 0;

	buf_reset(word);
	*text = sv_trim(*text);
	if (text->len == 0)
		return false;
	while (text->len) {
		char c = *text->ptr;

		if (c == ' ' && !quote)
			break;
		*text = sv_skip(*text, 1);
		if (quote ? c == quote : c == '"')
			quote = quote ? 0 : c;
		else if (buf_append_char(word, c) != 0)
			return true;
	}
	return true;
}

/* "500", "2k", "1.5MB" in units of 1024. */
static int read_size(struct sv text, uint64_t *out)
{
	char digits[32], *end;
	double n;

	if (text.len == 0 || text.len >= sizeof(digits) || text.ptr[0] < '0' || text.ptr[0] > '9')
		return RC_PARSE;
	memcpy(digits, text.ptr, text.len);
	digits[text.len] = '\0';
	n = strtod(digits, &end);
	if (*end == 'k' || *end == 'K')
		n *= 1024;
	else if (*end == 'm' || *end == 'M')
		n *= 1024 * 1024;
	else if (*end)
		return RC_PARSE;
	if (n > 1e12)
		return RC_PARSE;
	*out = (uint64_t)n;
	return 0;
}

static bool one_of(struct sv text, const char *const names[])
{
	for (size_t i = 0; names[i]; i++) {
		if (sv_eq_nocase(text, sv_from(names[i])))
			return true;
	}
	return false;
}

static int judge_value(struct word *w, struct sv value, struct err *err)
{
	static const char *const is[] = { "read", "unread", "tagged", NULL };
	static const char *const has[] = { "attachment", "attachments", NULL };

	if ((w->key == KEY_LARGER || w->key == KEY_SMALLER) && read_size(value, &w->bytes) != 0)
		return err_set(
			err, RC_PARSE, "'%.*s' is no size; as in larger:500k", SV_ARG(value));
	if ((w->key == KEY_AFTER || w->key == KEY_BEFORE) && wall_parse(value, &w->at) != 0)
		return err_set(err,
			RC_PARSE,
			"'%.*s' is no time; as in after:2026-11-30 or after:\"2026-11-30 14:00\" "
			"(UTC)",
			SV_ARG(value));
	if (w->key == KEY_IS && !one_of(value, is))
		return err_set(err, RC_PARSE, "known: is:read, is:unread, is:tagged");
	if (w->key == KEY_HAS && !one_of(value, has))
		return err_set(err, RC_PARSE, "known: has:attachment");
	return 0;
}

static int add_word(struct mailpit_query *q, struct sv text, struct err *err)
{
	struct word *w = &q->words[q->count];

	*w = (struct word){ 0 };
	if (text.len > 1 && (*text.ptr == '-' || *text.ptr == '!')) {
		w->turned = true;
		text = sv_skip(text, 1);
	}
	for (enum key k = KEY_TO; k < KEY_COUNT; k++) {
		if (sv_starts_nocase(text, key_names[k])) {
			w->key = k;
			text = sv_skip(text, key_names[k].len);
			break;
		}
	}
	if (text.len == 0)
		return 0; /* "to:" while somebody types: nothing is asked yet */
	if (sv_find_char(text, '\0') >= 0)
		return err_set(err, RC_PARSE, "a search holds no NUL");
	if (judge_value(w, text, err) != 0)
		return RC_PARSE;
	w->text = sv_dup(text);
	q->count++;
	return 0;
}

struct mailpit_query *mailpit_query_new(struct sv text, struct err *err)
{
	CLEANUP(buf_deinitp) struct buf word = BUF_INIT(WORD_MAX_BYTES);
	struct mailpit_query *q = xcalloc(1, sizeof(*q));

	while (next_word(&text, &word)) {
		if (q->count == WORDS_MAX)
			(void)err_set(err, RC_LIMIT, "a search has at most %d words", WORDS_MAX);
		else if (word.len == WORD_MAX_BYTES)
			(void)err_set(err,
				RC_LIMIT,
				"a word of a search has less than %d bytes",
				WORD_MAX_BYTES);
		else if (add_word(q, buf_sv(&word), err) == 0)
			continue;
		mailpit_query_free(q);
		return NULL;
	}
	return q;
}

void mailpit_query_free(struct mailpit_query *q)
{
	if (!q)
		return;
	for (size_t i = 0; i < q->count; i++)
		free(q->words[i].text);
	free(q);
}

/* ---- looking ---- */

static bool holds(const json_t *value, struct sv text)
{
	return sv_find_nocase(sv_make(json_string_value(value), json_string_length(value)), text) >=
	       0;
}

/* A list of people, or one of them. */
static bool people_hold(const json_t *people, struct sv text)
{
	const json_t *one;
	size_t i;

	if (json_is_object(people))
		return holds(json_object_get(people, "Name"), text) ||
		       holds(json_object_get(people, "Address"), text);
	json_array_foreach(people, i, one)
	{
		if (people_hold(one, text))
			return true;
	}
	return false;
}

static bool any_people_hold(const json_t *o, struct sv text)
{
	static const char *const lists[] = { "To", "From", "Cc", "Bcc", "ReplyTo" };

	for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++) {
		if (people_hold(json_object_get(o, lists[i]), text))
			return true;
	}
	return false;
}

/* Read for each search: to keep the text of every message would double what they take. */
static bool content_holds(const struct sandbox_message *m, struct sv text)
{
	json_t *whole = mailpit_message(m);
	const json_t *part;
	bool found = holds(json_object_get(whole, "Text"), text) ||
		     holds(json_object_get(whole, "HTML"), text);
	size_t i;

	json_array_foreach(json_object_get(whole, "Attachments"), i, part) found =
		found || holds(json_object_get(part, "FileName"), text);
	json_decref(whole);
	return found;
}

static bool word_fits(const struct word *w, struct sandbox_message *m)
{
	const json_t *o = mailpit_summary(m);
	struct sv text = sv_from(w->text);

	switch (w->key) {
	case KEY_TO:
		return people_hold(json_object_get(o, "To"), text);
	case KEY_FROM:
		return people_hold(json_object_get(o, "From"), text);
	case KEY_CC:
		return people_hold(json_object_get(o, "Cc"), text);
	case KEY_BCC:
		return people_hold(json_object_get(o, "Bcc"), text);
	case KEY_REPLY_TO:
		return people_hold(json_object_get(o, "ReplyTo"), text);
	case KEY_ADDRESSED:
		return any_people_hold(o, text);
	case KEY_SUBJECT:
		return holds(json_object_get(o, "Subject"), text);
	case KEY_MESSAGE_ID:
		return holds(json_object_get(o, "MessageID"), text);
	case KEY_LARGER:
		return m->raw_len > w->bytes;
	case KEY_SMALLER:
		return m->raw_len < w->bytes;
	case KEY_AFTER:
		return m->date.us >= w->at.us;
	case KEY_BEFORE:
		return m->date.us <= w->at.us;
	case KEY_IS:
		return sv_eq_nocase(text, SV("read"))
			       ? m->read
			       : sv_eq_nocase(text, SV("unread")) && !m->read;
	case KEY_HAS:
		return json_integer_value(json_object_get(o, "Attachments")) > 0;
	case KEY_TAG:
		return false;
	case KEY_ANYWHERE:
	case KEY_COUNT:
		break;
	}
	return holds(json_object_get(o, "Subject"), text) || any_people_hold(o, text) ||
	       content_holds(m, text);
}

bool mailpit_query_fits(const struct mailpit_query *q, struct sandbox_message *m)
{
	for (size_t i = 0; i < q->count; i++) {
		if (word_fits(&q->words[i], m) == q->words[i].turned)
			return false;
	}
	return true;
}
