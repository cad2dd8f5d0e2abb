/* SPDX-License-Identifier: Apache-2.0 */
#include "inbound/drop_priv.h"
#include "inbound/test_bench.h"
#include "mail/drop_format.h"

#include <sys/resource.h>

/* The maildrop: files that `sendmail` left, on their way into the queue. */

#define LAB "connectors: [ { name: lab, host: 127.0.0.1 } ]\nroutes: [ { through: lab } ]\n"
#define TEXT "From: root\r\nSubject: cron\r\n\r\nDone.\r\n"

static void path_of(struct bench *b, const char *name, char out[256])
{
	(void)snprintf(out, 256, "%s/maildrop/%s", b->folder, name);
}

static bool is_there(struct bench *b, const char *name)
{
	char path[256];

	path_of(b, name, path);
	return access(path, F_OK) == 0;
}

static size_t files(struct bench *b)
{
	char path[256];
	size_t count = 0;
	struct dirent *e;
	DIR *dir;

	path_of(b, "", path);
	dir = opendir(path);
	must(dir != NULL);
	while ((e = readdir(dir)))
		count += e->d_name[0] != '.';
	(void)closedir(dir);
	return count;
}

struct paper {
	const char *sender, *recipients; /* "a@b c@d" */
	struct sv text;
	size_t cut; /* bytes that are missing at the end */
};

static const struct paper plain = { "root@contoso.com", "anna@example.org", SV_INIT(TEXT), 0 };

/* As postern-drop does it: under another name first, then renamed. */
static void leave(struct bench *b, const char *name, const struct paper *p)
{
	struct sv rest = sv_from(p->recipients), list[8];
	struct drop_envelope envelope = { .sender = sv_from(p->sender), .recipients = list };
	struct buf file = BUF_INIT(BENCH_BODY_MAX);
	char hidden[256], path[256], digits[DROP_SIZE_DIGITS + 1];
	bool more = true;
	size_t at;

	while (more)
		more = sv_cut_char(&rest, ' ', &list[envelope.recipient_count++]);
	must(drop_envelope_render(&envelope, &file, &at) == 0);
	drop_size_render(p->text.len, digits);
	memcpy(file.ptr + file.head + at, digits, DROP_SIZE_DIGITS);
	must(buf_append(&file, p->text) == 0);
	must(buf_append(&file, DROP_END) == 0);
	path_of(b, "tmp.1", hidden);
	path_of(b, name, path);
	must(io_file_write_durably(hidden, sv_head(buf_sv(&file), file.len - p->cut), 0600, NULL) ==
		0);
	must(rename(hidden, path) == 0);
	buf_deinit(&file);
}

/* One more file at the end of the line: when it is taken, those before it had their turn. */
static void wait_for_turn(struct bench *b, uint64_t waiting)
{
	leave(b, "99.1.1.msg", &plain);
	bench_wait_for_messages(b, waiting + 1);
	while (is_there(b, "99.1.1.msg") || b->in->accepts)
		bench_turn(b);
}

static bool is_empty(struct bench *b)
{
	return files(b) == 0;
}

/* ---- taking ---- */

static void a_whole_file_is_taken_in_the_name_of_its_owner(void **state)
{
	struct arena arena = { 0 };
	const struct store_message *m;
	struct buf body = { 0 };
	struct store_list list;
	struct bench b;

	(void)state;
	bench_make(&b);
	leave(&b, "11.1.1.msg", &plain);
	bench_begin(&b, LAB);
	bench_until(&b, is_empty);
	/* And one that comes later, by name. */
	leave(&b,
		"12.1.1.msg",
		&(struct paper){ "", "anna@example.org bea@example.org", SV_INIT(TEXT), 0 });
	bench_until(&b, is_empty);
	list = bench_list(&b, &arena);
	assert_int_equal(list.out_count, 3);
	m = &list.out_rows[0].message;
	assert_true(sv_eq(m->sender, SV("root@contoso.com")));
	assert_true(sv_starts(m->user, SV("local:")));
	assert_true(sv_eq(m->client, SV("maildrop")));
	assert_true(sv_eq(list.out_rows[0].recipient.address, SV("anna@example.org")));
	bench_body(&b, m->id, &body);
	assert_true(sv_starts(buf_sv(&body), SV("Received:")));
	assert_true(sv_ends_nocase(buf_sv(&body), SV("\r\n\r\nDone.\r\n")));
	assert_true(sv_eq(list.out_rows[1].message.sender, SV("")));
	assert_string_equal(b.queued, "c:lab=1 c:lab=2 ");
	buf_deinit(&body);
	arena_reset(&arena);
	bench_close(&b);
}

