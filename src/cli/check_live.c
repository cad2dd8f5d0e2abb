/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/check_live.h"

#include "base/limits.h"
#include "base/must.h"
#include "diagnose/diagnose.h"
#include "io/log.h"
#include "mail/address.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
	LINE_MAX_BYTES = 16384,
	SCREEN_MAX = 1 << 20,
	TARGETS_MAX = 10000,
	NAME_WIDTH = 15,
	STATUS_WIDTH = 12, /* two spaces, the word, one before and one behind the name */
};

struct live {
	const struct check_live_options *o;
	FILE *report;
	const struct conf_lane **lanes;
	size_t count;
	bool brief; /* several: a line each unless one fails */
	const char *progress;
	bool has_progress; /* a line that is not ended stands on the terminal */
	struct buf held;   /* the steps of a lane, until it is known whether they are shown */
	size_t oks, warnings, failures;
};

/* ---- what is checked ---- */

static void add(struct live *l, const struct conf_lane *lane)
{
	for (size_t i = 0; i < l->count; i++)
		if (l->lanes[i] == lane)
			return;
	if (lane && l->count < TARGETS_MAX)
		l->lanes[l->count++] = lane;
}

static bool takes_every_mail(const struct conf_route *r)
{
	return r->any_recipient && r->recipient_class == CONF_RECIPIENT_ANY && r->any_user &&
	       r->any_listener && r->any_device && !r->size_over && !r->size_under &&
	       !r->header_name.len;
}

/* Every door that mail of this sender may take. */
static void add_routes_of(struct live *l, struct sv sender)
{
	size_t count;
	const struct conf_route *routes = conf_routes(l->o->conf, &count);

	for (size_t i = 0; i < count; i++) {
		const struct conf_route *r = &routes[i];

		if (!r->any_sender && !address_matches(r->sender, sender))
			continue;
		for (size_t k = 0; k < r->through_count; k++)
			add(l,
				r->through[k].sender ? conf_lane_named(l->o->conf, sender)
						     : r->through[k].lane);
		if (takes_every_mail(r))
			return;
	}
}

static void find_lanes(struct live *l)
{
	size_t count;
	const struct conf_lane *all = conf_lanes(l->o->conf, &count);
	struct sv what = sv_from(l->o->what);
	CLEANUP(buf_deinitp) struct buf key = BUF_INIT(LIMIT_ADDRESS);
	const struct conf_lane *named = conf_lane_named(l->o->conf, what);

	l->lanes = xcalloc(count + 1, sizeof(*l->lanes));
	if (!named && address_key(&key, what) == 0)
		named = conf_lane_named(l->o->conf, buf_sv(&key));
	if (sv_eq(what, SV("all")))
		for (size_t i = 0; i < count; i++)
			add(l, &all[i]);
	else if (named)
		add(l, named);
	else if (sv_find_char(what, '@') >= 0)
		add_routes_of(l, what);
}

/* ---- lines ---- */

static void clear_progress(struct live *l)
{
	if (l->has_progress)
		(void)printf("\r\x1b[K");
	l->has_progress = false;
}

static void put_json(struct live *l, json_t *object)
{
	char *text = object ? json_dumps(object, JSON_COMPACT) : NULL;

	(void)printf("%s\n", text ? text : "{}");
	free(text);
	json_decref(object);
	(void)l;
}

static json_t *json_sv(struct sv v)
{
	/* What is no UTF-8 (a server's reply) must not break the line. */
	json_t *text = json_stringn(v.ptr ? v.ptr : "", v.len);

	return text ? text : json_string("(not readable)");
}

static const char *style_of(enum diagnose_status status)
{
	static const char *const styles[] = { "green", "yellow", "red", "dim" };

	return styles[status];
}

