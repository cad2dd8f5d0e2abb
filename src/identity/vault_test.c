/* SPDX-License-Identifier: Apache-2.0 */
#include "identity/vault.h"

#include "base/must.h"
#include "identity/vault_priv.h"
#include "io/file.h"

#include "cmocka_all.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static char folder[64];
static const char key_a[] = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff\n";
static const char key_b[] = "ff112233445566778899aabbccddeeff00112233445566778899AABBCCDDEEFF\n";

static const char *path_of(const char *name)
{
	static char path[128];

	(void)snprintf(path, sizeof(path), "%s/%s", folder, name);
	return path;
}

static int make_folder(void **state)
{
	(void)state;
	(void)snprintf(folder, sizeof(folder), "/tmp/postern-vault.XXXXXX");
	return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state)
{
	(void)state;
	(void)unlink(path_of("vault"));
	(void)unlink(path_of("vault.lock"));
	(void)unlink(path_of("key"));
	return rmdir(folder);
}

static int open_at(const char *key, bool make, struct identity_vault **out_vault, struct err *err)
{
	char path[128];
	struct conf_secret where = { .kind = CONF_SECRET_FILE };

	(void)snprintf(path, sizeof(path), "%s", path_of("key"));
	where.name = sv_from(path);
	assert_int_equal(io_file_write_durably(path, sv_from(key), 0600, NULL), 0);
	return identity_vault_open_at(sv_from(folder), &where, make, out_vault, err);
}

static struct identity_vault *open_with(const char *key)
{
	struct identity_vault *v = NULL;
	struct err err = { 0 };

	if (open_at(key, true, &v, &err) != 0)
		fail_msg("%s", err.text);
	return v;
}

static void put(struct identity_vault *v, const char *name, const char *value)
{
	struct err err = { 0 };

	if (identity_vault_put(v, sv_from(name), sv_from(value), &err) != 0)
		fail_msg("%s", err.text);
}

static void holds(struct identity_vault *v, const char *name, const char *value)
{
	struct secret *s = NULL;
	struct err err = { 0 };
	int rc = identity_vault_get(v, sv_from(name), &s, &err);

	if (!value) {
		assert_int_equal(rc, RC_NOT_FOUND);
		return;
	}
	if (rc != 0)
		fail_msg("%s", err.text);
	assert_true(secret_eq(s, sv_from(value)));
	secret_free(s);
}

static void count_names(void *arg, const struct identity_vault_entry *entry)
{
	char *names = arg;

	(void)snprintf(names + strlen(names), 200 - strlen(names), "%.*s ", SV_ARG(entry->name));
	assert_true(entry->bytes > 0 && entry->changed_at.us > 0);
}

