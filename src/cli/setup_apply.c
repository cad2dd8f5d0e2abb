/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/setup_priv.h"

#include "base/must.h"
#include "cli/ask.h"
#include "io/file.h"
#include "setup/powershell.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/*
 * The way back of a change is on the disk before the change is asked for: whatever dies in between, `undo`
 * knows of it. A way back of something that never happened is refused, and does no harm.
 */
enum {
	UNDO_FILE_MAX = 16 << 20
};

/* ---- what is remembered ---- */

static int load_undo(struct setup_admin *a)
{
	CLEANUP(buf_deinitp) struct buf text = BUF_INIT(UNDO_FILE_MAX);
	struct sv folder = conf_general(a->conf)->data_dir;
	int n = snprintf(a->undo_path,
		sizeof(a->undo_path),
		"%.*s/setup-%.*s.json",
		SV_ARG(folder),
		SV_ARG(a->tenant->name));
	struct err err = { 0 };

	if (n < 0 || (size_t)n >= sizeof(a->undo_path))
		return cli_fail(EX_CANTCREAT, "the path of data_dir is too long");
	if (access(a->undo_path, F_OK) == 0) {
		if (io_file_read(a->undo_path, UNDO_FILE_MAX, &text, &err) != 0)
			return cli_fail(EX_NOINPUT, "%s", err.text);
		a->undo = json_loadb(buf_sv(&text).ptr, text.len, 0, NULL);
		if (!json_is_array(a->undo))
			return cli_fail(EX_DATAERR,
				"%s is damaged: what it says cannot be undone; move it away",
				a->undo_path);
	}
	if (!a->undo)
		a->undo = json_array();
	return EX_OK;
}

static int save_undo(struct setup_admin *a)
{
	char *text = json_dumps(a->undo, JSON_INDENT(1));
	struct err err = { 0 };
	int rc = io_file_write_durably(a->undo_path, sv_from(text), 0600, &err);

	free(text);
	if (rc != 0)
		(void)snprintf(a->why, sizeof(a->why), "%s", err.text);
	return rc;
}

/* Graph says the id of what was made; the way back needs it. */
static void fill_id(json_t *undo, const json_t *answer)
{
	const char *path = json_string_value(json_object_get(undo, "path"));
	const char *id = json_string_value(json_object_get(answer, "id"));
	const char *hole = path ? strstr(path, "{id}") : NULL;
	char whole[512];

	if (!hole || !id ||
		id[strspn(id,
			"0123456789abcdefABCDEFghijklmnopqrstuvwxyz"
			"GHIJKLMNOPQRSTUVWXYZ-_")] != '\0')
		return;
	(void)snprintf(whole, sizeof(whole), "%.*s%s", (int)(hole - path), path, id);
	(void)json_object_set_new(undo, "path", json_string(whole));
}

enum setup_result setup_change(struct setup_admin *a, json_t *call, json_t *undo)
{
	size_t place = json_array_size(a->undo);
	json_t *answer = NULL;
	enum setup_result result = SETUP_REFUSED;

	if (undo)
		(void)json_array_append(a->undo, undo);
	if (!undo || save_undo(a) == 0)
		answer = setup_admin_call(a, call);
	if (answer) {
		result = SETUP_DONE;
		fill_id(undo, answer);
		if (undo && save_undo(a) != 0)
			result = SETUP_REFUSED;
	} else if (undo && !a->uncertain) {
		char why[SETUP_WHY_MAX];

		memcpy(why, a->why, sizeof(why));
		(void)json_array_remove(a->undo, place);
		(void)save_undo(a);
		memcpy(a->why, why, sizeof(why));
	}
	json_decref(answer);
	json_decref(call);
	json_decref(undo);
	return result;
}

bool setup_confirm(struct setup_admin *a, const char *what)
{
	char answer[64];

	(void)printf("  do    %s\n", what);
	if (a->given->yes)
		return true;
	(void)printf("        yes or no [no]: ");
	(void)fflush(stdout);
	return fgets(answer, sizeof(answer), stdin) && (answer[0] == 'y' || answer[0] == 'Y');
}

/* ---- apply ---- */

static void show_script(const struct setup_step *s)
{
	CLEANUP(buf_deinitp) struct buf text = BUF_INIT(SETUP_SCRIPT_MAX);
	struct sv rest, line;

	if (setup_powershell_step(s, &text) != 0)
		return;
	for (rest = buf_sv(&text); rest.len;) {
		(void)sv_cut_char(&rest, '\n', &line);
		(void)printf("          %.*s\n", SV_ARG(line));
	}
}

/* True: not as it should be. */
static bool report(struct setup_admin *a, const struct setup_step *s, enum setup_result result)
{
	static const char *const words[] = { "ok", "done", "skip", "FAIL", "hand" };
	char title[SETUP_WHY_MAX];

	(void)printf("  %-4s  %s\n", words[result], setup_step_title(s, title));
	if (result == SETUP_REFUSED)
		(void)printf("        it was refused: %s\n        In PowerShell:\n", a->why);
	else if (result == SETUP_BY_HAND)
		(void)printf("        only PowerShell does this:\n");
	if (result == SETUP_REFUSED || result == SETUP_BY_HAND)
		show_script(s);
	return result != SETUP_RIGHT && result != SETUP_DONE;
}

