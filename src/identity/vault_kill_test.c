/* SPDX-License-Identifier: Apache-2.0 */
#include "identity/test_vault.h"

#include <signal.h>
#include <sys/ptrace.h>
#include <sys/wait.h>

/*
 * Two processes share the vault, and one is killed: at each of its system calls in turn (ptrace(2) stops it there),
 * or at any moment. Whatever the moment, the other one, and whoever comes later, finds every secret that was
 * promised, and writes on.
 */
enum {
	STEPS_MAX = 4000,
	WRITERS = 2,
	ROUNDS = 12,
	ROUND_US = 30000,
};

static bool may_trace;

/* The child stops at the entry of its system call number `steps` and dies. True: it was done before. */
static bool run_and_kill(void (*work)(void), unsigned steps)
{
	pid_t child = fork();
	int status = 0;

	assert_true(child >= 0);
	if (child == 0) {
		if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) != 0)
			_exit(99);
		(void)raise(SIGSTOP);
		work();
		_exit(0);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFSTOPPED(status));
	/* Two stops a call: where it begins and where it ends. */
	for (unsigned i = 0; i < 2 * steps + 1; i++) {
		assert_int_equal(ptrace(PTRACE_SYSCALL, child, NULL, NULL), 0);
		assert_int_equal(waitpid(child, &status, 0), child);
		if (WIFEXITED(status)) {
			assert_int_equal(WEXITSTATUS(status), 0);
			return true;
		}
		assert_true(WIFSTOPPED(status));
	}
	assert_int_equal(kill(child, SIGKILL), 0);
	assert_int_equal(waitpid(child, &status, 0), child);
	return false;
}

/* `round` prepares, kills at that step and looks what is left; true once the step is behind the last one. */
static void at_every_step(bool (*round)(unsigned step))
{
	bool done = false;

	if (!may_trace)
		skip();
	for (unsigned step = 0; !done; step++) {
		assert_true(step < STEPS_MAX);
		done = round(step);
	}
}

/* Either of two values; NULL: there may be none. */
static void holds_one_of(struct identity_vault *v, const char *name, const char *a, const char *b)
{
	struct secret *s = NULL;
	struct err err = { 0 };
	int rc = identity_vault_get(v, sv_from(name), &s, &err);

	if (rc == RC_NOT_FOUND && (!a || !b))
		return;
	if (rc != 0)
		fail_msg("%s: %s", name, err.text);
	assert_true((a && secret_eq(s, sv_from(a))) || (b && secret_eq(s, sv_from(b))));
	secret_free(s);
}

static void nothing_is_left(void)
{
	assert_int_equal(access(bench_path("vault.new"), F_OK), -1);
}

/* The survivor first, as it is; then somebody new; then both write. */
static void everything_is_there(struct identity_vault *survivor)
{
	struct identity_vault_health h;
	struct identity_vault *later;

	holds(survivor, "anna", "anna-1");
	put(survivor, "survivor", "wrote");
	later = bench_open(KEY_A);
	nothing_is_left();
	holds(later, "anna", "anna-1");
	holds(later, "bert", "bert-1");
	holds(later, "survivor", "wrote");
	put(later, "later", "wrote, too");
	holds(survivor, "later", "wrote, too");
	assert_int_equal(identity_vault_look(later, &h, NULL), 0);
	assert_true(h.damaged_records == 0 && h.lost == 0);
	identity_vault_free(later);
}

static struct identity_vault *begin(void)
{
	struct identity_vault *v;

	bench_empty();
	v = bench_open(KEY_A);
	put(v, "anna", "anna-1");
	put(v, "bert", "bert-1");
	put(v, "moving", "old");
	return v;
}

static struct identity_vault *child_opens(const char *key)
{
	struct identity_vault *v = NULL;
	struct conf_secret where = { .kind = CONF_SECRET_FILE, .name = sv_from(key) };

	if (identity_vault_open_at(sv_from(bench_folder), &where, true, &v, NULL) != 0)
		_exit(98);
	return v;
}

static void child_puts(void)
{
	struct identity_vault *v = child_opens(bench_path("key"));

	if (identity_vault_put(v, SV("moving"), SV("new"), NULL) != 0)
		_exit(97);
}

static bool put_is_killed(unsigned step)
{
	struct identity_vault *v = begin();
	bool done = run_and_kill(child_puts, step);

	holds_one_of(v, "moving", "old", "new");
	if (done)
		holds(v, "moving", "new");
	everything_is_there(v);
	identity_vault_free(v);
	return done;
}