static void what_is_put_is_there_after_a_restart(void **state)
{
	struct identity_vault *v = open_with(key_a);
	char names[200] = "";
	struct stat st;

	(void)state;
	holds(v, "a", NULL);
	put(v, "b", "second");
	put(v, "a", "first");
	put(v, "a", "first, again");
	holds(v, "a", "first, again");
	assert_int_equal(identity_vault_remove(v, SV("b"), NULL), 0);
	assert_int_equal(identity_vault_remove(v, SV("b"), NULL), RC_NOT_FOUND);
	put(v, "c", "third");
	identity_vault_free(v);
	v = open_with(key_a);
	holds(v, "a", "first, again");
	holds(v, "b", NULL);
	assert_int_equal(identity_vault_each(v, count_names, names, NULL), 0);
	assert_string_equal(names, "a c ");
	identity_vault_free(v);
	assert_int_equal(stat(path_of("vault"), &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
}

static void two_processes_share_it(void **state)
{
	struct identity_vault *one = open_with(key_a), *two = open_with(key_a);

	(void)state;
	put(one, "x", "1");
	holds(two, "x", "1");
	put(two, "x", "2");
	put(two, "y", "3");
	holds(one, "x", "2");
	holds(one, "y", "3");
	/* A rewrite by one: the other sees a new file. */
	for (int i = 0; i < 600; i++) {
		char value[400];

		memset(value, 'v', sizeof(value));
		(void)snprintf(value + 380, 20, "%d", i);
		put(one, "big", value);
	}
	put(two, "z", "4");
	holds(one, "z", "4");
	identity_vault_free(one);
	identity_vault_free(two);
}

static void a_wrong_key_says_so(void **state)
{
	struct identity_vault *v = open_with(key_a), *wrong = NULL;
	struct err err = { 0 };

	(void)state;
	put(v, "a", "first");
	identity_vault_free(v);
	assert_int_equal(open_at(key_b, false, &wrong, &err), RC_CORRUPT);
	assert_non_null(strstr(err.text, "sealed with another"));
	assert_int_equal(open_at("password\n", false, &wrong, &err), RC_CONFIG);
	assert_non_null(strstr(err.text, "64 hexadecimal digits"));
	assert_null(strstr(err.text, "password"));
}

static void another_key_seals_everything_anew(void **state)
{
	struct identity_vault *v = open_with(key_a);
	struct secret *key = secret_new(sv_from(key_b));

	(void)state;
	put(v, "a", "first");
	assert_int_equal(identity_vault_rekey(v, key, NULL), 0);
	put(v, "b", "second");
	identity_vault_free(v);
	v = open_with(key_b);
	holds(v, "a", "first");
	holds(v, "b", "second");
	/* Back, for the tests behind this one. */
	secret_free(key);
	key = secret_new(sv_from(key_a));
	assert_int_equal(identity_vault_rekey(v, key, NULL), 0);
	secret_free(key);
	identity_vault_free(v);
}

/* Whatever the byte at which the power went: the values before it are there. */
static void a_record_cut_short_is_dropped(void **state)
{
	CLEANUP(buf_deinitp) struct buf whole = BUF_INIT(1 << 20);
	struct identity_vault *v;
	size_t before;

	(void)state;
	(void)unlink(path_of("vault"));
	v = open_with(key_a);
	put(v, "a", "first");
	assert_int_equal(io_file_read(path_of("vault"), 1 << 20, &whole, NULL), 0);
	before = whole.len;
	put(v, "a", "second");
	identity_vault_free(v);
	buf_reset(&whole);
	assert_int_equal(io_file_read(path_of("vault"), 1 << 20, &whole, NULL), 0);
	for (size_t len = before; len < whole.len; len++) {
		assert_int_equal(
			io_file_write_durably(
				path_of("vault"), sv_head(buf_sv(&whole), len), 0600, NULL),
			0);
		v = open_with(key_a);
		holds(v, "a", "first");
		put(v, "a", "third");
		identity_vault_free(v);
		v = open_with(key_a);
		holds(v, "a", "third");
		identity_vault_free(v);
	}
}

static void a_changed_byte_is_noticed(void **state)
{
	CLEANUP(buf_deinitp) struct buf whole = BUF_INIT(1 << 20);
	struct identity_vault *v = NULL;
	size_t opened = 0;

	(void)state;
	(void)unlink(path_of("vault"));
	v = open_with(key_a);
	put(v, "a", "first");
	put(v, "b", "second");
	identity_vault_free(v);
	assert_int_equal(io_file_read(path_of("vault"), 1 << 20, &whole, NULL), 0);
	for (size_t i = 0; i < whole.len; i++) {
		char *at = whole.ptr + whole.head + i;
		struct err err = { 0 };

		*at ^= 1;
		assert_int_equal(
			io_file_write_durably(path_of("vault"), buf_sv(&whole), 0600, NULL), 0);
		v = NULL;
		if (open_at(key_a, false, &v, &err) == 0) {
			/* A length that runs past the end looks like a cut record: then it is the
			 * last one that is missing, and nothing is ever wrong. */
			struct secret *s = NULL;

			opened++;
			if (identity_vault_get(v, SV("a"), &s, NULL) == 0)
				assert_true(secret_eq(s, SV("first")));
			secret_free(s);
		}
		identity_vault_free(v);
		*at ^= 1;
	}
	assert_true(opened <= 12);
}

static void nothing_readable_is_on_disk(void **state)
{
	CLEANUP(buf_deinitp) struct buf whole = BUF_INIT(1 << 20);
	struct identity_vault *v;

	(void)state;
	(void)unlink(path_of("vault"));
	v = open_with(key_a);
	put(v, "login/contoso/erp", "SECRET-MARK");
	identity_vault_free(v);
	assert_int_equal(io_file_read(path_of("vault"), 1 << 20, &whole, NULL), 0);
	assert_true(sv_find(buf_sv(&whole), SV("SECRET-MARK")) < 0);
	assert_true(sv_find(buf_sv(&whole), SV("contoso")) < 0);
}

static void bounds_are_kept(void **state)
{
	static char long_value[VAULT_VALUE_MAX + 1], long_name[VAULT_NAME_MAX + 1];
	struct identity_vault *v = open_with(key_a);

	(void)state;
	memset(long_value, 'x', sizeof(long_value));
	memset(long_name, 'n', sizeof(long_name));
	assert_int_equal(
		identity_vault_put(v, SV("a"), sv_make(long_value, VAULT_VALUE_MAX), NULL), 0);
	assert_int_equal(
		identity_vault_put(v, SV("a"), sv_make(long_value, sizeof(long_value)), NULL),
		RC_LIMIT);
	assert_int_equal(identity_vault_put(v, SV("a"), SV(""), NULL), RC_LIMIT);
	assert_int_equal(
		identity_vault_put(v, sv_make(long_name, sizeof(long_name)), SV("v"), NULL),
		RC_LIMIT);
	assert_int_equal(
		identity_vault_put(v, sv_make(long_name, VAULT_NAME_MAX), SV("v"), NULL), 0);
	assert_int_equal(identity_vault_put(v, SV(""), SV("v"), NULL), RC_LIMIT);
	identity_vault_free(v);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_put_is_there_after_a_restart),
		cmocka_unit_test(two_processes_share_it),
		cmocka_unit_test(a_wrong_key_says_so),
		cmocka_unit_test(another_key_seals_everything_anew),
		cmocka_unit_test(a_record_cut_short_is_dropped),
		cmocka_unit_test(a_changed_byte_is_noticed),
		cmocka_unit_test(nothing_readable_is_on_disk),
		cmocka_unit_test(bounds_are_kept),
	};

	return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
