/* SPDX-License-Identifier: Apache-2.0 */
#include "drop/options.h"

#include "base/limits.h"
#include "mail/drop_format.h"

enum takes {
	TAKES_NOTHING,
	TAKES_VALUE, /* the rest of the word, or the next word */
	TAKES_REST,  /* the rest of the word, which may be empty */
};

struct flag {
	char name;
	enum takes takes;
	/* NULL: taken and ignored */
	int (*apply)(struct drop_options *o, struct sv value, struct err *err);
};

static int apply_header_recipients(struct drop_options *o, struct sv value, struct err *err)
{
	(void)value;
	(void)err;
	o->recipients_from_header = true;
	return 0;
}

static int apply_ignore_dots(struct drop_options *o, struct sv value, struct err *err)
{
	(void)value;
	(void)err;
	o->ignore_dots = true;
	return 0;
}

static int apply_verbose(struct drop_options *o, struct sv value, struct err *err)
{
	(void)value;
	(void)err;
	o->verbose = true;
	return 0;
}

static int apply_newaliases(struct drop_options *o, struct sv value, struct err *err)
{
	(void)value;
	(void)err;
	o->mode = DROP_MODE_NEWALIASES;
	return 0;
}

static int apply_queue_run(struct drop_options *o, struct sv value, struct err *err)
{
	(void)value;
	(void)err;
	o->mode = DROP_MODE_NOTHING;
	return 0;
}

static int apply_sender(struct drop_options *o, struct sv value, struct err *err)
{
	(void)err;
	o->sender = value;
	o->sender_given = true;
	return 0;
}

static int apply_name(struct drop_options *o, struct sv value, struct err *err)
{
	if (value.len > DROP_NAME_MAX)
		return err_set(
			err, RC_PARSE, "-F: the name is longer than %d bytes", DROP_NAME_MAX);
	o->name = value;
	return 0;
}

static int apply_notify(struct drop_options *o, struct sv value, struct err *err)
{
	if (drop_notify_parse(value, &o->notify) != 0)
		return err_set(err,
			RC_PARSE,
			"-N wants never, or some of success,failure,delay: not '%.*s'",
			SV_ARG(sv_head(value, 60)));
	return 0;
}

static int apply_ret(struct drop_options *o, struct sv value, struct err *err)
{
	if (sv_eq_nocase(value, SV("full")))
		o->ret = DSN_RET_FULL;
	else if (sv_eq_nocase(value, SV("hdrs")))
		o->ret = DSN_RET_HDRS;
	else
		return err_set(err,
			RC_PARSE,
			"-R wants full or hdrs: not '%.*s'",
			SV_ARG(sv_head(value, 60)));
	return 0;
}

/* RFC 3461 4.4: printable ASCII, and no more than 100 characters once it is xtext. */
static int apply_envid(struct drop_options *o, struct sv value, struct err *err)
{
	struct buf xtext = BUF_INIT(LIMIT_ENVID);
	bool ok = value.len > 0;

	for (size_t i = 0; i < value.len; i++)
		ok = ok && value.ptr[i] >= 0x20 && value.ptr[i] < 0x7f;
	ok = ok && dsn_xtext_encode(&xtext, value) == 0;
	buf_deinit(&xtext);
	if (!ok)
		return err_set(err,
			RC_PARSE,
			"-V wants printable ASCII, at most %d characters as xtext",
			LIMIT_ENVID);
	o->envid = value;
	return 0;
}

static int apply_body(struct drop_options *o, struct sv value, struct err *err)
{
	/* What the message really holds is seen when it is read; 7BIT promises nothing. */
	if (sv_eq_nocase(value, SV("8BITMIME")))
		o->body_8bit = true;
	else if (!sv_eq_nocase(value, SV("7BIT")))
		return err_set(err,
			RC_PARSE,
			"-B wants 8BITMIME or 7BIT: not '%.*s'",
			SV_ARG(sv_head(value, 60)));
	return 0;
}

/* -oi is the one old-style option with a meaning here; -oem, -odb, -o7, -oA... have none. */
static int apply_old_option(struct drop_options *o, struct sv value, struct err *err)
{
	(void)err;
	if (value.ptr[0] == 'i')
		o->ignore_dots = true;
	return 0;
}

static int apply_mode(struct drop_options *o, struct sv value, struct err *err)
{
	switch (value.ptr[0]) {
	case 'm':
		o->mode = DROP_MODE_SUBMIT;
		return 0;
	case 'p':
		o->mode = DROP_MODE_MAILQ;
		return 0;
	case 'i':
		o->mode = DROP_MODE_NEWALIASES;
		return 0;
	case 'h':
	case 'H':
		o->mode = DROP_MODE_NOTHING;
		return 0;
	case 's':
		o->mode = DROP_MODE_SMTP;
		return 0;
	case 'd':
	case 'D':
	case 'l':
		return err_set(err,
			RC_PARSE,
			"-b%c: the daemon is started with `postern serve`",
			value.ptr[0]);
	default:
		return err_set(err, RC_PARSE, "-b%.*s: no such mode", SV_ARG(sv_head(value, 20)));
	}
}

