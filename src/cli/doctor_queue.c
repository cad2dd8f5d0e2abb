/* SPDX-License-Identifier: Apache-2.0 */
#include "base/text.h"
#include "cli/doctor_priv.h"
#include "observe/json.h"
#include "store/store_salvage.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum {
	LOOKS = 3, /* at a file that a daemon writes to at the same time */
	PROGRESS_MIN = 2000,
	LINES_MAX = 1 << 20,
	PROGRESS_STEP = 10, /* percent, where nobody watches */
};

static const char part[] = "queue";
static const char *const fates[] = { "whole", "partly", "lost" };

struct looking {
	struct doctor *d;
	bool on_terminal, shown;
	struct buf lines; /* of messages; they follow the sentence about the whole */
	unsigned left_out;
	unsigned told; /* percent */
};

/* ---- progress, on standard error ---- */

static void progress(void *arg, uint64_t done, uint64_t of)
{
	struct looking *l = arg;
	unsigned percent = of ? (unsigned)(done * 100 / of) : 100;

	if (of < PROGRESS_MIN || (!l->on_terminal && percent < l->told + PROGRESS_STEP))
		return;
	l->shown = l->on_terminal;
	l->told = percent - percent % PROGRESS_STEP;
	(void)fprintf(stderr,
		"%slooking at the queue: %llu of %llu pages%s",
		l->on_terminal ? cli_mark(CLI_MARK_AGAIN) : "",
		(unsigned long long)done,
		(unsigned long long)of,
		l->on_terminal ? "" : "\n");
	(void)fflush(stderr);
}

static void end_progress(struct looking *l)
{
	if (l->shown)
		(void)fprintf(stderr, "%s", cli_mark(CLI_MARK_AGAIN));
	l->shown = false;
	l->told = 0;
}

/* ---- messages ---- */

static void message_json(const struct store_salvaged *m, const char *id)
{
	json_t *o = json_object();
	char *dumped;

	(void)json_object_set_new(o, "part", json_string(part));
	(void)json_object_set_new(o, "id", json_string(id));
	(void)json_object_set_new(o, "fate", json_string(fates[m->fate]));
	(void)json_object_set_new(o, "held", json_boolean(m->held));
	observe_json_sv(o, "sender", m->sender);
	observe_json_sv(o, "recipients", m->recipients);
	observe_json_sv(o, "subject", m->subject);
	observe_json_int(o, "size", m->size);
	if (m->why)
		(void)json_object_set_new(o, "why", json_string(m->why));
	dumped = json_dumps(o, JSON_COMPACT | JSON_ENSURE_ASCII);
	(void)printf("%s\n", dumped ? dumped : "{}");
	free(dumped);
	json_decref(o);
}

/* Those that are whole are many, and nothing is to be done about them: JSON has them all. */
static void on_message(void *arg, const struct store_salvaged *m)
{
	struct looking *l = arg;
	CLEANUP(buf_deinitp) struct buf text = BUF_INIT(4096);
	char id[TEXT_ID_MAX];

	end_progress(l);
	text_id(m->id, id);
	if (l->d->ctx->json) {
		message_json(m, id);
		return;
	}
	if (m->fate == STORE_SALVAGE_WHOLE && !m->held)
		return;
	if (buf_printf(&text, "%s  from=", id) != 0 || text_log_quote(&text, m->sender) != 0 ||
		buf_append(&text, SV(" to=")) != 0 ||
		text_log_quote(&text, sv_head(m->recipients, 300)) != 0 ||
		buf_append(&text, SV(" subject=")) != 0 ||
		text_log_quote(&text, sv_head(m->subject, 200)) != 0)
		return;
	if (buf_printf(&text, ": %s\n", m->why ? m->why : "it may have been sent before: held") !=
			0 ||
		buf_append(&l->lines, buf_sv(&text)) != 0)
		l->left_out++;
}

