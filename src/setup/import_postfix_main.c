/* SPDX-License-Identifier: Apache-2.0 */
#include "base/must.h"
#include "setup/import_postfix.h"

/*
 * main.cf (postconf(5)): "name = value"; a line that begins with a blank goes on with the one before; the last
 * one counts. master.cf (master(5)): eight columns, and "-o name=value" behind the command.
 */
enum {
	DEPTH_MAX = 8,
	COLUMNS = 7, /* before the command */
};

bool postfix_logical(struct sv *text, unsigned *at_line, struct buf *out, unsigned *out_line)
{
	bool begun = false;
	struct sv ahead = *text, line;

	buf_reset(out);
	while (import_line(&ahead, &line)) {
		struct sv trimmed = import_trim(line);
		bool goes_on = line.len && (unsigned char)line.ptr[0] <= ' ';

		if (trimmed.len && trimmed.ptr[0] != '#') {
			if (begun && !goes_on)
				return true;
			if (!begun)
				*out_line = *at_line + 1;
			/* One that does not fit is cut short; its setting is told apart by that. */
			(void)!buf_append(out, begun ? SV(" ") : SV(""));
			(void)!buf_append(out, trimmed);
			begun = true;
		}
		(*at_line)++;
		*text = ahead;
	}
	return begun;
}

static void take(struct postfix *p, struct sv line, unsigned at)
{
	const struct import_place where = { p->from->file, at };
	struct sv value = line, name;
	struct postfix_setting *s;

	if (!sv_cut_char(&value, '=', &name) || !import_trim(name).len) {
		import_note(p->im, SETUP_NOTE_LOST, where, "it is no setting");
		return;
	}
	name = import_trim(name);
	s = postfix_find(p, name);
	if (!s && p->setting_count == POSTFIX_SETTINGS_MAX) {
		import_full(p->im, "settings");
		return;
	}
	if (!s)
		s = &p->settings[p->setting_count++];
	*s = (struct postfix_setting){ .name = import_keep(p->im, name),
		.value = arena_sv(&p->arena, import_trim(value)),
		.line = at };
}

void postfix_read_main(struct postfix *p)
{
	struct buf whole = BUF_INIT(POSTFIX_VALUE_MAX);
	struct sv text = p->from->text;
	unsigned at = 0, line = 0;

	while (postfix_logical(&text, &at, &whole, &line))
		take(p, buf_sv(&whole), line);
	if (whole.cap)
		secret_wipe(whole.ptr, whole.cap);
	buf_deinit(&whole);
}

/* ---- master.cf ---- */

struct sv postfix_unbrace(struct sv item)
{
	if (item.len >= 2 && item.ptr[0] == '{' && item.ptr[item.len - 1] == '}')
		return import_trim(sv_make(item.ptr + 1, item.len - 2));
	return item;
}

static void take_override(struct postfix *p, struct postfix_service *s, struct sv option)
{
	struct sv value = postfix_unbrace(option), name;

	if (!sv_cut_char(&value, '=', &name))
		return;
	if (s->override_count == POSTFIX_OVERRIDES_MAX) {
		import_full(p->im, "-o of master.cf");
		return;
	}
	s->overrides[s->override_count++] =
		(struct postfix_setting){ .name = import_keep(p->im, import_trim(name)),
			.value = arena_sv(&p->arena, import_trim(value)),
			.line = s->line };
}

static void take_service(struct postfix *p, struct sv line, unsigned at)
{
	struct postfix_service *s = &p->services[p->service_count];
	struct sv columns[COLUMNS], item;

	for (size_t i = 0; i < COLUMNS; i++)
		columns[i] = import_word(&line);
	if (!line.len) {
		import_note(p->im,
			SETUP_NOTE_LOST,
			(struct import_place){ SV("master.cf"), at },
			"it is no service");
		return;
	}
	if (p->service_count == POSTFIX_SERVICES_MAX) {
		import_full(p->im, "services of master.cf");
		return;
	}
	p->service_count++;
	*s = (struct postfix_service){ .name = import_keep(p->im, columns[0]),
		.type = import_keep(p->im, columns[1]),
		.line = at,
		.overrides = arena_alloc(
			&p->arena, POSTFIX_OVERRIDES_MAX * sizeof(struct postfix_setting)) };
	s->command = import_keep(p->im, import_word(&line));
	while (postfix_item(&line, &item)) {
		if (sv_eq(item, SV("-o")) && postfix_item(&line, &item))
			take_override(p, s, item);
		else if (sv_starts(item, SV("-o")) && item.len > 2)
			take_override(p, s, sv_skip(item, 2));
	}
}

void postfix_read_master(struct postfix *p)
{
	struct buf text = BUF_INIT(SETUP_IMPORT_FILE_MAX), whole = BUF_INIT(POSTFIX_VALUE_MAX);
	unsigned at = 0, line = 0;

	if (p->from->read(p->from->arg, SV("master.cf"), &text) == 0) {
		struct sv rest = buf_sv(&text);

		p->has_master = true;
		while (postfix_logical(&rest, &at, &whole, &line))
			take_service(p, buf_sv(&whole), line);
	}
	buf_deinit(&whole);
	buf_deinit(&text);
}