static const struct conf_tenant *tenant_named(const struct conf *c, struct sv name)
{
	size_t count;
	const struct conf_tenant *const *t = conf_tenants(c, &count);

	for (size_t i = 0; i < count; i++)
		if (sv_eq(t[i]->name, name))
			return t[i];
	return NULL;
}

static int apply_tenant(struct setup_admin *a, const struct setup_plan *p,
	const struct setup_tenant *t, size_t *open)
{
	int code = load_undo(a);

	if (code == EX_OK)
		code = setup_admin_sign_in(a, t->has_app || t->has_users);
	if (code != EX_OK)
		return code;
	(void)printf("\nTenant %.*s\n", SV_ARG(t->name));
	for (size_t i = 0; i < p->count; i++)
		if (p->steps[i].tenant == t)
			*open += report(a, &p->steps[i], setup_step_apply(a, &p->steps[i]));
	return EX_OK;
}

int setup_apply(struct cli_context *ctx, const struct setup_given *given)
{
	CLEANUP(conf_unrefp) struct conf *c = cli_load_conf(ctx);
	const struct setup_tenant *last = NULL;
	struct setup_plan p;
	size_t open = 0;
	int code = EX_OK;

	if (!c)
		return cli_conf_failed(ctx);
	setup_plan_make(&p, c, sv_from(given->address));
	for (size_t i = 0; i < p.count && code == EX_OK; i++) {
		struct setup_admin a;

		if (p.steps[i].tenant == last)
			continue;
		last = p.steps[i].tenant;
		code = setup_admin_init(&a, ctx, given, c, tenant_named(c, last->name));
		if (code == EX_OK)
			code = apply_tenant(&a, &p, last, &open);
		setup_admin_deinit(&a);
	}
	for (size_t i = 0; i < p.note_count && code == EX_OK; i++)
		(void)printf(
			"%s  - %.*s\n", i ? "" : "\nWhat no command can do:\n", SV_ARG(p.notes[i]));
	setup_plan_deinit(&p);
	if (code != EX_OK)
		return code;
	if (!open)
		(void)printf("\nAll is as it should be. Changes can take up to an hour to work.\n");
	return open ? cli_fail(EX_NOPERM, "%zu step%s left", open, open == 1 ? " is" : "s are")
		    : EX_OK;
}

/* ---- undo ---- */

static void describe(const json_t *call, char out[SETUP_WHY_MAX])
{
	const char *name = json_string_value(json_object_get(call, "cmdlet"));
	char *parameters =
		json_dumps(json_object_get(call, "parameters"), JSON_COMPACT | JSON_ENSURE_ASCII);

	if (name)
		(void)snprintf(out, SETUP_WHY_MAX, "%s %s", name, parameters ? parameters : "");
	else
		(void)snprintf(out,
			SETUP_WHY_MAX,
			"%s %s",
			json_string_value(json_object_get(call, "method")),
			json_string_value(json_object_get(call, "path")));
	free(parameters);
}

/* The last change first. What is refused stays in the file. */
static size_t undo_all(struct setup_admin *a)
{
	size_t left = 0;

	for (size_t i = json_array_size(a->undo); i > 0; i--) {
		const json_t *call = json_array_get(a->undo, i - 1);
		char what[SETUP_WHY_MAX];
		json_t *answer;

		describe(call, what);
		if (!setup_confirm(a, what)) {
			left++;
			continue;
		}
		answer = setup_admin_call(a, call);
		if (!answer) {
			(void)printf("        it was refused: %s\n", a->why);
			left++;
			continue;
		}
		json_decref(answer);
		(void)json_array_remove(a->undo, i - 1);
		if (save_undo(a) != 0)
			(void)printf("        %s\n", a->why);
	}
	return left;
}

static int undo_tenant(struct setup_admin *a, bool graph, size_t *open)
{
	int code = load_undo(a);

	if (code != EX_OK || !json_array_size(a->undo))
		return code;
	code = setup_admin_sign_in(a, graph);
	if (code != EX_OK)
		return code;
	(void)printf("\nTenant %.*s\n", SV_ARG(a->tenant->name));
	*open += undo_all(a);
	if (!json_array_size(a->undo))
		(void)unlink(a->undo_path);
	return EX_OK;
}

int setup_undo(struct cli_context *ctx, const struct setup_given *given)
{
	CLEANUP(conf_unrefp) struct conf *c = cli_load_conf(ctx);
	const struct conf_tenant *const *t;
	size_t count, open = 0;
	int code = EX_OK;

	if (!c)
		return cli_conf_failed(ctx);
	t = conf_tenants(c, &count);
	for (size_t i = 0; i < count && code == EX_OK; i++) {
		struct setup_admin a;

		if (t[i]->cloud == PROVIDER_CLOUD_GOOGLE)
			continue;
		code = setup_admin_init(&a, ctx, given, c, t[i]);
		if (code == EX_OK)
			code = undo_tenant(&a, t[i]->app.client_id.len > 0, &open);
		setup_admin_deinit(&a);
	}
	if (code == EX_OK && open)
		return cli_fail(EX_NOPERM, "%zu change%s left", open, open == 1 ? " is" : "s are");
	if (code == EX_OK)
		(void)printf("Nothing is left to undo.\n");
	return code;
}
