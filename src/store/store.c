/* SPDX-License-Identifier: Apache-2.0 */
#include "store/store.h"

#include "base/must.h"
#include "io/file.h"
#include "store/store_priv.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

/* Of a clock that no time server has set. */
#define BELIEVED_US ((int64_t)US_PER_HOUR)

enum {
	IDLE_WAKE_US = 5000000, /* housekeeping looks at the clock so often */
	FULL_WAKE_US = 1000000,
	LOOK_US = 1000000,
	/* At the end, for a disk of which it is known that it hangs, and for others. A service manager waits 30 s for
	 * all of us. */
	HANGS_CLOSE_US = 2000000,
	CLOSE_US = 15000000,
};

const char *store_recipient_state_name(enum store_recipient_state state)
{
	static const char *const names[STORE_RCPT_COUNT] = {
		"queued", "open", "held", "delivered", "bounced", "expired", "dropped"
	};

	return names[state];
}

/* ---- ids and steady time ---- */

uint64_t store_new_id(struct store *s)
{
	int64_t now = io_wall(s->loop).us - STORE_EPOCH_US;
	uint64_t id = now > 0 ? (uint64_t)now : 0;

	if (id <= s->last_id)
		id = s->last_id + 1;
	s->last_id = id;
	return id;
}

int64_t store_steady_now(const struct store *s, struct mono_time now)
{
	return (int64_t)now.us + s->steady_base_us;
}

static void doubt(struct store *s, int64_t ahead_us)
{
	s->doubtful_us = ahead_us > BELIEVED_US && !io_clock_is_synced() ? (uint64_t)ahead_us : 0;
}

/* Within one boot CLOCK_BOOTTIME goes on; over a reboot the wall clock stands in, never backwards. */
static void set_steady_base(struct store *s)
{
	struct mono_time now = io_clock_mono();
	CLEANUP(buf_deinitp) struct buf boot = BUF_INIT(STORE_BOOT_ID_MAX - 1);
	int64_t wall = io_clock_wall().us, steady;
	struct sv id;

	if (io_file_read("/proc/sys/kernel/random/boot_id", STORE_BOOT_ID_MAX - 1, &boot, NULL) !=
		0)
		buf_reset(&boot);
	id = sv_trim(buf_sv(&boot));
	if (id.len && id.ptr[id.len - 1] == '\n')
		id.len--;
	if (id.len && sv_eq(id, sv_from(s->boot_id)) && (int64_t)now.us >= s->kept_mono_us) {
		s->steady_base_us = s->kept_steady_us - s->kept_mono_us;
		doubt(s, wall - store_steady_now(s, now));
		return;
	}
	steady = wall;
	if (s->kept_steady_us > STORE_EPOCH_US)
		doubt(s, wall - s->kept_steady_us);
	/* As if the machine had not been down: a window that is full too long breaks no limit. */
	if (steady < s->kept_steady_us || s->doubtful_us)
		steady = s->kept_steady_us;
	s->steady_base_us = steady - (int64_t)now.us;
	(void)snprintf(s->boot_id, sizeof(s->boot_id), "%.*s", SV_ARG(id));
}

uint64_t store_doubtful_us(const struct store *s)
{
	return s->doubtful_us;
}

/* ---- the operations ---- */

int store_op_run(struct store *s, struct store_op *op)
{
	const struct store_backend *b = s->backend;

	switch (op->kind) {
	case STORE_OP_CHUNK:
		return b->do_chunk(s, (struct store_chunk *)op);
	case STORE_OP_PUT:
		return b->do_put(s, (struct store_put *)op);
	case STORE_OP_ABORT:
		return b->do_abort(s, (struct store_abort *)op);
	case STORE_OP_TAKE:
		return b->do_take(s, (struct store_take *)op);
	case STORE_OP_OUTCOME:
		return b->do_outcome(s, (struct store_outcome *)op);
	case STORE_OP_LOOK:
		return b->do_look(s, (struct store_look *)op);
	case STORE_OP_LOOK_LATER:
		return b->do_look_later(s, (struct store_look_later *)op);
	case STORE_OP_BODY:
		return b->do_body(s, (struct store_body *)op);
	case STORE_OP_LIST:
		return b->do_list(s, (struct store_list *)op);
	case STORE_OP_SHOW:
		return b->do_show(s, (struct store_show *)op);
	case STORE_OP_EDIT:
		return b->do_edit(s, (struct store_edit *)op);
	case STORE_OP_SUMMARY:
		return b->do_summary(s, (struct store_summary *)op);
	case STORE_OP_FLOWS:
		return b->do_flows(s, (struct store_flows *)op);
	case STORE_OP_LEDGER_READ:
		return b->do_ledger_read(s, (struct store_ledger_read *)op);
	case STORE_OP_COUNTS_READ:
		return b->do_counts_read(s, (struct store_counts_read *)op);
	case STORE_OP_PARKS_READ:
		return b->do_parks_read(s, (struct store_parks_read *)op);
	case STORE_OP_PARK:
		return b->do_park(s, (struct store_park *)op);
	case STORE_OP_COUNT:
		break;
	}
	return RC_STATE;
}