static void killed_at_every_step_of_a_put(void **state)
{
	(void)state;
	at_every_step(put_is_killed);
}

static void fill(struct identity_vault *v)
{
	static char value[VAULT_VALUE_MAX];

	memset(value, 'v', sizeof(value));
	for (int i = 0; i < 2; i++)
		assert_int_equal(
			identity_vault_put(v, SV("big"), sv_make(value, sizeof(value)), NULL), 0);
	put(v, "big", "small");
}

static bool rewrite_is_killed(unsigned step)
{
	struct identity_vault *v = begin();
	struct identity_vault_health before, after;
	bool done;

	fill(v);
	assert_int_equal(identity_vault_look(v, &before, NULL), 0);
	done = run_and_kill(child_puts, step);
	assert_int_equal(identity_vault_look(v, &after, NULL), 0);
	if (done)
		assert_int_equal(after.generation, before.generation + 1);
	holds_one_of(v, "moving", "old", "new");
	everything_is_there(v);
	identity_vault_free(v);
	return done;
}

static void killed_at_every_step_of_a_rewrite(void **state)
{
	(void)state;
	at_every_step(rewrite_is_killed);
}

static void child_rekeys(void)
{
	struct identity_vault *v = child_opens(bench_path("key"));
	struct secret *key = secret_new(SV(KEY_B));

	if (identity_vault_rekey(v, key, NULL) != 0)
		_exit(97);
}

static void child_settles(void)
{
	if (identity_vault_settle(child_opens(bench_path("key-b")), NULL) != 0)
		_exit(97);
}

/* Until the last step of rekey() the old key opens it; from there on both do. */
static bool rekey_is_killed(unsigned step)
{
	struct identity_vault *v = begin(), *other = NULL;
	bool done = run_and_kill(child_rekeys, step);
	int rc;

	everything_is_there(v);
	rc = bench_try(KEY_B, false, &other, NULL);
	assert_true(rc == 0 || (rc == RC_CORRUPT && !done));
	if (rc == 0)
		holds(other, "bert", "bert-1");
	identity_vault_free(other);
	bench_write("key", SV(KEY_A));
	identity_vault_free(v);
	return done;
}

static void killed_at_every_step_of_another_key(void **state)
{
	(void)state;
	at_every_step(rekey_is_killed);
}

/* The daemon that starts with the new key: the old one opens it or does not, the new one always. */
static bool settling_is_killed(unsigned step)
{
	struct identity_vault *v = begin(), *other;
	bool done;

	rekey(v, KEY_B);
	bench_write("key-b", SV(KEY_B));
	done = run_and_kill(child_settles, step);
	other = bench_open(KEY_B);
	nothing_is_left();
	holds(other, "anna", "anna-1");
	put(other, "moving", "new");
	/* Its key was exchanged by now: where it is configured. */
	holds(v, "moving", "new");
	holds(v, "bert", "bert-1");
	put(v, "anna", "anna-2");
	holds(other, "anna", "anna-2");
	identity_vault_free(other);
	identity_vault_free(v);
	return done;
}

static void killed_at_every_step_of_settling(void **state)
{
	(void)state;
	at_every_step(settling_is_killed);
}

static void child_opens_only(void)
{
	identity_vault_free(child_opens(bench_path("key")));
}

static bool migration_is_killed(unsigned step)
{
	CLEANUP(buf_deinitp) struct buf old = BUF_INIT(1 << 20);
	struct identity_vault *v = NULL;
	unsigned char id[VAULT_ID_LEN];
	bool done;

	bench_empty();
	old_begin(&old, id);
	old_append(&old, id, 1, VAULT_RECORD_PUT, "anna", "anna-1");
	old_append(&old, id, 2, VAULT_RECORD_PUT, "bert", "bert-1");
	bench_write("vault", buf_sv(&old));
	assert_int_equal(bench_try(KEY_A, false, &v, NULL), 0);
	holds(v, "bert", "bert-1");
	done = run_and_kill(child_opens_only, step);
	everything_is_there(v);
	identity_vault_free(v);
	return done;
}

static void killed_at_every_step_of_a_migration(void **state)
{
	(void)state;
	at_every_step(migration_is_killed);
}

