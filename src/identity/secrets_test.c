/* SPDX-License-Identifier: Apache-2.0 */
#include "identity/secrets.h"

#include "base/must.h"
#include "io/file.h"

#include "cmocka_all.h"

#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

static char folder[64];

static struct conf_secret where(enum conf_secret_kind kind, const char *name)
{
	return (struct conf_secret){
		.kind = kind, .name = sv_from(name), .place = { "postern.yaml", 7, 15 }
	};
}

static const char *put(const char *name, const char *text, unsigned mode)
{
	static char path[128];

	(void)snprintf(path, sizeof(path), "%s/%s", folder, name);
	assert_int_equal(io_file_write_durably(path, sv_from(text), mode, NULL), 0);
	return path;
}

static void holds(const struct conf_secret *s, const char *value, bool warns)
{
	struct secret *secret = NULL;
	const char *warning = "unset";
	struct err err = { 0 };

	if (identity_secret_load(s, NULL, &secret, &warning, &err) != 0)
		fail_msg("%s", err.text);
	assert_true(secret_eq(secret, sv_from(value)));
	assert_int_equal(warning != NULL, warns);
	secret_free(secret);
}

static void fails(const struct conf_secret *s, int code, const char *says)
{
	struct secret *secret = NULL;
	const char *warning;
	struct err err = { 0 };

	assert_int_equal(identity_secret_load(s, NULL, &secret, &warning, &err), code);
	assert_null(secret);
	if (!strstr(err.text, says) || !strstr(err.text, "postern.yaml:7:15"))
		fail_msg("%s", err.text);
}

static void files(void **state)
{
	struct conf_secret s;

	(void)state;
	s = where(CONF_SECRET_FILE, put("a", "pass word\n", 0600));
	holds(&s, "pass word", false);
	s = where(CONF_SECRET_FILE, put("a", "pass word\r\n", 0640));
	holds(&s, "pass word", false);
	s = where(CONF_SECRET_FILE, put("a", "two\n\n", 0644));
	holds(&s, "two\n", true);
	s = where(CONF_SECRET_FILE, put("a", "\n", 0600));
	fails(&s, RC_CONFIG, "empty");
	s = where(CONF_SECRET_FILE, folder);
	fails(&s, -EINVAL, "not a file");
	s = where(CONF_SECRET_FILE, "/nowhere/at/all");
	fails(&s, -ENOENT, "/nowhere/at/all");
}

static void a_huge_file_is_no_secret(void **state)
{
	enum {
		HUGE_LEN = 70000
	};
	char *text = xcalloc(1, HUGE_LEN + 1);
	struct conf_secret s;

	(void)state;
	assert_non_null(text);
	memset(text, 'x', HUGE_LEN);
	s = where(CONF_SECRET_FILE, put("a", text, 0600));
	fails(&s, RC_LIMIT, "cannot read");
	free(text);
}

static void a_fifo_stops_nobody(void **state)
{
	char path[128];
	struct conf_secret s;

	(void)state;
	(void)snprintf(path, sizeof(path), "%s/fifo", folder);
	assert_int_equal(mkfifo(path, 0600), 0);
	s = where(CONF_SECRET_FILE, path);
	fails(&s, -EINVAL, "not a file");
	(void)unlink(path);
}

static void environment(void **state)
{
	struct conf_secret s = where(CONF_SECRET_ENV, "POSTERN_SECRET_TEST");

	(void)state;
	(void)unsetenv("POSTERN_SECRET_TEST");
	fails(&s, RC_NOT_FOUND, "POSTERN_SECRET_TEST");
	assert_int_equal(setenv("POSTERN_SECRET_TEST", "x y", 1), 0);
	holds(&s, "x y", false);
}

static void credentials(void **state)
{
	struct conf_secret s = where(CONF_SECRET_CREDENTIAL, "cred");

	(void)state;
	(void)unsetenv("CREDENTIALS_DIRECTORY");
	fails(&s, RC_NOT_FOUND, "LoadCredential=cred");
	assert_int_equal(setenv("CREDENTIALS_DIRECTORY", folder, 1), 0);
	fails(&s, -ENOENT, "cred");
	(void)put("cred", "c\n", 0400);
	holds(&s, "c", false);
}

