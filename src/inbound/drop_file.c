/* SPDX-License-Identifier: Apache-2.0 */
#include "base/must.h"
#include "base/text.h"
#include "inbound/drop_priv.h"
#include "io/file.h"
#include "io/log.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

/*
 * One file of the maildrop is one message. Who wrote it is its owner, nothing else.
 */
enum {
	READ_PIECE = LIMIT_CHUNK
};

struct drop_file {
	struct drop *d;
	struct drop_file *next; /* in drop.renamed */
	char name[NAME_MAX + 1];
	uint64_t
		id; /* 0: new; else the file was renamed in an earlier life, and the id is used again */
	int fd;
	struct arena arena;
	struct drop_envelope envelope;
	size_t body_at; /* offset of the message in the file */
	uint64_t given;
	struct accept *accept;
	struct io_task task;
	struct store_show show;
	struct arena show_arena;
	char user[IO_NAME_MAX + 16];
	unsigned uid;
	struct stat st;
	struct io_name_query *query;
};

static void path_of(const struct drop_file *f, char out[PATH_MAX])
{
	(void)snprintf(out, PATH_MAX, "%s/%s", f->d->path, f->name);
}

static void done(struct drop_file *f)
{
	struct drop *d = f->d;

	io_task_cancel(d->in->loop, &f->task);
	io_closep(&f->fd);
	arena_reset(&f->arena);
	arena_reset(&f->show_arena);
	drop_done(d, f->name);
	free(f);
}

static void remove_file(struct drop_file *f)
{
	char path[PATH_MAX];
	int rc;

	path_of(f, path);
	rc = io_fs_unlink(path);
	if (rc != 0)
		log_line(LOG_ERROR, "pickup", "cannot remove %s: %s", path, rc_text(rc));
}

/* Kept for a person to look at; never taken again. */
static void set_aside(struct drop_file *f, const char *why)
{
	char path[PATH_MAX], aside[PATH_MAX + 8];

	path_of(f, path);
	(void)snprintf(aside, sizeof(aside), "%s/" DROP_BAD_PREFIX "%s", f->d->path, f->name);
	log_event(LOG_WARN,
		"pickup",
		SV(""),
		"a file in the maildrop is not taken and is set aside",
		(const struct log_field[]){
			LOG_F("file", sv_from(aside)), LOG_F("why", sv_from(why)) },
		2);
	(void)!io_fs_rename(path, aside);
	done(f);
}

/*
 * sendmail has said that all is well: only what is wrong with the file itself may set it aside. Whatever
 * the machine lacks at the moment passes, and the file waits.
 */
static void wait_for_better(struct drop_file *f, int rc)
{
	char what[NAME_MAX + 64];

	/* Gone: somebody removed it. */
	if (rc != -ENOENT) {
		(void)snprintf(what, sizeof(what), "read %s in the maildrop", f->name);
		drop_trouble(f->d, rc, what);
	}
	done(f);
}

static void give_up(struct drop_file *f, int rc)
{
	accept_abort(f->accept);
	f->accept = NULL;
	wait_for_better(f, rc);
}

/* ---- checks ---- */

static const char *check_file(const struct stat *st, const struct conf_general *g)
{
	if (!S_ISREG(st->st_mode))
		return "it is no plain file";
	if (st->st_nlink != 1)
		return "it has several links";
	if (st->st_mode & (S_IWGRP | S_IWOTH))
		return "others than its owner may write it";
	if ((uint64_t)st->st_size > LIMIT_MESSAGE + (uint64_t)DROP_ENVELOPE_MAX)
		return "it is too large";
	if (g->local_bytes_per_uid_max && (uint64_t)st->st_size > g->local_bytes_per_uid_max)
		return "it is larger than local_bytes_per_uid";
	return NULL;
}

static int read_envelope(struct drop_file *f, const struct stat *st, struct err *err)
{
	CLEANUP(buf_deinitp) struct buf head = BUF_INIT(DROP_ENVELOPE_MAX);
	int rc = 0;

	while (rc == 0) {
		ssize_t n;

		if (buf_reserve(&head, READ_PIECE) != 0)
			return err_set(err, RC_LIMIT, "its envelope is too long");
		n = io_fs_read_at(f->fd, head.len, buf_tail(&head), READ_PIECE);
		if (n < 0)
			return err_set(err, (int)n, "%s", rc_text((int)n));
		if (n == 0)
			return err_set(err, RC_PARSE, "it ends within its envelope");
		buf_grew(&head, (size_t)n);
		rc = drop_envelope_parse(&f->arena, buf_sv(&head), &f->envelope, &f->body_at, err);
	}
	if (rc < 0)
		return rc;
	if ((uint64_t)st->st_size != drop_file_size(&f->envelope, f->body_at))
		return err_set(err, RC_PARSE, "it is not whole");
	return 0;
}