static void on_begin(void *arg, const struct conf_lane *lane, const char *name)
{
	struct live *l = arg;

	if (l->o->ctx->json || !isatty(STDOUT_FILENO))
		return;
	if (l->has_progress && strcmp(l->progress, name) == 0)
		return;
	clear_progress(l);
	l->progress = name;
	(void)printf("  ...      %s: %.*s", name, SV_ARG(lane->name));
	(void)fflush(stdout);
	l->has_progress = true;
}

static void count_step(struct live *l, enum diagnose_status status)
{
	l->oks += status == DIAGNOSE_OK;
	l->warnings += status == DIAGNOSE_WARN;
	l->failures += status == DIAGNOSE_FAIL;
}

static void on_step(void *arg, const struct diagnose_step *s)
{
	struct live *l = arg;
	struct cli_context *ctx = l->o->ctx;
	CLEANUP(buf_deinitp) struct buf line = BUF_INIT(LINE_MAX_BYTES);
	const char *status = diagnose_status_name(s->status);

	count_step(l, s->status);
	if (l->report)
		(void)fprintf(l->report,
			"  %-8s %-*s %.*s%s%s%s\n",
			status,
			NAME_WIDTH,
			s->name,
			SV_ARG(s->text),
			s->cause[0] ? " [" : "",
			s->cause,
			s->cause[0] ? "]" : "");
	if (ctx->json) {
		put_json(l,
			json_pack("{s:s, s:o, s:s, s:s, s:s, s:o}",
				"type",
				"step",
				"target",
				json_sv(s->lane->name),
				"step",
				s->name,
				"status",
				status,
				"cause",
				s->cause,
				"text",
				json_sv(s->text)));
		return;
	}
	clear_progress(l);
	if (buf_printf(&line,
		    "  %s%-8s%s %-*s ",
		    cli_style(ctx, style_of(s->status)),
		    status,
		    cli_style(ctx, "off"),
		    NAME_WIDTH,
		    s->name) != 0)
		return;
	(void)!cli_fold(&line,
		s->text,
		STATUS_WIDTH + NAME_WIDTH,
		STATUS_WIDTH + NAME_WIDTH,
		cli_columns());
	if (l->brief)
		(void)!buf_append(&l->held, buf_sv(&line));
	else
		(void)printf("%.*s", SV_ARG(buf_sv(&line)));
	(void)fflush(stdout);
}

/* ---- verdicts ---- */

static const char *owner_text(enum diagnose_owner owner)
{
	static const char *const texts[] = { "you",
		"the administrator of the tenant",
		"whoever runs the network",
		"the recipient, or who runs his mail",
		"the mail service (wait, or ask there)" };

	return texts[owner];
}

static void print_word(FILE *to, const char *name, struct sv text)
{
	CLEANUP(buf_deinitp) struct buf line = BUF_INIT(SCREEN_MAX);

	(void)!buf_printf(&line, "  %-8s ", name);
	(void)!cli_fold(
		&line, text, STATUS_WIDTH - 1, STATUS_WIDTH - 1, to == stdout ? cli_columns() : 0);
	if (line.len)
		(void)fwrite(buf_sv(&line).ptr, 1, line.len, to);
}

static void print_words(FILE *to, const struct diagnose_verdict *v)
{
	struct sv rest = v->then, line;
	char name[16];
	unsigned n = 1;

	print_word(to, "what", v->text);
	print_word(to, "whose", sv_from(owner_text(v->owner)));
	print_word(to, "first", v->first);
	while (rest.len) {
		(void)sv_cut_char(&rest, '\n', &line);
		(void)snprintf(name, sizeof(name), "then %u", n++);
		print_word(to, name, line);
	}
}

