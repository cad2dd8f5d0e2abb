/* SPDX-License-Identifier: Apache-2.0 */
#include "base/must.h"
#include "base/text.h"
#include "conf/conf_priv.h"
#include "io/fs.h"
#include "mail/address.h"

#include <errno.h>
#include <stdio.h>

/*
 * One value of each type. A value that has not the right form is never repeated in the message: it may
 * be a password at the wrong place, and its place is told exactly.
 */

/* The longest text that is kept as it is; addresses and names have limits of their own. */
enum {
	VALUE_MAX = 4096
};

static void check_exists(struct conf_load *ld, const struct conf_node *value,
	const struct conf_field *f, struct sv path)
{
	struct stat st;
	char name[VALUE_MAX + 1];
	int rc;

	if (!ld->on_disk || !(f->flags & CONF_EXISTS))
		return;
	(void)snprintf(name, sizeof(name), "%.*s", SV_ARG(path));
	/* A folder that this user may not look into says nothing: the relay runs as another one. */
	rc = io_fs_stat(name, &st);
	if (rc != -ENOENT && rc != -ENOTDIR)
		return;
	if (f->flags & CONF_LATER)
		conf_warn(ld,
			value,
			"%.*s: there is no file %s: correct the path, or make it: install -m 0640 "
			"-o root -g postern /dev/stdin %s (paste, then Ctrl-D); until then the "
			"mail for it waits",
			SV_ARG(f->name),
			name,
			name);
	else
		conf_error(ld,
			value,
			"%.*s: there is no file %s: write it, or correct the path",
			SV_ARG(f->name),
			name);
}

static void read_path(struct conf_load *ld, const struct conf_node *value,
	const struct conf_field *f, struct sv *out)
{
	struct sv text = value->text;

	if (text.len && text.ptr[0] != '/') {
		conf_error(
			ld, value, "%.*s: must be a full path: begin it with /", SV_ARG(f->name));
		return;
	}
	if (f->max && text.len > f->max) {
		conf_error(ld,
			value,
			"%.*s: is longer than the %u bytes that a socket's path may have: choose a "
			"shorter one",
			SV_ARG(f->name),
			(unsigned)f->max);
		return;
	}
	if (text.len)
		check_exists(ld, value, f, text);
	*out = conf_keep(ld, text);
	if (text.len && !(f->flags & CONF_OWN))
		conf_outside_keep(ld, CONF_OUTSIDE_FILE, *out, value);
}

static void read_host(struct conf_load *ld, const struct conf_node *value,
	const struct conf_field *f, struct sv *out)
{
	struct sv text = value->text;

	if (conf_host_ok(text))
		*out = conf_keep(ld, text);
	else if (text.len > 1 && text.ptr[text.len - 1] == '.')
		conf_error(ld,
			value,
			"%.*s: must not end in a dot: write the name without it",
			SV_ARG(f->name));
	else
		conf_error(ld,
			value,
			"%.*s: must be a host name like relay.example.com or an IP address, "
			"without port, user or protocol",
			SV_ARG(f->name));
}

/* Letters, digits and what needs no escape: no query, no fragment, no user. */
static bool url_path_ok(struct sv path)
{
	return path.len == 0 || (path.ptr[path.len - 1] != '/' && conf_name_ok(path, "/~"));
}

static bool url_rest_ok(struct sv rest, bool bare)
{
	ptrdiff_t slash = sv_find_char(rest, '/');
	struct sv path = slash < 0 ? SV("") : sv_skip(rest, (size_t)slash);
	struct sv host = slash < 0 ? rest : sv_head(rest, (size_t)slash);
	ptrdiff_t colon = sv_rfind_char(host, ':');
	struct io_address numeric;
	uint32_t port;

	if (!url_path_ok(path) || (bare && path.len))
		return false;
	if (host.len && host.ptr[0] == '[') {
		CLEANUP(buf_deinitp) struct buf full = BUF_INIT(LIMIT_DOMAIN);
		bool has_port = host.ptr[host.len - 1] != ']';

		return buf_printf(&full, "%.*s%s", SV_ARG(host), has_port ? "" : ":1") == 0 &&
		       io_address_parse(buf_sv(&full), &numeric) == 0 && numeric.v6.sin6_port != 0;
	}
	if (colon >= 0) {
		if (sv_parse_u32(sv_skip(host, (size_t)colon + 1), UINT16_MAX, &port) != 0 || !port)
			return false;
		host = sv_head(host, (size_t)colon);
	}
	return sv_find_char(host, ':') < 0 && conf_host_ok(host);
}

