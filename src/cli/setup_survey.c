/* SPDX-License-Identifier: Apache-2.0 */
#include "base/buf.h"
#include "base/must.h"
#include "cli/ask.h"
#include "cli/setup_priv.h"
#include "io/file.h"
#include "setup/report.h"
#include "setup/survey.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
	PATH_TEXT_MAX = 2048,
	PAGES_MAX = 2000, /* of 500 sign-ins: more is a month of a very large tenant */
};

#define FIRST_PAGE "auditLogs/signIns?$filter=clientAppUsed%20eq%20'Authenticated%20SMTP'&$top=500"

/* ---- printing ---- */

static json_t *device_json(
	const struct setup_sender *sender, const struct setup_device *d, const struct conf *c)
{
	enum setup_move move = setup_survey_move(sender, d, c);

	return json_pack("{s:s%, s:s%, s:s%, s:s%, s:s%, s:I, s:s, s:s}",
		"sender",
		sender->address.ptr,
		sender->address.len,
		"from",
		d->from.len ? d->from.ptr : "",
		d->from.len,
		"agent",
		d->agent.len ? d->agent.ptr : "",
		d->agent.len,
		"tls",
		d->tls.len ? d->tls.ptr : "",
		d->tls.len,
		"last",
		d->last.len ? d->last.ptr : "",
		d->last.len,
		"count",
		(json_int_t)d->count,
		"move",
		setup_move_name(move),
		"steps",
		setup_move_steps(move));
}

static void print_json(const struct setup_survey *s, const struct conf *c)
{
	for (size_t i = 0; i < s->count; i++) {
		for (size_t k = 0; k < s->senders[i].count; k++) {
			cli_put_json(device_json(&s->senders[i], &s->senders[i].devices[k], c));
		}
	}
}

static void print_sender(const struct setup_sender *sender, const struct conf *c)
{
	bool said[SETUP_MOVE_COUNT] = { false };

	(void)printf("\n%.*s  %llu\n", SV_ARG(sender->address), (unsigned long long)sender->total);
	for (size_t i = 0; i < sender->count; i++) {
		const struct setup_device *d = &sender->devices[i];

		(void)printf("  %-20.*s %8llu%s%.*s%s%.*s%s%.*s\n",
			SV_ARG(d->from.len ? d->from : SV("address not told")),
			(unsigned long long)d->count,
			d->last.len ? "  last " : "",
			SV_ARG(d->last),
			d->tls.len ? "  " : "",
			SV_ARG(d->tls),
			d->agent.len ? "  " : "",
			SV_ARG(d->agent));
	}
	for (size_t i = 0; i < sender->count; i++) {
		enum setup_move move = setup_survey_move(sender, &sender->devices[i], c);

		if (!said[move])
			cli_print(4, "  -> %s\n", setup_move_steps(move));
		said[move] = true;
	}
}

static int print(const struct cli_context *ctx, struct setup_survey *s, const struct conf *c)
{
	uint64_t total = 0;

	setup_survey_sort(s);
	if (ctx->json) {
		print_json(s, c);
		return EX_OK;
	}
	for (size_t i = 0; i < s->count; i++)
		total += s->senders[i].total;
	if (!s->count) {
		cli_print(0,
			"Nobody signs in to SMTP AUTH with a password, as far as this goes back "
			"(%zu other rows).\n",
			s->passed_over);
		return EX_OK;
	}
	(void)printf("SMTP AUTH with a password: %zu sender%s, %zu device%s, %llu sign-ins or "
		     "messages\n",
		s->count,
		s->count == 1 ? "" : "s",
		s->device_count,
		s->device_count == 1 ? "" : "s",
		(unsigned long long)total);
	for (size_t i = 0; i < s->count; i++)
		print_sender(&s->senders[i], c);
	cli_print(0,
		"\nMicrosoft switches SMTP AUTH with passwords off by default at the end of "
		"December "
		"2026 (announced on 27 January 2026). Devices behind one router share its address. "
		"Sign-ins with tokens are not listed: %zu other rows.\n",
		s->passed_over);
	return EX_OK;
}

/* ---- sources ---- */

static int read_file(struct setup_survey *s, const char *path)
{
	CLEANUP(buf_deinitp) struct buf bytes = BUF_INIT(SETUP_REPORT_MAX + 1);
	struct err err = { 0 };

	if (io_file_read(path, SETUP_REPORT_MAX, &bytes, &err) != 0)
		return cli_fail(EX_NOINPUT, "%s", err.text);
	if (setup_survey_csv(s, buf_sv(&bytes), &err) != 0)
		return cli_fail(EX_DATAERR, "%s: %s", path, err.text);
	return EX_OK;
}

