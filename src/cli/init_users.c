/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/init_priv.h"

#include "base/buf.h"
#include "base/secret.h"
#include "cli/prompt.h"
#include "cli/start.h"
#include "io/file.h"
#include "io/loop.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* The users of a report: a password each, its verifier beside the configuration, and a sheet. */
enum {
	PASSWORD_LEN = 24 /* of 31 signs: nearly 120 bits */
};

/* No signs that look alike: people type it at the panel of a printer. */
static struct secret *make_password(void)
{
	static const char signs[] = "abcdefghjkmnpqrstuvwxyz23456789x";
	unsigned char dice[PASSWORD_LEN];
	char *text;
	struct secret *made = secret_alloc(PASSWORD_LEN, &text);

	io_random(dice, sizeof(dice));
	for (size_t i = 0; i < PASSWORD_LEN; i++)
		text[i] = signs[dice[i] % (sizeof(signs) - 1)];
	secret_wipe(dice, sizeof(dice));
	return made;
}

/* A user that has a password already keeps it. */
static int make_user(const struct init_users *u, const char *name, struct secret **out_password)
{
	char path[PATH_MAX];
	int n = snprintf(path, sizeof(path), "%.*s/users/%s.scram", SV_ARG(u->folder), name);

	if (n < 0 || (size_t)n >= sizeof(path))
		return cli_fail(EX_CANTCREAT, "the path of %s is too long", name);
	if (access(path, F_OK) == 0)
		return EX_OK;
	*out_password = make_password();
	return cli_write_verifier(*out_password, path);
}

static int make_sheet(const struct init_users *u, size_t i, struct err *err)
{
	CLEANUP(secret_freep) struct secret *password = NULL;
	struct buf text = BUF_INIT(SETUP_CONFIG_MAX);
	char path[PATH_MAX], name[SETUP_NAME_MAX];
	int n, code, rc;

	(void)setup_user_name(u->report, i, name);
	code = make_user(u, name, &password);
	n = snprintf(path, sizeof(path), "%s/%s.md", u->sheets, name);
	if (code != EX_OK)
		return code;
	if (n < 0 || (size_t)n >= sizeof(path))
		return cli_fail(EX_CANTCREAT, "the path of the sheet of %s is too long", name);
	rc = setup_sheet(u->report,
		i,
		u->host,
		password ? secret_reveal(password) : SV("the one that was made before"),
		&text);
	if (rc == 0)
		rc = io_file_write_durably(path, buf_sv(&text), 0600, err);
	if (rc == 0)
		cli_made(path);
	if (text.cap)
		secret_wipe(text.ptr, text.cap);
	buf_deinit(&text);
	return rc == 0 ? EX_OK : cli_fail(EX_CANTCREAT, "%s", err->text);
}

int init_make_users(const struct init_users *u)
{
	char folder[PATH_MAX];
	struct err err = { 0 };
	int code = EX_OK;

	(void)snprintf(folder, sizeof(folder), "%.*s/users", SV_ARG(u->folder));
	if (io_folder_make(folder, 0750, &err) != 0 || io_folder_make(u->sheets, 0700, &err) != 0)
		return cli_fail(EX_CANTCREAT, "%s", err.text);
	if (cli_service_group() != (gid_t)-1 && chown(folder, (uid_t)-1, cli_service_group()) != 0)
		return cli_fail(
			EX_CANTCREAT, "%s cannot be given to group " CLI_SERVICE_USER, folder);
	for (size_t i = 0; i < u->report->count && code == EX_OK; i++)
		code = make_sheet(u, i, &err);
	if (code == EX_OK)
		(void)printf("wrote %zu user%s to %s, and as many sheets to %s\n",
			u->report->count,
			u->report->count == 1 ? "" : "s",
			folder,
			u->sheets);
	return code;
}