/* Nothing of it is repeated: a URL is where passwords are written by habit. */
static void read_url(struct conf_load *ld, const struct conf_node *value,
	const struct conf_field *f, struct sv *out)
{
	bool proxy = f->flags & CONF_PROXY;
	struct sv scheme = proxy ? SV("http://") : SV("https://");
	struct sv text = value->text;

	if (sv_find_char(text, '@') >= 0)
		conf_error(ld,
			value,
			"%.*s: no user and no password may stand in a URL: remove what stands "
			"before the @; if that was a real password, change it",
			SV_ARG(f->name));
	else if (!sv_starts(text, scheme))
		conf_error(ld,
			value,
			"%.*s: must be a URL that begins with %.*s",
			SV_ARG(f->name),
			SV_ARG(scheme));
	else if (text.ptr[text.len - 1] == '/')
		conf_error(ld,
			value,
			"%.*s: must not end in a slash: write the URL without it",
			SV_ARG(f->name));
	else if (!url_rest_ok(sv_skip(text, scheme.len), proxy))
		conf_error(ld,
			value,
			proxy ? "%.*s: must be a URL like http://proxy.example.com:3128"
			      : "%.*s: must be a URL like https://login.example.com, without "
				"? and #",
			SV_ARG(f->name));
	else
		*out = conf_keep(ld, text);
}

static void read_name(struct conf_load *ld, const struct conf_node *value,
	const struct conf_field *f, struct sv *out)
{
	if (value->text.len <= CONF_NAME_MAX && conf_name_ok(value->text, ""))
		*out = conf_keep(ld, value->text);
	else
		conf_error(ld,
			value,
			"%.*s: must be made of letters, digits, dots, dashes and underscores, at "
			"most %d of them",
			SV_ARG(f->name),
			CONF_NAME_MAX);
}

static void read_address(struct conf_load *ld, const struct conf_node *value,
	const struct conf_field *f, struct sv *out)
{
	struct address a;

	/* A star is legal in an address (RFC 5322 atext), but whoever writes one means a pattern. */
	if (address_parse(value->text, ADDRESS_UTF8, &a) == 0 && sv_find_char(value->text, '*') < 0)
		*out = conf_keep(ld, value->text);
	else
		conf_error(ld,
			value,
			"%.*s: must be a mail address like erp@contoso.com, without stars",
			SV_ARG(f->name));
}

static void read_pattern(struct conf_load *ld, const struct conf_node *value,
	const struct conf_field *f, struct sv *out)
{
	if (address_pattern_check(value->text) == 0)
		*out = conf_keep(ld, value->text);
	else
		conf_error(ld,
			value,
			"%.*s: must be an address or a pattern: erp@contoso.com, "
			"\"*@contoso.com\", \"*@*.contoso.com\" or \"*\"",
			SV_ARG(f->name));
}

/* In memory the list is a pointer and right behind it the count, as in conf.h. */
struct text_list {
	const struct sv *items;
	size_t count;
};

static void read_texts(struct conf_load *ld, const struct conf_node *value,
	const struct conf_field *f, struct text_list *out)
{
	struct conf_field item = { .name = f->name,
		.type = f->type == CONF_TYPE_PATTERNS ? CONF_TYPE_PATTERN : CONF_TYPE_HOST };
	struct sv *items;
	size_t count = 0, i = 0;

	if (!conf_is_list(ld, value))
		return;
	for (const struct conf_node *n = value->first; n; n = n->next)
		count++;
	items = arena_alloc(&ld->conf->arena, (count + 1) * sizeof(*items));
	for (const struct conf_node *n = value->first; n; n = n->next)
		conf_read_value(ld, n, &item, &items[i++]);
	*out = (struct text_list){ items, count };
}

