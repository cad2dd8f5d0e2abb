/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/explain_priv.h"

#include "base/buf.h"
#include "base/text.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char help[] =
	"usage: postern explain [--long] [--json] TEXT... | FILE | -\n"
	"       postern explain --unknown [--config FILE] [--json]\n"
	"       postern explain --catalogue [--json]\n\n"
	"What a reply of a mail server means, who can fix it, and the step to take.\n"
	"Reads a pasted line, a bounce mail (.eml), a log or an exception's text; without\n"
	"TEXT, standard input. Nothing leaves this machine.\n\n"
	"  --long       all steps, why it is handled so, and the source of the knowledge\n"
	"  --unknown    replies in the queue and its history that postern does not know\n"
	"  --catalogue  every reply that it knows\n"
	"  --json       one object a line\n\n"
	"Exits with 0 when a reply was recognized, with 65 when none was.\n\n"
	"examples:\n"
	"  postern explain '535 5.7.139 Authentication unsuccessful'\n"
	"  postern explain bounce.eml\n"
	"  journalctl -u postfix | postern explain\n";

enum {
	SHOWN_SHORT = 3,
	COLUMNS = 80,
	INDENT = 7,
	STEP_LINES_SHORT = 3,
};

static const char *class_words(const struct verdict *v)
{
	static const struct {
		const char *name, *words;
	} classes[] = {
		{ "retry", "passes by itself: try again later" },
		{ "wait", "clears with time: wait, do not resend before" },
		{ "park", "stays until somebody fixes it: hold the mail" },
		{ "bounce", "never works for this message: it goes back to its sender" },
		{ "delivered", "it was delivered" },
	};

	for (size_t i = 0; i < COUNT_OF(classes); i++)
		if (strcmp(classes[i].name, provider_class_name(v)) == 0)
			return classes[i].words;
	return "";
}

static void put_shown(struct sv text)
{
	CLEANUP(buf_deinitp) struct buf shown = BUF_INIT(4 * text.len + 1);

	if (text_show(&shown, text) == 0)
		(void)printf("%.*s", SV_ARG(buf_sv(&shown)));
}

static struct sv next_line_of(struct sv *text, size_t width)
{
	struct sv line;
	ptrdiff_t space;

	if (text->len <= width) {
		line = *text;
		*text = SV("");
		return line;
	}
	space = sv_rfind_char(sv_head(*text, width + 1), ' ');
	line = sv_head(*text, space > 0 ? (size_t)space : width);
	*text = sv_skip(*text, line.len + (space > 0));
	return line;
}

/* "label   words", wrapped under each other. */
static void put_wrapped(
	struct cli_context *ctx, const char *label, struct sv text, size_t lines_max)
{
	for (size_t n = 0; text.len; n++) {
		bool last = n + 1 == lines_max;
		struct sv line = next_line_of(&text, COLUMNS - INDENT - (last ? 4 : 0));

		(void)printf("%s%-*s%s",
			cli_style(ctx, "dim"),
			INDENT,
			n ? "" : label,
			cli_style(ctx, "off"));
		put_shown(line);
		(void)printf("%s\n", last && text.len ? " ..." : "");
		if (last)
			return;
	}
}

static void put_filled(struct cli_context *ctx, const char *label, const char *step,
	const struct provider_facts *facts, size_t lines_max)
{
	CLEANUP(buf_deinitp) struct buf text = BUF_INIT(8192);

	if (provider_remedy_fill(step, facts, &text) == 0)
		put_wrapped(ctx, label, buf_sv(&text), lines_max);
}

static void put_command(
	struct cli_context *ctx, const char *command, const struct provider_facts *facts)
{
	CLEANUP(buf_deinitp) struct buf text = BUF_INIT(8192);

	/* Not wrapped: it is there to be copied. */
	if (provider_remedy_fill(command, facts, &text) == 0)
		(void)printf("%s%-*s%s%.*s\n",
			cli_style(ctx, "dim"),
			INDENT,
			"shell",
			cli_style(ctx, "off"),
			SV_ARG(buf_sv(&text)));
}

