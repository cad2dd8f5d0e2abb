/* SPDX-License-Identifier: Apache-2.0 */
#include "io/file.h"
#include "io/test_ca.h"
#include "outbound/test_bench.h"

/* A new snapshot: lanes change over in slices, and what has not changed is kept. */
enum {
	LANES = 1200, /* no slice has more than 500 */
};

static struct test_ca ca;

static void write_text(const char *name, const char *text)
{
	char path[256];

	(void)snprintf(path, sizeof(path), "%s/%s", ca.folder, name);
	must(io_file_write_durably(path, sv_from(text), 0600, NULL) == 0);
}

static struct lane *lane_at(struct bench *b, size_t at)
{
	char key[64];

	(void)snprintf(key, sizeof(key), "smtp/c%zu", at);
	return lane_get(b->o, sv_from(key));
}

/* ---- slices ---- */

static struct conf *many(struct bench *b, const char *host)
{
	struct buf text = BUF_INIT(1 << 20);
	struct conf *c;

	must(buf_printf(&text, "hostname: relay.example.com\nconnectors:\n") == 0);
	for (size_t i = 0; i < LANES; i++)
		must(buf_printf(&text, "  - { name: c%zu, host: %s }\n", i, host) == 0);
	must(buf_printf(&text, "routes: [ { through: c0 } ]\n%c", 0) == 0);
	c = bench_conf(b, buf_sv(&text).ptr);
	buf_deinit(&text);
	return c;
}

struct seen {
	struct bench *b;
	struct io_task task;
	unsigned between; /* turns in which some lanes have changed over, and some have not */
	bool done;
};

static bool is_at(struct bench *b, size_t lane, const char *host)
{
	return sv_eq(lane_at(b, lane)->c->host, sv_from(host));
}

static void on_turn(void *arg)
{
	struct seen *s = arg;

	if (is_at(s->b, 0, "new.example.com") && is_at(s->b, LANES - 1, "old.example.com"))
		s->between++;
	if (!s->done)
		io_task_post(s->b->loop, &s->task);
}

static void on_done(void *arg)
{
	struct seen *s = arg;

	s->done = true;
	io_loop_stop(s->b->loop);
}

static void lanes_change_over_in_slices(void **state)
{
	struct conf *fresh;
	struct seen s;
	struct bench b;

	(void)state;
	bench_open(&b,
		"hostname: relay.example.com\n"
		"connectors: [ { name: c0, host: old.example.com } ]\n"
		"routes: [ { through: c0 } ]\n");
	fresh = many(&b, "old.example.com");
	outbound_reload(b.o, fresh, NULL, NULL, NULL);
	conf_unref(fresh);
	for (size_t i = 0; i < LANES; i++)
		(void)lane_at(&b, i);
	fresh = many(&b, "new.example.com");
	s = (struct seen){ .b = &b, .task = { .run = on_turn, .arg = &s } };
	outbound_reload(b.o, fresh, outbound_fresh_new(b.o), on_done, &s);
	conf_unref(fresh);
	assert_false(s.done);
	io_task_post(b.loop, &s.task);
	io_timer_start(&b.guard, mono_add(io_clock_mono(), BENCH_GUARD_S * US_PER_S));
	while (!s.done)
		io_loop_run(b.loop);
	io_timer_stop(&b.guard);
	io_task_cancel(b.loop, &s.task);
	assert_true(s.between > 0);
	for (size_t i = 0; i < LANES; i++)
		assert_true(is_at(&b, i, "new.example.com"));
	bench_close(&b);
}

/* ---- what is kept ---- */

static void take(struct bench *b, const char *text)
{
	struct outbound_fresh *fresh = outbound_fresh_new(b->o);
	struct conf *c = bench_conf(b, text);

	outbound_fresh_read(fresh, c);
	outbound_reload(b->o, c, fresh, NULL, NULL);
	conf_unref(b->conf);
	b->conf = c;
}

/* Its password and its CA are files of this name. */
static const char *relay_with(const char *password, const char *ca_file, char out[512])
{
	(void)snprintf(out,
		512,
		"hostname: relay.example.com\n"
		"connectors: [ { name: c0, host: h.example.com, login: u, password: "
		"\"file:%s/%s\", tls: required, ca_file: \"%s/%s\" } ]\n"
		"routes: [ { through: c0 } ]\n",
		ca.folder,
		password,
		ca.folder,
		ca_file);
	return out;
}