static void read_duration(struct conf_load *ld, const struct conf_node *value,
	const struct conf_field *f, uint64_t *out)
{
	char low[TEXT_DURATION_MAX], high[TEXT_DURATION_MAX];
	struct sv text = value->text;
	uint64_t us;

	if ((f->flags & CONF_OFF) && (sv_eq(text, SV("off")) || sv_eq(text, SV("0")))) {
		*out = 0;
		return;
	}
	if (text_parse_duration(text, &us) != 0) {
		conf_error(ld,
			value,
			"%.*s: must be a time with its unit: write 30s, 5m, 1h or 2d%s",
			SV_ARG(f->name),
			f->flags & CONF_OFF ? " (or off)" : "");
		return;
	}
	if (us < f->min || us > f->max) {
		conf_error(ld,
			value,
			"%.*s: must lie between %s and %s",
			SV_ARG(f->name),
			text_duration(f->min, low),
			text_duration(f->max, high));
		return;
	}
	*out = us;
}

static void read_size(struct conf_load *ld, const struct conf_node *value,
	const struct conf_field *f, uint64_t *out)
{
	char low[TEXT_DURATION_MAX], high[TEXT_DURATION_MAX];
	struct sv text = value->text;
	uint64_t bytes, bare;

	if ((f->flags & CONF_OFF) && (sv_eq(text, SV("off")) || sv_eq(text, SV("0")))) {
		*out = 0;
		return;
	}
	if (text_parse_size(text, &bytes) != 0 || sv_parse_u64(text, UINT64_MAX, &bare) == 0) {
		conf_error(ld,
			value,
			"%.*s: must be a size with its unit: write 64KB, 10MB or 1GB",
			SV_ARG(f->name));
		return;
	}
	if (bytes < f->min || bytes > f->max) {
		conf_error(ld,
			value,
			"%.*s: must lie between %s and %s",
			SV_ARG(f->name),
			text_size(f->min, low),
			text_size(f->max, high));
		return;
	}
	*out = bytes;
}

static bool read_number(struct conf_load *ld, const struct conf_node *value,
	const struct conf_field *f, uint32_t *out)
{
	uint32_t n;

	if (sv_parse_u32(value->text, (uint32_t)f->max, &n) == 0 && n >= f->min) {
		*out = n;
		return true;
	}
	conf_error(ld,
		value,
		"%.*s: must be a whole number from %u to %u",
		SV_ARG(f->name),
		(unsigned)f->min,
		(unsigned)f->max);
	return false;
}

static void read_port(struct conf_load *ld, const struct conf_node *value,
	const struct conf_field *f, uint16_t *out)
{
	struct conf_field range = *f;
	uint32_t n;

	range.min = 1;
	range.max = UINT16_MAX;
	if (read_number(ld, value, &range, &n))
		*out = (uint16_t)n;
}

static void read_percent(struct conf_load *ld, const struct conf_node *value,
	const struct conf_field *f, uint32_t *out)
{
	struct sv text = value->text;
	uint32_t n;

	if (text.len && text.ptr[text.len - 1] == '%' &&
		sv_parse_u32(sv_head(text, text.len - 1), 100, &n) == 0 && n > 0)
		*out = n;
	else
		conf_error(ld,
			value,
			"%.*s: must be a percentage with its sign, from 1%% to 100%%: write 80%%",
			SV_ARG(f->name));
}

static void read_bool(
	struct conf_load *ld, const struct conf_node *value, const struct conf_field *f, bool *out)
{
	if (sv_eq(value->text, SV("true")))
		*out = true;
	else if (sv_eq(value->text, SV("false")))
		*out = false;
	else
		conf_error(ld, value, "%.*s: must be true or false", SV_ARG(f->name));
}

static void list_words(const char *const *words, struct buf *out)
{
	for (size_t i = 0; words[i]; i++)
		if (buf_printf(out,
			    "%s%s",
			    i == 0         ? ""
			    : words[i + 1] ? ", "
					   : " or ",
			    words[i]) != 0)
			return;
}

/* The index of the word, or -1 with a finding. */
static int read_word(
	struct conf_load *ld, const struct conf_node *value, const struct conf_field *f)
{
	CLEANUP(buf_deinitp) struct buf words = BUF_INIT(200), near = BUF_INIT(200);
	struct guess guess = { .name = value->text };

