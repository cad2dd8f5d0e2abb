/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/check_live.h"

#include "cli/check_live_priv.h"

#include "base/limits.h"
#include "base/must.h"
#include "cli/transcript.h"
#include "io/log.h"
#include "mail/address.h"
#include "observe/json.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- what is checked ---- */

static void add(struct check_run *l, const struct conf_lane *lane)
{
	for (size_t i = 0; i < l->count; i++)
		if (l->lanes[i] == lane)
			return;
	if (lane && l->count < TARGETS_MAX)
		l->lanes[l->count++] = lane;
}

static void add_doors(struct check_run *l, const struct conf_member *m)
{
	for (size_t i = 0; i < m->lane_count; i++)
		add(l, &m->lanes[i]);
}

/* A name alone is completed as the daemon does it. */
static struct sv complete(struct check_run *l, struct sv what)
{
	struct sv domain = conf_general(l->o->conf)->qualify;
	struct address parsed;

	if (sv_find_char(what, '@') < 0 && domain.len &&
		buf_printf(&l->completed, "%.*s@%.*s", SV_ARG(what), SV_ARG(domain)) == 0)
		what = buf_sv(&l->completed);
	return sv_find_char(what, '@') >= 0 && address_parse(what, ADDRESS_UTF8, &parsed) == 0
		       ? what
		       : SV("");
}

static void find_lanes(struct check_run *l)
{
	size_t count;
	const struct conf_lane *all = conf_lanes(l->o->conf, &count);
	struct sv what = sv_from(l->o->what);
	CLEANUP(buf_deinitp) struct buf key = BUF_INIT(LIMIT_ADDRESS);
	const struct conf_member *named = conf_member_named(l->o->conf, what);

	l->lanes = xcalloc(count + 1, sizeof(*l->lanes));
	if (!named && address_key(&key, what) == 0)
		named = conf_member_named(l->o->conf, buf_sv(&key));
	if (sv_eq(what, SV("all"))) {
		/* What a wildcard stands for is tried by its address. */
		for (size_t i = 0; i < count; i++)
			if (!all[i].is_wildcard)
				l->lanes[l->count++] = &all[i];
		return;
	}
	if (named && named->lanes[0].is_wildcard)
		named = NULL;
	l->sender = complete(l, named && named->kind == CONF_LANE_MAILBOX ? named->name : what);
	if (l->sender.len)
		check_ways_find(l->o->conf, l->sender, &l->ways);
	if (named)
		add_doors(l, named);
	for (size_t i = 0; i < l->ways.count && !named; i++)
		for (size_t k = 0; k < l->ways.ways[i].member_count; k++)
			add_doors(l, l->ways.ways[i].members[k]);
}

/* ---- lines ---- */

static void clear_progress(struct check_run *l)
{
	if (l->has_progress)
		(void)printf("%s", cli_mark(CLI_MARK_AGAIN));
	l->has_progress = false;
}

json_t *check_json_sv(struct sv v)
{
	return observe_json_text(v);
}

static const char *style_of(enum diagnose_status status)
{
	static const char *const styles[] = { "green", "yellow", "red", "dim" };

	return styles[status];
}

static void on_begin(void *arg, const struct conf_lane *lane, const char *name)
{
	struct check_run *l = arg;

	if (l->o->ctx->json || !isatty(STDOUT_FILENO))
		return;
	if (l->has_progress && strcmp(l->progress, name) == 0 && !l->many)
		return;
	clear_progress(l);
	l->progress = name;
	(void)printf("  ...      ");
	if (l->many)
		(void)printf("%zu of %zu: ", l->done + 1, l->count);
	(void)printf("%s: %.*s", name, SV_ARG(lane->name));
	(void)fflush(stdout);
	l->has_progress = true;
}

/* What was said in the step. */
static void each_line(struct check_run *l, const struct diagnose_step *s, FILE *to)
{
	struct sv rest = s->transcript;
	struct smtp_transcript_line line;

	while (to && smtp_transcript_next(&rest, &line))
		cli_transcript_line(l->o->ctx, to, &line);
}

