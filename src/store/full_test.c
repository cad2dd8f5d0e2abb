/* SPDX-License-Identifier: Apache-2.0 */
#include "store/fault_vfs.h"

#include "store/test_bench.h"

/* A disk that is full: accepting stops and comes back by itself, delivering goes on (I14). */

enum {
	/* As in life: the ballast is larger than the WAL ever gets, as a checkpoint may need as much. */
	FULL_BALLAST = 3 << 20,
	FULL_QUOTA = 5 << 20,
	FULL_MAILS_MAX = 400,
	FULL_BODY = 50000,
};

static void make_bench(struct bench *b)
{
	bench_make(b);
	b->disk.vfs = FAULT_VFS_NAME;
	fault_vfs_reset();
}

static size_t fill_the_disk(struct bench *b, struct sv body, uint64_t *ids)
{
	size_t count = 0;
	int rc = 0;

	while (rc == 0) {
		struct mail mail;

		must(count < FULL_MAILS_MAX);
		mail_make(b, &mail, 1, "submission/a");
		rc = bench_put_claimed(b, &mail, body);
		ids[count] = mail.m.id;
		count += rc == 0;
		mail_free(&mail);
	}
	assert_int_equal(rc, RC_DISK_FULL);
	return count;
}

static void wait_for_room(struct bench *b, struct sv body)
{
	struct mail mail;

	/* What was there has left, and others have made room. */
	for (int i = 0; i < BENCH_GUARD_S * 10 && store_room(b->s, 0, 0) != 0; i++) {
		struct store_parks_read read = { .op.kind = STORE_OP_PARKS_READ };
		struct arena a = { 0 };

		bench_sleep(100);
		read.out_arena = &a;
		assert_int_equal(bench_run(b, &read.op), 0);
		arena_reset(&a);
	}
	assert_int_equal(store_room(b->s, 0, 0), 0);
	mail_make(b, &mail, 1, "submission/a");
	assert_int_equal(bench_put(b, &mail, body), 0);
	mail_free(&mail);
}

static void full_disk_stops_accepting_but_not_delivering(void **state)
{
	uint64_t ids[FULL_MAILS_MAX];
	char ballast[2 * BENCH_PATH_MAX];
	struct bench b;
	struct buf body;
	size_t count;

	(void)state;
	make_bench(&b);
	fill_body(&body, FULL_BODY, 9);
	(void)snprintf(ballast, sizeof(ballast), "%s/ballast", b.folder);
	b.disk.ballast_bytes = FULL_BALLAST;
	fault_vfs_quota(FULL_QUOTA, ballast);
	bench_open(&b);
	assert_int_equal(access(ballast, F_OK), 0);
	assert_int_equal(store_room(b.s, 0, 0), 0);
	count = fill_the_disk(&b, buf_sv(&body), ids);
	assert_true(count > 10);
	assert_int_equal(store_room(b.s, 0, 0), RC_DISK_FULL);
	assert_int_equal(bench_chunk(&b, store_new_id(b.s), 0, buf_sv(&body)), RC_DISK_FULL);
	/* The ballast is what their outcomes need. */
	assert_int_not_equal(access(ballast, F_OK), 0);
	for (size_t i = 0; i < count; i++)
		assert_int_equal(bench_end(&b, ids[i], 1, 1, STORE_RCPT_DELIVERED), 0);
	fault_vfs_quota(4 * FULL_QUOTA, ballast);
	wait_for_room(&b, buf_sv(&body));
	assert_int_equal(access(ballast, F_OK), 0);
	bench_shut(&b);
	bench_audit(&b);
	assert_int_equal(bench_count(&b, BENCH_HISTORY), (int64_t)count);
	assert_int_equal(bench_count(&b, BENCH_WAITING), 1);
	buf_deinit(&body);
	bench_remove(&b);
	fault_vfs_clear();
}

/* Without a ballast it says so as well, and comes back when there is room. */
static void full_disk_without_ballast(void **state)
{
	uint64_t ids[FULL_MAILS_MAX];
	struct bench b;
	struct buf body;
	size_t count;

	(void)state;
	make_bench(&b);
	fill_body(&body, FULL_BODY, 9);
	fault_vfs_quota(FULL_QUOTA, NULL);
	bench_open(&b);
	count = fill_the_disk(&b, buf_sv(&body), ids);
	assert_int_equal(store_room(b.s, 0, 0), RC_DISK_FULL);
	fault_vfs_quota(4 * FULL_QUOTA, NULL);
	wait_for_room(&b, buf_sv(&body));
	bench_shut(&b);
	bench_audit(&b);
	assert_int_equal(bench_count(&b, BENCH_WAITING), (int64_t)count + 1);
	buf_deinit(&body);
	bench_remove(&b);
	fault_vfs_clear();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(full_disk_stops_accepting_but_not_delivering),
		cmocka_unit_test(full_disk_without_ballast),
	};

	return cmocka_run_group_tests_name("full", tests, NULL, NULL);
}