bool store_op_only_reads(const struct store_op *op)
{
	return op->kind == STORE_OP_LOOK || op->kind == STORE_OP_BODY ||
	       op->kind == STORE_OP_LIST || op->kind == STORE_OP_SHOW ||
	       op->kind == STORE_OP_SUMMARY || op->kind == STORE_OP_FLOWS ||
	       op->kind == STORE_OP_LEDGER_READ || op->kind == STORE_OP_COUNTS_READ ||
	       op->kind == STORE_OP_PARKS_READ;
}

bool store_op_needs_room(const struct store_op *op)
{
	return op->kind == STORE_OP_CHUNK || op->kind == STORE_OP_PUT;
}

/* ---- on the store's thread (io/serial.h) ---- */

static struct store_op *op_of(struct io_serial_job *job)
{
	return job ? CONTAINER_OF(job, struct store_op, job) : NULL;
}

static void run(void *arg, struct io_serial_job *first)
{
	struct store *s = arg;

	for (struct io_serial_job *job = first; job; job = job->next)
		op_of(job)->next = op_of(job->next);
	atomic_store(&s->busy_since_us, io_clock_mono().us);
	s->backend->run(s, op_of(first));
	atomic_store(&s->busy_since_us, 0);
	for (struct io_serial_job *job = first; job; job = job->next)
		job->again = op_of(job)->rc == STORE_AGAIN;
}

static bool step(void *arg)
{
	struct store *s = arg;
	struct mono_time now = io_clock_mono();
	bool more;

	atomic_store(&s->busy_since_us, now.us);
	more = s->backend->step(s, now);
	atomic_store(&s->busy_since_us, 0);
	return more;
}

static uint64_t rest(void *arg)
{
	struct store *s = arg;

	s->backend->rest(s);
	/* While the disk is full somebody waits for the moment it is not. */
	return s->ballast_given || atomic_load(&s->trouble) != STORE_TROUBLE_NONE ? FULL_WAKE_US
										  : IDLE_WAKE_US;
}

static void done(void *arg, struct io_serial_job *job)
{
	struct store_op *op = op_of(job);

	must(arg != NULL);
	op->next = NULL;
	op->done(op);
}

static void fail_job(void *arg, struct io_serial_job *job)
{
	struct store_op *op = CONTAINER_OF(job, struct store_op, job);

	op->rc = store_trouble_fail(arg, &op->err);
}

void store_fail_waiting(struct store *s)
{
	if (s->serial)
		io_serial_give_up(s->serial, fail_job, s);
}

/* A disk that hangs keeps the thread: those behind it are answered from here. */
static void on_look(void *arg)
{
	struct store *s = arg;

	if (store_trouble_now(s) == STORE_TROUBLE_HANGS)
		store_fail_waiting(s);
	s->looking = atomic_load(&s->busy_since_us) != 0;
	if (s->looking)
		io_timer_start(&s->look, mono_add(io_now(s->loop), LOOK_US));
}

static void start_serial(struct store *s)
{
	const struct io_serial_work work = { run, step, rest, done, s };

	must(!s->serial);
	s->serial = io_serial_new(s->loop, &work);
}

/* ---- on the loop ---- */

/* A group that was rolled back runs again, and what moves while it runs must begin where it began. */
static void note_begin(struct store_op *op)
{
	if (op->kind == STORE_OP_BODY) {
		struct store_body *body = CONTAINER_OF(op, struct store_body, op);

		body->begun_len = body->out->len;
	} else if (op->kind == STORE_OP_LIST) {
		struct store_list *list = CONTAINER_OF(op, struct store_list, op);

		list->begun_id = list->after_id;
		list->begun_index = list->after_index;
	} else if (op->kind == STORE_OP_EDIT) {
		struct store_edit *edit = CONTAINER_OF(op, struct store_edit, op);

		edit->begun_id = edit->after_id;
	} else if (op->kind == STORE_OP_LEDGER_READ) {
		struct store_ledger_read *read = CONTAINER_OF(op, struct store_ledger_read, op);

		read->begun_resumed = read->resumed;
		read->begun_bucket = read->after_bucket;
		read->begun_scope = read->after_scope;
	}
}