/* What is asked for behind /v1.0/. A link to elsewhere must never see the administrator's token. */
static bool path_of_link(const struct setup_admin *a, struct sv link, char out[PATH_TEXT_MAX])
{
	char begin[PATH_TEXT_MAX];

	(void)snprintf(begin, sizeof(begin), "%.*s/v1.0/", SV_ARG(a->tenant->graph_url));
	if (!sv_starts(link, sv_from(begin)) || link.len >= PATH_TEXT_MAX)
		return false;
	(void)snprintf(out, PATH_TEXT_MAX, "%.*s", SV_ARG(sv_skip(link, strlen(begin))));
	return true;
}

static int refused(const struct setup_admin *a)
{
	return cli_fail(EX_NOPERM,
		"Graph refused the sign-in log of %.*s: %s. It needs Entra ID P1 and the role "
		"Reports "
		"Reader. Without them: Exchange admin center, Reports, Mail flow, SMTP AUTH "
		"clients, "
		"Export; then `postern setup survey --report FILE.csv`",
		SV_ARG(a->tenant->name),
		a->why);
}

static int read_pages(struct setup_survey *s, struct setup_admin *a)
{
	char path[PATH_TEXT_MAX] = FIRST_PAGE;
	bool terminal = isatty(STDERR_FILENO);

	for (size_t page = 1; page <= PAGES_MAX; page++) {
		json_t *call = json_pack("{s:s, s:s}", "method", "GET", "path", path);
		json_t *answer = setup_admin_call(a, call);
		struct err err = { 0 };
		struct sv next;
		bool more;
		int rc;

		json_decref(call);
		if (!answer)
			return refused(a);
		rc = setup_survey_page(s, answer, &next, &err);
		more = rc == 0 && next.len && path_of_link(a, next, path);
		if (rc == 0 && next.len && !more)
			rc = err_set(&err, RC_PARSE, "the next page is not at Graph");
		json_decref(answer);
		if (rc != 0)
			return cli_fail(EX_DATAERR, "the sign-in log: %s", err.text);
		if (terminal)
			(void)fprintf(stderr, "%s%zu pages read", cli_mark(CLI_MARK_AGAIN), page);
		if (!more) {
			if (terminal)
				(void)fprintf(stderr, "%s", cli_mark(CLI_MARK_AGAIN));
			return EX_OK;
		}
	}
	return cli_fail(EX_DATAERR, "the sign-in log is longer than %d pages", (int)PAGES_MAX);
}

static int ask_tenants(struct cli_context *ctx, const struct setup_given *given,
	const struct conf *c, struct setup_survey *s)
{
	const struct conf_tenant *const *t;
	size_t count, asked = 0;
	int code = EX_OK;

	t = conf_tenants(c, &count);
	for (size_t i = 0; i < count && code == EX_OK; i++) {
		struct setup_admin a;

		if (t[i]->cloud == PROVIDER_CLOUD_GOOGLE ||
			(given->tenant && !sv_eq(t[i]->name, sv_from(given->tenant))))
			continue;
		asked++;
		code = setup_admin_init(&a, ctx, given, c, t[i]);
		if (code == EX_OK)
			code = setup_admin_sign_in_log(&a);
		if (code == EX_OK)
			code = read_pages(s, &a);
		setup_admin_deinit(&a);
	}
	if (code == EX_OK && !asked)
		return cli_fail(EX_USAGE,
			given->tenant ? "the configuration has no tenant %s"
				      : "the configuration has no tenant of Microsoft 365%s",
			given->tenant ? given->tenant : "");
	return code;
}

int setup_survey(struct cli_context *ctx, const struct setup_given *given)
{
	/* An export can be read before there is a configuration: it is the reason to make one. */
	bool bare = given->report && access(ctx->config_path, F_OK) != 0 && errno == ENOENT;
	CLEANUP(conf_unrefp) struct conf *c = bare ? NULL : cli_load_conf(ctx);
	struct setup_survey s = { 0 };
	int code;

	if (!c && !bare)
		return cli_conf_failed(ctx);
	code = given->report ? read_file(&s, given->report) : ask_tenants(ctx, given, c, &s);
	if (code == EX_OK)
		code = print(ctx, &s, c);
	setup_survey_deinit(&s);
	return code;
}