static void nothing_is_configured(void **state)
{
	struct conf_secret s = where(CONF_SECRET_NONE, "");

	(void)state;
	fails(&s, RC_CONFIG, "no secret");
}

static int make_folder(void **state)
{
	(void)state;
	(void)snprintf(folder, sizeof(folder), "/tmp/secrets_test.XXXXXX");
	return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state)
{
	static const char *const more[] = { "printed", "vault.key", "vault", "vault.lock" };
	char path[128];

	(void)state;
	(void)snprintf(path, sizeof(path), "%s/a", folder);
	(void)unlink(path);
	(void)snprintf(path, sizeof(path), "%s/cred", folder);
	(void)unlink(path);
	for (size_t i = 0; i < COUNT_OF(more); i++) {
		(void)snprintf(path, sizeof(path), "%s/%s", folder, more[i]);
		(void)unlink(path);
	}
	return rmdir(folder);
}

static void commands(void **state)
{
	struct conf_secret s = where(CONF_SECRET_COMMAND, "");
	char line[200];

	(void)state;
	(void)snprintf(line, sizeof(line), "/bin/cat %s", put("printed", "hunter2\n", 0600));
	s.name = sv_from(line);
	holds(&s, "hunter2", false);
	s.name = SV("/bin/echo  two words");
	holds(&s, "two words", false);
	s.name = SV("/bin/false");
	fails(&s, RC_CONFIG, "/bin/false ended with code 1");
	s.name = SV("/bin/true");
	fails(&s, RC_CONFIG, "printed nothing");
	s.name = SV("/no/such/program --secret x");
	fails(&s, -ENOENT, "cannot run /no/such/program");
	s.name = SV("/usr/bin/head -c 70000 /dev/zero");
	fails(&s, RC_LIMIT, "prints more than");
	/* No shell: nothing is expanded. */
	s.name = SV("/bin/echo $HOME;id");
	holds(&s, "$HOME;id", false);
	s.name = SV(" ");
	fails(&s, RC_CONFIG, "must be a program");
}

/* A program that never ends is ended, with its children. */
static void commands_end(void **state)
{
	struct conf_secret s = where(CONF_SECRET_COMMAND, "/bin/sleep 1000");

	(void)state;
	fails(&s, RC_TIMEOUT, "did not end within");
}

static void vault(void **state)
{
	struct conf_secret s = where(CONF_SECRET_VAULT, "erp");
	const char *key_path = put("vault.key",
		"00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff\n",
		0600);
	struct conf_secret key = where(CONF_SECRET_FILE, key_path);
	struct identity_vault *v = NULL;
	struct secret *secret = NULL;
	struct err err = { 0 };
	const char *warning;

	(void)state;
	fails(&s, RC_CONFIG, "needs a vault");
	assert_int_equal(identity_vault_open_at(sv_from(folder), &key, true, &v, &err), 0);
	assert_int_equal(identity_secret_load(&s, v, &secret, &warning, &err), RC_NOT_FOUND);
	assert_non_null(strstr(err.text, "postern vault put erp"));
	assert_int_equal(identity_vault_put(v, SV("erp"), SV("hunter2"), NULL), 0);
	assert_int_equal(identity_secret_load(&s, v, &secret, &warning, &err), 0);
	assert_true(secret_eq(secret, SV("hunter2")));
	secret_free(secret);
	identity_vault_free(v);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(files),
		cmocka_unit_test(commands),
		cmocka_unit_test(commands_end),
		cmocka_unit_test(vault),
		cmocka_unit_test(a_huge_file_is_no_secret),
		cmocka_unit_test(a_fifo_stops_nobody),
		cmocka_unit_test(environment),
		cmocka_unit_test(credentials),
		cmocka_unit_test(nothing_is_configured),
	};

	return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