static void a_large_file_is_taken_in_pieces(void **state)
{
	struct buf text = BUF_INIT(BENCH_BODY_MAX), body = { 0 };
	struct arena arena = { 0 };
	struct store_list list;
	struct bench b;

	(void)state;
	must(buf_append(&text, SV("Subject: large\r\n\r\n")) == 0);
	for (unsigned i = 0; text.len < 2 << 20; i++)
		must(buf_printf(&text, "%u\r\n", i) == 0);
	bench_open(&b, LAB);
	leave(&b,
		"11.1.1.msg",
		&(struct paper){ "root@contoso.com", "anna@example.org", buf_sv(&text), 0 });
	bench_until(&b, is_empty);
	list = bench_list(&b, &arena);
	assert_int_equal(list.out_count, 1);
	bench_body(&b, list.out_rows[0].message.id, &body);
	assert_true(sv_ends_nocase(buf_sv(&body), sv_skip(buf_sv(&text), 18)));
	buf_deinit(&text);
	buf_deinit(&body);
	arena_reset(&arena);
	bench_close(&b);
}

/* Whether nothing matches at once, or nothing when the size is known. */
static void local_mail_without_a_route_is_kept(void **state)
{
	static const char *const routes[] = {
		"routes: [ { sender: a@b.example, through: lab } ]\n",
		"routes: [ { size: { over: 1MB }, through: lab } ]\n",
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(routes); i++) {
		struct arena arena = { 0 };
		struct store_list list;
		struct bench b;
		char text[256];

		(void)snprintf(text,
			sizeof(text),
			"connectors: [ { name: lab, host: 127.0.0.1 } ]\n%s",
			routes[i]);
		bench_open(&b, text);
		leave(&b, "11.1.1.msg", &plain);
		bench_until(&b, is_empty);
		list = bench_list(&b, &arena);
		assert_int_equal(list.out_count, 1);
		assert_true(sv_eq(list.out_rows[0].recipient.flow.queue, SV("")));
		assert_true(sv_eq(list.out_rows[0].recipient.last_cause, SV("no-route")));
		arena_reset(&arena);
		bench_close(&b);
	}
}

static void what_does_not_fit_on_the_disk_stays_where_it_is(void **state)
{
	struct bench b;

	(void)state;
	bench_open(&b, "min_free: 1000000GB\n" LAB);
	leave(&b, "11.1.1.msg", &plain);
	for (unsigned i = 0; i < 10; i++)
		bench_turn(&b);
	assert_int_equal(files(&b), 1);
	assert_int_equal(bench_waiting(&b), 0);
	bench_reload(&b, LAB);
	bench_until(&b, is_empty);
	assert_int_equal(bench_waiting(&b), 1);
	bench_close(&b);
}

/* ---- what is not taken ---- */

static void a_file_that_is_cut_is_set_aside_once(void **state)
{
	struct paper cut = plain;
	struct bench b;

	(void)state;
	bench_make(&b);
	cut.cut = 3;
	leave(&b, "11.1.1.msg", &cut);
	cut.cut = strlen(TEXT) + DROP_END.len + 40;
	leave(&b, "12.1.1.msg", &cut);
	bench_begin(&b, LAB);
	wait_for_turn(&b, 0);
	assert_true(is_there(&b, "bad.11.1.1.msg"));
	assert_true(is_there(&b, "bad.12.1.1.msg"));
	/* They stay so: neither taken again nor renamed again, in this life or the next scan. */
	bench_reload(&b, LAB);
	wait_for_turn(&b, 1);
	assert_int_equal(files(&b), 2);
	assert_true(is_there(&b, "bad.11.1.1.msg"));
	bench_close(&b);
}

