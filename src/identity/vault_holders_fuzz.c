/* SPDX-License-Identifier: Apache-2.0 */
#include "base/must.h"
#include "identity/vault.h"
#include "identity/vault_priv.h"
#include "io/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/*
 * Two holders of one vault, and what happens to its file meanwhile, chosen by the input. As long as nothing but
 * holders and the power touched the file, each of them reads exactly what was put last. Once bytes of it were
 * changed, or an older copy was put back, a secret may be missing or an older one; it is never another's, and never
 * one that was not put.
 */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum {
	NAMES = 4,
	OPS_MAX = 64,
};

static const char *const keys[] = {
	"00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff\n",
	"ff112233445566778899aabbccddeeff00112233445566778899aabbccddeeff\n"
};

static struct world {
	char folder[64], vault[80], key[80];
	struct conf_secret source;
	struct identity_vault *holder[2];
	unsigned newest[NAMES]; /* the number of the last put; 0: none, or removed */
	unsigned count;         /* of puts */
	bool touched;           /* somebody wrote into the file past us */
	struct buf backup;
} w;

static void make_folder(void)
{
	const char *base = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";

	if (w.folder[0])
		return;
	(void)snprintf(w.folder, sizeof(w.folder), "%s/postern-fuzz.XXXXXX", base);
	must(mkdtemp(w.folder) != NULL);
	(void)snprintf(w.vault, sizeof(w.vault), "%s/vault", w.folder);
	(void)snprintf(w.key, sizeof(w.key), "%s/key", w.folder);
	w.source = (struct conf_secret){ .kind = CONF_SECRET_FILE, .name = sv_from(w.key) };
}

static void empty_folder(bool itself)
{
	DIR *folder = opendir(w.folder);
	const struct dirent *entry;
	char path[64 + 256];

	must(folder != NULL);
	while ((entry = readdir(folder)) != NULL) {
		(void)snprintf(path, sizeof(path), "%s/%s", w.folder, entry->d_name);
		if (entry->d_name[0] != '.')
			(void)unlink(path);
	}
	(void)closedir(folder);
	if (itself)
		(void)rmdir(w.folder);
}

static void at_end(void)
{
	empty_folder(true);
}

static void write_file(const char *path, struct sv bytes)
{
	CLEANUP(io_closep) int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	must(fd >= 0 && write(fd, bytes.ptr, bytes.len) == (ssize_t)bytes.len);
}

static void reopen(unsigned who)
{
	identity_vault_free(w.holder[who]);
	w.holder[who] = NULL;
	must(identity_vault_open_at(sv_from(w.folder), &w.source, true, &w.holder[who], NULL) ==
			0 ||
		w.touched);
}

/* "NAME:NUMBER", padded so that the file is compacted now and then. */
static size_t value_for(unsigned name, unsigned number, char out[4096])
{
	size_t len = number % 3 == 0 ? 4000 : 40;

	memset(out, '.', len);
	(void)snprintf(out, len, "%u:%u", name, number);
	return len;
}

static void put(unsigned who, unsigned name)
{
	char value[4096], text[] = "name-0";
	size_t len = value_for(name, ++w.count, value);

	text[5] = (char)('0' + name);
	if (identity_vault_put(w.holder[who], sv_from(text), sv_make(value, len), NULL) == 0)
		w.newest[name] = w.count;
	else
		must(w.touched);
}

static void take_away(unsigned who, unsigned name)
{
	char text[] = "name-0";
	int rc;

	text[5] = (char)('0' + name);
	rc = identity_vault_remove(w.holder[who], sv_from(text), NULL);
	must(w.touched || rc == (w.newest[name] ? 0 : RC_NOT_FOUND));
	if (rc == 0)
		w.newest[name] = 0;
}

