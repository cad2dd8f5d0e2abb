/* SPDX-License-Identifier: Apache-2.0 */
#include "identity/vault.h"

#include "base/htable.h"
#include "base/must.h"
#include "base/text.h"
#include "identity/secrets_priv.h"
#include "identity/vault_priv.h"
#include "io/file.h"
#include "io/loop.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
	FILE_MAX = 1 << 28,
	/* Rewritten when so much of the file is of records that count no more. */
	WASTE_MIN = 1 << 16,
};

struct entry {
	struct secret *value;
	struct wall_time changed_at;
	size_t record_bytes;
};

struct identity_vault {
	pthread_mutex_t lock;
	char path[PATH_MAX], lock_path[PATH_MAX];
	struct secret *key; /* 32 bytes */
	struct htable entries;
	/* What of the file is in `entries`. */
	ino_t inode;
	uint64_t read_bytes, live_bytes;
	uint64_t number; /* of the next record */
	unsigned char id[VAULT_ID_LEN];
};

/* ---- the map ---- */

static void entry_free(struct entry *e)
{
	if (!e)
		return;
	secret_free(e->value);
	free(e);
}

static void forget_all(struct identity_vault *v)
{
	htable_each (&v->entries, slot)
		entry_free(slot->value);
	htable_deinit(&v->entries);
	v->entries = (struct htable){ 0 };
	v->read_bytes = v->live_bytes = v->number = 0;
}

static void drop_entry(struct identity_vault *v, struct sv name)
{
	struct entry *old = htable_take(&v->entries, name);

	if (old)
		v->live_bytes -= old->record_bytes;
	entry_free(old);
}

static void apply(struct identity_vault *v, const struct vault_record *r, size_t record_bytes)
{
	struct entry *e;

	if (r->kind == VAULT_RECORD_CHECK)
		return;
	drop_entry(v, r->name);
	if (r->kind == VAULT_RECORD_REMOVE)
		return;
	e = xcalloc(1, sizeof(*e));
	e->value = secret_new(r->value);
	e->changed_at = r->at;
	e->record_bytes = record_bytes;
	v->live_bytes += record_bytes;
	htable_put(&v->entries, r->name, e);
}

/* ---- the file ---- */

static int wrong_key(struct identity_vault *v, struct err *err)
{
	return err_set(err,
		RC_CORRUPT,
		"the key of `vault:` does not open %.150s: it was sealed with another one",
		v->path);
}

static int broken(struct identity_vault *v, struct err *err)
{
	return err_set(err,
		RC_CORRUPT,
		"%.120s is damaged behind byte %llu: bring it back from a backup",
		v->path,
		(unsigned long long)v->read_bytes);
}

/* The records in `bytes`, which begin at v->read_bytes of the file. A cut last one is left. */
static int take_records(struct identity_vault *v, struct sv bytes, struct err *err)
{
	while (bytes.len) {
		struct secret *plain = NULL;
		struct vault_record r;
		size_t used = 0;
		int rc = vault_record_open(bytes, v->id, v->number, v->key, &plain, &r, &used);

		if (rc == RC_LIMIT)
			return 0;
		if (rc != 0)
			return v->number == 0 ? wrong_key(v, err) : broken(v, err);
		if (htable_get(&v->entries, r.name) == NULL &&
			v->entries.count >= VAULT_ENTRIES_MAX) {
			secret_free(plain);
			return err_set(
				err, RC_LIMIT, "the vault is full: %d secrets", VAULT_ENTRIES_MAX);
		}
		apply(v, &r, used);
		secret_free(plain);
		v->number++;
		v->read_bytes += used;
		bytes = sv_skip(bytes, used);
	}
	return 0;
}

static int take_header(struct identity_vault *v, struct sv *bytes, struct err *err)
{
	if (bytes->len < VAULT_HEADER_LEN || !sv_starts(*bytes, SV(VAULT_MAGIC)))
		return err_set(err, RC_CORRUPT, "%.150s is no vault of postern", v->path);
	memcpy(v->id, bytes->ptr + VAULT_MAGIC_LEN, VAULT_ID_LEN);
	v->read_bytes = VAULT_HEADER_LEN;
	*bytes = sv_skip(*bytes, VAULT_HEADER_LEN);
	return 0;
}