	for (int i = 0; f->words[i]; i++) {
		if (sv_eq(value->text, sv_from(f->words[i])))
			return i;
		guess_try(&guess, sv_from(f->words[i]));
	}
	list_words(f->words, &words);
	if (guess.best.len)
		must(buf_printf(&near, ": did you mean '%.*s'?", SV_ARG(guess.best)) == 0);
	conf_error(ld,
		value,
		"%.*s: must be %.*s%.*s",
		SV_ARG(f->name),
		SV_ARG(buf_sv(&words)),
		SV_ARG(buf_sv(&near)));
	return -1;
}

static bool env_name_ok(struct sv name)
{
	return conf_name_ok(name, "") && sv_find_char(name, '.') < 0 && sv_find_char(name, '-') < 0;
}

static const struct {
	struct sv prefix;
	enum conf_secret_kind kind;
} secret_prefixes[] = {
	{ SV_INIT("file:"), CONF_SECRET_FILE },
	{ SV_INIT("env:"), CONF_SECRET_ENV },
	{ SV_INIT("credential:"), CONF_SECRET_CREDENTIAL },
	{ SV_INIT("command:"), CONF_SECRET_COMMAND },
	{ SV_INIT("vault:"), CONF_SECRET_VAULT },
};

static bool secret_where(struct sv text, enum conf_secret_kind *out_kind, struct sv *out_rest)
{
	for (size_t i = 0; i < COUNT_OF(secret_prefixes); i++) {
		if (!sv_starts(text, secret_prefixes[i].prefix))
			continue;
		*out_kind = secret_prefixes[i].kind;
		*out_rest = sv_skip(text, secret_prefixes[i].prefix.len);
		return true;
	}
	return false;
}

static bool secret_name_ok(enum conf_secret_kind kind, struct sv name)
{
	switch (kind) {
	case CONF_SECRET_FILE:
		return name.len > 1 && name.ptr[0] == '/' && name.len <= VALUE_MAX;
	case CONF_SECRET_COMMAND:
		return name.len > 1 && name.ptr[0] == '/' && name.ptr[1] != ' ' &&
		       name.len <= VALUE_MAX;
	case CONF_SECRET_ENV:
		return env_name_ok(name);
	case CONF_SECRET_CREDENTIAL:
		return conf_name_ok(name, "") && name.ptr[0] != '.';
	case CONF_SECRET_VAULT:
		return name.len <= CONF_VAULT_NAME_MAX && conf_name_ok(name, "@+/");
	case CONF_SECRET_NONE:
		break;
	}
	return false;
}

/* What to write, by kind. */
static const char *const secret_forms[] = {
	[CONF_SECRET_FILE] = "file:/FULL/PATH",
	[CONF_SECRET_ENV] = "env:NAME: letters, digits and underscores",
	[CONF_SECRET_CREDENTIAL] = "credential:NAME, as LoadCredential= names it",
	[CONF_SECRET_COMMAND] = "command:/FULL/PATH, and arguments behind it",
	[CONF_SECRET_VAULT] = "vault:NAME: letters, digits and . _ - @ + /",
};

static bool secret_outside(enum conf_secret_kind kind, enum conf_outside_kind *out)
{
	if (kind == CONF_SECRET_FILE)
		*out = CONF_OUTSIDE_FILE;
	else if (kind == CONF_SECRET_COMMAND)
		*out = CONF_OUTSIDE_COMMAND;
	else if (kind == CONF_SECRET_ENV)
		*out = CONF_OUTSIDE_VARIABLE;
	else
		return false;
	return true;
}

/*
 * A plain value would make the file itself the secret: it is copied into tickets, backups and version
 * control. Nothing of the value is repeated, since it most likely is the password.
 */
