/* SPDX-License-Identifier: Apache-2.0 */
#include "observe/health.h"

#include "base/must.h"
#include "inbound/inbound.h"
#include "io/fs.h"
#include "io/log.h"
#include "observe/where.h"
#include "outbound/outbound.h"
#include "provider/remedy.h"
#include "provider/verdict.h"
#include "store/store.h"
#include "store/store_health.h"

#include <stdio.h>
#include <stdlib.h>

enum {
	EVERY_S = 15,
	EVERY_S_MAX = 300,
	SLICE_ROWS = 1000, /* and lanes: of thousands, some in each turn of the loop */
	/* Counting a queue of a million takes a while: never more than one part in so many of the time. */
	SHARE = 20,
};

struct observe_health {
	const struct observe_sources *sources;
	struct io_timer timer;
	struct store_summary summary;
	struct arena arena;
	struct mono_time asked_at;
	bool running, freed, complained;
	struct observe_health_figures figures; /* as they were taken last */
	size_t row_at,
		lane_at; /* how far the count is: of rows of the summary first, then of lanes */
	struct io_task slice;
	char *path, *temporary;
};

int observe_health_path(struct sv control_socket, struct buf *out)
{
	ptrdiff_t slash = sv_rfind_char(control_socket, '/');
	int rc = slash > 0 ? buf_append(out, sv_head(control_socket, (size_t)slash)) : 0;

	return rc ? rc : buf_append(out, SV("/" OBSERVE_HEALTH_NAME));
}

static void health_end(struct observe_health *h)
{
	arena_reset(&h->arena);
	free(h->path);
	free(h->temporary);
	free(h);
}

/* ---- taking the figures ---- */

/* Waits for a person: what says so is the owner of the remedy. */
static bool needs_person(const struct store_summary_row *row, struct sv cause)
{
	const struct provider_remedy *remedy;

	if (row->state == STORE_RCPT_HELD || sv_eq(cause, SV("no-route")))
		return true;
	if (row->state != STORE_RCPT_QUEUED)
		return false;
	remedy = provider_remedy(cause_parse(cause), NULL);
	return remedy && (remedy->owner == PROVIDER_OWNER_YOU ||
				 remedy->owner == PROVIDER_OWNER_ADMINISTRATOR);
}

static void begin_queue(struct observe_health *h)
{
	h->figures = (struct observe_health_figures){
		.messages_waiting = h->summary.out_messages_waiting,
		.delivered_day = h->summary.out_delivered_day,
		.bounced_day = h->summary.out_bounced_day,
	};
	h->row_at = h->lane_at = 0;
}

static void count_row(struct observe_health *h, const struct store_summary_row *row)
{
	struct observe_health_figures *f = &h->figures;
	int64_t age = (io_wall(h->sources->loop).us - row->oldest_at.us) / (int64_t)US_PER_S;

	if (age > 0 && (uint64_t)age > f->oldest_seconds)
		f->oldest_seconds = (uint64_t)age;
	if (needs_person(row, observe_flow_cause(h->sources->outbound, row)))
		f->recipients_parked += row->count;
	if (sv_eq(row->cause, SV("uncertain")))
		f->recipients_uncertain += row->count;
}

/* True: all are counted. */
static bool count_slice(struct observe_health *h)
{
	struct outbound *o = h->sources->outbound;
	struct mono_time began = io_clock_mono();

	for (size_t i = 0; i < SLICE_ROWS && !io_slice_is_over(began); i++) {
		if (h->row_at < h->summary.out_count)
			count_row(h, &h->summary.out_rows[h->row_at++]);
		else if (h->lane_at < outbound_lane_count(o))
			h->figures.mailboxes_parked +=
				outbound_lane_at(o, h->lane_at++).state == SCHED_LANE_PARKED;
		else
			return true;
	}
	return false;
}

/* What is known without the queue. */
static void take_disk(struct observe_health *h, const struct store_health *disk)
{
	struct io_loop *loop = h->sources->loop;

	h->figures.unix_time = (uint64_t)io_wall(loop).us / US_PER_S;
	h->figures.boot_time = io_now(loop).us / US_PER_S;
	h->figures.disk_full = disk->disk_full;
	h->figures.disk_trouble = disk->trouble != STORE_TROUBLE_NONE;
	h->figures.queue_damaged = store_damage(h->sources->store).met;
	h->figures.disk_free_bytes = disk->free_bytes;
	h->figures.loop_turn_us_max = io_loop_turns(loop).recent_us;
}

