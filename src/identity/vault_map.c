/* SPDX-License-Identifier: Apache-2.0 */
#include "base/must.h"
#include "identity/secrets.h"
#include "identity/vault_priv.h"
#include "io/fs.h"

#include <errno.h>
#include <stdlib.h>

/* ---- entries ---- */

static void entry_free(struct vault_entry *e)
{
	if (!e)
		return;
	secret_free(e->value);
	free(e);
}

void vault_map_forget(struct identity_vault *v)
{
	htable_each (&v->entries, slot)
		entry_free(slot->value);
	htable_deinit(&v->entries);
	v->entries = (struct htable){ 0 };
	secret_free(TAKE(v->inner));
	v->lost_count = 0;
	v->at = (struct vault_place){ 0 };
}

static void drop_entry(struct identity_vault *v, struct sv name)
{
	struct vault_entry *old = htable_take(&v->entries, name);

	if (old)
		v->at.live_bytes -= old->record_bytes;
	entry_free(old);
}

/* ---- names whose newest record is damaged ---- */

static ptrdiff_t lost_find(const struct identity_vault *v, const unsigned char tag[VAULT_TAG_LEN])
{
	for (size_t i = 0; i < v->lost_count; i++)
		if (memcmp(v->lost[i], tag, VAULT_TAG_LEN) == 0)
			return (ptrdiff_t)i;
	return -1;
}

static void lost_remove(struct identity_vault *v, const unsigned char tag[VAULT_TAG_LEN])
{
	ptrdiff_t at = lost_find(v, tag);

	if (at >= 0)
		memcpy(v->lost[at], v->lost[--v->lost_count], VAULT_TAG_LEN);
}

/* The value of before is not the value: a refresh token that is used again can end the whole login. */
static void lost_add(struct identity_vault *v, const unsigned char tag[VAULT_TAG_LEN])
{
	if (lost_find(v, tag) < 0 && v->lost_count < VAULT_LOST_MAX)
		memcpy(v->lost[v->lost_count++], tag, VAULT_TAG_LEN);
	htable_each (&v->entries, slot) {
		struct sv name = sv_make(slot->key, slot->key_len);
		unsigned char own[VAULT_TAG_LEN];

		vault_record_tag(v->inner, name, own);
		if (memcmp(own, tag, VAULT_TAG_LEN) == 0) {
			drop_entry(v, name);
			return;
		}
	}
}

bool vault_map_is_lost(const struct identity_vault *v, struct sv name)
{
	unsigned char tag[VAULT_TAG_LEN];

	if (v->lost_count == 0 || !v->inner)
		return false;
	vault_record_tag(v->inner, name, tag);
	return lost_find(v, tag) >= 0;
}

void vault_map_apply(struct identity_vault *v, const struct vault_record *r, size_t record_bytes)
{
	struct vault_entry *e;

	if (r->kind == VAULT_RECORD_CHECK)
		return;
	if (r->kind == VAULT_RECORD_LOST) {
		lost_add(v, r->tag);
		return;
	}
	if (v->lost_count)
		lost_remove(v, r->tag);
	drop_entry(v, r->name);
	if (r->kind == VAULT_RECORD_REMOVE)
		return;
	e = xcalloc(1, sizeof(*e));
	e->value = secret_new(r->value);
	e->changed_at = r->at;
	e->record_bytes = record_bytes;
	v->at.live_bytes += record_bytes;
	htable_put(&v->entries, r->name, e);
}

/* ---- records of the file ---- */

/* What stands at the front of `bytes` was read, or is skipped. */
static void step(struct identity_vault *v, struct sv *bytes, size_t used)
{
	v->at.read_bytes += used;
	*bytes = sv_skip(*bytes, used);
}

static void skip_damage(struct identity_vault *v, struct sv *bytes, size_t len)
{
	v->at.damaged_records++;
	v->at.damaged_bytes += len;
	v->at.slack += len / VAULT_RECORD_MIN + 1;
	step(v, bytes, len);
}

static int take_one(struct identity_vault *v, const struct vault_record *r, struct sv *bytes,
	size_t used, struct err *err)
{
	size_t head = v->at.format == 1 ? VAULT_OLD_HEAD_LEN : VAULT_HEAD_LEN;

	if (r->kind == VAULT_RECORD_PUT && !htable_get(&v->entries, r->name) &&
		v->entries.count >= VAULT_ENTRIES_MAX)
		return err_set(
			err, RC_LIMIT, "the vault is full: %d secrets", (int)VAULT_ENTRIES_MAX);
	vault_map_apply(v, r, used);
	v->at.last_at = v->at.read_bytes;
	v->at.last_len = head;
	memcpy(v->at.last_head, bytes->ptr, head);
	v->at.slack = 0;
	step(v, bytes, used);
	return 0;
}