struct postfix_service *postfix_service(struct postfix *p, struct sv name)
{
	for (size_t i = 0; i < p->service_count; i++)
		if (sv_eq(p->services[i].name, name) && !sv_eq(p->services[i].type, SV("inet")))
			return &p->services[i];
	return NULL;
}

/* ---- values ---- */

struct postfix_setting *postfix_find(struct postfix *p, struct sv name)
{
	for (size_t i = 0; i < p->setting_count; i++)
		if (sv_eq(p->settings[i].name, name))
			return &p->settings[i];
	return NULL;
}

static struct postfix_setting *find_in(
	struct postfix *p, const struct postfix_service *s, struct sv name)
{
	/* The last -o counts. */
	for (size_t i = s ? s->override_count : 0; i > 0; i--)
		if (sv_eq(s->overrides[i - 1].name, name))
			return &s->overrides[i - 1];
	return postfix_find(p, name);
}

static bool is_name(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       c == '_';
}

struct expansion {
	struct postfix *p;
	const struct postfix_service *s;
	struct buf *out;
	unsigned depth;
};

static int expand(struct expansion *x, struct sv value);

/* What $name is where main.cf does not say. */
static int expand_default(struct expansion *x, struct sv name)
{
	static const struct {
		struct sv name, value;
	} defaults[] = {
		{ SV_INIT("queue_directory"), SV_INIT("/var/spool/postfix") },
		{ SV_INIT("data_directory"), SV_INIT("/var/lib/postfix") },
		{ SV_INIT("default_database_type"), SV_INIT("hash") },
		{ SV_INIT("mail_name"), SV_INIT("Postfix") },
		{ SV_INIT("myorigin"), SV_INIT("$myhostname") },
		{ SV_INIT("relay_domains"), SV_INIT("") },
		{ SV_INIT("inet_interfaces"), SV_INIT("all") },
		{ SV_INIT("mynetworks"), SV_INIT("127.0.0.0/8 [::1]/128") },
	};
	struct sv domain;

	if (sv_eq(name, SV("config_directory")))
		return buf_append(x->out, x->p->from->base);
	if (sv_eq(name, SV("mydomain"))) {
		struct postfix_setting *host = find_in(x->p, x->s, SV("myhostname"));

		domain = host ? host->value : SV("");
		(void)sv_cut_char(&domain, '.', &(struct sv){ 0 });
		return buf_append(x->out, domain);
	}
	for (size_t i = 0; i < COUNT_OF(defaults); i++)
		if (sv_eq(name, defaults[i].name))
			return expand(x, defaults[i].value);
	return 0;
}

static int expand_setting(struct expansion *x, struct sv name)
{
	struct postfix_setting *s = find_in(x->p, x->s, name);
	int rc;

	if (x->depth >= DEPTH_MAX)
		return RC_LIMIT;
	if (s)
		s->used = true;
	x->depth++;
	rc = s ? expand(x, s->value) : expand_default(x, name);
	x->depth--;
	return rc;
}

/* A text in braces inside of a condition, or one without. */
static struct sv cut_branch(struct sv *rest)
{
	struct sv item, text = import_trim(*rest);
	size_t n = 0, deep = 0;

	if (!text.len || text.ptr[0] != '{') {
		(void)sv_cut_char(&text, ':', &item);
		*rest = text;
		return item;
	}
	do {
		deep += text.ptr[n] == '{';
		deep -= text.ptr[n] == '}';
		n++;
	} while (n < text.len && deep);
	item = sv_head(text, n);
	*rest = import_trim(sv_skip(text, n));
	return postfix_unbrace(item);
}

/* "{a} == {b} ? {yes} : {no}" */
static int expand_comparison(struct expansion *x, struct sv inside)
{
	struct buf left = BUF_INIT(POSTFIX_VALUE_MAX), right = BUF_INIT(POSTFIX_VALUE_MAX);
	struct sv a = cut_branch(&inside), op = import_word(&inside), b = cut_branch(&inside), yes,
		  no;
	struct buf *out = x->out;
	bool equal, holds;
	int rc;

	x->out = &left;
	rc = expand(x, a);
	x->out = &right;
	if (rc == 0)
		rc = expand(x, b);
	x->out = out;
	equal = sv_eq(buf_sv(&left), buf_sv(&right));
	holds = sv_eq(op, SV("!="))   ? !equal
		: sv_eq(op, SV("==")) ? equal
				      : !equal && op.len && op.ptr[0] == '>';
	buf_deinit(&left);
	buf_deinit(&right);
	if (sv_starts(inside, SV("?")))
		inside = sv_skip(inside, 1);
	yes = cut_branch(&inside);
	if (sv_starts(inside, SV(":")))
		inside = sv_skip(inside, 1);
	no = cut_branch(&inside);
	return rc ? rc : expand(x, holds ? yes : no);
}