static void print_short(struct cli_context *ctx, const struct provider_explanation *x,
	const struct provider_facts *facts)
{
	(void)printf("%s%s%s\n", cli_style(ctx, "bold"), x->remedy->title, cli_style(ctx, "off"));
	put_wrapped(ctx, "reply", x->reply, 1);
	put_wrapped(ctx, "who", sv_from(provider_owner_words(x->remedy->owner)), 1);
	put_wrapped(ctx, "class", sv_from(class_words(&x->verdict)), 1);
	put_filled(ctx, "do", x->remedy->steps[0], facts, STEP_LINES_SHORT);
	if (x->remedy->powershell[0])
		put_command(ctx, x->remedy->powershell[0], facts);
}

static void print_long(struct cli_context *ctx, const struct provider_explanation *x,
	const struct provider_facts *facts)
{
	char line[128];

	(void)printf("%s%s%s\n", cli_style(ctx, "bold"), x->remedy->title, cli_style(ctx, "off"));
	put_wrapped(ctx, "reply", x->reply, 0);
	put_wrapped(ctx, "means", sv_from(x->verdict.summary), 0);
	put_wrapped(ctx, "who", sv_from(provider_owner_words(x->remedy->owner)), 0);
	put_wrapped(ctx, "class", sv_from(class_words(&x->verdict)), 0);
	(void)snprintf(line,
		sizeof(line),
		"%s, of the %s (cause %s)",
		provider_class_name(&x->verdict),
		verdict_scope_name(x->verdict.scope),
		cause_name(x->verdict.cause));
	put_wrapped(ctx, "relay", sv_from(line), 0);
	for (size_t i = 0; i < PROVIDER_STEPS_MAX && x->remedy->steps[i]; i++)
		put_filled(ctx, i ? "" : "do", x->remedy->steps[i], facts, 0);
	for (size_t i = 0; i < PROVIDER_STEPS_MAX && x->remedy->powershell[i]; i++)
		put_command(ctx, x->remedy->powershell[i], facts);
	if (x->remedy->link[0])
		(void)printf("read    %s\n", x->remedy->link);
	if (x->source)
		(void)printf("source  %s, read %s\n", x->source, x->checked);
}

static json_t *filled_list(const char *const *steps, const struct provider_facts *facts)
{
	json_t *list = json_array();

	for (size_t i = 0; i < PROVIDER_STEPS_MAX && steps[i]; i++) {
		CLEANUP(buf_deinitp) struct buf text = BUF_INIT(8192);

		if (provider_remedy_fill(steps[i], facts, &text) == 0)
			(void)json_array_append_new(
				list, json_stringn(buf_sv(&text).ptr, buf_sv(&text).len));
	}
	return list;
}

static void print_json(const struct provider_explanation *x, const struct provider_facts *facts)
{
	json_t *o = json_object();

	observe_json_sv(o, "reply", x->reply);
	(void)json_object_set_new(o, "known", json_boolean(x->known));
	observe_json_sv(o, "status", sv_from(x->verdict.enhanced));
	observe_json_sv(o, "cause", sv_from(cause_name(x->verdict.cause)));
	observe_json_sv(o, "title", sv_from(x->remedy->title));
	observe_json_sv(o, "summary", sv_from(x->verdict.summary));
	observe_json_sv(o, "class", sv_from(provider_class_name(&x->verdict)));
	observe_json_sv(o, "kind", sv_from(verdict_kind_name(x->verdict.kind)));
	observe_json_sv(o, "scope", sv_from(verdict_scope_name(x->verdict.scope)));
	observe_json_sv(o, "nature", sv_from(verdict_nature_name(x->verdict.nature)));
	observe_json_sv(o, "owner", sv_from(provider_owner_name(x->remedy->owner)));
	(void)json_object_set_new(o, "steps", filled_list(x->remedy->steps, facts));
	(void)json_object_set_new(o, "powershell", filled_list(x->remedy->powershell, facts));
	observe_json_sv(o, "link", sv_from(x->remedy->link));
	observe_json_sv(o, "source", sv_from(x->source));
	observe_json_sv(o, "checked", sv_from(x->checked));
	cli_put_json(o);
}

/* ---- what to read ---- */

