/* SPDX-License-Identifier: Apache-2.0 */
#include "observe/query.h"

#include "base/must.h"
#include "observe/query_priv.h"
#include "outbound/outbound.h"

#include <stdlib.h>
#include <sysexits.h>

static void query_destroy(struct observe_query *q)
{
	if (q->looked_at)
		outbound_look_end(q->looked_at);
	list_remove(&q->reload.node);
	io_task_cancel(q->sources->loop, &q->turn);
	json_decref(q->request);
	observe_query_report_free(q->report);
	json_decref(q->totals);
	observe_list_free(q->listed);
	observe_look_free(q->look);
	observe_rows_deinit(&q->table);
	conf_unref(q->conf);
	arena_reset(&q->arena);
	arena_reset(&q->page);
	free(q);
}

void observe_query_free(struct observe_query *q)
{
	if (!q)
		return;
	q->freed = true;
	if (!q->op_running)
		query_destroy(q);
}

char *observe_query_line(json_t *object)
{
	char *text = json_dumps(object, JSON_COMPACT | JSON_ENSURE_ASCII);

	must(text != NULL);
	json_decref(object);
	return text;
}

void observe_query_emit(struct observe_query *q, json_t *object)
{
	char *text = observe_query_line(object);

	q->sink.line(q->sink.arg, sv_from(text));
	free(text);
}

static void finish(struct observe_query *q, json_t *last)
{
	observe_query_emit(q, last);
	q->finished = true;
	q->sink.done(q->sink.arg);
}

void observe_query_end(struct observe_query *q)
{
	json_t *last = json_object();

	must(json_object_set_new(last, "end", json_true()) == 0);
	observe_json_int(last, "rows", q->rows);
	if (q->totals)
		must(json_object_set(last, "totals", q->totals) == 0);
	finish(q, last);
}

void observe_query_fail(struct observe_query *q, int exit_code, const char *text)
{
	json_t *last = json_object();

	observe_json_sv(last, "error", sv_from(text));
	observe_json_int(last, "code", (uint64_t)exit_code);
	finish(q, last);
}

static void op_done(struct store_op *op)
{
	struct observe_query *q = CONTAINER_OF(op, struct observe_query, op);

	q->op_running = false;
	if (q->freed) {
		query_destroy(q);
		return;
	}
	q->slice_began = io_clock_mono();
	if (op->rc == RC_NOT_FOUND) {
		observe_query_fail(q, EX_NOINPUT, "there is no message with this id");
		return;
	}
	if (op->rc != 0 && !(op->rc == RC_CORRUPT && q->in_spite_of_damage)) {
		observe_query_fail(
			q, EX_TEMPFAIL, op->err.text[0] ? op->err.text : rc_text(op->rc));
		return;
	}
	q->step(q);
}

void observe_query_submit(
	struct observe_query *q, enum store_op_kind kind, void (*done)(struct observe_query *q))
{
	q->op.kind = kind;
	q->op.done = op_done;
	q->op.rc = 0;
	q->op.err.text[0] = '\0';
	q->step = done;
	q->op_running = true;
	store_submit(q->sources->store, &q->op);
}

/* ---- over several turns ---- */

enum {
	SLICE_PIECES = 2000,
	PIECES_A_LOOK = 8, /* at the clock */
};

static void run_slice(struct observe_query *q)
{
	q->step = run_slice;
	for (size_t i = 0; i < SLICE_PIECES && q->piece_at < q->piece_count; i++) {
		if (i % PIECES_A_LOOK == PIECES_A_LOOK - 1 && io_slice_is_over(q->slice_began))
			break;
		q->piece(q, q->piece_at++);
	}
	if (q->piece_at == q->piece_count)
		q->pieces_done(q);
	else if (q->shows && !q->sink.has_room(q->sink.arg))
		q->paused = true;
	else
		io_task_post(q->sources->loop, &q->turn);
}

static void on_turn(void *arg)
{
	struct observe_query *q = arg;

	q->slice_began = io_clock_mono();
	run_slice(q);
}

static void begin_pieces(struct observe_query *q, size_t count,
	void (*each)(struct observe_query *q, size_t at), void (*done)(struct observe_query *q))
{
	q->piece_count = count;
	q->piece_at = 0;
	q->piece = each;
	q->pieces_done = done;
	if (io_slice_is_over(q->slice_began))
		io_task_post(q->sources->loop, &q->turn);
	else
		run_slice(q);
}

void observe_query_turns(struct observe_query *q, size_t count,
	void (*each)(struct observe_query *q, size_t at), void (*done)(struct observe_query *q))
{
	q->shows = true;
	begin_pieces(q, count, each, done);
}

void observe_query_work(struct observe_query *q, size_t count,
	void (*each)(struct observe_query *q, size_t at), void (*done)(struct observe_query *q))
{
	q->shows = false;
	begin_pieces(q, count, each, done);
}

/* How many steps it takes shows at the end: the count is reached then. */
static void sort_some(struct observe_query *q, size_t at)
{
	if (sort_step(&q->sort)) {
		q->piece_count = at + 2;
		return;
	}
	q->shown = sort_sorted(&q->sort);
}