/* ---- its message ---- */

static void must_wait(struct drop_file *f, const struct answer *a)
{
	/* Once for a batch: all that a user has there may wait for one reason. */
	if (!f->d->trouble)
		log_line(LOG_WARN, "pickup", "mail in the maildrop must wait: %s", a->text);
	f->d->trouble = true;
	done(f);
}

static void message_done(void *arg, const struct answer *a)
{
	struct drop_file *f = arg;

	f->accept = NULL;
	if (a->code < 300) {
		remove_file(f);
		done(f);
		return;
	}
	if (a->code < 500) {
		/* The disk, or the like: the file stays and is tried at the next scan. */
		must_wait(f, a);
		return;
	}
	set_aside(f, a->text);
}

static void feed(void *arg)
{
	struct drop_file *f = arg;
	char piece[READ_PIECE];
	uint64_t left = f->envelope.size - f->given;
	ssize_t n;

	if (accept_is_full(f->accept))
		return;
	if (left == 0) {
		accept_end(f->accept, message_done, f);
		return;
	}
	n = io_fs_read_at(f->fd,
		f->body_at + f->given,
		piece,
		left < sizeof(piece) ? (size_t)left : sizeof(piece));
	if (n < 0) {
		give_up(f, (int)n);
		return;
	}
	if (n == 0) {
		accept_abort(f->accept);
		f->accept = NULL;
		set_aside(f, "it became shorter while it was read");
		return;
	}
	f->given += (uint64_t)n;
	accept_body(f->accept, sv_make(piece, (size_t)n));
	/* A piece a round: sessions have their turns between. */
	io_task_post(f->d->in->loop, &f->task);
}

static void on_room(void *arg)
{
	struct drop_file *f = arg;

	io_task_post(f->d->in->loop, &f->task);
}

/* False: `out` asks to come again later. Who is refused for good gets into the queue, too, and bounces from
 * there. */
static bool take_recipients(struct drop_file *f, struct answer *out)
{
	for (size_t i = 0; i < f->envelope.recipient_count; i++) {
		struct smtp_server_event e = { .kind = SMTP_SERVER_EV_RCPT,
			.address = f->envelope.recipients[i],
			.dsn_notify = f->envelope.notify };

		accept_rcpt(f->accept, &e, out);
		if (out->code >= 400 && out->code < 500)
			return false;
		if (out->code >= 500)
			log_event(LOG_WARN,
				"pickup",
				SV(""),
				"a recipient of local mail is refused",
				(const struct log_field[]){ LOG_F("user", sv_from(f->user)),
					LOG_F("to", f->envelope.recipients[i]),
					LOG_F("reply", sv_from(out->text)) },
				3);
	}
	return true;
}

static int rename_with_id(struct drop_file *f)
{
	char from[PATH_MAX], to[PATH_MAX], id[TEXT_ID_MAX];
	struct sv base = sv_from(f->name);
	char name[NAME_MAX + 1];
	int rc;

	if (!sv_ends_nocase(base, SV(DROP_SUFFIX)))
		return 0;
	path_of(f, from);
	if (snprintf(name, sizeof(name), "%s.%s", f->name, text_id(f->id, id)) >= (int)sizeof(name))
		return -ENAMETOOLONG;
	(void)snprintf(to, sizeof(to), "%s/%s", f->d->path, name);
	rc = io_fs_rename(from, to);
	if (rc != 0)
		return rc;
	(void)snprintf(f->name, sizeof(f->name), "%s", name);
	return 0;
}

static void open_message(struct drop_file *f, struct answer *out)
{
	const struct sockaddr local = { .sa_family = AF_UNIX };
	struct inbound *in = f->d->in;
	struct limit_payer payer;
	struct accept_origin origin = { .user = sv_from(f->user),
		.account = conf_local_user(in->conf, sv_from(f->user)),
		.client = SV("maildrop"),
		.payer = &payer,
		.listener = SV("maildrop"),
		.bytes_max = LIMIT_MESSAGE,
		.park_no_route = true,
		.is_whole = true };
	struct smtp_server_event mail = { .kind = SMTP_SERVER_EV_MAIL,
		.address = f->envelope.sender,
		.size = f->envelope.size,
		.smtputf8 = f->envelope.smtputf8,
		.dsn_ret = (uint8_t)f->envelope.ret,
		.envid = f->envelope.envid };

	principals_of(in, &local, f->uid, SV("maildrop"), NULL, &payer);
	f->accept = accept_new(in, in->conf, &origin);
	limit_payer_end(&payer, io_now(in->loop));
	accept_mail(f->accept, &mail, out);
	if (out->code >= 400 || !take_recipients(f, out))
		return;
	answer_set(out, 250, "2.0.0", "Ok");
	if (accept_recipient_count(f->accept) == 0)
		answer_set(out, 554, "5.5.1", "none of its recipients can be taken");
	else
		(void)!accept_pay_whole(f->accept, f->envelope.size, out);
}

