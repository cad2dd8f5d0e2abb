/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/must.h"
#include "identity/vault.h"
#include "identity/vault_priv.h"
#include "io/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cmocka_all.h"

/* A vault in a folder of its own. One at a time. */
#define KEY_A "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff\n"
#define KEY_B "ff112233445566778899aabbccddeeff00112233445566778899AABBCCDDEEFF\n"

static char bench_folder[64];

static inline const char *bench_path(const char *name)
{
	static char paths[4][64 + 256];
	static unsigned next;
	char *path = paths[next++ % 4];

	(void)snprintf(path, sizeof(paths[0]), "%s/%s", bench_folder, name);
	return path;
}

static inline void bench_empty(void)
{
	DIR *folder = opendir(bench_folder);
	const struct dirent *entry;

	assert_non_null(folder);
	while ((entry = readdir(folder)) != NULL)
		if (entry->d_name[0] != '.')
			(void)unlink(bench_path(entry->d_name));
	(void)closedir(folder);
}

static inline int bench_make(void **state)
{
	(void)state;
	(void)snprintf(bench_folder, sizeof(bench_folder), "/tmp/postern-vault.XXXXXX");
	return mkdtemp(bench_folder) ? 0 : -1;
}

static inline int bench_remove(void **state)
{
	(void)state;
	bench_empty();
	return rmdir(bench_folder);
}

static inline void bench_write(const char *name, struct sv bytes)
{
	assert_int_equal(io_file_write_durably(bench_path(name), bytes, 0600, NULL), 0);
}

/* Into the file that is there, as cp(1) does. */
static inline void bench_write_over(const char *name, struct sv bytes)
{
	CLEANUP(io_closep) int fd = open(bench_path(name), O_WRONLY | O_TRUNC | O_CREAT, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, bytes.ptr, bytes.len), (ssize_t)bytes.len);
}

static inline void bench_read(const char *name, struct buf *out)
{
	struct err err = { 0 };

	buf_reset(out);
	if (io_file_read(bench_path(name), VAULT_FILE_MAX, out, &err) != 0)
		fail_msg("%s", err.text);
}

static inline int bench_try(
	const char *key, bool make, struct identity_vault **out_vault, struct err *err)
{
	char path[64 + 256];
	struct conf_secret where = { .kind = CONF_SECRET_FILE };

	(void)snprintf(path, sizeof(path), "%s", bench_path("key"));
	where.name = sv_from(path);
	bench_write("key", sv_from(key));
	return identity_vault_open_at(sv_from(bench_folder), &where, make, out_vault, err);
}

static inline struct identity_vault *bench_open(const char *key)
{
	struct identity_vault *v = NULL;
	struct err err = { 0 };

	if (bench_try(key, true, &v, &err) != 0)
		fail_msg("%s", err.text);
	return v;
}

static inline void put(struct identity_vault *v, const char *name, const char *value)
{
	struct err err = { 0 };

	if (identity_vault_put(v, sv_from(name), sv_from(value), &err) != 0)
		fail_msg("%s", err.text);
}

/* NULL: there is none of that name. */
static inline void holds(struct identity_vault *v, const char *name, const char *value)
{
	struct secret *s = NULL;
	struct err err = { 0 };
	int rc = identity_vault_get(v, sv_from(name), &s, &err);

	if (!value) {
		assert_int_equal(rc, RC_NOT_FOUND);
		return;
	}
	if (rc != 0)
		fail_msg("%s: %s", name, err.text);
	assert_true(secret_eq(s, sv_from(value)));
	secret_free(s);
}

/* Puts until the file was written anew. */
static inline void compact_by_puts(struct identity_vault *v)
{
	static char value[VAULT_VALUE_MAX];
	struct identity_vault_health before, now;

	memset(value, 'v', sizeof(value));
	assert_int_equal(identity_vault_look(v, &before, NULL), 0);
	do {
		assert_int_equal(
			identity_vault_put(v, SV("big"), sv_make(value, sizeof(value)), NULL), 0);
		assert_int_equal(identity_vault_look(v, &now, NULL), 0);
	} while (now.generation == before.generation);
	assert_int_equal(now.generation, before.generation + 1);
}

static inline void rekey(struct identity_vault *v, const char *text)
{
	struct secret *key = secret_new(sv_from(text));
	struct err err = { 0 };

	if (identity_vault_rekey(v, key, &err) != 0)
		fail_msg("%s", err.text);
	secret_free(key);
}

/* ---- format 1, as it was written ---- */

static inline void old_append(struct buf *out, const unsigned char *id, uint64_t number,
	enum vault_record_kind kind, const char *name, const char *value)
{
	unsigned char bound[VAULT_ID_LEN + 8], key[VAULT_KEY_LEN], plain[1024] = { 0 };
	size_t n = strlen(name), v = strlen(value), len = VAULT_PLAIN_HEAD + n + v;
	unsigned long long made;
	unsigned char *at;

	assert_int_equal(
		sodium_hex2bin(key, sizeof(key), KEY_A, 2 * sizeof(key), NULL, NULL, NULL), 0);
	plain[0] = (unsigned char)kind;
	vault_put_le(plain + 1, 1700000000000000, 8);
	vault_put_le(plain + 9, n, 2);
	memcpy(plain + VAULT_PLAIN_HEAD, name, n);
	memcpy(plain + VAULT_PLAIN_HEAD + n, value, v);
	memcpy(bound, id, VAULT_ID_LEN);
	vault_put_le(bound + VAULT_ID_LEN, number, 8);
	assert_int_equal(buf_reserve(out, VAULT_OLD_HEAD_LEN + len + VAULT_SEAL_LEN), 0);
	at = (unsigned char *)buf_tail(out);
	vault_put_le(at, len + VAULT_SEAL_LEN, 4);
	randombytes_buf(at + 4, VAULT_NONCE_LEN);
	assert_int_equal(crypto_aead_xchacha20poly1305_ietf_encrypt(at + VAULT_OLD_HEAD_LEN,
				 &made,
				 plain,
				 len,
				 bound,
				 sizeof(bound),
				 NULL,
				 at + 4,
				 key),
		0);
	buf_grew(out, VAULT_OLD_HEAD_LEN + len + VAULT_SEAL_LEN);
}

static inline void old_begin(struct buf *out, unsigned char id[VAULT_ID_LEN])
{
	assert_true(sodium_init() >= 0);
	randombytes_buf(id, VAULT_ID_LEN);
	assert_int_equal(buf_append(out, SV(VAULT_OLD_MAGIC)), 0);
	assert_int_equal(buf_append(out, sv_make((const char *)id, VAULT_ID_LEN)), 0);
	old_append(out, id, 0, VAULT_RECORD_CHECK, "", "");
}
