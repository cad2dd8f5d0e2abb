/* SPDX-License-Identifier: Apache-2.0 */
#include "identity/users.h"

#include "io/file.h"

#include "cmocka_all.h"

#include <errno.h>
#include <unistd.h>

enum {
	ITERATIONS = 4096,
	CHECKS = 5
};

static char folder[64];
static struct io_loop *loop;
static struct io_workers *workers;

static void write_verifier(const char *name, const char *password)
{
	const unsigned char salt[16] = { 1, 2, 3 };
	struct smtp_scram_verifier v;
	struct buf text = BUF_INIT(1000);
	char path[128];

	smtp_scram_derive(sv_from(password), ITERATIONS, salt, &v);
	assert_int_equal(smtp_scram_render(&v, &text), 0);
	assert_int_equal(buf_append_char(&text, '\n'), 0);
	(void)snprintf(path, sizeof(path), "%s/%s", folder, name);
	assert_int_equal(io_file_write_durably(path, buf_sv(&text), 0640, NULL), 0);
	buf_deinit(&text);
}

static struct conf *load(void)
{
	char text[1000];
	struct conf_findings f;
	struct conf *c;

	(void)snprintf(text,
		sizeof(text),
		"users:\n"
		"  - { name: erp, password: \"file:%s/erp\", senders: [erp@contoso.com, "
		"\"*@x.example\"] }\n"
		"  - { name: crm, password: \"file:%s/crm\", senders: [\"*\"] }\n"
		"connectors: [ { name: l, host: h } ]\nroutes: [ { through: l } ]\n",
		folder,
		folder);
	c = conf_load_text(sv_from(text), &f);
	for (size_t i = 0; i < f.count; i++)
		print_message("%u:%u: %s\n", f.items[i].line, f.items[i].column, f.items[i].text);
	conf_findings_free(&f);
	return c;
}

static struct identity_users *load_users(void)
{
	struct err err = { 0 };
	struct conf *c = load();
	struct identity_users *u;

	assert_non_null(c);
	u = identity_users_new(c, workers, NULL, &err);
	if (!u)
		fail_msg("%s", err.text);
	conf_unref(c);
	return u;
}

struct answers {
	int left;
	int came;
	bool ok[CHECKS];
};

struct one {
	struct answers *all;
	int index;
};

static void take(void *arg, bool ok)
{
	struct one *o = arg;

	o->all->ok[o->index] = ok;
	o->all->came++;
	if (--o->all->left == 0)
		io_loop_stop(loop);
}

static void passwords_are_checked(void **state)
{
	static const struct {
		const char *name, *password;
		bool ok;
	} rows[CHECKS] = {
		{ "erp", "correct horse", true },
		{ "erp", "wrong", false },
		{ "crm", "correct horse", false },
		{ "crm", "other", true },
		{ "nobody", "correct horse", false },
	};
	struct identity_users *u = load_users();
	struct answers all = { .left = CHECKS };
	struct one ones[CHECKS];
	struct identity_check *check;

	(void)state;
	for (int i = 0; i < CHECKS; i++) {
		ones[i] = (struct one){ &all, i };
		const struct identity_ask ask = { .name = sv_from(rows[i].name),
			.password = sv_from(rows[i].password),
			.peer = SV("ip/192.0.2.1") };

		assert_int_equal(identity_users_check(u, &ask, take, &ones[i], &check), 0);
	}
	/* The running checks keep it: a reload frees the old users while they are in use. */
	identity_users_unref(u);
	io_loop_run(loop);
	for (int i = 0; i < CHECKS; i++)
		assert_int_equal(all.ok[i], rows[i].ok);
}

static const struct identity_ask right = { .name = SV_INIT("erp"),
	.password = SV_INIT("correct horse"),
	.peer = SV_INIT("ip/192.0.2.1") };
static const struct identity_ask wrong = {
	.name = SV_INIT("erp"), .password = SV_INIT("wrong"), .peer = SV_INIT("ip/192.0.2.2")
};

static void a_cancelled_check_says_nothing(void **state)
{
	struct identity_users *u = load_users();
	struct answers all = { .left = 1 };
	struct one ones[3] = { { &all, 0 }, { &all, 1 }, { &all, 2 } };
	struct identity_check *checks[3];

	(void)state;
	for (int i = 0; i < 3; i++)
		assert_int_equal(identity_users_check(u, &right, take, &ones[i], &checks[i]), 0);
	identity_check_cancel(checks[0]); /* runs */
	identity_check_cancel(checks[1]); /* waits */
	io_loop_run(loop);
	assert_int_equal(all.came, 1);
	assert_true(all.ok[2]);
	identity_users_unref(u);
}

static void too_many_checks_are_refused(void **state)
{
	enum {
		MANY = 300
	};
	struct identity_users *u = load_users();
	struct answers all = { 0 };
	struct one one = { &all, 0 };
	struct identity_check *checks[MANY];
	int taken = 0, rc = 0;

	(void)state;
	while (taken < MANY) {
		rc = identity_users_check(u, &wrong, take, &one, &checks[taken]);
		if (rc != 0)
			break;
		taken++;
	}
	assert_int_equal(rc, -EAGAIN);
	assert_in_range(taken, 2, MANY - 1);
	/* All but the last go; the last, which waits, shows that the queue still moves. */
	for (int i = 0; i + 1 < taken; i++)
		identity_check_cancel(checks[i]);
	all.left = 1;
	io_loop_run(loop);
	assert_int_equal(all.came, 1);
	identity_users_unref(u);
}