static void take_message(struct drop_file *f)
{
	struct answer a;
	int rc;

	open_message(f, &a);
	if (a.code >= 400) {
		accept_abort(f->accept);
		f->accept = NULL;
		if (a.code >= 500)
			set_aside(f, a.text);
		else
			must_wait(f, &a);
		return;
	}
	accept_begin_body(f->accept, f->id, SV(""), SV("local"), SV(""));
	f->id = accept_id(f->accept);
	rc = rename_with_id(f);
	if (rc != 0) {
		give_up(f, rc);
		return;
	}
	accept_on_room(f->accept, on_room, f);
	f->next = f->d->renamed;
	f->d->renamed = f;
	io_task_post(f->d->in->loop, &f->d->sync);
}

/* The new names are safe before anything is handed to the queue: else a crash could take a file twice. */
void drop_files_renamed(void *arg)
{
	struct drop *d = arg;
	struct drop_file *f = TAKE(d->renamed);
	int rc = io_folder_sync(d->path, NULL);

	while (f) {
		struct drop_file *next = f->next;

		if (rc != 0)
			give_up(f, rc);
		else
			io_task_post(d->in->loop, &f->task);
		f = next;
	}
}

/* ---- beginning ---- */

static void looked_up(struct store_op *op)
{
	struct drop_file *f = CONTAINER_OF(op, struct drop_file, show.op);

	if (op->rc == RC_NOT_FOUND) {
		take_message(f);
		return;
	}
	/* Its message was committed before we died. */
	if (op->rc == 0)
		remove_file(f);
	done(f);
}

static void refuse_or_wait(struct drop_file *f, int rc, const struct err *err)
{
	if (rc == RC_PARSE || rc == RC_LIMIT)
		set_aside(f, err->text);
	else
		wait_for_better(f, rc);
}

static void owner_known(struct drop_file *f)
{
	struct err err = { 0 };
	int rc = read_envelope(f, &f->st, &err);

	if (rc != 0) {
		refuse_or_wait(f, rc, &err);
		return;
	}
	if (f->id == 0) {
		take_message(f);
		return;
	}
	f->show = (struct store_show){ .op.kind = STORE_OP_SHOW,
		.op.done = looked_up,
		.message_id = f->id,
		.out_arena = &f->show_arena };
	store_submit(f->d->in->store, &f->show.op);
}

/* Routes go by this name: it may be the number only when there is no name. */
static void name_found(void *arg, int rc, struct sv name)
{
	struct drop_file *f = arg;

	f->query = NULL;
	if (rc == -ECANCELED) {
		done(f);
		return;
	}
	if (rc != 0 && rc != RC_NO_NAME) {
		wait_for_better(f, rc);
		return;
	}
	if (rc == 0)
		(void)snprintf(f->user, sizeof(f->user), "local:%.*s", SV_ARG(name));
	else
		(void)snprintf(f->user, sizeof(f->user), "local:%u", f->uid);
	owner_known(f);
}

void drop_file_begin(struct drop *d, const char *name, uint64_t id)
{
	const struct conf_general *g = conf_general(d->in->conf);
	struct drop_file *f = xcalloc(1, sizeof(*f));
	const char *fault;
	char path[PATH_MAX];
	struct stat st;
	int rc;

	f->d = d;
	f->id = id;
	f->task = (struct io_task){ .run = feed, .arg = f };
	(void)snprintf(f->name, sizeof(f->name), "%s", name);
	path_of(f, path);
	/* A fifo must not stop us, nor a link lead us elsewhere. */
	f->fd = io_fs_open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
	if (f->fd == -ELOOP || f->fd == -ENXIO) {
		set_aside(f, f->fd == -ELOOP ? "it is a symbolic link" : "it is no plain file");
		return;
	}
	rc = f->fd < 0 ? f->fd : io_fs_stat_open(f->fd, &st);
	if (rc != 0) {
		wait_for_better(f, rc);
		return;
	}
	fault = check_file(&st, g);
	if (fault) {
		set_aside(f, fault);
		return;
	}
	f->uid = st.st_uid;
	f->st = st;
	f->query = io_names_ask(d->in->names, f->uid, name_found, f);
}
