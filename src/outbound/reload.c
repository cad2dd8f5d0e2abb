/* SPDX-License-Identifier: Apache-2.0 */
#include "base/must.h"
#include "identity/secrets.h"
#include "io/log.h"
#include "outbound/outbound_priv.h"
#include "provider/defaults.h"

#include <stdlib.h>

/*
 * A new snapshot. A worker has read what its lanes need (secrets, TLS contexts); the lanes change over some at a time,
 * and until then each goes on as it did. What has not changed is kept: a secret, a TLS context with its sessions.
 */
enum {
	RELOAD_LANES_MAX = 500, /* in one slice, whatever the clock says */
};

struct outbound_fresh {
	struct identity_vault *vault;
	struct arena arena;
	struct sv *keys; /* of the lanes that there are */
	size_t key_count;
	struct htable secrets; /* secret_key() -> struct fresh_secret */
	struct htable tls;     /* tls_key() -> struct io_tls */
};
struct fresh_secret {
	struct secret *secret;
	const char *warning;
};

/* ---- TLS ---- */

static void tls_key(const struct conf_lane *c, struct buf *out)
{
	must(buf_printf(out, "%.*s\n%.*s", SV_ARG(c->ca_file), SV_ARG(c->certificate)) == 0);
}

static struct io_tls *make_tls(const struct conf_lane *c, const struct secret *key,
	const struct secret *passphrase, struct err *err)
{
	char *ca = sv_dup(c->ca_file), *certificate = sv_dup(c->certificate);
	struct io_tls *tls = io_tls_client_new(c->ca_file.len ? ca : NULL, err);
	int rc = 0;

	if (tls && c->certificate.len)
		rc = io_tls_client_identity(
			tls, certificate, key ? secret_reveal(key) : SV(""), passphrase, err);
	if (rc != 0) {
		io_tls_unref(tls);
		tls = NULL;
	}
	free(ca);
	free(certificate);
	return tls;
}

struct io_tls *outbound_tls(struct lane *l, struct err *err)
{
	CLEANUP(buf_deinitp) struct buf key = BUF_INIT(65536);
	struct io_tls *tls;

	tls_key(l->c, &key);
	tls = htable_get(&l->o->tls, buf_sv(&key));
	if (tls)
		return tls;
	tls = make_tls(l->c, l->certificate_key, l->passphrase, err);
	if (tls)
		htable_put(&l->o->tls, buf_sv(&key), tls);
	return tls;
}

/* ---- in a worker ---- */

static void secret_key(const struct conf_secret *where, struct buf *out)
{
	must(buf_printf(out, "%d %.*s", (int)where->kind, SV_ARG(where->name)) == 0);
}

const struct secret *outbound_fresh_secret(
	const struct outbound_fresh *f, const struct conf_secret *where, const char **out_warning)
{
	CLEANUP(buf_deinitp) struct buf key = BUF_INIT(65536);
	const struct fresh_secret *s;

	if (!f || where->kind == CONF_SECRET_NONE)
		return NULL;
	secret_key(where, &key);
	s = htable_get(&f->secrets, buf_sv(&key));
	if (s)
		*out_warning = s->warning;
	return s ? s->secret : NULL;
}

/* What cannot be read is not kept: its lane finds out itself, and says so with its own place in the file. */
static const struct secret *read_secret(struct outbound_fresh *f, const struct conf_secret *where)
{
	CLEANUP(buf_deinitp) struct buf key = BUF_INIT(65536);
	const char *warning = NULL;
	struct fresh_secret *s;
	struct secret *secret;
	struct err err;

	if (where->kind == CONF_SECRET_NONE || where->kind == CONF_SECRET_COMMAND)
		return NULL;
	secret_key(where, &key);
	s = htable_get(&f->secrets, buf_sv(&key));
	if (s)
		return s->secret;
	if (identity_secret_load(where, f->vault, &secret, &warning, &err) != 0)
		return NULL;
	s = xcalloc(1, sizeof(*s));
	*s = (struct fresh_secret){ .secret = secret, .warning = warning };
	htable_put(&f->secrets, buf_sv(&key), s);
	return secret;
}

static void read_tls(struct outbound_fresh *f, const struct conf_lane *c, const struct secret *key,
	const struct secret *passphrase)
{
	CLEANUP(buf_deinitp) struct buf name = BUF_INIT(65536);
	struct io_tls *tls;
	struct err err;

	if (c->tls == SMTP_CLIENT_TLS_NONE || provider_defaults(c->provider)->is_http)
		return;
	tls_key(c, &name);
	if (htable_get(&f->tls, buf_sv(&name)))
		return;
	tls = make_tls(c, key, passphrase, &err);
	if (tls)
		htable_put(&f->tls, buf_sv(&name), tls);
}