static void print_messages(struct looking *l)
{
	struct sv rest = buf_sv(&l->lines), line;

	while (rest.len) {
		(void)sv_cut_char(&rest, '\n', &line);
		cli_print(24, "%20s%.*s\n", "", SV_ARG(line));
	}
	if (l->left_out)
		cli_print(24, "%20s%u more: --json has them all\n", "", l->left_out);
	buf_deinit(&l->lines);
}

/* ---- what is said of the whole ---- */

static void say_found(struct doctor *d, const struct store_salvage_report *r)
{
	doctor_say(d,
		DOCTOR_FAULT,
		part,
		d->repair ? NULL : "postern doctor --repair, while the daemon does not run",
		"%u of %u pages are damaged%s; of the messages that wait %llu are whole, %llu lack "
		"recipients, %llu cannot be sent",
		r->damaged_pages,
		r->pages,
		r->wal_bytes ? ", and the write-ahead log" : "",
		(unsigned long long)r->whole,
		(unsigned long long)r->partly,
		(unsigned long long)r->lost);
	if (r->sqlite[0])
		doctor_say(d, DOCTOR_NOTE, part, NULL, "SQLite says: %s", r->sqlite);
	if (r->bad_rows)
		doctor_say(d,
			DOCTOR_NOTE,
			part,
			NULL,
			"%llu rows do not fit what they belong to",
			(unsigned long long)r->bad_rows);
}

static void say_repaired(struct doctor *d, const struct store_salvage_report *r)
{
	uint64_t waiting = r->whole + r->partly;

	doctor_say(d,
		DOCTOR_REPAIRED,
		part,
		NULL,
		"%llu messages wait in a new queue%s, %llu are lost; %llu finished ones are known; "
		"what was there is kept in %s",
		(unsigned long long)waiting,
		r->held ? " (some are held: `postern queue list --state held`)" : "",
		(unsigned long long)r->lost,
		(unsigned long long)r->history,
		r->kept);
}

static void say_report(struct doctor *d, const struct store_salvage_report *r)
{
	if (r->kept[0]) {
		say_repaired(d, r);
	} else if (r->needed) {
		say_found(d, r);
		d->stop_first = d->running && d->repair;
	} else if (d->running) {
		doctor_say(d,
			DOCTOR_OK,
			part,
			NULL,
			"%u pages, none damaged; the daemon runs: `postern queue list` has the "
			"messages",
			r->pages);
	} else {
		doctor_say(d,
			DOCTOR_OK,
			part,
			NULL,
			"%u pages, none damaged; %llu messages wait, all whole",
			r->pages,
			(unsigned long long)r->whole);
	}
}

void doctor_queue(struct doctor *d)
{
	struct looking l = {
		.d = d, .on_terminal = isatty(STDERR_FILENO), .lines = BUF_INIT(LINES_MAX)
	};
	const struct store_salvage_options options = { .data_dir = conf_general(d->conf)->data_dir,
		.repair = d->repair && !d->running,
		.running = d->running,
		.each = on_message,
		.progress = progress,
		.arg = &l };
	struct store_salvage_report r;
	struct err err = { 0 };
	int rc = store_salvage(&options, &r, &err);

	/* A page that is being written looks damaged for a moment. */
	for (int i = 1; i < LOOKS && rc == 0 && d->running && r.needed; i++) {
		(void)sleep(1);
		rc = store_salvage(&options, &r, &err);
	}
	end_progress(&l);
	if (rc == RC_NOT_FOUND)
		doctor_say(d, DOCTOR_OK, part, NULL, "there is none yet");
	else if (rc == -EBUSY)
		doctor_say(d, DOCTOR_FAULT, part, "Stop it first.", "%s", err.text);
	else if (rc != 0)
		doctor_say(d, DOCTOR_FAULT, part, NULL, "%s", err.text);
	else
		say_report(d, &r);
	print_messages(&l);
	d->stop_first |= rc == -EBUSY;
}