static bool beginning_is_killed(unsigned step)
{
	struct identity_vault *v;
	bool done;

	bench_empty();
	bench_write("key", SV(KEY_A));
	done = run_and_kill(child_puts, step);
	v = bench_open(KEY_A);
	nothing_is_left();
	holds_one_of(v, "moving", NULL, "new");
	put(v, "anna", "anna-1");
	put(v, "bert", "bert-1");
	everything_is_there(v);
	identity_vault_free(v);
	return done;
}

static void killed_at_every_step_of_the_beginning(void **state)
{
	(void)state;
	at_every_step(beginning_is_killed);
}

/* ---- at any moment ---- */

/* Counts up under its own name and tells each number that put() has promised. */
static void write_for_ever(unsigned who, int tell)
{
	struct identity_vault *v = child_opens(bench_path("key"));
	char name[20], value[40];

	(void)snprintf(name, sizeof(name), "writer-%u", who);
	for (uint32_t n = 1;; n++) {
		static char big[VAULT_VALUE_MAX];

		(void)snprintf(value, sizeof(value), "%u", n);
		memset(big, 'b', sizeof(big));
		if (identity_vault_put(v, sv_from(name), sv_from(value), NULL) != 0 ||
			(n % 4 == 0 && identity_vault_put(
					       v, SV("big"), sv_make(big, sizeof(big)), NULL) != 0))
			_exit(97);
		if (write(tell, &n, sizeof(n)) != sizeof(n))
			_exit(96);
	}
}

static uint32_t value_of(struct identity_vault *v, unsigned who)
{
	struct secret *s = NULL;
	char name[20];
	uint32_t n = 0;
	int rc;

	(void)snprintf(name, sizeof(name), "writer-%u", who);
	rc = identity_vault_get(v, sv_from(name), &s, NULL);
	assert_true(rc == 0 || rc == RC_NOT_FOUND);
	if (rc == 0)
		assert_int_equal(sv_parse_u32(secret_reveal(s), UINT32_MAX, &n), 0);
	secret_free(s);
	return n;
}

static void what_was_promised_is_there_after_a_kill(void **state)
{
	struct identity_vault *v = begin();

	(void)state;
	for (unsigned round = 0; round < ROUNDS; round++) {
		int tell[WRITERS][2];
		pid_t child[WRITERS];

		for (unsigned i = 0; i < WRITERS; i++) {
			assert_int_equal(pipe(tell[i]), 0);
			child[i] = fork();
			assert_true(child[i] >= 0);
			if (child[i] == 0)
				write_for_ever(i, tell[i][1]);
			(void)close(tell[i][1]);
		}
		for (unsigned i = 0; i < WRITERS; i++) {
			(void)usleep(ROUND_US + round * 7919 % 10000);
			assert_int_equal(kill(child[i], SIGKILL), 0);
			assert_int_equal(waitpid(child[i], NULL, 0), child[i]);
			holds(v, "anna", "anna-1");
		}
		for (unsigned i = 0; i < WRITERS; i++) {
			uint32_t n, promised = 0;

			while (read(tell[i][0], &n, sizeof(n)) == sizeof(n))
				promised = n;
			(void)close(tell[i][0]);
			n = value_of(v, i);
			assert_true(promised == 0 || n == promised || n == promised + 1);
		}
		everything_is_there(v);
	}
	identity_vault_free(v);
}

static void child_does_nothing(void)
{
}

/* Containers may forbid ptrace(2): then these tests say so and the one above is left. */
static bool look_whether_we_may_trace(void)
{
	pid_t child = fork();
	int status = 0;

	if (child == 0)
		_exit(ptrace(PTRACE_TRACEME, 0, NULL, NULL) == 0 ? 0 : 1);
	if (child < 0 || waitpid(child, &status, 0) != child || status != 0) {
		print_message(
			"ptrace(2) is not permitted here: the kills at each step are skipped\n");
		return false;
	}
	return run_and_kill(child_does_nothing, 100);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(killed_at_every_step_of_a_put),
		cmocka_unit_test(killed_at_every_step_of_a_rewrite),
		cmocka_unit_test(killed_at_every_step_of_another_key),
		cmocka_unit_test(killed_at_every_step_of_settling),
		cmocka_unit_test(killed_at_every_step_of_a_migration),
		cmocka_unit_test(killed_at_every_step_of_the_beginning),
		cmocka_unit_test(what_was_promised_is_there_after_a_kill),
	};

	may_trace = look_whether_we_may_trace();
	return cmocka_run_group_tests(tests, bench_make, bench_remove);
}