static void links_and_loose_files_are_refused(void **state)
{
	char outside[256], inside[256];
	struct bench b;

	(void)state;
	bench_make(&b);
	/* A hard link to somebody's file, a symbolic one, one that anybody may write. */
	leave(&b, "../mine", &plain);
	path_of(&b, "../mine", outside);
	path_of(&b, "11.1.1.msg", inside);
	must(link(outside, inside) == 0);
	path_of(&b, "12.1.1.msg", inside);
	must(symlink(outside, inside) == 0);
	leave(&b, "13.1.1.msg", &plain);
	path_of(&b, "13.1.1.msg", inside);
	must(chmod(inside, 0622) == 0);
	path_of(&b, "14.1.1.msg", inside);
	must(mkfifo(inside, 0600) == 0);
	path_of(&b, "15.1.1.msg", inside);
	must(mkdir(inside, 0700) == 0);
	bench_begin(&b, LAB);
	wait_for_turn(&b, 0);
	assert_true(is_there(&b, "bad.11.1.1.msg"));
	assert_true(is_there(&b, "bad.12.1.1.msg"));
	assert_true(is_there(&b, "bad.13.1.1.msg"));
	assert_true(is_there(&b, "bad.14.1.1.msg"));
	assert_true(is_there(&b, "bad.15.1.1.msg"));
	assert_int_equal(files(&b), 5);
	bench_close(&b);
}

static void names_that_are_being_written_are_left_alone(void **state)
{
	char from[256], to[256];
	struct bench b;

	(void)state;
	bench_make(&b);
	leave(&b, "11.1.1.msg", &plain);
	path_of(&b, "11.1.1.msg", from);
	path_of(&b, "tmp.11.1.1.msg", to);
	must(rename(from, to) == 0);
	leave(&b, "README", &plain);
	leave(&b, "import.12.1.1.msg", &plain);
	bench_begin(&b, LAB);
	wait_for_turn(&b, 0);
	assert_true(is_there(&b, "tmp.11.1.1.msg"));
	assert_true(is_there(&b, "import.12.1.1.msg"));
	assert_true(is_there(&b, "README"));
	bench_close(&b);
}

/* ---- an earlier life ended between two steps ---- */

/* Puts a message of this id into the queue, and a file beside it that bears the id. */
static void leave_with_id(struct bench *b, bool committed)
{
	struct store_recipient r = { .address = SV("anna@example.org"),
		.flow = { .queue = SV("c:lab"), .class = MAIL_CLASS_NORMAL },
		.state = STORE_RCPT_QUEUED };
	struct store_message m = { .id = store_new_id(b->store),
		.accepted_at = io_clock_wall(),
		.expires_at = wall_add(io_clock_wall(), (int64_t)US_PER_DAY),
		.sender = SV("root@contoso.com"),
		.size = strlen(TEXT),
		.message_id = SV("<1@contoso.com>"),
		.recipients = &r,
		.recipient_count = 1 };
	struct store_put put = { .op.kind = STORE_OP_PUT, .message = &m, .body = SV(TEXT) };
	char name[64], id[TEXT_ID_MAX];

	if (committed)
		must(bench_run(b, &put.op) == 0);
	(void)snprintf(name, sizeof(name), "11.1.1.msg.%s", text_id(m.id, id));
	leave(b, name, &plain);
}

static void a_file_whose_message_is_committed_is_only_removed(void **state)
{
	struct bench b;

	(void)state;
	bench_make(&b);
	leave_with_id(&b, true);
	bench_begin(&b, LAB);
	bench_until(&b, is_empty);
	assert_int_equal(bench_waiting(&b), 1);
	assert_int_equal(b.claimed, 0);
	bench_close(&b);
}

static void a_file_whose_message_is_not_committed_keeps_its_id(void **state)
{
	struct arena arena = { 0 };
	struct store_list list;
	struct bench b;
	char id[TEXT_ID_MAX];
	struct dirent *e;
	char path[256], name[64] = "";
	DIR *dir;

	(void)state;
	bench_make(&b);
	leave_with_id(&b, false);
	path_of(&b, "", path);
	dir = opendir(path);
	while ((e = readdir(dir)))
		if (e->d_name[0] != '.')
			(void)snprintf(name, sizeof(name), "%.60s", e->d_name);
	(void)closedir(dir);
	bench_begin(&b, LAB);
	bench_until(&b, is_empty);
	list = bench_list(&b, &arena);
	assert_int_equal(list.out_count, 1);
	assert_true(
		sv_ends_nocase(sv_from(name), sv_from(text_id(list.out_rows[0].message.id, id))));
	arena_reset(&arena);
	bench_close(&b);
}