static int read_stream(FILE *f, struct buf *out)
{
	while (buf_reserve(out, 1) == 0) {
		size_t want = buf_room(out) < 65536 ? buf_room(out) : 65536;
		size_t n;

		if (buf_reserve(out, want) != 0)
			break;
		n = fread(buf_tail(out), 1, want, f);
		buf_grew(out, n);
		if (n == 0)
			return ferror(f) ? -EIO : 0;
	}
	return 0; /* the rest of a longer text is not looked at */
}

static int read_operands(int argc, char **argv, struct buf *out)
{
	bool standard = argc == 0 || (argc == 1 && strcmp(argv[0], "-") == 0);
	struct stat st;
	FILE *f;
	int rc = 0;

	if (standard)
		return read_stream(stdin, out);
	if (argc == 1 && stat(argv[0], &st) == 0 && S_ISREG(st.st_mode)) {
		f = fopen(argv[0], "re");
		if (!f)
			return -errno;
		rc = read_stream(f, out);
		(void)fclose(f);
		return rc;
	}
	for (int i = 0; i < argc && rc == 0; i++) {
		rc = i ? buf_append_char(out, ' ') : 0;
		if (rc == 0)
			rc = buf_append(out, sv_from(argv[i]));
	}
	return rc;
}

static void print_all(struct cli_context *ctx, const struct provider_explained *ex, bool long_form)
{
	for (size_t i = 0; i < ex->count; i++) {
		if (ctx->json) {
			print_json(&ex->items[i], &ex->facts);
			continue;
		}
		if (i)
			(void)printf("\n");
		if (!long_form && i == SHOWN_SHORT) {
			(void)printf("and %zu more: --long shows them\n", ex->count - i);
			return;
		}
		if (long_form)
			print_long(ctx, &ex->items[i], &ex->facts);
		else
			print_short(ctx, &ex->items[i], &ex->facts);
	}
}

static int explain(struct cli_context *ctx, int argc, char **argv, bool long_form)
{
	CLEANUP(buf_deinitp) struct buf text = BUF_INIT(PROVIDER_EXPLAIN_TEXT);
	CLEANUP(buf_deinitp) struct buf decoded = BUF_INIT(PROVIDER_EXPLAIN_TEXT);
	struct provider_explained *ex = xcalloc(1, sizeof(*ex));
	struct sv view;
	bool known = false;
	int rc = read_operands(argc, argv, &text);

	if (rc < 0) {
		free(ex);
		return cli_fail(EX_NOINPUT,
			"%s: %s",
			argc ? argv[0] : "standard input",
			rc == RC_LIMIT ? "the text is too long" : rc_text(rc));
	}
	view = buf_sv(&text);
	if (sv_find_nocase(view, SV("Content-Transfer-Encoding:")) >= 0) {
		(void)!provider_explain_decode(view, &decoded);
		view = buf_sv(&decoded);
	}
	provider_explain(view, ex);
	print_all(ctx, ex, long_form);
	for (size_t i = 0; i < ex->count; i++)
		known |= ex->items[i].known;
	rc = ex->count == 0 ? cli_fail(EX_DATAERR, "no reply of a mail server is in this text")
	     : !known       ? cli_fail(EX_DATAERR,
                                "this reply is not known: the meaning is that of its "
				      "class")
			    : EX_OK;
	free(ex);
	return rc;
}

int cli_explain(struct cli_context *ctx, int argc, char **argv)
{
	static const struct cli_option options[] = {
		{ "long", false },
		{ "unknown", false },
		{ "catalogue", false },
		{ NULL, false },
	};
	bool long_form = false, unknown = false, catalogue = false;
	const char *value = NULL;

	for (;;) {
		switch (cli_option(ctx, argc, argv, options, help, &value)) {
		case 0:
			long_form = true;
			continue;
		case 1:
			unknown = true;
			continue;
		case 2:
			catalogue = true;
			continue;
		case CLI_OPTION_HELP:
			return EX_OK;
		case CLI_OPTION_WRONG:
			return EX_USAGE;
		default:
			break;
		}
		break;
	}
	if (unknown)
		return cli_explain_unknown(ctx);
	if (catalogue)
		return cli_explain_catalogue(ctx);
	if (optind == argc && isatty(STDIN_FILENO))
		return cli_fail(EX_USAGE, "what? Give a reply in quotes, or a file (try --help)");
	return explain(ctx, argc - optind, argv + optind, long_form);
}