void observe_query_sort(struct observe_query *q, size_t count, sort_compare_fn *compare, void *arg,
	void (*done)(struct observe_query *q))
{
	void **spare = arena_alloc(&q->page, (count + 1) * sizeof(*spare));

	sort_begin(&q->sort, q->shown, spare, count, compare, arg);
	observe_query_work(q, 1, sort_some, done);
}

/* ---- rows ---- */

static void add_row(struct observe_query *q, size_t at)
{
	observe_rows_add(&q->table, at);
}

static void look_at_row(struct observe_query *q, size_t at)
{
	observe_row_look(&q->table, at);
}

static void rows_added(struct observe_query *q)
{
	void (*done)(struct observe_query * q) = q->then;

	observe_query_work(q, q->sources->outbound ? q->table.count : 0, look_at_row, done);
}

void observe_query_rows(struct observe_query *q, void (*done)(struct observe_query *q))
{
	observe_rows_begin(&q->table, &q->page, q->conf, q->sources->outbound, &q->summary);
	q->then = done;
	observe_query_work(q, q->table.steps, add_row, rows_added);
}

/* ---- verbs ---- */

static void emit_finding(struct observe_query *q, size_t at)
{
	json_t *object = json_object();

	observe_json_sv(object, "finding", q->names.items[at]);
	observe_query_emit(q, object);
}

static void findings_shown(struct observe_query *q)
{
	if (q->reload_rc != 0)
		observe_query_fail(
			q, EX_CONFIG, "the configuration has errors: the old one stays in force");
	else
		observe_query_end(q);
}

static void reloaded(struct observe_reload *r, int rc, struct sv findings)
{
	struct observe_query *q = CONTAINER_OF(r, struct observe_query, reload);
	struct sv rest = arena_sv(&q->arena, findings), line;
	size_t lines = 1;

	q->reload_rc = rc;
	for (size_t i = 0; i < rest.len; i++)
		lines += rest.ptr[i] == '\n';
	q->names.items = arena_alloc(&q->arena, lines * sizeof(*q->names.items));
	while (rest.len) {
		(void)sv_cut_char(&rest, '\n', &line);
		q->names.items[q->names.count++] = line;
	}
	q->slice_began = io_clock_mono();
	observe_query_turns(q, q->names.count, emit_finding, findings_shown);
}

static void reload(struct observe_query *q)
{
	q->reload.done = reloaded;
	if (q->sources->reload)
		q->sources->reload(q->sources->reload_arg, &q->reload);
	else
		observe_query_fail(q, EX_UNAVAILABLE, "the daemon does not run: nothing to reload");
}

static void signed_in(struct observe_query *q)
{
	struct sv mailbox = observe_json_get_sv(q->request, "mailbox");

	if (!q->sources->signed_in)
		observe_query_fail(q, EX_UNAVAILABLE, "the daemon does not run");
	else if (q->sources->signed_in(q->sources->signed_in_arg, mailbox) != 0)
		observe_query_fail(
			q, EX_NOUSER, "the daemon has no such mailbox yet: run `postern reload`");
	else
		observe_query_end(q);
}

static const struct {
	const char *name;
	void (*start)(struct observe_query *q);
	bool monitors; /* may be asked by whoever only watches */
} verbs[] = {
	{ "status", observe_query_status, true },
	{ "mailboxes", observe_query_mailboxes, true },
	{ "probe", observe_query_probe, false },
	{ "list", observe_query_list, false },
	{ "show", observe_query_show, false },
	{ "edit", observe_query_edit, false },
	{ "summary", observe_query_summary, true },
	{ "report", observe_query_report, false },
	{ "reload", reload, false },
	{ "login", signed_in, false },
};

struct observe_query *observe_query_new(const struct observe_sources *sources, struct sv request,
	const struct observe_query_sink *sink)
{
	struct observe_query *q = xcalloc(1, sizeof(*q));
	struct sv verb;

	q->sources = sources;
	q->sink = *sink;
	q->turn = (struct io_task){ .run = on_turn, .arg = q };
	q->slice_began = io_clock_mono();
	list_init(&q->reload.node);
	q->conf = sources->conf && *sources->conf ? conf_ref(*sources->conf) : NULL;
	q->looked_at = sources->outbound;
	if (q->looked_at)
		outbound_look_begin(q->looked_at);
	q->request = json_loadb(request.ptr, request.len, JSON_REJECT_DUPLICATES, NULL);
	if (!json_is_object(q->request)) {
		observe_query_fail(q, EX_USAGE, "the request is not a JSON object");
		return q;
	}
	verb = observe_json_get_sv(q->request, "do");
	for (size_t i = 0; i < COUNT_OF(verbs); i++) {
		if (!sv_eq(verb, sv_from(verbs[i].name)))
			continue;
		if (sink->monitors && !verbs[i].monitors)
			observe_query_fail(q,
				EX_NOPERM,
				"this socket is for monitoring: it answers status, mailboxes and "
				"summary; all else needs the control socket, as root or in its "
				"group");
		else
			verbs[i].start(q);
		return q;
	}
	observe_query_fail(q,
		EX_USAGE,
		"the request's \"do\" is none of status, mailboxes, probe, list, show, edit, "
		"summary, report, reload, login");
	return q;
}

void observe_query_resume(struct observe_query *q)
{
	if (!q->paused || q->op_running || q->finished)
		return;
	q->paused = false;
	q->slice_began = io_clock_mono();
	q->step(q);
}