static int cannot(struct identity_vault *v, const char *what, struct err *err)
{
	int rc = -errno;

	return err_set(err, rc, "cannot %s %.150s: %s", what, v->path, rc_text(rc));
}

/* Brings the map up to what other processes have written. Under the file's lock. */
static int refresh(struct identity_vault *v, struct err *err)
{
	CLEANUP(buf_deinitp) struct buf bytes = BUF_INIT(FILE_MAX);
	CLEANUP(io_closep) int fd = open(v->path, O_RDONLY | O_CLOEXEC);
	struct stat st;
	struct sv rest;
	int rc = 0;

	if (fd < 0 && errno == ENOENT) {
		forget_all(v); /* empty until something is put */
		v->inode = 0;
		return 0;
	}
	if (fd < 0 || fstat(fd, &st) != 0)
		return cannot(v, "read", err);
	if (st.st_ino != v->inode || (uint64_t)st.st_size < v->read_bytes)
		forget_all(v);
	if (v->read_bytes == (uint64_t)st.st_size)
		return 0;
	if ((uint64_t)st.st_size > FILE_MAX)
		return err_set(err, RC_LIMIT, "%.150s is too large", v->path);
	while (rc == 0 && v->read_bytes + bytes.len < (uint64_t)st.st_size) {
		ssize_t n = -1;

		rc = buf_reserve(&bytes, (size_t)((uint64_t)st.st_size - v->read_bytes));
		if (rc == 0)
			n = pread(fd,
				buf_tail(&bytes),
				(size_t)((uint64_t)st.st_size - v->read_bytes - bytes.len),
				(off_t)(v->read_bytes + bytes.len));
		if (n <= 0)
			return cannot(v, "read", err);
		buf_grew(&bytes, (size_t)n);
	}
	v->inode = st.st_ino;
	rest = buf_sv(&bytes);
	if (v->read_bytes == 0)
		rc = take_header(v, &rest, err);
	return rc ? rc : take_records(v, rest, err);
}

/* The owner of the folder owns what is in it: root may write for the daemon. */
static void give_to_folder(const char *path)
{
	char folder[PATH_MAX];
	struct stat st;
	const char *slash = strrchr(path, '/');

	(void)snprintf(folder, sizeof(folder), "%.*s", (int)(slash - path), path);
	if (geteuid() == 0 && stat(folder, &st) == 0)
		(void)!lchown(path, st.st_uid, st.st_gid);
}

/* Everything anew, under `key`: to begin, to compact, to change the key. */
static int rewrite(struct identity_vault *v, const struct secret *key, struct err *err)
{
	CLEANUP(buf_deinitp) struct buf out = BUF_INIT(FILE_MAX);
	struct vault_record r = { .kind = VAULT_RECORD_CHECK, .at = io_clock_wall() };
	uint64_t number = 0;
	int rc;

	randombytes_buf(v->id, sizeof(v->id));
	rc = buf_append(&out, SV(VAULT_MAGIC));
	if (rc == 0)
		rc = buf_append(&out, sv_make((const char *)v->id, VAULT_ID_LEN));
	if (rc == 0)
		rc = vault_record_seal(&r, v->id, number++, key, &out);
	htable_each (&v->entries, slot) {
		const struct entry *e = slot->value;

		r = (struct vault_record){ .kind = VAULT_RECORD_PUT,
			.at = e->changed_at,
			.name = sv_make(slot->key, slot->key_len),
			.value = secret_reveal(e->value) };
		if (rc == 0)
			rc = vault_record_seal(&r, v->id, number++, key, &out);
	}
	if (rc != 0)
		return err_set(err, rc, "the vault is too large");
	rc = io_file_write_durably(v->path, buf_sv(&out), 0600, err);
	give_to_folder(v->path);
	/* What is on disk is read back: the map is what a reader would see. */
	forget_all(v);
	v->inode = 0;
	return rc;
}