static void print_verdict(struct live *l, const struct diagnose_verdict *v)
{
	struct cli_context *ctx = l->o->ctx;
	const char *status = v->status == DIAGNOSE_FAIL   ? "broken"
			     : v->status == DIAGNOSE_WARN ? "works, with a warning"
							  : "ok";

	if (l->report) {
		(void)fprintf(
			l->report, "verdict: %s%s%s\n", status, v->cause[0] ? ": " : "", v->cause);
		if (v->status != DIAGNOSE_OK)
			print_words(l->report, v);
	}
	if (ctx->json) {
		put_json(l,
			json_pack("{s:s, s:o, s:s, s:s, s:s, s:s, s:o, s:o, s:o, s:i}",
				"type",
				"verdict",
				"target",
				json_sv(v->lane->name),
				"status",
				diagnose_status_name(v->status),
				"step",
				v->step,
				"cause",
				v->cause,
				"owner",
				v->status == DIAGNOSE_OK ? "" : diagnose_owner_name(v->owner),
				"text",
				json_sv(v->text),
				"first",
				json_sv(v->first),
				"then",
				json_sv(v->then),
				"exit",
				v->exit_code));
		return;
	}
	if (l->brief && v->status == DIAGNOSE_FAIL)
		(void)printf("%.*s", SV_ARG(buf_sv(&l->held)));
	(void)printf("%s%.*s%s: %s%s%s%s%s\n",
		cli_style(ctx, "bold"),
		SV_ARG(v->lane->name),
		cli_style(ctx, "off"),
		cli_style(ctx, style_of(v->status)),
		status,
		v->cause[0] ? ": " : "",
		v->cause,
		cli_style(ctx, "off"));
	if (v->status != DIAGNOSE_OK)
		print_words(stdout, v);
}

static int check_all(struct live *l, struct diagnose *d)
{
	int code = EX_OK;

	for (size_t i = 0; i < l->count; i++) {
		const struct conf_lane *lane = l->lanes[i];
		struct diagnose_verdict v;

		buf_reset(&l->held);
		if (l->report)
			(void)fprintf(l->report, "\n%.*s\n", SV_ARG(lane->key));
		if (!l->brief && !l->o->ctx->json)
			(void)printf("%s%.*s%s\n",
				cli_style(l->o->ctx, "bold"),
				SV_ARG(lane->key),
				cli_style(l->o->ctx, "off"));
		diagnose_lane(d, lane, &v);
		clear_progress(l);
		print_verdict(l, &v);
		if (code == EX_OK)
			code = v.exit_code;
	}
	return code;
}

int check_live_open_report(struct check_live_options *o)
{
	int fd;

	if (!o->report)
		return 0;
	fd = open(o->report, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	o->report_file = fd >= 0 ? fdopen(fd, "w") : NULL;
	if (!o->report_file) {
		int saved = errno;

		if (fd >= 0)
			(void)close(fd);
		return cli_fail(EX_CANTCREAT, "%s: %s", o->report, strerror(saved));
	}
	(void)fprintf(o->report_file,
		"postern %s check %s\n(no passwords, tokens or keys are in this file)\n",
		POSTERN_VERSION,
		o->what);
	return 0;
}

int check_live(const struct check_live_options *options)
{
	struct live l = {
		.o = options, .report = options->report_file, .held = BUF_INIT(SCREEN_MAX)
	};
	struct diagnose_options o = { .conf = options->conf,
		.vault = options->vault,
		.send = options->send,
		.to = sv_from(options->to),
		.begins = on_begin,
		.ended = on_step,
		.arg = &l };
	struct diagnose *d;
	struct err err = { 0 };
	int code = 0;

	log_setup(LOG_ERROR, false);
	find_lanes(&l);
	l.brief = l.count > 1;
	if (l.count == 0)
		code = cli_fail(EX_USAGE,
			"'%s' is no mailbox, no connector, and no sender that a route leads on",
			options->what);
	d = code == 0 ? diagnose_new(&o, &err) : NULL;
	if (d)
		code = check_all(&l, d);
	else if (code == 0)
		code = cli_fail(EX_UNAVAILABLE, "%s", err.text);
	diagnose_free(d);
	if (l.report && fclose(l.report) != 0)
		code = cli_fail(EX_IOERR, "%s: %s", options->report, strerror(errno));
	buf_deinit(&l.held);
	free(l.lanes);
	return code;
}