struct order {
	char came[64];
	unsigned count, left;
};

static struct order order;

static void guess_came(void *arg, bool ok)
{
	order.came[order.count++] = *(const char *)arg;
	(void)ok;
	if (--order.left == 0)
		io_loop_stop(loop);
}

/* However many passwords one peer guesses: the others have theirs checked in between, those that failed
 * often behind the others. */
static void peers_take_turns(void **state)
{
	static const struct {
		char letter;
		struct identity_ask ask;
		unsigned times;
	} rows[] = {
		{ 'b', { .peer = SV_INIT("ip/192.0.2.2"), .late = 0 }, 10 },
		{ 'l', { .peer = SV_INIT("ip/192.0.2.3"), .late = 20 }, 1 },
		{ 'c', { .peer = SV_INIT("ip/192.0.2.4"), .late = 0 }, 3 },
		{ 'g', { .peer = SV_INIT("ip/192.0.2.1"), .late = 0 }, 1 },
	};
	struct identity_users *u = load_users();
	struct identity_check *check;

	(void)state;
	order = (struct order){ 0 };
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct identity_ask ask = rows[i].ask;

		ask.name = SV("erp");
		ask.password = SV("wrong");
		for (unsigned n = 0; n < rows[i].times; n++) {
			assert_int_equal(identity_users_check(u,
						 &ask,
						 guess_came,
						 (void *)(uintptr_t)&rows[i].letter,
						 &check),
				0);
			order.left++;
		}
	}
	io_loop_run(loop);
	/* The first runs at once; of the others each has its turn. */
	assert_string_equal(order.came, "bbcgbcbcbbbbbbl");
	identity_users_unref(u);
}

static void unknown_names_look_like_known_ones(void **state)
{
	struct identity_users *u = load_users();
	struct identity_users *other = load_users();
	struct smtp_scram_verifier known, a, b, c, d;

	(void)state;
	assert_true(identity_users_verifier(u, SV("erp"), &known));
	assert_int_equal(known.iterations, ITERATIONS);
	assert_false(identity_users_verifier(u, SV("nobody"), &a));
	assert_false(identity_users_verifier(u, SV("nobody"), &b));
	assert_false(identity_users_verifier(u, SV("nobodz"), &c));
	assert_false(identity_users_verifier(other, SV("nobody"), &d));
	assert_int_equal(a.iterations, known.iterations);
	assert_memory_equal(a.salt, b.salt, sizeof(a.salt));
	assert_memory_equal(a.stored_key, b.stored_key, sizeof(a.stored_key));
	assert_memory_not_equal(a.salt, c.salt, sizeof(a.salt));
	assert_memory_not_equal(a.stored_key, a.server_key, sizeof(a.stored_key));
	/* Another process (or reload) has another key. */
	assert_memory_not_equal(a.salt, d.salt, sizeof(a.salt));
	assert_false(identity_users_verifier(u, SV(""), &a));
	identity_users_unref(u);
	identity_users_unref(other);
}

static void a_broken_verifier_is_named(void **state)
{
	struct err err = { 0 };
	struct conf *c = load();
	char path[128];

	(void)state;
	(void)snprintf(path, sizeof(path), "%s/crm", folder);
	assert_int_equal(io_file_write_durably(path, SV("Hunter2\n"), 0600, NULL), 0);
	assert_null(identity_users_new(c, workers, NULL, &err));
	assert_non_null(strstr(err.text, "text:3:"));
	assert_non_null(strstr(err.text, "postern user add crm"));
	assert_null(strstr(err.text, "Hunter2"));
	assert_int_equal(unlink(path), 0);
	assert_null(identity_users_new(c, workers, NULL, &err));
	assert_non_null(strstr(err.text, "cannot read"));
	conf_unref(c);
}

static void senders_are_the_users(void **state)
{
	struct conf *c = load();
	const struct conf_user *erp = conf_user(c, SV("erp")), *crm = conf_user(c, SV("crm"));

	(void)state;
	assert_true(identity_sender_allowed(erp, SV("erp@contoso.com")));
	assert_true(identity_sender_allowed(erp, SV("ERP@Contoso.com")));
	assert_true(identity_sender_allowed(erp, SV("any@x.example")));
	assert_true(identity_sender_allowed(erp, SV("")));
	assert_false(identity_sender_allowed(erp, SV("crm@contoso.com")));
	assert_true(identity_sender_allowed(crm, SV("whoever@b.c")));
	conf_unref(c);
}

static int set_up(void **state)
{
	(void)state;
	(void)snprintf(folder, sizeof(folder), "/tmp/users_test.XXXXXX");
	if (!mkdtemp(folder))
		return -1;
	write_verifier("erp", "correct horse");
	write_verifier("crm", "other");
	loop = io_loop_new();
	workers = io_workers_new(loop, 2, 16);
	return 0;
}

static int tear_down(void **state)
{
	char path[128];

	(void)state;
	io_workers_free(workers);
	io_loop_free(loop);
	(void)snprintf(path, sizeof(path), "%s/erp", folder);
	(void)unlink(path);
	(void)snprintf(path, sizeof(path), "%s/crm", folder);
	(void)unlink(path);
	return rmdir(folder);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(passwords_are_checked),
		cmocka_unit_test(a_cancelled_check_says_nothing),
		cmocka_unit_test(too_many_checks_are_refused),
		cmocka_unit_test(peers_take_turns),
		cmocka_unit_test(unknown_names_look_like_known_ones),
		cmocka_unit_test(senders_are_the_users),
		cmocka_unit_test(a_broken_verifier_is_named),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