static size_t next_mark(const struct identity_vault *v, struct sv bytes, size_t from)
{
	struct sv mark = sv_make((const char *)v->at.header.id, VAULT_MARK_LEN);
	ptrdiff_t at = sv_find(sv_skip(bytes, from), mark);

	return at < 0 ? bytes.len : from + (size_t)at;
}

/* The beginning of a record at the end is left: its writer was killed. */
static int take_records(struct identity_vault *v, struct sv bytes, struct err *err)
{
	struct vault_seal seal = { .inner = v->inner };
	int rc = 0;

	memcpy(seal.id, v->at.header.id, VAULT_ID_LEN);
	while (bytes.len && rc == 0) {
		struct secret *plain = NULL;
		struct vault_record r;
		uint64_t number = 0;
		size_t used = 0;
		int seen =
			vault_record_open(bytes, &seal, v->at.number, &plain, &r, &used, &number);

		if (seen == RC_LIMIT)
			return 0;
		if (seen == 0) {
			v->at.number = number + 1;
			rc = take_one(v, &r, &bytes, used, err);
			secret_free(plain);
			continue;
		}
		if (seen == -EBADMSG)
			lost_add(v, r.tag);
		skip_damage(v,
			&bytes,
			next_mark(v, bytes, seen == -EBADMSG ? (size_t)VAULT_HEAD_LEN : 1));
	}
	return rc;
}

static int wrong_key(const char *path, struct err *err)
{
	return err_set(err,
		RC_CORRUPT,
		"the key of `vault:` does not open %.120s: it was sealed with another one",
		path);
}

static int take_old_records(
	struct identity_vault *v, const char *path, struct sv bytes, struct err *err)
{
	int rc = 0;

	while (bytes.len && rc == 0) {
		const unsigned char *id = v->at.header.id;
		struct secret *plain = NULL;
		struct vault_record r;
		size_t used = 0;
		int seen = vault_old_open(bytes, id, v->at.number, v->key, &plain, &r, &used);

		if (seen == 0) {
			v->at.number++;
			rc = take_one(v, &r, &bytes, used, err);
			secret_free(plain);
		} else if (vault_old_next(bytes, id, v->at.number, v->key, &used, &v->at.number)) {
			skip_damage(v, &bytes, used);
		} else if (v->at.number == 0) {
			return wrong_key(path, err);
		} else if (seen == RC_LIMIT) {
			return 0;
		} else {
			skip_damage(v, &bytes, bytes.len);
		}
	}
	return rc;
}

/* ---- the file ---- */

/* The key may have been replaced since it was read: `rekey` says so. */
static int open_header(struct identity_vault *v, const char *path, struct err *err)
{
	struct secret *text = NULL, *key = NULL;
	int rc = vault_header_open(&v->at.header, v->key, &v->inner, &v->at.newest_key);

	if (rc == 0 || identity_secret_load(&v->source, NULL, &text, NULL, NULL) != 0)
		return rc ? wrong_key(path, err) : 0;
	rc = identity_vault_key(text, &key, NULL);
	secret_free(text);
	if (rc == 0)
		rc = vault_header_open(&v->at.header, key, &v->inner, &v->at.newest_key);
	if (rc != 0) {
		secret_free(key);
		return wrong_key(path, err);
	}
	secret_free(v->key);
	v->key = key;
	return 0;
}

static int take_header(struct identity_vault *v, const char *path, struct sv head, struct err *err)
{
	struct vault_header second;
	int first;

	if (head.len >= VAULT_OLD_HEADER_LEN && sv_starts(head, SV(VAULT_OLD_MAGIC))) {
		v->at.format = 1;
		memcpy(v->at.header.id, head.ptr + VAULT_MAGIC_LEN, VAULT_ID_LEN);
		v->at.read_bytes = VAULT_OLD_HEADER_LEN;
		return 0;
	}
	first = vault_header_parse(head, &v->at.header);
	v->at.copy_damaged =
		first != 0 || vault_header_parse(sv_skip(head, VAULT_HEADER_LEN), &second) != 0;
	if (first != 0 && vault_header_parse(sv_skip(head, VAULT_HEADER_LEN), &v->at.header) != 0)
		return err_set(err,
			-EUCLEAN,
			"the vault has no header that can be read: `postern doctor` says what can "
			"be "
			"done (%.120s)",
			path);
	v->at.format = 2;
	v->at.read_bytes = VAULT_RECORDS_AT;
	v->at.number = 1;
	return open_header(v, path, err);
}

static int read_at(int fd, uint64_t from, uint64_t until, struct buf *out)
{
	size_t want = until > from ? (size_t)(until - from) : 0;
	int rc = buf_reserve(out, want);
	ssize_t n = rc == 0 ? io_fs_read_at(fd, from, buf_tail(out), want) : rc;

	if (n < 0)
		return (int)n;
	buf_grew(out, (size_t)n);
	return 0;
}