/* ---- several doors ---- */

/* They are one message still: each recipient has its own plan. */
static void recipients_with_another_sender_stay_in_their_message(void **state)
{
	static const struct paper mixed = { "root@contoso.com",
		"anna@example.org bea@inside.example cleo@example.org",
		SV_INIT(TEXT),
		0 };
	struct arena arena = { 0 };
	struct store_list list;
	struct bench b;

	(void)state;
	bench_open(&b,
		"connectors: [ { name: lab, host: 127.0.0.1 } ]\n"
		"routes:\n"
		"  - { recipient: \"*@inside.example\", through: lab, rewrite_from: in@contoso.com "
		"}\n"
		"  - { through: lab }\n");
	leave(&b, "11.1.1.msg", &mixed);
	bench_until(&b, is_empty);
	list = bench_list(&b, &arena);
	assert_int_equal(list.out_count, 3);
	for (size_t i = 0; i < 3; i++) {
		assert_int_equal(list.out_rows[i].message.id, list.out_rows[0].message.id);
		assert_true(sv_eq(list.out_rows[i].message.sender, SV("root@contoso.com")));
		assert_true(sv_eq(list.out_rows[i].recipient.rewrite_from,
			i == 1 ? SV("in@contoso.com") : SV("")));
	}
	arena_reset(&arena);
	bench_close(&b);
}

/* ---- what passes, and what is refused ---- */

/* No descriptor can be had, not even those that are closed now. */
static void take_descriptors(rlim_t *out_before)
{
	struct rlimit limit;

	must(getrlimit(RLIMIT_NOFILE, &limit) == 0);
	*out_before = limit.rlim_cur;
	limit.rlim_cur = 0;
	must(setrlimit(RLIMIT_NOFILE, &limit) == 0);
}

static void give_descriptors(rlim_t before)
{
	struct rlimit limit;

	must(getrlimit(RLIMIT_NOFILE, &limit) == 0);
	limit.rlim_cur = before;
	must(setrlimit(RLIMIT_NOFILE, &limit) == 0);
}

static bool has_begun(struct bench *b)
{
	return b->in->drop->running > 0;
}

static bool has_rest(struct bench *b)
{
	return b->in->drop->running == 0 && !b->in->drop->list &&
	       !io_task_is_queued(&b->in->drop->next) &&
	       b->in->drop->batch_at == b->in->drop->batch_count;
}

/* Whatever step it is that has no descriptor: the file stays what it is, and is taken later. */
static void a_lack_of_descriptors_sets_nothing_aside(void **state)
{
	struct bench b;
	rlim_t before;
	char name[64];

	(void)state;
	bench_make(&b);
	for (unsigned i = 10; i < 90; i++) {
		(void)snprintf(name, sizeof(name), "%u.1.1.msg", i);
		leave(&b, name, &plain);
	}
	bench_begin(&b, LAB);
	/* The folder is read, and a first file is under way: those behind it meet the lack. */
	bench_until(&b, has_begun);
	take_descriptors(&before);
	bench_until(&b, has_rest);
	give_descriptors(before);
	assert_true(is_there(&b, "89.1.1.msg"));
	assert_true(b.in->drop->troubles > 0);
	bench_reload(&b, LAB);
	bench_until(&b, is_empty);
	bench_wait_for_messages(&b, 80);
	bench_close(&b);
}