/* "name", "name?yes", "name:no", "name?{yes}:{no}" */
static int expand_braced(struct expansion *x, struct sv inside)
{
	struct postfix_setting *s;
	struct sv name, yes;
	size_t n = 0;
	bool set;

	inside = import_trim(inside);
	if (inside.len && inside.ptr[0] == '{')
		return expand_comparison(x, inside);
	while (n < inside.len && is_name(inside.ptr[n]))
		n++;
	name = sv_head(inside, n);
	inside = import_trim(sv_skip(inside, n));
	s = find_in(x->p, x->s, name);
	set = s && s->value.len;
	if (!inside.len)
		return expand_setting(x, name);
	if (s)
		s->used = true;
	if (inside.ptr[0] == ':')
		return set ? expand_setting(x, name)
			   : expand(x, postfix_unbrace(sv_skip(inside, 1)));
	if (inside.ptr[0] != '?')
		return 0;
	inside = sv_skip(inside, 1);
	if (sv_find_char(inside, '{') < 0)
		return set ? expand(x, inside) : 0;
	yes = cut_branch(&inside);
	if (sv_starts(inside, SV(":")))
		inside = sv_skip(inside, 1);
	return expand(x, set ? yes : postfix_unbrace(import_trim(inside)));
}

/* Behind a `$`. */
static int expand_name(struct expansion *x, struct sv *rest)
{
	char open = rest->ptr[0], close = open == '{' ? '}' : open == '(' ? ')' : '\0';
	size_t n = 0, deep = 0;
	struct sv inside;

	if (open == '$') {
		*rest = sv_skip(*rest, 1);
		return buf_append_char(x->out, '$');
	}
	if (!close) {
		while (n < rest->len && is_name(rest->ptr[n]))
			n++;
		inside = sv_head(*rest, n);
		*rest = sv_skip(*rest, n);
		return expand_setting(x, inside);
	}
	do {
		deep += rest->ptr[n] == open;
		deep -= rest->ptr[n] == close;
		n++;
	} while (n < rest->len && deep);
	inside = sv_make(rest->ptr + 1, n - (deep ? 1 : 2));
	*rest = sv_skip(*rest, n);
	if (x->depth >= DEPTH_MAX)
		return RC_LIMIT;
	x->depth++;
	n = (size_t)expand_braced(x, inside);
	x->depth--;
	return (int)n;
}

static int expand(struct expansion *x, struct sv value)
{
	int rc = 0;

	if (++x->depth > DEPTH_MAX * 2)
		rc = RC_LIMIT;
	while (value.len && rc == 0) {
		char c = value.ptr[0];

		value = sv_skip(value, 1);
		if (c == '$' && value.len)
			rc = expand_name(x, &value);
		else
			rc = buf_append_char(x->out, c);
	}
	x->depth--;
	return rc;
}

struct sv postfix_get(struct postfix *p, const struct postfix_service *s, const char *name)
{
	CLEANUP(buf_deinitp) struct buf out = BUF_INIT(POSTFIX_VALUE_MAX);
	struct expansion x = { .p = p, .s = s, .out = &out };
	struct postfix_setting *found = find_in(p, s, sv_from(name));
	struct sv kept;

	if (!found)
		return SV("");
	found->used = true;
	if (expand(&x, found->value) != 0) {
		import_note(p->im,
			SETUP_NOTE_LOST,
			postfix_at(p, s, name),
			"%s is too long or names itself",
			name);
		return SV("");
	}
	kept = arena_sv(&p->arena, import_trim(buf_sv(&out)));
	if (out.cap)
		secret_wipe(out.ptr, out.cap);
	return kept;
}

bool postfix_has(struct postfix *p, const struct postfix_service *s, const char *name)
{
	return find_in(p, s, sv_from(name)) != NULL;
}

bool postfix_is(
	struct postfix *p, const struct postfix_service *s, const char *name, const char *value)
{
	return sv_eq_nocase(postfix_get(p, s, name), sv_from(value));
}

struct import_place postfix_at(struct postfix *p, const struct postfix_service *s, const char *name)
{
	struct postfix_setting *found = find_in(p, s, sv_from(name));

	if (!found)
		return (struct import_place){ 0 };
	if (found < p->settings || found >= p->settings + POSTFIX_SETTINGS_MAX)
		return (struct import_place){ SV("master.cf"), found->line };
	return (struct import_place){ p->from->file, found->line };
}

bool postfix_item(struct sv *list, struct sv *out_item)
{
	struct sv rest = *list;
	size_t n = 0, deep = 0;

	while (rest.len && ((unsigned char)rest.ptr[0] <= ' ' || rest.ptr[0] == ','))
		rest = sv_skip(rest, 1);
	while (n < rest.len && (deep || ((unsigned char)rest.ptr[n] > ' ' && rest.ptr[n] != ','))) {
		deep += rest.ptr[n] == '{';
		if (rest.ptr[n] == '}' && deep)
			deep--;
		n++;
	}
	*out_item = sv_head(rest, n);
	*list = sv_skip(rest, n);
	return n > 0;
}
