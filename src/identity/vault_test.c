/* SPDX-License-Identifier: Apache-2.0 */
#include "identity/test_vault.h"

/* What the vault keeps, and what a file that is not as it was costs. vault_kill_test.c has the second process. */

static int fresh(void **state)
{
	(void)state;
	bench_empty();
	return 0;
}

static void count_names(void *arg, const struct identity_vault_entry *entry)
{
	char *names = arg;

	(void)snprintf(names + strlen(names), 200 - strlen(names), "%.*s ", SV_ARG(entry->name));
	assert_true(entry->bytes > 0 && entry->changed_at.us > 0);
}

static void what_is_put_is_there_after_a_restart(void **state)
{
	struct identity_vault *v = bench_open(KEY_A);
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
	v = bench_open(KEY_A);
	holds(v, "a", "first, again");
	holds(v, "b", NULL);
	assert_int_equal(identity_vault_each(v, count_names, names, NULL), 0);
	assert_string_equal(names, "a c ");
	identity_vault_free(v);
	assert_int_equal(stat(bench_path("vault"), &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
}

static void two_holders_share_it(void **state)
{
	struct identity_vault *one = bench_open(KEY_A), *two = bench_open(KEY_A);

	(void)state;
	put(one, "x", "1");
	holds(two, "x", "1");
	put(two, "x", "2");
	put(two, "y", "3");
	holds(one, "x", "2");
	holds(one, "y", "3");
	for (int i = 0; i < 6; i++) {
		compact_by_puts(one);
		holds(two, "x", "2");
		put(two, "z", i % 2 ? "4" : "5");
		holds(one, "z", i % 2 ? "4" : "5");
	}
	identity_vault_free(one);
	identity_vault_free(two);
}

/* The number of an inode is given again: here it stays the same on purpose, and so does the size. */
static void another_file_in_the_same_inode_is_noticed(void **state)
{
	CLEANUP(buf_deinitp) struct buf other = BUF_INIT(1 << 20);
	struct identity_vault *daemon = bench_open(KEY_A), *command, *restarted;
	struct stat before, after;

	(void)state;
	put(daemon, "anna", "anna-1");
	put(daemon, "bert", "bert-1");
	assert_int_equal(stat(bench_path("vault"), &before), 0);
	assert_int_equal(link(bench_path("vault"), bench_path("first-inode")), 0);
	command = bench_open(KEY_A);
	rekey(command, KEY_A);
	bench_read("vault", &other);
	bench_write_over("first-inode", buf_sv(&other));
	assert_int_equal(rename(bench_path("first-inode"), bench_path("vault")), 0);
	assert_int_equal(stat(bench_path("vault"), &after), 0);
	assert_true(before.st_ino == after.st_ino && before.st_size == after.st_size);
	holds(daemon, "anna", "anna-1");
	put(daemon, "anna", "anna-2");
	put(command, "dora", "dora-1");
	holds(command, "bert", "bert-1");
	restarted = bench_open(KEY_A);
	holds(restarted, "anna", "anna-2");
	holds(restarted, "bert", "bert-1");
	holds(restarted, "dora", "dora-1");
	identity_vault_free(daemon);
	identity_vault_free(command);
	identity_vault_free(restarted);
}

/* cp(1) of a backup over the file: the same id, shorter or with another end. */
static void a_backup_that_is_copied_over_it_is_noticed(void **state)
{
	CLEANUP(buf_deinitp) struct buf backup = BUF_INIT(1 << 20);
	struct identity_vault *daemon = bench_open(KEY_A), *command;

	(void)state;
	put(daemon, "anna", "anna-1");
	bench_read("vault", &backup);
	put(daemon, "anna", "anna-2");
	put(daemon, "bert", "bert-1");
	bench_write_over("vault", buf_sv(&backup));
	holds(daemon, "anna", "anna-1");
	put(daemon, "anna", "anna-3");
	put(daemon, "bert", "bert-3");
	bench_write_over("vault", buf_sv(&backup));
	command = bench_open(KEY_A);
	put(command, "carl", "carl-of-equal-length");
	put(command, "dora", "the file is longer than what the daemon has read");
	put(command, "emil", "the file is longer than what the daemon has read");
	holds(daemon, "anna", "anna-1");
	holds(daemon, "bert", NULL);
	holds(daemon, "carl", "carl-of-equal-length");
	identity_vault_free(daemon);
	identity_vault_free(command);
}

static void a_wrong_key_says_so(void **state)
{
	struct identity_vault *v = bench_open(KEY_A), *wrong = NULL;
	struct err err = { 0 };

	(void)state;
	put(v, "a", "first");
	identity_vault_free(v);
	assert_int_equal(bench_try(KEY_B, false, &wrong, &err), RC_CORRUPT);
	assert_non_null(strstr(err.text, "sealed with another"));
	assert_int_equal(bench_try("password\n", false, &wrong, &err), RC_CONFIG);
	assert_non_null(strstr(err.text, "64 hexadecimal digits"));
	assert_null(strstr(err.text, "password"));
	v = bench_open(KEY_A);
	holds(v, "a", "first");
	identity_vault_free(v);
}

/* From rekey() to settle() either key opens it, for whoever has it open as well; then the new one alone. */
static void another_key_leaves_no_window(void **state)
{
	struct identity_vault *daemon = bench_open(KEY_A), *command = bench_open(KEY_A), *v = NULL;
	struct identity_vault_health h;

	(void)state;
	put(daemon, "a", "first");
	rekey(command, KEY_B);
	put(daemon, "a", "second");
	compact_by_puts(daemon);
	put(command, "b", "third");
	v = bench_open(KEY_A);
	holds(v, "a", "second");
	identity_vault_free(v);
	v = bench_open(KEY_B);
	holds(v, "a", "second");
	holds(v, "b", "third");
	put(v, "c", "fourth");
	holds(daemon, "c", "fourth");
	assert_int_equal(identity_vault_look(v, &h, NULL), 0);
	assert_true(h.two_keys && h.new_key);
	/* The old key is still where the configuration says: nothing is given up. */
	bench_write("key", sv_from(KEY_A));
	assert_int_equal(identity_vault_settle(daemon, NULL), 0);
	bench_write("key", sv_from(KEY_B));
	holds(v, "a", "second");
	assert_int_equal(identity_vault_settle(daemon, NULL), 0);
	assert_int_equal(identity_vault_look(daemon, &h, NULL), 0);
	assert_true(!h.two_keys);
	assert_int_equal(access(bench_path("vault.1"), F_OK), -1);
	/* A holder of the old key finds the new one where the configuration says. */
	put(command, "d", "fifth");
	holds(daemon, "d", "fifth");
	identity_vault_free(v);
	v = NULL;
	assert_int_equal(bench_try(KEY_A, false, &v, NULL), RC_CORRUPT);
	identity_vault_free(daemon);
	identity_vault_free(command);
}

/* Whatever the byte at which the power went: the values before it are there. */
static void a_record_cut_short_is_dropped(void **state)
{
	CLEANUP(buf_deinitp) struct buf whole = BUF_INIT(1 << 20);
	struct identity_vault_health h;
	struct identity_vault *v;
	size_t before;

	(void)state;
	v = bench_open(KEY_A);
	put(v, "a", "first");
	bench_read("vault", &whole);
	before = whole.len;
	put(v, "a", "second");
	identity_vault_free(v);
	bench_read("vault", &whole);
	for (size_t len = before; len < whole.len; len++) {
		bench_write("vault", sv_head(buf_sv(&whole), len));
		v = bench_open(KEY_A);
		holds(v, "a", "first");
		put(v, "a", "third");
		identity_vault_free(v);
		v = bench_open(KEY_A);
		holds(v, "a", "third");
		assert_int_equal(identity_vault_look(v, &h, NULL), 0);
		assert_int_equal(h.damaged_records, 0);
		identity_vault_free(v);
	}
}

/* An end that no writer of ours can have left is damage: it stays, and what is put stands behind it. */
static void nothing_is_cut_off_on_doubt(void **state)
{
	CLEANUP(buf_deinitp) struct buf whole = BUF_INIT(1 << 20);
	struct identity_vault *v = bench_open(KEY_A), *other;
	struct identity_vault_health h;
	char *cut;
	size_t end;

	(void)state;
	put(v, "a", "first");
	bench_read("vault", &whole);
	end = whole.len;
	put(v, "b", "second");
	bench_read("vault", &whole);
	/* The head of b's record is damaged, and the end of it is missing. */
	cut = whole.ptr + whole.head + end + VAULT_MARK_LEN + 1;
	*cut ^= 1;
	bench_write_over("vault", sv_head(buf_sv(&whole), whole.len - 3));
	holds(v, "a", "first");
	put(v, "c", "third");
	other = bench_open(KEY_A);
	holds(other, "a", "first");
	holds(other, "b", NULL);
	holds(other, "c", "third");
	put(other, "d", "fourth");
	holds(v, "d", "fourth");
	assert_int_equal(identity_vault_look(other, &h, NULL), 0);
	assert_int_equal(h.damaged_records, 1);
	identity_vault_free(v);
	identity_vault_free(other);
}

/* Every byte, one after the other: never more than the record in which it stands. */
static void a_changed_byte_costs_its_record_alone(void **state)
{
	static const char *const names[] = { "a", "b", "c" };
	static const char *const values[] = { "first", "second", "third" };
	CLEANUP(buf_deinitp) struct buf whole = BUF_INIT(1 << 20);
	struct identity_vault *v = bench_open(KEY_A);

	(void)state;
	for (size_t n = 0; n < COUNT_OF(names); n++)
		put(v, names[n], values[n]);
	identity_vault_free(v);
	bench_read("vault", &whole);
	for (size_t i = 0; i < whole.len; i += i < VAULT_RECORDS_AT && i % 64 > 8 ? 7 : 1) {
		char *at = whole.ptr + whole.head + i;
		unsigned missing = 0;

		*at ^= 1;
		bench_write("vault", buf_sv(&whole));
		*at ^= 1;
		v = bench_open(KEY_A);
		for (size_t n = 0; n < COUNT_OF(names); n++) {
			struct secret *s = NULL;
			int rc = identity_vault_get(v, sv_from(names[n]), &s, NULL);

			missing += rc != 0;
			assert_true(rc == 0 ? secret_eq(s, sv_from(values[n]))
					    : rc == -EBADMSG || rc == RC_NOT_FOUND);
			secret_free(s);
		}
		assert_true(missing == (i >= VAULT_RECORDS_AT));
		identity_vault_free(v);
	}
}

/* The value of before is not given out instead; a new one ends it; a rewrite does not forget it. */
static void a_damaged_secret_is_named(void **state)
{
	CLEANUP(buf_deinitp) struct buf whole = BUF_INIT(1 << 20);
	struct identity_vault *v = bench_open(KEY_A);
	struct identity_vault_health h;
	struct secret *s = NULL;
	char kept[PATH_MAX];
	struct err err = { 0 };

	(void)state;
	put(v, "other", "value");
	put(v, "erp", "before");
	put(v, "erp", "newest");
	bench_read("vault", &whole);
	whole.ptr[whole.head + whole.len - 1] ^= 1;
	bench_write("vault", buf_sv(&whole));
	/* Who has read it before still knows it. */
	holds(v, "erp", "newest");
	identity_vault_free(v);
	v = bench_open(KEY_A);
	assert_int_equal(identity_vault_get(v, SV("erp"), &s, &err), -EBADMSG);
	assert_non_null(strstr(err.text, "postern vault put erp"));
	put(v, "new", "value");
	assert_int_equal(identity_vault_repair(v, kept, NULL), 0);
	assert_non_null(strstr(kept, "/vault.damaged-"));
	assert_int_equal(access(kept, F_OK), 0);
	assert_int_equal(identity_vault_look(v, &h, NULL), 0);
	assert_true(h.damaged_records == 0 && h.lost == 1 && h.secrets == 2);
	assert_int_equal(identity_vault_get(v, SV("erp"), &s, &err), -EBADMSG);
	rekey(v, KEY_B);
	assert_int_equal(identity_vault_get(v, SV("erp"), &s, &err), -EBADMSG);
	put(v, "erp", "again");
	holds(v, "erp", "again");
	holds(v, "other", "value");
	identity_vault_free(v);
}

static void a_file_without_a_header_is_left_alone(void **state)
{
	static const char *const what[] = { "", "postern-vault-2\n", "not a vault at all" };
	CLEANUP(buf_deinitp) struct buf found = BUF_INIT(1 << 20);
	struct identity_vault *v = NULL;
	struct err err = { 0 };

	(void)state;
	for (size_t i = 0; i < COUNT_OF(what); i++) {
		bench_write("vault", sv_from(what[i]));
		assert_int_equal(bench_try(KEY_A, true, &v, &err), -EUCLEAN);
		assert_non_null(strstr(err.text, "postern doctor"));
		bench_read("vault", &found);
		assert_true(sv_eq(buf_sv(&found), sv_from(what[i])));
	}
}

/* What was open before keeps going once it is repaired. */
static void the_generation_before_comes_back(void **state)
{
	struct identity_vault *v = bench_open(KEY_A), *none = NULL;
	char kept[PATH_MAX];
	struct secret *s = NULL;

	(void)state;
	put(v, "a", "first");
	compact_by_puts(v);
	bench_write("vault", SV("zeros and ones"));
	assert_int_equal(identity_vault_get(v, SV("a"), &s, NULL), -ENOKEY);
	assert_int_equal(identity_vault_repair(v, kept, NULL), 0);
	assert_int_equal(access(kept, F_OK), 0);
	holds(v, "a", "first");
	compact_by_puts(v);
	assert_int_equal(unlink(bench_path("vault")), 0);
	assert_int_equal(bench_try(KEY_A, true, &none, NULL), -EUCLEAN);
	assert_int_equal(identity_vault_repair(v, kept, NULL), 0);
	holds(v, "a", "first");
	/* Nothing is left of it: an empty one begins, beside what was there. */
	bench_write("vault", SV("zeros and ones"));
	assert_int_equal(unlink(bench_path("vault.1")), 0);
	assert_int_equal(identity_vault_repair(v, kept, NULL), 0);
	assert_int_equal(access(kept, F_OK), 0);
	holds(v, "a", NULL);
	put(v, "a", "anew");
	identity_vault_free(v);
}

/* ---- format 1 ---- */

static void write_old(struct buf *out, size_t ends[5])
{
	unsigned char id[VAULT_ID_LEN];

	old_begin(out, id);
	ends[0] = out->len;
	old_append(out, id, 1, VAULT_RECORD_PUT, "a", "first");
	ends[1] = out->len;
	old_append(out, id, 2, VAULT_RECORD_PUT, "login/contoso/erp@contoso.com", "token");
	ends[2] = out->len;
	old_append(out, id, 3, VAULT_RECORD_REMOVE, "a", "");
	ends[3] = out->len;
	old_append(out, id, 4, VAULT_RECORD_PUT, "b", "second");
	ends[4] = out->len;
}

static void format_1_is_brought_forward(void **state)
{
	CLEANUP(buf_deinitp) struct buf old = BUF_INIT(1 << 20);
	CLEANUP(buf_deinitp) struct buf kept = BUF_INIT(1 << 20);
	struct identity_vault *v = NULL, *reader = NULL;
	struct identity_vault_health h;
	size_t ends[5];

	(void)state;
	write_old(&old, ends);
	bench_write("vault", buf_sv(&old));
	/* Who only reads changes nothing. */
	assert_int_equal(bench_try(KEY_A, false, &reader, NULL), 0);
	holds(reader, "b", "second");
	assert_int_equal(identity_vault_look(reader, &h, NULL), 0);
	assert_int_equal(h.format, 1);
	assert_int_equal(bench_try(KEY_B, true, &v, NULL), RC_CORRUPT);
	v = bench_open(KEY_A);
	for (struct identity_vault *each = v; each; each = each == v ? reader : NULL) {
		holds(each, "a", NULL);
		holds(each, "login/contoso/erp@contoso.com", "token");
		holds(each, "b", "second");
		assert_int_equal(identity_vault_look(each, &h, NULL), 0);
		assert_true(h.format == 2 && h.secrets == 2 && h.damaged_records == 0);
	}
	bench_read("vault.1", &kept);
	assert_true(sv_eq(buf_sv(&kept), buf_sv(&old)));
	identity_vault_free(v);
	identity_vault_free(reader);
}

/* Every byte and every length: what stands in whole records comes along. */
static void format_1_with_damage_keeps_the_rest(void **state)
{
	CLEANUP(buf_deinitp) struct buf old = BUF_INIT(1 << 20);
	struct identity_vault *v;
	size_t ends[5];

	(void)state;
	write_old(&old, ends);
	for (size_t i = VAULT_OLD_HEADER_LEN; i < old.len; i++) {
		char *at = old.ptr + old.head + i;

		bench_empty();
		*at ^= 1;
		bench_write("vault", buf_sv(&old));
		*at ^= 1;
		v = bench_open(KEY_A);
		if (i < ends[1] || i >= ends[2])
			holds(v, "login/contoso/erp@contoso.com", "token");
		if (i < ends[3])
			holds(v, "b", "second");
		identity_vault_free(v);
	}
	for (size_t len = ends[0]; len < old.len; len++) {
		bench_empty();
		bench_write("vault", sv_head(buf_sv(&old), len));
		v = bench_open(KEY_A);
		holds(v, "a", len >= ends[1] && len < ends[3] ? "first" : NULL);
		holds(v, "login/contoso/erp@contoso.com", len >= ends[2] ? "token" : NULL);
		identity_vault_free(v);
	}
}

/* ---- what else lies in the folder ---- */

static void temporary_files_go(void **state)
{
	static const char *const gone[] = { "vault.new", "vault.lock.aB3dE6" };
	static const char *const stay[] = {
		"vault.damaged-2026-11-30-1", "vault.backup", "vault.key", "vaultXnew"
	};
	struct identity_vault *v;

	(void)state;
	for (size_t i = 0; i < COUNT_OF(gone); i++)
		bench_write(gone[i], SV("of a killed rewrite"));
	for (size_t i = 0; i < COUNT_OF(stay); i++)
		bench_write(stay[i], SV("of somebody else"));
	v = bench_open(KEY_A);
	for (size_t i = 0; i < COUNT_OF(gone); i++)
		assert_int_equal(access(bench_path(gone[i]), F_OK), -1);
	for (size_t i = 0; i < COUNT_OF(stay); i++)
		assert_int_equal(access(bench_path(stay[i]), F_OK), 0);
	identity_vault_free(v);
}

static void a_lock_that_was_deleted_is_made_again(void **state)
{
	struct identity_vault *one = bench_open(KEY_A), *two = bench_open(KEY_A);

	(void)state;
	put(one, "a", "first");
	assert_int_equal(unlink(bench_path("vault.lock")), 0);
	put(two, "b", "second");
	put(one, "c", "third");
	holds(two, "c", "third");
	identity_vault_free(one);
	identity_vault_free(two);
}

static void nothing_readable_is_on_disk(void **state)
{
	CLEANUP(buf_deinitp) struct buf whole = BUF_INIT(1 << 20);
	struct identity_vault *v;

	(void)state;
	v = bench_open(KEY_A);
	put(v, "login/contoso/erp", "SECRET-MARK");
	identity_vault_free(v);
	bench_read("vault", &whole);
	assert_true(sv_find(buf_sv(&whole), SV("SECRET-MARK")) < 0);
	assert_true(sv_find(buf_sv(&whole), SV("contoso")) < 0);
}

static void bounds_are_kept(void **state)
{
	static char long_value[VAULT_VALUE_MAX + 1], long_name[VAULT_NAME_MAX + 1];
	struct identity_vault *v = bench_open(KEY_A);

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
		cmocka_unit_test_setup(what_is_put_is_there_after_a_restart, fresh),
		cmocka_unit_test_setup(two_holders_share_it, fresh),
		cmocka_unit_test_setup(another_file_in_the_same_inode_is_noticed, fresh),
		cmocka_unit_test_setup(a_backup_that_is_copied_over_it_is_noticed, fresh),
		cmocka_unit_test_setup(a_wrong_key_says_so, fresh),
		cmocka_unit_test_setup(another_key_leaves_no_window, fresh),
		cmocka_unit_test_setup(a_record_cut_short_is_dropped, fresh),
		cmocka_unit_test_setup(nothing_is_cut_off_on_doubt, fresh),
		cmocka_unit_test_setup(a_changed_byte_costs_its_record_alone, fresh),
		cmocka_unit_test_setup(a_damaged_secret_is_named, fresh),
		cmocka_unit_test_setup(a_file_without_a_header_is_left_alone, fresh),
		cmocka_unit_test_setup(the_generation_before_comes_back, fresh),
		cmocka_unit_test_setup(format_1_is_brought_forward, fresh),
		cmocka_unit_test_setup(format_1_with_damage_keeps_the_rest, fresh),
		cmocka_unit_test_setup(temporary_files_go, fresh),
		cmocka_unit_test_setup(a_lock_that_was_deleted_is_made_again, fresh),
		cmocka_unit_test_setup(nothing_readable_is_on_disk, fresh),
		cmocka_unit_test_setup(bounds_are_kept, fresh),
	};

	return cmocka_run_group_tests(tests, bench_make, bench_remove);
}
