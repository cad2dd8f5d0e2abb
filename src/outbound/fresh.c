/* SPDX-License-Identifier: Apache-2.0 */
#include "base/must.h"
#include "identity/secrets.h"
#include "outbound/outbound_priv.h"
#include "provider/defaults.h"

#include <stdlib.h>

/* What lanes need of a snapshot, read by a worker: secrets, TLS contexts. */

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
void outbound_take_tls(struct outbound *o, struct outbound_fresh *fresh)
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