static int append(struct identity_vault *v, const struct vault_record *r, struct err *err)
{
	CLEANUP(buf_deinitp) struct buf out = BUF_INIT(VAULT_RECORD_HEAD + VAULT_RECORD_MAX);
	CLEANUP(io_closep) int fd = open(v->path, O_WRONLY | O_CLOEXEC);
	struct sv rest;

	must(vault_record_seal(r, v->id, v->number, v->key, &out) == 0);
	rest = buf_sv(&out);
	/* The cut record of a crash goes first. */
	if (fd < 0 || ftruncate(fd, (off_t)v->read_bytes) != 0)
		return cannot(v, "write", err);
	while (rest.len) {
		ssize_t n =
			pwrite(fd, rest.ptr, rest.len, (off_t)(v->read_bytes + out.len - rest.len));

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			int rc = cannot(v, "write", err);

			(void)!ftruncate(fd, (off_t)v->read_bytes);
			return rc;
		}
		rest = sv_skip(rest, (size_t)n);
	}
	if (fdatasync(fd) != 0)
		return cannot(v, "write", err);
	apply(v, r, out.len);
	v->number++;
	v->read_bytes += out.len;
	return 0;
}

/* ---- locks ---- */

static int lock_file(struct identity_vault *v, int how, int *out_fd, struct err *err)
{
	int fd = open(v->lock_path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);

	if (fd < 0)
		return cannot(v, "lock", err);
	give_to_folder(v->lock_path);
	while (flock(fd, how) != 0) {
		if (errno != EINTR) {
			io_closep(&fd);
			return cannot(v, "lock", err);
		}
	}
	*out_fd = fd;
	return 0;
}

/* Locks both ways and refreshes; unlock() undoes it. */
static int begin(struct identity_vault *v, int how, int *out_fd, struct err *err)
{
	int rc;

	must(pthread_mutex_lock(&v->lock) == 0);
	rc = lock_file(v, how, out_fd, err);
	if (rc == 0) {
		rc = refresh(v, err);
		if (rc != 0)
			io_closep(out_fd);
	}
	if (rc != 0)
		must(pthread_mutex_unlock(&v->lock) == 0);
	return rc;
}

static void end(struct identity_vault *v, int *fd)
{
	io_closep(fd);
	must(pthread_mutex_unlock(&v->lock) == 0);
}

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

/* ---- life ---- */

static int set_paths(struct identity_vault *v, struct sv folder, struct err *err)
{
	int n = snprintf(v->path, sizeof(v->path), "%.*s/vault", SV_ARG(folder));
	int m = snprintf(v->lock_path, sizeof(v->lock_path), "%.*s/vault.lock", SV_ARG(folder));

	if (n < 0 || (size_t)n >= sizeof(v->path) || m < 0 || (size_t)m >= sizeof(v->lock_path))
		return err_set(err, -ENAMETOOLONG, "data_dir is too long");
	return 0;
}

static int make_folder(struct identity_vault *v, struct err *err)
{
	char folder[PATH_MAX];

	(void)snprintf(folder, sizeof(folder), "%s", v->path);
	*strrchr(folder, '/') = '\0';
	return io_folder_make(folder, 0700, err);
}

/* `check` may look at a data_dir that is not made yet: no vault is an empty one. */
static int open_locked(struct identity_vault *v, bool make, struct err *err)
{
	CLEANUP(io_closep) int fd = -1;
	int rc;

	if (!make && access(v->path, F_OK) != 0 && errno == ENOENT)
		return 0;
	rc = make ? make_folder(v, err) : 0;
	if (rc == 0)
		rc = lock_file(v, LOCK_EX, &fd, err);
	if (rc == 0 && v->inode == 0 && access(v->path, F_OK) != 0)
		rc = rewrite(v, v->key, err);
	return rc ? rc : refresh(v, err);
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
	struct identity_vault *v;
	struct secret *text = NULL;
	int rc;

	if (key->kind == CONF_SECRET_NONE)
		return err_set(err,
			RC_CONFIG,
			"there is no vault: postern vault key | install -m 0640 -g postern "
			"/dev/stdin /etc/postern/vault.key; then write vault: { key: "
			"file:/etc/postern/vault.key }");
	must(sodium_init() >= 0);
	v = xcalloc(1, sizeof(*v));
	must(pthread_mutex_init(&v->lock, NULL) == 0);
	rc = identity_secret_load(key, NULL, &text, NULL, err);
	if (rc == 0)
		rc = identity_vault_key(text, &v->key, err);
	secret_free(text);
	if (rc == 0)
		rc = set_paths(v, data_dir, err);
	if (rc == 0)
		rc = open_locked(v, make, err);
	if (rc != 0) {
		identity_vault_free(v);
		return rc;
	}
	*out_vault = v;
	return 0;
}

