/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/explain_priv.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Replies that no row knows, from the queue and its history, grouped: they should become rows. */

enum {
	GROUPS_MAX = 500, /* different replies; what is past it is counted as one */
	KEY_MAX = 400,
};

struct group {
	char *key;
	const char *cause;
	unsigned long count;
	char last[32]; /* when the newest of its messages came */
};

struct groups {
	struct group of[GROUPS_MAX];
	size_t count;
	unsigned long others;
	const char *cause; /* asked for at the moment */
};

/*
 * The reply without what differs each time: Exchange ends with [HOST TIME ID], and many name the
 * address.
 */
static char *key_of(const char *reply)
{
	char *key = xcalloc(1, KEY_MAX);
	size_t n = 0;

	for (const char *p = reply; *p && n + 4 < KEY_MAX; p++) {
		const char *end = *p == '[' ? strchr(p, ']') : *p == '<' ? strchr(p, '>') : NULL;

		if (end) {
			key[n++] = *p;
			key[n++] = *end;
			p = end;
		} else {
			key[n++] = *p;
		}
	}
	return key;
}

static void take_line(void *arg, const json_t *line)
{
	struct groups *g = arg;
	const char *at = cli_text(line, "accepted_at");
	char *key;
	size_t i = 0;

	if (!cli_text(line, "reply")[0])
		return;
	key = key_of(cli_text(line, "reply"));
	while (i < g->count && strcmp(g->of[i].key, key) != 0)
		i++;
	if (i == GROUPS_MAX) {
		g->others++;
		free(key);
		return;
	}
	if (i == g->count)
		g->of[g->count++] = (struct group){ .key = key, .cause = g->cause };
	else
		free(key);
	g->of[i].count++;
	if (strcmp(at, g->of[i].last) > 0)
		(void)snprintf(g->of[i].last, sizeof(g->of[i].last), "%.19s", at);
}

static int by_count(const void *a, const void *b)
{
	const struct group *x = a, *y = b;

	return x->count < y->count ? 1 : x->count > y->count ? -1 : strcmp(x->key, y->key);
}

static void print_groups(const struct cli_context *ctx, const struct groups *g)
{
	if (!ctx->json && g->count == 0)
		(void)printf("every reply in the queue and its history is known\n");
	for (size_t i = 0; i < g->count; i++) {
		const struct group *x = &g->of[i];
		json_t *o;

		if (!ctx->json) {
			(void)printf("%6lu  %-18s %s\n", x->count, x->cause, x->key);
			continue;
		}
		o = json_object();
		observe_json_int(o, "count", x->count);
		observe_json_sv(o, "cause", sv_from(x->cause));
		observe_json_sv(o, "reply", sv_from(x->key));
		observe_json_sv(o, "last", sv_from(x->last));
		cli_put_json(o);
	}
	if (!ctx->json && g->others)
		(void)printf("%6lu  other replies\n", g->others);
}

int cli_explain_unknown(struct cli_context *ctx)
{
	static const char *const causes[] = {
		"unknown-permanent", "unknown-transient", "session-refused", "unexpected-reply"
	};
	struct cli_context quiet = *ctx;
	struct groups *g = xcalloc(1, sizeof(*g));
	int code = EX_OK;

	quiet.json = false; /* the lines are counted, not shown */
	for (size_t i = 0; i < COUNT_OF(causes) && code == EX_OK; i++) {
		json_t *request = json_object();

		g->cause = causes[i];
		(void)json_object_set_new(request, "do", json_string("list"));
		(void)json_object_set_new(request, "history", json_true());
		(void)json_object_set_new(request, "reason", json_string(causes[i]));
		code = cli_ask(&quiet, request, take_line, g);
	}
	if (code == EX_OK) {
		qsort(g->of, g->count, sizeof(g->of[0]), by_count);
		print_groups(ctx, g);
	}
	for (size_t i = 0; i < g->count; i++)
		free(g->of[i].key);
	free(g);
	return code;
}