static void read_secret(struct conf_load *ld, const struct conf_node *value,
	const struct conf_field *f, struct conf_secret *out)
{
	struct sv text = value->text, rest;
	struct conf_secret s = { .place = conf_place_of(ld, value) };
	enum conf_outside_kind outside;

	if (!secret_where(text, &s.kind, &rest)) {
		conf_error(ld,
			value,
			"%.*s: a secret never stands in the configuration: put it into a file of "
			"mode 0600 and write file:/PATH "
			"(or env:NAME, credential:NAME, command:PROGRAM, vault:NAME); if this was "
			"a real one, change it",
			SV_ARG(f->name));
		return;
	}
	if (!secret_name_ok(s.kind, rest)) {
		conf_error(ld, value, "%.*s: must be %s", SV_ARG(f->name), secret_forms[s.kind]);
		return;
	}
	if (s.kind == CONF_SECRET_VAULT && ld->conf->general.vault_key.kind == CONF_SECRET_NONE &&
		!ld->incomplete) {
		conf_error(ld,
			value,
			"%.*s: there is no vault: add vault: { key: file:/PATH } (`postern vault "
			"key` makes one)",
			SV_ARG(f->name));
		return;
	}
	if (s.kind == CONF_SECRET_FILE)
		check_exists(ld, value, f, rest);
	if (s.kind == CONF_SECRET_COMMAND) {
		struct sv arguments = rest, program;

		(void)sv_cut_char(&arguments, ' ', &program);
		check_exists(ld, value, f, program);
	}
	s.name = conf_keep(ld, rest);
	if (secret_outside(s.kind, &outside))
		conf_outside_keep(ld, outside, s.name, value);
	*out = s;
}

static void read_choice(struct conf_load *ld, const struct conf_node *value,
	const struct conf_field *f, unsigned *out)
{
	int i = read_word(ld, value, f);

	if (i >= 0)
		*out = (unsigned)i;
}

static void read_scalar(
	struct conf_load *ld, const struct conf_node *value, const struct conf_field *f, void *at)
{
	switch (f->type) {
	case CONF_TYPE_TEXT:
		*(struct sv *)at = conf_keep(ld, value->text);
		break;
	case CONF_TYPE_NAME:
		read_name(ld, value, f, at);
		break;
	case CONF_TYPE_PATH:
		read_path(ld, value, f, at);
		break;
	case CONF_TYPE_HOST:
		read_host(ld, value, f, at);
		break;
	case CONF_TYPE_URL:
		read_url(ld, value, f, at);
		break;
	case CONF_TYPE_ADDRESS:
		read_address(ld, value, f, at);
		break;
	case CONF_TYPE_PATTERN:
		read_pattern(ld, value, f, at);
		break;
	case CONF_TYPE_DURATION:
		read_duration(ld, value, f, at);
		break;
	case CONF_TYPE_SIZE:
		read_size(ld, value, f, at);
		break;
	case CONF_TYPE_U32:
		(void)read_number(ld, value, f, at);
		break;
	case CONF_TYPE_PORT:
		read_port(ld, value, f, at);
		break;
	case CONF_TYPE_PERCENT:
		read_percent(ld, value, f, at);
		break;
	case CONF_TYPE_BOOL:
		read_bool(ld, value, f, at);
		break;
	case CONF_TYPE_CHOICE:
		read_choice(ld, value, f, at);
		break;
	case CONF_TYPE_WORD:
		if (read_word(ld, value, f) >= 0)
			*(struct sv *)at = conf_keep(ld, value->text);
		break;
	case CONF_TYPE_SECRET:
		read_secret(ld, value, f, at);
		break;
	case CONF_TYPE_PATTERNS:
	case CONF_TYPE_DOMAINS:
	case CONF_TYPE_MAP:
	case CONF_TYPE_READ:
		must_fail("a scalar type", __FILE__, __LINE__);
	}
}

void conf_read_value(
	struct conf_load *ld, const struct conf_node *value, const struct conf_field *f, void *out)
{
	void *at = (char *)out + f->offset;

	switch ((unsigned)f->type) {
	case CONF_TYPE_MAP:
		(void)conf_read_map(ld, value, f->fields, out, NULL);
		return;
	case CONF_TYPE_READ:
		f->read(ld, value, at);
		return;
	case CONF_TYPE_PATTERNS:
	case CONF_TYPE_DOMAINS:
		read_texts(ld, value, f, at);
		return;
	default:
		break;
	}
	if (!conf_is_text(ld, value))
		return;
	if (value->text.len > VALUE_MAX)
		conf_error(ld, value, "%.*s: is longer than %d bytes", SV_ARG(f->name), VALUE_MAX);
	else if (value->text.len == 0 && !(f->flags & CONF_EMPTY))
		conf_error(ld,
			value,
			"%.*s: must not be empty: write a value, or remove the key",
			SV_ARG(f->name));
	else
		read_scalar(ld, value, f, at);
}