/* What was set aside a month ago goes; what is younger, or no message of ours, stays. */
static void what_was_set_aside_long_ago_goes(void **state)
{
	static const struct {
		const char *name;
		bool stays;
	} rows[] = {
		{ "bad.1.1.1.msg", true },
		/* An id has its length: a longer one is none. */
		{ "12.1.1.msg.066DB0WFYVMM", true },
		{ "12.1.1.msg.0", true },
	};
	struct stat st = { .st_ctim = { .tv_sec = 0 } };
	struct bench b;

	(void)state;
	bench_make(&b);
	for (size_t i = 0; i < COUNT_OF(rows); i++)
		leave(&b, rows[i].name, &plain);
	leave(&b, "11.1.1.msg", &plain);
	bench_begin(&b, LAB);
	bench_wait_for_messages(&b, 1);
	for (size_t i = 0; i < COUNT_OF(rows); i++)
		assert_int_equal(is_there(&b, rows[i].name), rows[i].stays);
	/* The clock of the file system cannot be turned here: the rule alone. */
	assert_true(drop_is_older(&st, STALE_BAD_S));
	st.st_ctim.tv_sec = io_clock_wall().us / (int64_t)US_PER_S - STALE_BAD_S + 60;
	assert_false(drop_is_older(&st, STALE_BAD_S));
	bench_close(&b);
}

static void a_recipient_without_a_domain_is_kept_to_bounce(void **state)
{
	static const struct paper two = {
		"root@contoso.com", "anna@example.org bob", SV_INIT(TEXT), 0
	};
	struct arena arena = { 0 };
	struct store_list list;
	struct bench b;

	(void)state;
	bench_open(&b, LAB);
	leave(&b, "11.1.1.msg", &two);
	leave(&b, "12.1.1.msg", &(struct paper){ "root@contoso.com", "bob", SV_INIT(TEXT), 0 });
	bench_until(&b, is_empty);
	list = bench_list(&b, &arena);
	assert_int_equal(list.out_count, 3);
	for (size_t i = 1; i < 3; i++) {
		assert_true(sv_eq(list.out_rows[i].recipient.address, SV("bob")));
		assert_true(sv_eq(list.out_rows[i].recipient.flow.queue, SV("")));
		assert_true(sv_starts(list.out_rows[i].recipient.last_reply, SV("553 5.1.3 ")));
	}
	arena_reset(&arena);
	bench_close(&b);
}

/* More than one reading of the folder holds, and in their order. */
static void many_files_are_taken_in_the_order_of_their_names(void **state)
{
	enum {
		FILES = 60,
		BATCH = 16,
	};
	struct arena arena = { 0 };
	struct store_list list;
	char name[64], to[64];
	struct bench b;

	(void)state;
	bench_make(&b);
	for (unsigned i = 0; i < FILES; i++) {
		/* Left in another order than their names have. */
		unsigned n = (i * 7) % FILES;

		(void)snprintf(name, sizeof(name), "%05u.1.1.msg", n);
		(void)snprintf(to, sizeof(to), "u%u@example.org", n);
		leave(&b, name, &(struct paper){ "root@contoso.com", to, SV_INIT(TEXT), 0 });
	}
	bench_begin(&b, LAB);
	b.in->drop->batch_max = BATCH;
	bench_until(&b, is_empty);
	list = bench_list(&b, &arena);
	assert_int_equal(list.out_count, FILES);
	for (size_t i = 0; i < list.out_count; i++) {
		(void)snprintf(to, sizeof(to), "u%zu@example.org", i);
		assert_true(sv_eq(list.out_rows[i].recipient.address, sv_from(to)));
	}
	arena_reset(&arena);
	bench_close(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_whole_file_is_taken_in_the_name_of_its_owner),
		cmocka_unit_test(a_large_file_is_taken_in_pieces),
		cmocka_unit_test(local_mail_without_a_route_is_kept),
		cmocka_unit_test(what_does_not_fit_on_the_disk_stays_where_it_is),
		cmocka_unit_test(a_file_that_is_cut_is_set_aside_once),
		cmocka_unit_test(links_and_loose_files_are_refused),
		cmocka_unit_test(names_that_are_being_written_are_left_alone),
		cmocka_unit_test(a_file_whose_message_is_committed_is_only_removed),
		cmocka_unit_test(a_file_whose_message_is_not_committed_keeps_its_id),
		cmocka_unit_test(recipients_with_another_sender_stay_in_their_message),
		cmocka_unit_test(a_lack_of_descriptors_sets_nothing_aside),
		cmocka_unit_test(what_was_set_aside_long_ago_goes),
		cmocka_unit_test(a_recipient_without_a_domain_is_kept_to_bounce),
		cmocka_unit_test(many_files_are_taken_in_the_order_of_their_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