void store_submit(struct store *s, struct store_op *op)
{
	must(op->done != NULL);
	note_begin(op);
	if (op->kind == STORE_OP_CHUNK)
		store_room_spend(s, CONTAINER_OF(op, struct store_chunk, op)->bytes.len);
	op->rc = 0;
	atomic_fetch_add_explicit(&s->stat_operations, 1, memory_order_relaxed);
	if (!s->looking)
		io_timer_start(&s->look, mono_add(io_now(s->loop), LOOK_US));
	s->looking = true;
	if (!s->serial)
		start_serial(s);
	io_serial_hand(s->serial, &op->job);
}

/* ---- life ---- */

static int lock_folder(struct store *s, struct err *err)
{
	char path[STORE_PATH_MAX + 16];
	int rc;

	(void)snprintf(path, sizeof(path), "%s/lock", s->folder);
	s->lock_fd = io_fs_create(path, O_RDWR, 0600);
	if (s->lock_fd < 0)
		return err_set(err, s->lock_fd, "cannot open %s: %s", path, rc_text(s->lock_fd));
	rc = io_fs_lock(s->lock_fd, LOCK_EX | LOCK_NB);
	if (rc == -EWOULDBLOCK)
		return err_set(
			err, -EBUSY, "the queue in %s is in use by another postern", s->folder);
	return rc == 0 ? 0 : err_set(err, rc, "cannot lock the queue in %s", s->folder);
}

static int set_paths(struct store *s, const struct store_options *o, struct err *err)
{
	int n = snprintf(s->folder, sizeof(s->folder), "%.*s", SV_ARG(o->data_dir));

	if (n <= 0 || (size_t)n + 32 > sizeof(s->folder))
		return err_set(err, -ENAMETOOLONG, "data_dir is too long");
	(void)snprintf(
		s->ballast_path, sizeof(s->ballast_path), "%.*s/ballast", SV_ARG(o->data_dir));
	return 0;
}

static int open_all(
	struct store *s, const struct store_options *o, struct store_recovery *out, struct err *err)
{
	int rc = set_paths(s, o, err);

	if (rc == 0)
		rc = io_folder_make(s->folder, 0700, err);
	if (rc == 0 && io_disk_is_network(s->folder))
		rc = err_set(err,
			RC_CONFIG,
			"data_dir %s is on a network file system, which cannot promise that a "
			"message is "
			"safe: use a local disk",
			s->folder);
	if (rc == 0)
		rc = lock_folder(s, err);
	if (rc == 0)
		rc = s->backend->open(s, out, err);
	if (rc == 0)
		set_steady_base(s);
	return rc;
}

static void free_store(struct store *s)
{
	io_timer_stop(&s->look);
	s->backend->close(s);
	io_closep(&s->lock_fd);
	io_mutex_deinit(&s->words_lock);
	free(s->vfs);
	free(s);
}

struct store *store_open(struct io_loop *l, const struct store_options *options,
	struct store_recovery *out_recovery, struct err *err)
{
	static const struct store_disk plain = { 0 };
	const struct store_disk *disk = options->disk ? options->disk : &plain;
	const struct store_backend *backend = &store_backend_sqlite;
	struct store *s = xcalloc(1, backend->size);

	s->backend = backend;
	s->loop = l;
	s->lock_fd = -1;
	s->vfs = disk->vfs ? sv_dup(sv_from(disk->vfs)) : NULL;
	s->ballast_bytes = disk->ballast_bytes;
	s->in_spite_of_damage = options->in_spite_of_damage;
	s->history_keep_us = options->history_keep_us;
	s->history_bytes_max = options->history_bytes_max;
	io_mutex_init(&s->words_lock);
	io_timer_init(&s->look, l, on_look, s);
	if (open_all(s, options, out_recovery, err) != 0) {
		free_store(s);
		return NULL;
	}
	if (s->ballast_given || !store_ballast_make(s)) {
		s->ballast_given = true;
		atomic_store_explicit(&s->disk_full, true, memory_order_relaxed);
	}
	return s;
}

bool store_close(struct store *s)
{
	uint64_t wait_us;

	if (!s)
		return true;
	atomic_store(&s->closing, true);
	/* A disk that hangs would hold us for ever. The process ends, and what was not answered has not been
	 * promised. */
	wait_us = store_trouble_now(s) == STORE_TROUBLE_HANGS ? HANGS_CLOSE_US : CLOSE_US;
	if (!io_serial_free_within(s->serial, wait_us))
		return false;
	free_store(s);
	return true;
}

/* ---- before the loop runs ---- */

int store_each_uncertain(struct store *s,
	void (*each)(void *arg, struct sv lane, uint32_t messages, uint32_t recipients), void *arg,
	struct err *err)
{
	must(!s->serial);
	return s->backend->each_uncertain(s, each, arg, err);
}

int store_resolve_uncertain(struct store *s, const struct store_uncertain *how, struct err *err)
{
	int rc;

	must(!s->serial);
	rc = s->backend->resolve_uncertain(s, how, err);
	if (rc == 0)
		start_serial(s);
	return rc;
}