static const struct flag flags[] = {
	{ 't', TAKES_NOTHING, apply_header_recipients },
	{ 'i', TAKES_NOTHING, apply_ignore_dots },
	{ 'v', TAKES_NOTHING, apply_verbose },
	{ 'I', TAKES_NOTHING, apply_newaliases },
	{ 'f', TAKES_VALUE, apply_sender },
	{ 'r', TAKES_VALUE, apply_sender },
	{ 'F', TAKES_VALUE, apply_name },
	{ 'N', TAKES_VALUE, apply_notify },
	{ 'R', TAKES_VALUE, apply_ret },
	{ 'V', TAKES_VALUE, apply_envid },
	{ 'B', TAKES_VALUE, apply_body },
	{ 'b', TAKES_VALUE, apply_mode },
	{ 'o', TAKES_VALUE, apply_old_option },
	{ 'q', TAKES_REST, apply_queue_run },
	/* Files named by -C and -X are never opened: this program may be setgid. */
	{ 'C', TAKES_VALUE, NULL },
	{ 'X', TAKES_VALUE, NULL },
	{ 'D', TAKES_VALUE, NULL },
	{ 'A', TAKES_VALUE, NULL },
	{ 'L', TAKES_VALUE, NULL },
	{ 'O', TAKES_VALUE, NULL },
	{ 'e', TAKES_VALUE, NULL },
	{ 'h', TAKES_VALUE, NULL },
	{ 'p', TAKES_VALUE, NULL },
	{ 'G', TAKES_NOTHING, NULL },
	{ 'U', TAKES_NOTHING, NULL },
	{ 'c', TAKES_NOTHING, NULL },
	{ 'm', TAKES_NOTHING, NULL },
	{ 'n', TAKES_NOTHING, NULL },
	{ 'x', TAKES_NOTHING, NULL },
};

static const struct flag *find_flag(char name)
{
	for (size_t i = 0; i < COUNT_OF(flags); i++) {
		if (flags[i].name == name)
			return &flags[i];
	}
	return NULL;
}

/* One word of flags: "-it", "-fvalue", "-f" "value". Returns how many words it took. */
static int parse_word(struct drop_options *o, char *const *word, bool has_next, struct err *err)
{
	struct sv rest = sv_skip(sv_from(word[0]), 1);

	while (rest.len) {
		const struct flag *flag = find_flag(rest.ptr[0]);
		struct sv value;
		int words = 1;

		if (!flag)
			return err_set(err,
				RC_PARSE,
				"no such option: -%.*s",
				SV_ARG(sv_head(rest, rest.ptr[0] == '-' ? 60 : 1)));
		rest = sv_skip(rest, 1);
		value = rest;
		if (flag->takes == TAKES_VALUE && rest.len == 0) {
			if (!has_next)
				return err_set(err, RC_PARSE, "-%c needs a value", flag->name);
			value = sv_from(word[1]);
			words = 2;
		}
		/* Only a sender and a name may be empty: the others look at a first character. */
		if (flag->takes == TAKES_VALUE && value.len == 0 && flag->apply &&
			flag->apply != apply_sender && flag->apply != apply_name)
			return err_set(err, RC_PARSE, "-%c needs a value", flag->name);
		if (flag->apply && flag->apply(o, value, err) != 0)
			return RC_PARSE;
		if (flag->takes != TAKES_NOTHING)
			return words;
	}
	return 1;
}

static enum drop_mode mode_of_name(const char *program)
{
	struct sv name = sv_from(program);

	name = sv_skip(name, (size_t)(sv_rfind_char(name, '/') + 1));
	if (sv_eq(name, SV("mailq")))
		return DROP_MODE_MAILQ;
	if (sv_eq(name, SV("newaliases")))
		return DROP_MODE_NEWALIASES;
	return DROP_MODE_SUBMIT;
}

int drop_options_parse(
	int argc, char *const *argv, struct drop_options *out_options, struct err *err)
{
	struct drop_options o = { .mode = mode_of_name(argc > 0 ? argv[0] : NULL) };
	int at = argc > 0 ? 1 : 0;
	bool ended = false;

	while (at < argc && !ended && argv[at][0] == '-' && argv[at][1] != '\0') {
		int words = 1;

		ended = strcmp(argv[at], "--") == 0;
		if (!ended)
			words = parse_word(&o, argv + at, at + 1 < argc, err);
		if (words < 0)
			return words;
		at += words;
	}
	for (int i = at; i < argc && !ended; i++) {
		if (argv[i][0] == '-')
			return err_set(err,
				RC_PARSE,
				"'%.60s' stands behind a recipient: options come first (or use --)",
				argv[i]);
	}
	o.operands_at = at;
	*out_options = o;
	return 0;
}
