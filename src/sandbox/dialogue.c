/* SPDX-License-Identifier: Apache-2.0 */
#include "sandbox/dialogue.h"

#include "base/limits.h"
#include "base/must.h"
#include "sandbox/events.h"
#include "sandbox/model.h"

#include <stdio.h>

enum {
	LINES_MAX = 60,
	LINE_BYTES = 1100, /* a command line and a half; the rest of a longer one is not kept */
	VERB_MAX = 40,
	TEXT_MAX = 32768,
};

void sandbox_dialogue_init(struct sandbox_dialogue *d)
{
	d->said.lines_max = LINES_MAX;
	buf_init(&d->line, LINE_BYTES);
}

void sandbox_dialogue_deinit(struct sandbox_dialogue *d)
{
	smtp_transcript_reset(&d->said);
	buf_deinit(&d->line);
}

/* "AUTH LOGIN [secret]". */
static void add_sign_in(struct sandbox_dialogue *d, struct mono_time now, struct sv line)
{
	char text[VERB_MAX + 32];
	struct sv verb;

	line = sv_skip(line, 5);
	(void)sv_cut_char(&line, ' ', &verb);
	(void)snprintf(text,
		sizeof(text),
		"AUTH %.*s%s",
		SV_ARG(sv_head(verb, VERB_MAX)),
		line.len ? " [secret]" : "");
	smtp_transcript_add(&d->said, now, SMTP_TRANSCRIPT_OURS, sv_from(text));
	d->signing_in = true;
}

static void add_line(struct sandbox_dialogue *d, struct mono_time now, struct sv line)
{
	if (line.len && line.ptr[line.len - 1] == '\r')
		line.len--;
	if (d->signing_in)
		smtp_transcript_add(&d->said, now, SMTP_TRANSCRIPT_OURS, SV("[secret]"));
	else if (sv_starts_nocase(line, SV("AUTH ")))
		add_sign_in(d, now, line);
	else
		smtp_transcript_add(&d->said, now, SMTP_TRANSCRIPT_OURS, line);
}

void sandbox_dialogue_heard(struct sandbox_dialogue *d, struct mono_time now, struct sv bytes)
{
	struct sv line;

	if (d->in_data)
		return;
	while (sv_cut_char(&bytes, '\n', &line)) {
		(void)!buf_append(&d->line, sv_head(line, buf_room(&d->line)));
		add_line(d, now, buf_sv(&d->line));
		buf_reset(&d->line);
	}
	(void)!buf_append(&d->line, sv_head(line, buf_room(&d->line)));
}

void sandbox_dialogue_body(struct sandbox_dialogue *d, struct mono_time now, uint64_t bytes)
{
	char text[48];

	(void)snprintf(text, sizeof(text), "the message, %llu bytes", (unsigned long long)bytes);
	smtp_transcript_add(&d->said, now, SMTP_TRANSCRIPT_NOTE, sv_from(text));
}

void sandbox_dialogue_said(struct sandbox_dialogue *d, struct mono_time now, struct sv lines)
{
	struct sv line;

	while (sv_cut_line(&lines, &line)) {
		d->signing_in = d->signing_in && sv_starts(line, SV("334"));
		d->in_data = d->in_data || sv_starts(line, SV("354"));
		smtp_transcript_add(&d->said, now, SMTP_TRANSCRIPT_THEIRS, line);
	}
}

char *sandbox_dialogue_text(
	const struct sandbox_dialogue *d, struct mono_time now, const struct sandbox_reply *reply)
{
	CLEANUP(buf_deinitp) struct buf out = BUF_INIT(TEXT_MAX);

	if (buf_append(&out, buf_sv(&d->said.text)) != 0 ||
		buf_printf(&out,
			"%llu < %u %s %s\n",
			(unsigned long long)mono_span(d->said.began, now) / 1000,
			reply->code,
			reply->enhanced,
			reply->text) != 0)
		return NULL;
	return sv_dup(buf_sv(&out));
}

json_t *sandbox_dialogue_json(const char *text)
{
	static const char *const who[] = {
		[SMTP_TRANSCRIPT_OURS] = "client",
		[SMTP_TRANSCRIPT_THEIRS] = "server",
		[SMTP_TRANSCRIPT_NOTE] = "note",
	};
	struct sv rest = sv_from(text);
	struct smtp_transcript_line line;
	json_t *all = json_array();

	while (smtp_transcript_next(&rest, &line)) {
		json_t *o = json_object();

		must(json_object_set_new(o, "ms", json_integer((json_int_t)line.ms)) == 0);
		must(json_object_set_new(o, "who", json_string(who[line.side])) == 0);
		must(json_object_set_new(o, "line", sandbox_json_text(line.text)) == 0);
		must(json_array_append_new(all, o) == 0);
	}
	return all;
}