static void look(unsigned who, unsigned name)
{
	char value[4096], text[] = "name-0";
	struct secret *s = NULL;
	unsigned number = w.newest[name];
	int rc;

	text[5] = (char)('0' + name);
	rc = identity_vault_get(w.holder[who], sv_from(text), &s, NULL);
	if (!w.touched) {
		must(rc == (number ? 0 : RC_NOT_FOUND));
		must(rc != 0 || secret_eq(s, sv_make(value, value_for(name, number, value))));
	} else if (rc == 0) {
		bool known = false;

		for (number = 1; number <= w.count && !known; number++)
			known = secret_eq(s, sv_make(value, value_for(name, number, value)));
		must(known);
	}
	secret_free(s);
}

/* A writer is killed in the middle of the last append: its record was promised to nobody. */
static void cut_an_append(unsigned who, unsigned name, unsigned bytes)
{
	struct stat before, after;
	unsigned kept = w.newest[name];
	ino_t same;

	if (stat(w.vault, &before) != 0)
		return;
	same = before.st_ino;
	put(who, name);
	if (w.newest[name] == kept || stat(w.vault, &after) != 0 || after.st_ino != same ||
		after.st_size <= before.st_size)
		return;
	/* The writer is gone as well. */
	must(truncate(w.vault, before.st_size + bytes % (after.st_size - before.st_size)) == 0);
	w.newest[name] = kept;
	reopen(who);
}

static void touch(uint8_t what, uint8_t where)
{
	CLEANUP(io_closep) int fd = open(w.vault, O_RDWR);
	struct stat st;
	char byte;
	off_t at;

	if (fd < 0 || fstat(fd, &st) != 0 || st.st_size == 0)
		return;
	w.touched = true;
	at = st.st_size * where / 256;
	if (what % 4 == 0) {
		must(ftruncate(fd, at) == 0);
	} else if (pread(fd, &byte, 1, at) == 1) {
		byte = (char)(byte ^ what);
		must(pwrite(fd, &byte, 1, at) == 1);
	}
}

static void back_up(bool put_back)
{
	if (put_back && w.backup.len) {
		write_file(w.vault, buf_sv(&w.backup));
		w.touched = true;
	} else if (!put_back) {
		buf_reset(&w.backup);
		(void)!io_file_read(w.vault, w.backup.max, &w.backup, NULL);
	}
}

static void rekey(unsigned who, unsigned which)
{
	struct secret *key = secret_new(sv_from(keys[which]));
	int rc = identity_vault_rekey(w.holder[who], key, NULL);

	secret_free(key);
	must(rc == 0 || w.touched);
	if (rc != 0)
		return;
	write_file(w.key, sv_from(keys[which]));
	must(identity_vault_settle(w.holder[who], NULL) == 0 || w.touched);
}

static void step(uint8_t what, uint8_t a, uint8_t b)
{
	unsigned who = what >> 7, name = a % NAMES;
	char kept[PATH_MAX];

	if (!w.holder[who]) {
		reopen(who);
		if (!w.holder[who])
			return;
	}
	switch (what % 16) {
	case 0:
		reopen(who);
		break;
	case 1:
		take_away(who, name);
		break;
	case 2:
		cut_an_append(who, name, b);
		break;
	case 3:
		touch(a, b);
		break;
	case 4:
		back_up(a & 1);
		break;
	case 5:
		rekey(who, a & 1);
		break;
	case 6:
		must(identity_vault_repair(w.holder[who], kept, NULL) == 0 || w.touched);
		break;
	case 7:
	case 8:
	case 9:
		put(who, name);
		break;
	default:
		look(who, name);
		break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (!w.folder[0])
		(void)atexit(at_end);
	make_folder();
	empty_folder(false);
	write_file(w.key, sv_from(keys[0]));
	memset(w.newest, 0, sizeof(w.newest));
	w.count = 0;
	w.touched = false;
	buf_init(&w.backup, VAULT_FILE_MAX);
	for (size_t i = 0; i + 3 <= size && i < 3 * OPS_MAX; i += 3)
		step(data[i], data[i + 1], data[i + 2]);
	for (unsigned who = 0; who < 2; who++) {
		for (unsigned name = 0; w.holder[who] && name < NAMES; name++)
			look(who, name);
		identity_vault_free(w.holder[who]);
		w.holder[who] = NULL;
	}
	buf_deinit(&w.backup);
	return 0;
}