void outbound_fresh_read(struct outbound_fresh *f, const struct conf *conf)
{
	for (size_t i = 0; i < f->key_count; i++) {
		const struct conf_lane *c = conf_lane(conf, f->keys[i]);

		if (!c)
			continue;
		(void)read_secret(f, &c->password);
		read_tls(f, c, read_secret(f, &c->certificate_key), read_secret(f, &c->passphrase));
	}
}

/* ---- on the loop ---- */

struct outbound_fresh *outbound_fresh_new(const struct outbound *o)
{
	struct outbound_fresh *f = xcalloc(1, sizeof(*f));

	f->vault = o->vault;
	f->key_count = o->lane_count;
	f->keys = arena_alloc(&f->arena, (o->lane_count + 1) * sizeof(*f->keys));
	for (size_t i = 0; i < o->lane_count; i++)
		f->keys[i] = arena_sv(&f->arena, o->all_lanes[i]->key);
	return f;
}

void outbound_fresh_free(struct outbound_fresh *f)
{
	if (!f)
		return;
	htable_each (&f->secrets, slot) {
		struct fresh_secret *s = slot->value;

		secret_free(s->secret);
		free(s);
	}
	htable_deinit(&f->secrets);
	htable_each (&f->tls, slot)
		io_tls_unref(slot->value);
	htable_deinit(&f->tls);
	arena_reset(&f->arena);
	free(f);
}

/* Those that are not in `fresh` are made again when they are needed. Connections hold their own reference. */
static void take_tls(struct outbound *o, struct outbound_fresh *fresh)
{
	struct htable old = o->tls;

	o->tls = (struct htable){ .seed = old.seed };
	htable_each (&old, slot) {
		struct sv key = sv_make(slot->key, slot->key_len);
		struct io_tls *before = slot->value;
		struct io_tls *read = fresh ? htable_take(&fresh->tls, key) : NULL;
		bool same = read && io_tls_same(before, read);

		if (read)
			htable_put(&o->tls, key, same ? before : read);
		io_tls_unref(same ? read : before);
	}
	htable_deinit(&old);
}

static void reload_lane(struct outbound *o, struct lane *l)
{
	const struct sched_hold_reason *why = sched_hold_why(sched_lane_own(l->sched));

	lane_configure(l);
	if (l->c && why && why->nature != VERDICT_NATURE_REPUTATION)
		sched_hold_probe_now(sched_lane_own(l->sched), io_now(o->loop));
	lane_tell_order(l);
	lane_poke(l);
}

static void reload_ends(struct outbound *o)
{
	void (*done)(void *arg) = o->reload.done;

	outbound_fresh_free(TAKE(o->reload.fresh));
	/* What was held is tried; queues may have lost their last member, or mail without a route found one. */
	if (o->started) {
		parks_tell_order(o);
		flows_look(o, NULL);
	}
	o->reload.done = NULL;
	if (done)
		done(o->reload.arg);
}

static void reload_some(void *arg)
{
	struct outbound *o = arg;
	struct mono_time began = io_clock_mono();

	for (size_t i = 0; i < RELOAD_LANES_MAX && o->reload.at < o->reload.count; i++) {
		if (i % 8 == 7 && io_slice_is_over(began))
			break;
		reload_lane(o, o->all_lanes[o->reload.at++]);
	}
	if (o->reload.at < o->reload.count)
		io_task_post(o->loop, &o->reload.task);
	else
		reload_ends(o);
}

void outbound_reload(struct outbound *o, struct conf *conf, struct outbound_fresh *fresh,
	void (*done)(void *arg), void *arg)
{
	struct conf *old = o->conf;

	must(!io_task_is_queued(&o->reload.task));
	o->conf = conf_ref(conf);
	conf_unref(old);
	outbound_configured(o);
	/* What an administrator changed may have freed it. */
	park_probe_all(o);
	take_tls(o, fresh);
	o->reload.task = (struct io_task){ .run = reload_some, .arg = o };
	o->reload.fresh = fresh;
	o->reload.done = done;
	o->reload.arg = arg;
	o->reload.at = 0;
	/* A lane that comes later begins with the new snapshot. */
	o->reload.count = o->lane_count;
	reload_some(o);
}

/* ---- what is said of it ---- */

const char *outbound_password_notice(const struct conf *conf, enum provider_kind provider)
{
	return conf_has_password(conf, provider) ? provider_defaults(provider)->password_ends
						 : NULL;
}

/* What an administrator should not overlook, at the start and after each reload. */
static void say_loudly(const struct conf *conf)
{
	const struct conf_general *g = conf_general(conf);

	for (unsigned p = 0; p < PROVIDER_COUNT; p++) {
		const char *notice = outbound_password_notice(conf, p);

		if (notice)
			log_line(LOG_WARN, "qmgr", "%s", notice);
	}
	if (g->redirect_all.len)
		log_line(LOG_WARN,
			"qmgr",
			"STAGING: redirect_all sends every message to %.*s and to nobody else",
			SV_ARG(g->redirect_all));
}

void outbound_configured(struct outbound *o)
{
	say_loudly(o->conf);
}