static void on_step(void *arg, const struct diagnose_step *s)
{
	struct check_run *l = arg;
	struct cli_context *ctx = l->o->ctx;
	CLEANUP(buf_deinitp) struct buf line = BUF_INIT(LINE_MAX_BYTES);
	const char *status = diagnose_status_name(s->status);

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
	each_line(l, s, l->report);
	if (ctx->json) {
		json_t *o = json_pack("{s:s, s:o, s:s, s:s, s:s, s:o}",
			"type",
			"step",
			"target",
			check_json_sv(s->lane->name),
			"step",
			s->name,
			"status",
			status,
			"cause",
			s->cause,
			"text",
			check_json_sv(s->text));

		if (l->o->verbose && s->transcript.len)
			(void)json_object_set_new(
				o, "transcript", observe_transcript_json(s->transcript));
		cli_put_json(o);
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
	if (l->o->verbose && !l->brief)
		each_line(l, s, stdout);
	(void)fflush(stdout);
}

/* ---- verdicts ---- */

const char *check_owner_text(enum diagnose_owner owner)
{
	static const char *const texts[] = { "you",
		"the administrator of the tenant",
		"whoever runs the network",
		"the recipient, or who runs his mail",
		"the mail service (wait, or ask there)" };

	return texts[owner];
}

void check_print_word(FILE *to, const char *name, struct sv text)
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

	check_print_word(to, "what", v->text);
	check_print_word(to, "who", sv_from(check_owner_text(v->owner)));
	check_print_word(to, "first", v->first);
	while (rest.len) {
		(void)sv_cut_char(&rest, '\n', &line);
		(void)snprintf(name, sizeof(name), "then %u", n++);
		check_print_word(to, name, line);
	}
}

static void print_verdict(struct check_run *l, const struct diagnose_verdict *v, bool quiet)
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
		cli_put_json(json_pack("{s:s, s:o, s:s, s:s, s:s, s:s, s:o, s:o, s:o, s:i}",
			"type",
			"verdict",
			"target",
			check_json_sv(v->lane->name),
			"status",
			diagnose_status_name(v->status),
			"step",
			v->step,
			"cause",
			v->cause,
			"owner",
			v->status == DIAGNOSE_OK ? "" : diagnose_owner_name(v->owner),
			"text",
			check_json_sv(v->text),
			"first",
			check_json_sv(v->first),
			"then",
			check_json_sv(v->then),
			"exit",
			v->exit_code));
		return;
	}
	if (quiet)
		return;
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

static bool is_same_server(const struct conf_lane *a, const struct conf_lane *b)
{
	return sv_eq(a->host, b->host) && a->port == b->port && sv_eq(a->mx_of, b->mx_of) &&
	       a->tls == b->tls && sv_eq(a->ca_file, b->ca_file) &&
	       sv_eq(a->certificate, b->certificate) && a->provider == b->provider &&
	       a->source.len == b->source.len &&
	       memcmp(&a->source.un, &b->source.un, a->source.len) == 0;
}

/* What fails before anybody has said who he is fails for all mailboxes there alike. */
static void keep_dead(struct check_run *l, const struct diagnose_verdict *v)
{
	static const char *const steps[] = {
		"mail exchanger", "name", "connect", "greeting", "EHLO", "STARTTLS", "TLS"
	};
	bool early = false;

	for (size_t i = 0; i < COUNT_OF(steps); i++)
		early = early || strcmp(v->step, steps[i]) == 0;
	if (v->status == DIAGNOSE_FAIL && early && l->dead_count < DEAD_MAX)
		l->dead[l->dead_count++] =
			(struct dead){ v->lane, v->step, v->cause, v->exit_code };
}

static const struct dead *find_dead(const struct check_run *l, const struct conf_lane *lane)
{
	for (size_t i = 0; i < l->dead_count; i++)
		if (is_same_server(l->dead[i].lane, lane))
			return &l->dead[i];
	return NULL;
}

static void copy_verdict(struct check_run *l, const struct conf_lane *lane, const struct dead *dead,
	struct diagnose_verdict *out)
{
	CLEANUP(buf_deinitp) struct buf text = BUF_INIT(LINE_MAX_BYTES);

	(void)!buf_printf(
		&text, "the same server as for %.*s, see there", SV_ARG(dead->lane->name));
	*out = (struct diagnose_verdict){ .lane = lane,
		.status = DIAGNOSE_FAIL,
		.step = dead->step,
		.cause = dead->cause,
		.owner = DIAGNOSE_OWNER_YOU,
		.text = arena_sv(&l->arena, buf_sv(&text)),
		.exit_code = dead->exit_code };
}

/* Of a cause that was shown in full already only the name comes again, with the sum. */
static bool was_shown(const struct check_run *l, const struct diagnose_verdict *v)
{
	return l->many && (v->status == DIAGNOSE_OK || check_was_counted(l, v->cause));
}