void identity_vault_free(struct identity_vault *v)
{
	if (!v)
		return;
	forget_all(v);
	secret_free(v->key);
	must(pthread_mutex_destroy(&v->lock) == 0);
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

int identity_vault_get(
	struct identity_vault *v, struct sv name, struct secret **out_value, struct err *err)
{
	const struct entry *e;
	int fd = -1, rc;

	if (v->number == 0 && access(v->path, F_OK) != 0)
		return no_such(name, err);
	rc = begin(v, LOCK_SH, &fd, err);
	if (rc != 0)
		return rc;
	e = htable_get(&v->entries, name);
	if (e)
		*out_value = secret_new(secret_reveal(e->value));
	end(v, &fd);
	return e ? 0 : no_such(name, err);
}

/* After begin(): a vault that exists, and not mostly of dead records. */
static int make_ready(struct identity_vault *v, struct err *err)
{
	int rc = 0;

	if (v->inode == 0 || v->read_bytes > 2 * v->live_bytes + WASTE_MIN)
		rc = rewrite(v, v->key, err);
	return rc ? rc : refresh(v, err);
}

static int change(struct identity_vault *v, const struct vault_record *r, struct err *err)
{
	int fd = -1;
	int rc = begin(v, LOCK_EX, &fd, err);

	if (rc != 0)
		return rc;
	if (r->kind == VAULT_RECORD_REMOVE && !htable_get(&v->entries, r->name))
		rc = no_such(r->name, err);
	else if (r->kind == VAULT_RECORD_PUT && !htable_get(&v->entries, r->name) &&
		 v->entries.count >= VAULT_ENTRIES_MAX)
		rc = err_set(err, RC_LIMIT, "the vault is full: %d secrets", VAULT_ENTRIES_MAX);
	if (rc == 0)
		rc = make_ready(v, err);
	if (rc == 0)
		rc = append(v, r, err);
	end(v, &fd);
	return rc;
}

int identity_vault_put(struct identity_vault *v, struct sv name, struct sv value, struct err *err)
{
	const struct vault_record r = {
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
	const struct vault_record r = {
		.kind = VAULT_RECORD_REMOVE, .at = io_clock_wall(), .name = name
	};

	if (name.len == 0 || name.len > VAULT_NAME_MAX)
		return no_such(name, err);
	return change(v, &r, err);
}

static int by_name(const void *a, const void *b)
{
	const struct identity_vault_entry *x = a, *y = b;
	size_t n = x->name.len < y->name.len ? x->name.len : y->name.len;
	int order = n ? memcmp(x->name.ptr, y->name.ptr, n) : 0;

	return order ? order : (x->name.len > y->name.len) - (x->name.len < y->name.len);
}

int identity_vault_each(struct identity_vault *v,
	void (*each)(void *arg, const struct identity_vault_entry *entry), void *arg,
	struct err *err)
{
	struct identity_vault_entry *all;
	size_t count = 0;
	int fd = -1, rc;

	if (v->number == 0 && access(v->path, F_OK) != 0)
		return 0;
	rc = begin(v, LOCK_SH, &fd, err);
	if (rc != 0)
		return rc;
	all = xcalloc(v->entries.count + 1, sizeof(*all));
	htable_each (&v->entries, slot) {
		const struct entry *e = slot->value;

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

int identity_vault_rekey(struct identity_vault *v, const struct secret *new_key, struct err *err)
{
	struct secret *key = NULL;
	int fd = -1;
	int rc = identity_vault_key(new_key, &key, err);

	if (rc != 0)
		return rc;
	rc = begin(v, LOCK_EX, &fd, err);
	if (rc != 0) {
		secret_free(key);
		return rc;
	}
	rc = rewrite(v, key, err);
	if (rc == 0) {
		secret_free(v->key);
		v->key = key;
		rc = refresh(v, err);
	} else {
		secret_free(key);
	}
	end(v, &fd);
	return rc;
}
