/* SPDX-License-Identifier: Apache-2.0 */
#include "identity/users.h"

#include "base/htable.h"
#include "base/list.h"
#include "base/must.h"
#include "identity/secrets.h"
#include "io/file.h"
#include "mail/address.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdlib.h>

/*
 * Checks wait in a queue here and go to the worker pool one at a time: PBKDF2 by design burns a core,
 * and a second one must stay free for whatever else is slow.
 *
 * Unknown names are checked against a made-up verifier whose keys nobody can derive, so that neither
 * the time nor the salt of SCRAM tells which names exist. It is made from the name with a key that stays
 * over restarts: the same name gets the same salt each time, as a real one would.
 */
enum {
	/* At some 10 ms each. inbound/ gives no peer more than its part of them. */
	CHECKS_WAITING_MAX = 256,
	MADE_UP_ITERATIONS = 4096,
	KEY_LEN = 32,
};

struct identity_users {
	unsigned refs;
	struct io_workers *workers;
	struct htable by_name; /* -> struct smtp_scram_verifier */
	unsigned char key[KEY_LEN];
	uint32_t iterations; /* of the made-up ones: what the real ones have */
	struct list waiting; /* struct identity_check */
	unsigned waiting_count;
	uint64_t turn; /* of the check that was started last */
	struct identity_check *running;
};

/* Owned by the users while it waits or runs. A worker touches verifier, password and ok only. */
struct identity_check {
	struct list node;
	struct identity_users *users;
	struct smtp_scram_verifier verifier;
	struct secret *password;
	char *peer;
	uint64_t turn; /* the lowest is next; of equal ones the first that came */
	bool known, ok, cancelled;
	identity_check_fn *done;
	void *arg;
};

static void users_free(struct identity_users *u)
{
	htable_each (&u->by_name, slot) {
		secret_wipe(slot->value, sizeof(struct smtp_scram_verifier));
		free(slot->value);
	}
	htable_deinit(&u->by_name);
	secret_wipe(u->key, sizeof(u->key));
	free(u);
}

void identity_users_unref(struct identity_users *u)
{
	if (!u)
		return;
	must(u->refs > 0);
	if (--u->refs == 0)
		users_free(u);
}
DEFINE_CLEANUP(struct identity_users, identity_users_unref);

static int load_user(struct identity_users *u, const struct conf_user *user, struct err *err)
{
	CLEANUP(secret_freep) struct secret *text = NULL;
	struct smtp_scram_verifier *v;
	int rc = identity_secret_load(&user->password, NULL, &text, NULL, err);

	if (rc != 0)
		return err_wrap(err, "user %.*s", SV_ARG(user->name));
	v = xcalloc(1, sizeof(*v));
	rc = smtp_scram_parse(sv_trim(secret_reveal(text)), v);
	if (rc != 0) {
		free(v);
		return err_set(err,
			RC_CONFIG,
			"%s:%u:%u: user %.*s: this is no verifier: write the file with `postern "
			"user add %.*s`",
			user->password.place.file ? user->password.place.file : "configuration",
			user->password.place.line,
			user->password.place.column,
			SV_ARG(user->name),
			SV_ARG(user->name));
	}
	free(htable_take(&u->by_name, user->name));
	htable_put(&u->by_name, user->name, v);
	u->iterations = v->iterations;
	return 0;
}

static void load_key(struct identity_users *u, const char *file)
{
	CLEANUP(buf_deinitp) struct buf bytes = BUF_INIT(KEY_LEN);

	if (file && io_file_read(file, KEY_LEN, &bytes, NULL) == 0 && bytes.len == KEY_LEN) {
		memcpy(u->key, buf_sv(&bytes).ptr, KEY_LEN);
		secret_wipe(bytes.ptr, bytes.cap);
		return;
	}
	io_random(u->key, sizeof(u->key));
	/* On a full disk it is written at a later start: no reason to take no mail. */
	if (file)
		(void)!io_file_write_durably(
			file, sv_make((const char *)u->key, KEY_LEN), 0600, NULL);
}

struct identity_users *identity_users_new(
	const struct conf *c, struct io_workers *workers, const char *key_file, struct err *err)
{
	CLEANUP(identity_users_unrefp) struct identity_users *u = xcalloc(1, sizeof(*u));
	size_t count;
	const struct conf_user *users = conf_users(c, &count);

	u->refs = 1;
	u->workers = workers;
	u->iterations = MADE_UP_ITERATIONS;
	list_init(&u->waiting);
	load_key(u, key_file);
	/* Peers choose the names that are looked up. */
	io_random(&u->by_name.seed, sizeof(u->by_name.seed));
	for (size_t i = 0; i < count; i++)
		if (!users[i].local && load_user(u, &users[i], err) != 0)
			return NULL;
	return TAKE(u);
}

static void derive(
	const struct identity_users *u, char part, struct sv name, unsigned char out[KEY_LEN])
{
	unsigned char message[1 + 256] = { (unsigned char)part };
	unsigned len = 0;

	/* Longer names cannot be configured; that those share what follows tells nothing. */
	name = sv_head(name, sizeof(message) - 1);
	if (name.len)
		memcpy(message + 1, name.ptr, name.len);
	must(HMAC(EVP_sha256(), u->key, KEY_LEN, message, 1 + name.len, out, &len) != NULL);
	must(len == KEY_LEN);
}