static int check_lane(struct check_run *l, struct diagnose *d, const struct conf_lane *lane)
{
	const struct dead *dead = l->count > 1 ? find_dead(l, lane) : NULL;
	struct diagnose_verdict v;

	buf_reset(&l->held);
	if (l->report)
		(void)fprintf(l->report, "\n%.*s\n", SV_ARG(lane->key));
	if (!l->brief && !l->o->ctx->json)
		(void)printf("%s%.*s%s\n",
			cli_style(l->o->ctx, "bold"),
			SV_ARG(lane->key),
			cli_style(l->o->ctx, "off"));
	if (dead)
		copy_verdict(l, lane, dead, &v);
	else
		diagnose_lane(d, lane, &v);
	if (!dead)
		keep_dead(l, &v);
	clear_progress(l);
	print_verdict(l, &v, !l->o->ctx->json && (was_shown(l, &v) || dead));
	check_count(l, lane, v.status, v.cause);
	l->done++;
	return v.exit_code;
}

/* The address that the named sender's mail has on this lane; empty: nobody asks about one. */
static struct sv sender_on(const struct check_run *l, const struct conf_lane *lane)
{
	for (size_t i = 0; i < l->ways.count; i++)
		if (check_way_leads_to(&l->ways.ways[i], lane->member))
			return check_way_sender(&l->ways.ways[i], lane, l->sender);
	return SV("");
}

static int check_all(struct check_run *l, struct diagnose *d)
{
	int code = EX_OK;

	for (size_t i = 0; i < l->count; i++) {
		int rc;

		if (l->sender.len && !check_names_lane(l))
			diagnose_as(d, sender_on(l, l->lanes[i]));
		rc = check_lane(l, d, l->lanes[i]);
		if (code == EX_OK)
			code = rc;
	}
	check_print_sum(l);
	return code;
}

int check_live_open_report(struct check_live_options *o)
{
	int fd;

	if (!o->report)
		return 0;
	fd = open(o->report, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	o->report_file = fd >= 0 ? cli_screen_file(fd) : NULL;
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

static enum diagnose_hold on_heard(
	void *arg, const struct conf_lane *lane, struct diagnose_heard *out)
{
	struct check_run *l = arg;

	return check_relay_of(&l->relay, lane, out);
}

static int go(struct check_run *l)
{
	struct diagnose_options o = { .conf = l->o->conf,
		.vault = l->o->vault,
		.send = l->o->send,
		.to = sv_from(l->o->to),
		.begins = on_begin,
		.ended = on_step,
		.heard = on_heard,
		.arg = l };
	struct err err = { 0 };
	int code = check_say_ways(l);
	struct diagnose *d = l->count ? diagnose_new(&o, &err) : NULL;
	int rc;

	if (!l->count)
		return code;
	if (!d)
		return cli_fail(EX_UNAVAILABLE, "%s", err.text);
	check_relay_ask(l->o->conf, l->sender, &l->relay);
	rc = check_all(l, d);
	check_relay_deinit(&l->relay);
	diagnose_free(d);
	return code == EX_OK ? rc : code;
}

static void live_free(struct check_run *l)
{
	for (size_t i = 0; i < l->trouble_count; i++)
		buf_deinit(&l->troubles[i].names);
	buf_deinit(&l->held);
	buf_deinit(&l->completed);
	check_ways_deinit(&l->ways);
	arena_reset(&l->arena);
	free(l->lanes);
	free(l);
}

int check_live(const struct check_live_options *options)
{
	struct check_run *l = xcalloc(1, sizeof(*l));
	int code;

	l->o = options;
	l->report = options->report_file;
	buf_init(&l->held, SCREEN_MAX);
	buf_init(&l->completed, LIMIT_ADDRESS);
	log_setup(LOG_ERROR, false);
	find_lanes(l);
	l->many = l->count > SHOWN_MAX;
	l->brief = l->count > 1 && (l->many || !l->o->verbose);
	if (l->count == 0 && !l->sender.len)
		code = cli_fail(EX_USAGE,
			"'%s' is no mailbox, no connector, and no address of a sender",
			options->what);
	else
		code = go(l);
	if (l->report && fclose(l->report) != 0)
		code = cli_fail(EX_IOERR, "%s: %s", options->report, strerror(errno));
	live_free(l);
	return code;
}
