/* SPDX-License-Identifier: Apache-2.0 */
#include "identity/vault.h"

#include "base/must.h"
#include "base/text.h"
#include "identity/secrets_priv.h"
#include "identity/vault_priv.h"
#include "io/file.h"
#include "io/loop.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

enum {
	/* Rewritten when so much of the file is of records that count no more. */
	WASTE_MIN = 1 << 16,
};

/* ---- the key ---- */

static int hex_digit(char c)
{
	c = ascii_lower(c);
	return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool read_hex(struct sv text, char *out)
{
	for (size_t i = 0; i < VAULT_KEY_LEN; i++) {
		int high = hex_digit(text.ptr[2 * i]), low = hex_digit(text.ptr[2 * i + 1]);

		if (high < 0 || low < 0)
			return false;
		out[i] = (char)(high * 16 + low);
	}
	return true;
}

int identity_vault_key(const struct secret *text, struct secret **out_key, struct err *err)
{
	struct sv v = sv_trim(identity_secret_line(secret_reveal(text)));
	struct secret *key;
	char *bytes;

	key = secret_alloc(VAULT_KEY_LEN, &bytes);
	if (v.len == 2 * VAULT_KEY_LEN && read_hex(v, bytes)) {
		*out_key = key;
		return 0;
	}
	secret_free(key);
	return err_set(err,
		RC_CONFIG,
		"the key of the vault must be 64 hexadecimal digits: make one with "
		"`postern vault key`");
}

static int read_key(struct identity_vault *v, struct err *err)
{
	struct secret *text = NULL, *key = NULL;
	int rc = identity_secret_load(&v->source, NULL, &text, NULL, err);

	if (rc == 0)
		rc = identity_vault_key(text, &key, err);
	secret_free(text);
	if (rc != 0)
		return rc;
	secret_free(v->key);
	v->key = key;
	return 0;
}

/* ---- locks ---- */

/* Locks both ways and refreshes; end() undoes it. */
static int begin(struct identity_vault *v, int how, int *out_fd, struct err *err)
{
	int rc;

	io_mutex_lock(&v->lock);
	rc = v->key ? 0 : read_key(v, err);
	if (rc == 0)
		rc = vault_file_lock(v, how, out_fd, err);
	if (rc == 0) {
		rc = vault_map_refresh(v, err);
		if (rc != 0)
			io_closep(out_fd);
	}
	if (rc != 0)
		io_mutex_unlock(&v->lock);
	return rc;
}

static void end(struct identity_vault *v, int *fd)
{
	io_closep(fd);
	io_mutex_unlock(&v->lock);
}

/* ---- rewriting: everything under the exclusive lock ---- */

/* `inner` is taken; the map is read back from the disk: it is what a reader would see. */
static int rewrite(struct identity_vault *v, struct vault_header *h, struct secret *inner,
	enum vault_keep keep, char out_kept[PATH_MAX], struct err *err)
{
	CLEANUP(buf_deinitp) struct buf out = BUF_INIT(VAULT_FILE_MAX);
	int rc;

	io_random(h->id, sizeof(h->id));
	h->generation = v->at.header.generation + 1;
	rc = vault_map_write(v, inner, h, &out);
	if (rc != 0)
		(void)err_set(err, rc, "the vault is too large");
	else
		rc = vault_file_replace(v, buf_sv(&out), keep, out_kept, err);
	secret_free(inner);
	vault_map_forget(v);
	return rc ? rc : vault_map_refresh(v, err);
}

/* Another key for the records; that of the tags stays, as damaged names are known by nothing else. */
static struct secret *fresh_inner(const struct identity_vault *v)
{
	char *bytes;
	struct secret *inner = secret_alloc(VAULT_INNER_LEN, &bytes);

	io_random(bytes, VAULT_INNER_LEN);
	if (v->inner)
		memcpy(bytes + VAULT_KEY_LEN,
			secret_reveal(v->inner).ptr + VAULT_KEY_LEN,
			VAULT_KEY_LEN);
	return inner;
}

/* To begin, to bring format 1 forward, and to forget older keys. */
static int rewrite_for(struct identity_vault *v, const struct secret *key,
	const struct secret *next_key, enum vault_keep keep, char out_kept[PATH_MAX],
	struct err *err)
{
	struct secret *inner = fresh_inner(v);
	struct vault_header h = { 0 };

	vault_header_add_key(&h, inner, key);
	if (next_key)
		vault_header_add_key(&h, inner, next_key);
	return rewrite(v, &h, inner, keep, out_kept, err);
}

/* What is damaged stays under another name, whatever the occasion. */
static enum vault_keep keep_of(const struct identity_vault *v)
{
	return v->at.damaged_records ? VAULT_KEEP_DAMAGED : VAULT_KEEP_BEFORE;
}

static int rewrite_keys(struct identity_vault *v, const struct secret *key,
	const struct secret *next_key, struct err *err)
{
	char kept[PATH_MAX];

	return rewrite_for(v, key, next_key, keep_of(v), kept, err);
}

/* Whoever else can open it can do so afterwards. */
static int compact(
	struct identity_vault *v, enum vault_keep keep, char out_kept[PATH_MAX], struct err *err)
{
	struct vault_header h = v->at.header;

	return rewrite(v, &h, secret_new(secret_reveal(v->inner)), keep, out_kept, err);
}

/* After begin(): a vault that exists, of today's format, and not mostly of dead records. */
static int make_ready(struct identity_vault *v, struct err *err)
{
	char kept[PATH_MAX];

	if (v->at.format < 2)
		return rewrite_keys(v, v->key, NULL, err);
	if (v->at.read_bytes > 2 * v->at.live_bytes + WASTE_MIN + VAULT_RECORDS_AT)
		return compact(v, keep_of(v), kept, err);
	return 0;
}

static int append(struct identity_vault *v, struct vault_record *r, struct err *err)
{
	CLEANUP(buf_deinitp) struct buf out = BUF_INIT(VAULT_HEAD_LEN + VAULT_CIPHER_MAX);
	struct vault_seal seal = { .inner = v->inner };
	uint64_t number = v->at.number + v->at.slack;
	int rc;

	memcpy(seal.id, v->at.header.id, VAULT_ID_LEN);
	must(vault_record_seal(r, &seal, number, &out) == 0);
	rc = vault_file_append(v, buf_sv(&out), err);
	return rc ? rc : vault_map_refresh(v, err);
}

/* ---- life ---- */

static int set_paths(struct identity_vault *v, struct sv folder, struct err *err)
{
	const char *const names[] = { "vault", "vault.1", "vault.lock" };
	char *const paths[] = { v->path, v->before_path, v->lock_path };
	int n = snprintf(v->folder, sizeof(v->folder), "%.*s", SV_ARG(folder));

	for (size_t i = 0; i < COUNT_OF(names) && n >= 0 && n < PATH_MAX; i++)
		n = snprintf(paths[i], PATH_MAX, "%s/%s", v->folder, names[i]);
	if (n < 0 || n >= PATH_MAX)
		return err_set(err, -ENAMETOOLONG, "data_dir is too long");
	return 0;
}

/* Of the caller's configuration nothing is kept: it may be replaced while the vault is open. */
static void set_source(struct identity_vault *v, const struct conf_secret *key)
{
	v->source = *key;
	v->source.name = sv_from(sv_dup(key->name));
	v->source.place.file = key->place.file ? sv_dup(sv_from(key->place.file)) : NULL;
}

static int vault_new(struct sv data_dir, const struct conf_secret *key,
	struct identity_vault **out_vault, struct err *err)
{
	struct identity_vault *v;
	int rc;

	if (key->kind == CONF_SECRET_NONE)
		return err_set(err,
			RC_CONFIG,
			"there is no vault: postern vault key | install -m 0640 -g postern "
			"/dev/stdin /etc/postern/vault.key; then write vault: { key: "
			"file:/etc/postern/vault.key }");
	must(sodium_init() >= 0);
	v = xcalloc(1, sizeof(*v));
	io_mutex_init(&v->lock);
	set_source(v, key);
	rc = set_paths(v, data_dir, err);
	if (rc != 0) {
		identity_vault_free(v);
		return rc;
	}
	*out_vault = v;
	return 0;
}

static bool is_absent(const struct identity_vault *v)
{
	struct stat st;

	return io_fs_stat(v->path, &st) == -ENOENT && !io_fs_exists(v->before_path);
}

/* `check` may look at a data_dir that is not made yet: no vault is an empty one. */
static int open_now(struct identity_vault *v, bool make, struct err *err)
{
	int fd = -1;
	int rc = read_key(v, err);

	if (rc == 0 && !make && is_absent(v))
		return 0;
	if (rc == 0 && make)
		rc = vault_file_make_folder(v, err);
	if (rc == 0)
		rc = begin(v, make ? LOCK_EX : LOCK_SH, &fd, err);
	if (rc != 0)
		return rc;
	if (make) {
		vault_file_sweep(v);
		if (v->at.format < 2)
			rc = rewrite_keys(v, v->key, NULL, err);
	}
	end(v, &fd);
	return rc;
}

int identity_vault_open(
	const struct conf *c, bool make, struct identity_vault **out_vault, struct err *err)
{
	const struct conf_general *g = conf_general(c);

	return identity_vault_open_at(g->data_dir, &g->vault_key, make, out_vault, err);
}

int identity_vault_open_at(struct sv data_dir, const struct conf_secret *key, bool make,
	struct identity_vault **out_vault, struct err *err)
{
	struct identity_vault *v = NULL;
	int rc = vault_new(data_dir, key, &v, err);

	if (rc == 0)
		rc = open_now(v, make, err);
	if (rc != 0) {
		identity_vault_free(v);
		return rc;
	}
	*out_vault = v;
	return 0;
}

int identity_vault_open_later(
	const struct conf *c, struct identity_vault **out_vault, struct err *err)
{
	const struct conf_general *g = conf_general(c);
	int rc = vault_new(g->data_dir, &g->vault_key, out_vault, err);

	return rc ? rc : open_now(*out_vault, true, err);
}

void identity_vault_free(struct identity_vault *v)
{
	if (!v)
		return;
	vault_map_forget(v);
	secret_free(v->key);
	free((char *)(uintptr_t)v->source.name.ptr);
	free((char *)(uintptr_t)v->source.place.file);
	io_mutex_deinit(&v->lock);
	free(v);
}

/* ---- what others ask ---- */

static int no_such(struct sv name, struct err *err)
{
	return err_set(err,
		RC_NOT_FOUND,
		"the vault has no '%.*s': put it there with `postern vault put %.*s`",
		SV_ARG(sv_head(name, 60)),
		SV_ARG(sv_head(name, 60)));
}

static int is_lost(struct sv name, struct err *err)
{
	return err_set(err,
		-EBADMSG,
		"what the vault kept as '%.*s' is damaged on the disk: put it there again with "
		"`postern vault put %.*s`",
		SV_ARG(sv_head(name, 60)),
		SV_ARG(sv_head(name, 60)));
}

int identity_vault_get(
	struct identity_vault *v, struct sv name, struct secret **out_value, struct err *err)
{
	const struct vault_entry *e;
	bool lost;
	int fd = -1;

	if (is_absent(v))
		return no_such(name, err);
	if (begin(v, LOCK_SH, &fd, err) != 0)
		return -ENOKEY;
	e = htable_get(&v->entries, name);
	if (e)
		*out_value = secret_new(secret_reveal(e->value));
	lost = !e && vault_map_is_lost(v, name);
	end(v, &fd);
	return e ? 0 : lost ? is_lost(name, err) : no_such(name, err);
}

static int change(struct identity_vault *v, struct vault_record *r, struct err *err)
{
	int fd = -1;
	int rc;

	/* The daemon may have begun without data_dir's vault. */
	rc = r->kind == VAULT_RECORD_PUT ? vault_file_make_folder(v, err) : 0;
	if (rc == 0)
		rc = begin(v, LOCK_EX, &fd, err);
	if (rc != 0)
		return rc;
	if (r->kind == VAULT_RECORD_REMOVE && !htable_get(&v->entries, r->name) &&
		!vault_map_is_lost(v, r->name))
		rc = no_such(r->name, err);
	else if (r->kind == VAULT_RECORD_PUT && !htable_get(&v->entries, r->name) &&
		 v->entries.count >= VAULT_ENTRIES_MAX)
		rc = err_set(
			err, RC_LIMIT, "the vault is full: %d secrets", (int)VAULT_ENTRIES_MAX);
	if (rc == 0)
		rc = make_ready(v, err);
	if (rc == 0)
		rc = append(v, r, err);
	end(v, &fd);
	return rc;
}

int identity_vault_put(struct identity_vault *v, struct sv name, struct sv value, struct err *err)
{
	struct vault_record r = {
		.kind = VAULT_RECORD_PUT, .at = io_clock_wall(), .name = name, .value = value
	};

	if (name.len == 0 || name.len > VAULT_NAME_MAX)
		return err_set(err,
			RC_LIMIT,
			"the name of a secret has 1 to %d characters",
			(int)VAULT_NAME_MAX);
	if (value.len == 0 || value.len > VAULT_VALUE_MAX)
		return err_set(err, RC_LIMIT, "a secret has 1 to %d bytes", (int)VAULT_VALUE_MAX);
	return change(v, &r, err);
}

int identity_vault_remove(struct identity_vault *v, struct sv name, struct err *err)
{
	struct vault_record r = {
		.kind = VAULT_RECORD_REMOVE, .at = io_clock_wall(), .name = name
	};

	if (name.len == 0 || name.len > VAULT_NAME_MAX)
		return no_such(name, err);
	return change(v, &r, err);
}

static int by_name(const void *a, const void *b)
{
	const struct identity_vault_entry *x = a, *y = b;

	return sv_cmp(x->name, y->name);
}

int identity_vault_each(struct identity_vault *v,
	void (*each)(void *arg, const struct identity_vault_entry *entry), void *arg,
	struct err *err)
{
	struct identity_vault_entry *all;
	size_t count = 0;
	int fd = -1, rc;

	if (is_absent(v))
		return 0;
	rc = begin(v, LOCK_SH, &fd, err);
	if (rc != 0)
		return rc;
	all = xcalloc(v->entries.count + 1, sizeof(*all));
	htable_each (&v->entries, slot) {
		const struct vault_entry *e = slot->value;

		all[count++] =
			(struct identity_vault_entry){ .name = sv_make(slot->key, slot->key_len),
				.changed_at = e->changed_at,
				.bytes = secret_reveal(e->value).len };
	}
	qsort(all, count, sizeof(*all), by_name);
	for (size_t i = 0; i < count; i++)
		each(arg, &all[i]);
	free(all);
	end(v, &fd);
	return 0;
}

/* ---- keys ---- */

int identity_vault_rekey(struct identity_vault *v, const struct secret *new_key, struct err *err)
{
	CLEANUP(secret_freep) struct secret *key = NULL;
	int fd = -1;
	int rc = identity_vault_key(new_key, &key, err);

	if (rc == 0)
		rc = vault_file_make_folder(v, err);
	if (rc == 0)
		rc = begin(v, LOCK_EX, &fd, err);
	if (rc != 0)
		return rc;
	rc = rewrite_keys(v, v->key, key, err);
	end(v, &fd);
	return rc;
}

int identity_vault_settle(struct identity_vault *v, struct err *err)
{
	char kept[PATH_MAX];
	int fd = -1, rc;

	io_mutex_lock(&v->lock);
	rc = read_key(v, err);
	/* Opened by the key of before: found out anew, with this one. */
	if (rc == 0 && v->at.header.keys > 1)
		vault_map_forget(v);
	io_mutex_unlock(&v->lock);
	if (rc != 0 || is_absent(v))
		return rc;
	rc = begin(v, LOCK_EX, &fd, err);
	if (rc != 0)
		return rc;
	if (v->at.header.keys > 1 && v->at.newest_key)
		rc = rewrite_for(v, v->key, NULL, VAULT_KEEP_NOTHING, kept, err);
	end(v, &fd);
	return rc;
}

/* ---- looking after it ---- */

int identity_vault_look(
	struct identity_vault *v, struct identity_vault_health *out, struct err *err)
{
	int fd = -1, rc;

	*out = (struct identity_vault_health){ 0 };
	if (is_absent(v))
		return 0;
	rc = begin(v, LOCK_SH, &fd, err);
	if (rc != 0)
		return rc;
	*out = (struct identity_vault_health){ .format = v->at.format,
		.generation = v->at.header.generation,
		.secrets = v->entries.count,
		.lost = v->lost_count,
		.damaged_records = v->at.damaged_records,
		.damaged_bytes = v->at.damaged_bytes,
		.header_damaged = v->at.copy_damaged,
		.two_keys = v->at.header.keys > 1,
		.new_key = v->at.newest_key };
	end(v, &fd);
	return 0;
}

/* A file without a header gives way to the one before it, a wrong key to nothing. */
static int read_what_is_left(struct identity_vault *v, struct err *err)
{
	int rc = vault_map_refresh(v, err);

	if (rc != -EUCLEAN)
		return rc;
	rc = io_fs_exists(v->before_path) ? vault_map_read(v, v->before_path, err) : 0;
	return rc == -EUCLEAN ? 0 : rc;
}

int identity_vault_repair(struct identity_vault *v, char out_kept[PATH_MAX], struct err *err)
{
	int fd = -1, rc;

	out_kept[0] = '\0';
	io_mutex_lock(&v->lock);
	rc = read_key(v, err);
	if (rc == 0)
		rc = vault_file_lock(v, LOCK_EX, &fd, err);
	if (rc == 0)
		rc = read_what_is_left(v, err);
	if (rc == 0)
		rc = v->at.format == 2
			     ? compact(v, VAULT_KEEP_DAMAGED, out_kept, err)
			     : rewrite_for(v, v->key, NULL, VAULT_KEEP_DAMAGED, out_kept, err);
	end(v, &fd);
	return rc;
}