static void take_clients(struct observe_health *h)
{
	const struct inbound_status status = inbound_status(h->sources->inbound);

	h->figures.inbound_sessions = status.sessions;
	h->figures.inbound_sessions_max = status.sessions_max;
	h->figures.inbound_memory_bytes = status.memory_bytes;
	h->figures.inbound_memory_max_bytes = status.memory_max_bytes;
	h->figures.inbound_refused_total = status.refused;
	h->figures.quota_refused_total = status.quota_refused;
	h->figures.sign_ins_failed_total = status.sign_ins_failed;
	h->figures.sign_ins_blocked_total = status.sign_ins_blocked;
}

/* ---- the file ---- */

/* It need not survive a power cut: no fsync, on the thread of the loop. */
static int replace(const struct observe_health *h, struct sv text)
{
	CLEANUP(io_closep)
	int fd = io_fs_create(h->temporary, O_WRONLY | O_TRUNC | O_NOFOLLOW, 0644);
	int rc = fd < 0 ? fd : io_fs_chmod_open(fd, 0644);

	if (rc == 0)
		rc = io_write_all(fd, text);
	return rc == 0 ? io_fs_rename(h->temporary, h->path) : rc;
}

static void write_file(struct observe_health *h)
{
	CLEANUP(buf_deinitp) struct buf text = BUF_INIT(OBSERVE_HEALTH_FILE_MAX);
	int rc;

	must(observe_health_render(&h->figures, &text) == 0);
	rc = replace(h, buf_sv(&text));
	if (rc != 0 && !h->complained)
		log_line(LOG_WARN,
			"observe",
			"cannot write %s, which `postern health` reads: %s",
			h->path,
			rc_text(rc));
	h->complained = rc != 0;
}

static void ask(void *arg);

/* `known`: of the queue. Of a disk that fails this is said; of the queue what was known before. */
static void tell(struct observe_health *h, bool known)
{
	const struct store_health disk = store_health(h->sources->store);
	struct mono_time now = io_now(h->sources->loop);
	uint64_t every = mono_span(h->asked_at, now) * SHARE / US_PER_S;

	every = every < EVERY_S ? EVERY_S : every > EVERY_S_MAX ? EVERY_S_MAX : every;
	if (known || disk.trouble != STORE_TROUBLE_NONE || store_damage(h->sources->store).met) {
		take_disk(h, &disk);
		if (h->sources->inbound)
			take_clients(h);
		h->figures.every = every;
		write_file(h);
	}
	arena_reset(&h->arena);
	io_timer_start(&h->timer, mono_add(now, every * US_PER_S));
}

static void on_slice(void *arg)
{
	struct observe_health *h = arg;

	if (count_slice(h))
		tell(h, true);
	else
		io_task_post(h->sources->loop, &h->slice);
}

static void summed(struct store_op *op)
{
	struct observe_health *h = CONTAINER_OF(op, struct observe_health, summary.op);

	h->running = false;
	if (h->freed) {
		health_end(h);
		return;
	}
	if (op->rc == 0) {
		begin_queue(h);
		on_slice(h);
	} else {
		tell(h, false);
	}
}

static void ask(void *arg)
{
	struct observe_health *h = arg;

	h->asked_at = io_now(h->sources->loop);
	h->summary = (struct store_summary){
		.op.kind = STORE_OP_SUMMARY, .op.done = summed, .out_arena = &h->arena
	};
	h->running = true;
	store_submit(h->sources->store, &h->summary.op);
}

struct observe_health *observe_health_new(
	const struct observe_sources *sources, struct sv control_socket)
{
	struct observe_health *h = xcalloc(1, sizeof(*h));
	CLEANUP(buf_deinitp) struct buf path = BUF_INIT(4096);

	/* The control socket's path is one that fits into a socket's address. */
	must(observe_health_path(control_socket, &path) == 0);
	h->path = sv_dup(buf_sv(&path));
	must(buf_append(&path, SV(".new")) == 0);
	h->temporary = sv_dup(buf_sv(&path));
	h->sources = sources;
	io_timer_init(&h->timer, sources->loop, ask, h);
	h->slice = (struct io_task){ .run = on_slice, .arg = h };
	ask(h);
	return h;
}

void observe_health_free(struct observe_health *h)
{
	if (!h)
		return;
	io_timer_stop(&h->timer);
	io_task_cancel(h->sources->loop, &h->slice);
	h->freed = true;
	if (!h->running)
		health_end(h);
}