/*
 * Whether what was read still stands in the file: by the id in its header, and, should a backup of this very file
 * have been copied over it, by the last record.
 */
static bool is_same(const struct identity_vault *v, int fd, struct sv head, uint64_t size)
{
	unsigned char last[VAULT_HEAD_LEN];
	struct vault_header h;
	const char *magic = v->at.format == 1 ? VAULT_OLD_MAGIC : VAULT_MAGIC;

	if (v->at.format == 0 || size < v->at.read_bytes)
		return false;
	if (v->at.format == 1) {
		if (head.len < VAULT_OLD_HEADER_LEN || !sv_starts(head, sv_from(magic)) ||
			memcmp(head.ptr + VAULT_MAGIC_LEN, v->at.header.id, VAULT_ID_LEN) != 0)
			return false;
	} else if ((vault_header_parse(head, &h) != 0 &&
			   vault_header_parse(sv_skip(head, VAULT_HEADER_LEN), &h) != 0) ||
		   memcmp(h.id, v->at.header.id, VAULT_ID_LEN) != 0) {
		return false;
	}
	return io_fs_read_at(fd, v->at.last_at, last, v->at.last_len) == (ssize_t)v->at.last_len &&
	       memcmp(last, v->at.last_head, v->at.last_len) == 0;
}

static int read_open(struct identity_vault *v, const char *path, int fd, struct err *err)
{
	CLEANUP(buf_deinitp) struct buf head = BUF_INIT(VAULT_RECORDS_AT);
	CLEANUP(buf_deinitp) struct buf rest = BUF_INIT(VAULT_FILE_MAX);
	struct stat st;
	uint64_t size;
	int rc;

	rc = io_fs_stat_open(fd, &st);
	if (rc != 0)
		return vault_file_failed(rc, "read", path, err);
	size = (uint64_t)st.st_size;
	if (size > VAULT_FILE_MAX)
		return err_set(err, RC_LIMIT, "%.150s is too large", path);
	rc = read_at(fd, 0, size < VAULT_RECORDS_AT ? size : VAULT_RECORDS_AT, &head);
	if (rc == 0 && !is_same(v, fd, buf_sv(&head), size)) {
		vault_map_forget(v);
		rc = take_header(v, path, buf_sv(&head), err);
		if (rc != 0)
			return rc;
	}
	if (rc == 0)
		rc = read_at(fd, v->at.read_bytes, size, &rest);
	if (rc != 0)
		return err_set(err, rc, "cannot read %.150s: %s", path, rc_text(rc));
	v->at.seen_bytes = size;
	return v->at.format == 1 ? take_old_records(v, path, buf_sv(&rest), err)
				 : take_records(v, buf_sv(&rest), err);
}

int vault_map_read(struct identity_vault *v, const char *path, struct err *err)
{
	CLEANUP(io_closep) int fd = io_fs_open(path, O_RDONLY);
	int rc = fd < 0 ? vault_file_failed(fd, "read", path, err) : read_open(v, path, fd, err);

	/* Half of a file is none. */
	if (rc != 0)
		vault_map_forget(v);
	return rc;
}

int vault_map_refresh(struct identity_vault *v, struct err *err)
{
	struct stat st;

	if (io_fs_stat(v->path, &st) != -ENOENT)
		return vault_map_read(v, v->path, err);
	vault_map_forget(v);
	/* A rewrite never leaves it so: somebody took it away. An empty vault in its place would hide that. */
	if (io_fs_exists(v->before_path))
		return err_set(err,
			-EUCLEAN,
			"%.100s is gone, but the one before it is there (vault.1): `postern doctor "
			"--repair` brings it back",
			v->path);
	return 0;
}

int vault_map_write(const struct identity_vault *v, const struct secret *inner,
	const struct vault_header *h, struct buf *out)
{
	struct vault_seal seal = { .inner = inner };
	struct vault_record r;
	uint64_t number = 1;
	int rc = vault_header_write(h, out);

	memcpy(seal.id, h->id, VAULT_ID_LEN);
	for (size_t i = 0; i < v->lost_count && rc == 0; i++) {
		r = (struct vault_record){ .kind = VAULT_RECORD_LOST };
		memcpy(r.tag, v->lost[i], VAULT_TAG_LEN);
		rc = vault_record_seal(&r, &seal, number++, out);
	}
	htable_each (&v->entries, slot) {
		const struct vault_entry *e = slot->value;

		r = (struct vault_record){ .kind = VAULT_RECORD_PUT,
			.at = e->changed_at,
			.name = sv_make(slot->key, slot->key_len),
			.value = secret_reveal(e->value) };
		if (rc == 0)
			rc = vault_record_seal(&r, &seal, number++, out);
	}
	return rc;
}