static void make_up(const struct identity_users *u, struct sv name, struct smtp_scram_verifier *out)
{
	unsigned char bytes[KEY_LEN];

	*out = (struct smtp_scram_verifier){ .iterations = u->iterations };
	derive(u, 'i', name, bytes);
	memcpy(out->salt, bytes, sizeof(out->salt));
	derive(u, 's', name, out->stored_key);
	derive(u, 'k', name, out->server_key);
	secret_wipe(bytes, sizeof(bytes));
}

bool identity_users_verifier(
	const struct identity_users *u, struct sv name, struct smtp_scram_verifier *out_verifier)
{
	const struct smtp_scram_verifier *known = htable_get(&u->by_name, name);

	/* Made up for known names too, so that both cost the same. */
	make_up(u, name, out_verifier);
	if (known)
		*out_verifier = *known;
	return known != NULL;
}

bool identity_users_same(
	const struct identity_users *a, const struct identity_users *b, struct sv name)
{
	const struct smtp_scram_verifier *va = htable_get(&a->by_name, name);
	const struct smtp_scram_verifier *vb = htable_get(&b->by_name, name);

	return va && vb &&
	       CRYPTO_memcmp(va->stored_key, vb->stored_key, sizeof(va->stored_key)) == 0;
}

static void check_free(struct identity_check *c)
{
	secret_free(c->password);
	free(c->peer);
	secret_wipe(&c->verifier, sizeof(c->verifier));
	free(c);
}

/* In a worker. */
static void check_run(void *arg)
{
	struct identity_check *c = arg;

	c->ok = smtp_scram_check(&c->verifier, secret_reveal(c->password));
}

static void check_done(void *arg);

/* False: the pool is full; the check stays where it is. */
static bool start(struct identity_check *c)
{
	if (io_workers_run(c->users->workers, check_run, check_done, c) != 0)
		return false;
	c->users->running = c;
	c->users->turn = c->turn;
	return true;
}

static void finish(struct identity_check *c, bool ok)
{
	struct identity_users *u = c->users;
	identity_check_fn *done = c->cancelled ? NULL : c->done;
	void *arg = c->arg;

	check_free(c);
	if (done)
		done(arg, ok);
	/* The check's own reference: last, since `done` may drop the owner's. */
	identity_users_unref(u);
}

/* The turn behind the last of the same peer, or the next one. */
static uint64_t turn_of(const struct identity_users *u, const struct identity_ask *ask)
{
	uint64_t last = u->turn;

	list_each (at, &u->waiting) {
		const struct identity_check *c = list_entry(at, struct identity_check, node);

		if (c->turn > last && sv_eq(sv_from(c->peer), ask->peer))
			last = c->turn;
	}
	return last + 1 + ask->late;
}

static struct identity_check *next_of(struct identity_users *u)
{
	struct identity_check *first = NULL;

	/* The analyzer loses sight of rings. NOLINTNEXTLINE(clang-analyzer-unix.Malloc) */
	list_each (at, &u->waiting) {
		struct identity_check *c = list_entry(at, struct identity_check, node);

		if (!first || c->turn < first->turn)
			first = c;
	}
	return first;
}

/* One at a time. A pool that others have filled is not asked again: those checks are refused. */
static void start_next(struct identity_users *u)
{
	while (!u->running && !list_empty(&u->waiting)) {
		struct identity_check *c = next_of(u);

		list_remove(&c->node);
		u->waiting_count--;
		if (!start(c))
			finish(c, false);
	}
}

static void check_done(void *arg)
{
	struct identity_check *c = arg;
	struct identity_users *u = c->users;

	u->running = NULL;
	u->refs++;
	start_next(u);
	finish(c, c->known && c->ok);
	identity_users_unref(u);
}

int identity_users_check(struct identity_users *u, const struct identity_ask *ask,
	identity_check_fn *done, void *arg, struct identity_check **out_check)
{
	struct identity_check *c;

	if (u->waiting_count >= CHECKS_WAITING_MAX)
		return -EAGAIN;
	c = xcalloc(1, sizeof(*c));
	*c = (struct identity_check){ .users = u, .done = done, .arg = arg };
	list_init(&c->node);
	c->known = identity_users_verifier(u, ask->name, &c->verifier);
	c->password = secret_new(ask->password);
	c->peer = sv_dup(ask->peer);
	c->turn = turn_of(u, ask);
	if (!u->running && !start(c)) {
		check_free(c);
		return -EAGAIN;
	}
	if (u->running != c) {
		list_append(&u->waiting, &c->node);
		u->waiting_count++;
	}
	u->refs++;
	*out_check = c;
	return 0;
}

void identity_check_cancel(struct identity_check *c)
{
	c->cancelled = true;
	if (c->users->running == c)
		return; /* a worker has it: it comes back and is dropped */
	list_remove(&c->node);
	c->users->waiting_count--;
	finish(c, false);
}

bool identity_sender_allowed(const struct conf_user *user, struct sv sender)
{
	if (sender.len == 0)
		return true;
	for (size_t i = 0; i < user->sender_count; i++)
		if (address_matches(user->senders[i], sender))
			return true;
	return false;
}