static void unchanged_secrets_and_tls_contexts_survive(void **state)
{
	char text[512];
	struct err err = { 0 };
	const struct secret *password;
	const struct io_tls *tls;
	struct lane *l;
	struct bench b;

	(void)state;
	write_text("password", "sesame\n");
	write_text("other", "sesame\n");
	bench_open(&b, relay_with("password", "ca.pem", text));
	l = lane_at(&b, 0);
	lane_load_secrets(l);
	password = l->password;
	tls = outbound_tls(l, &err);
	assert_non_null(password);
	assert_non_null(tls);
	take(&b, text);
	assert_ptr_equal(l->password, password);
	assert_ptr_equal(outbound_tls(l, &err), tls);
	/* From another file: the secret is the same. */
	take(&b, relay_with("other", "ca.pem", text));
	assert_ptr_equal(l->password, password);
	write_text("other", "another\n");
	take(&b, text);
	assert_true(secret_eq(l->password, SV("another")));
	assert_ptr_equal(outbound_tls(l, &err), tls);
	bench_close(&b);
}

static void a_renewed_ca_file_is_taken(void **state)
{
	CLEANUP(buf_deinitp) struct buf one = BUF_INIT(65536), two = BUF_INIT(65536);
	struct err err = { 0 };
	char text[512];
	struct io_tls *tls;
	struct bench b;

	(void)state;
	must(io_file_read(ca.ca, one.max - 1, &one, &err) == 0);
	must(io_file_read(ca.other_ca, two.max - 1, &two, &err) == 0);
	must(buf_append_char(&one, 0) == 0 && buf_append_char(&two, 0) == 0);
	write_text("password", "sesame\n");
	write_text("mine.pem", buf_sv(&one).ptr);
	bench_open(&b, relay_with("password", "mine.pem", text));
	tls = io_tls_ref(outbound_tls(lane_at(&b, 0), &err));
	write_text("mine.pem", buf_sv(&two).ptr);
	take(&b, text);
	assert_ptr_not_equal(outbound_tls(lane_at(&b, 0), &err), tls);
	/* One that is broken is found out by the lane, when it connects. */
	write_text("mine.pem", "nothing\n");
	take(&b, text);
	assert_null(outbound_tls(lane_at(&b, 0), &err));
	io_tls_unref(tls);
	bench_close(&b);
}

/* ---- commands ---- */

static void a_command_waits_for_the_next_connection(void **state)
{
	static const char text[] = "hostname: relay.example.com\n"
				   "connectors: [ { name: c0, host: h.example.com, login: u, "
				   "password: \"command:/bin/echo sesame\", tls: required } ]\n"
				   "routes: [ { through: c0 } ]\n";
	struct secret *password;
	struct lane *l;
	struct bench b;

	(void)state;
	bench_open(&b, text);
	l = lane_at(&b, 0);
	lane_load_secrets(l);
	io_timer_start(&b.guard, mono_add(io_clock_mono(), BENCH_GUARD_S * US_PER_S));
	while (l->secrets_job)
		bench_turn(&b);
	io_timer_stop(&b.guard);
	password = l->password;
	assert_true(secret_eq(password, SV("sesame")));
	take(&b, text);
	assert_null(l->secrets_job);
	assert_ptr_equal(l->password, password);
	assert_true(l->secrets_stale);
	bench_close(&b);
}

static int open_ca(void **state)
{
	(void)state;
	test_ca_open(&ca);
	return 0;
}

static int close_ca(void **state)
{
	static const char *const names[] = { "password", "other", "mine.pem" };
	char path[256];

	(void)state;
	for (size_t i = 0; i < COUNT_OF(names); i++) {
		(void)snprintf(path, sizeof(path), "%s/%s", ca.folder, names[i]);
		(void)unlink(path);
	}
	test_ca_close(&ca);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lanes_change_over_in_slices),
		cmocka_unit_test(unchanged_secrets_and_tls_contexts_survive),
		cmocka_unit_test(a_renewed_ca_file_is_taken),
		cmocka_unit_test(a_command_waits_for_the_next_connection),
	};

	return cmocka_run_group_tests(tests, open_ca, close_ca);
}
