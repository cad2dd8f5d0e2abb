/* SPDX-License-Identifier: Apache-2.0 */
#include "base/must.h"
#include "cli/import_priv.h"
#include "cli/init_priv.h"
#include "cli/prompt.h"
#include "cli/start.h"
#include "conf/conf.h"
#include "identity/logins.h"
#include "identity/vault.h"
#include "io/file.h"
#include "io/loop.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/*
 * What was read becomes files: the secrets first, postern.yaml last. When root imports, they are the daemon's to
 * read.
 */
#define DATA_DIR "/var/lib/postern"
#define VAULT_KEY "vault.key"

static bool path_in(const struct import *im, struct sv file, char out[PATH_MAX])
{
	struct sv folder = sv_from(im->folder);

	if (folder.len + 1 + file.len >= PATH_MAX)
		return false;
	memcpy(out, folder.ptr, folder.len);
	out[folder.len] = '/';
	memcpy(out + folder.len + 1, file.ptr, file.len);
	out[folder.len + 1 + file.len] = '\0';
	return true;
}

static bool is_sealed(const struct import *im, const struct setup_secret *s)
{
	return im->read.sealed && s->in_vault;
}

/* ---- before the first write ---- */

/* A listener with a certificate that is not here would keep the daemon from starting. */
static void check_certificates(struct setup_import *r)
{
	for (size_t i = 0; i < r->listener_count; i++) {
		struct setup_listener *l = &r->listeners[i];
		const struct sv files[] = { l->certificate, l->key };

		for (size_t k = 0; k < COUNT_OF(files) && l->tls.len; k++) {
			char path[PATH_MAX];

			(void)snprintf(path, sizeof(path), "%.*s", SV_ARG(files[k]));
			if (access(path, F_OK) == 0)
				continue;
			setup_import_say(r,
				"%s is not here: the listener %.*s is written without TLS",
				path,
				SV_ARG(l->address));
			l->tls = SV("");
			/* And so without passwords, which nobody could send in the clear. */
			if (!l->plaintext_auth && !sv_starts(l->address, SV("127.")))
				l->auth = SV("");
			if (!l->auth.len && !l->network_count) {
				static const struct sv own[] = { SV_INIT("127.0.0.0/8") };

				l->networks = own;
				l->network_count = 1;
			}
		}
	}
}

/* Nothing may stand in the way of one of them. */
static int check_absent(const struct import *im)
{
	char path[PATH_MAX];

	if (access(im->output, F_OK) == 0 && !init_is_sample(im->output))
		return cli_fail(EX_CANTCREAT,
			"%s exists and is left alone: remove it, or name another --output",
			im->output);
	for (size_t i = 0; i <= im->read.secret_count; i++) {
		bool key = i == im->read.secret_count;
		struct sv file = key ? SV(VAULT_KEY) : im->read.secrets[i].file;

		if (key ? !im->read.vault : is_sealed(im, &im->read.secrets[i]))
			continue;
		if (!path_in(im, file, path) || access(path, F_OK) == 0)
			return cli_fail(EX_CANTCREAT,
				"%s exists and is left alone: remove it, or name an --output in "
				"another folder",
				path);
	}
	return EX_OK;
}

/* Only where the daemon is installed, and has no vault yet, can its vault be made here. */
static void choose_vault(struct import *im)
{
	struct setup_import *r = &im->read;

	if (!r->vault)
		return;
	r->sealed = access(DATA_DIR, W_OK) == 0 && access(DATA_DIR "/vault", F_OK) != 0;
	if (!r->sealed && r->login_count)
		setup_import_say(r,
			"the refresh tokens: the vault of " DATA_DIR
			" cannot be made from here: import as root where postern is installed, or "
			"run "
			"postern login for each mailbox with auth: user");
}

/* ---- writing ---- */

/* root's files are the daemon's to read, and nobody else's. */
static void own(const struct import *im, const char *path, unsigned mode)
{
	struct cli_account account;

	if (!cli_daemon_account(im->output, NULL, &account))
		return;
	if (chown(path, 0, account.gid) != 0 || chmod(path, mode) != 0)
		(void)cli_fail(0,
			"%s: the daemon cannot read it: chgrp %s, chmod 0640",
			path,
			account.name);
}

static int write_file(const struct import *im, struct sv file, struct sv text, unsigned mode)
{
	char path[PATH_MAX];
	struct err err = { 0 };

	(void)path_in(im, file, path);
	if (io_file_write_durably(path, text, mode & 0700, &err) != 0)
		return cli_fail(EX_CANTCREAT, "%s", err.text);
	cli_made(path);
	own(im, path, mode);
	return EX_OK;
}

static int write_secret(const struct import *im, const struct setup_secret *s)
{
	char path[PATH_MAX];
	int code;

	(void)path_in(im, s->file, path);
	if (s->is_user) {
		code = cli_write_verifier(s->value, path);
		own(im, path, 0640);
	} else {
		code = write_file(im, s->file, secret_reveal(s->value), s->is_script ? 0750 : 0640);
	}
	if (code == EX_OK)
		(void)printf("wrote %s (%s)\n",
			path,
			s->is_user     ? "of a user"
			: s->is_script ? "prints a password"
				       : "a password");
	return code;
}

static int make_key(const struct import *im, struct secret **out_text)
{
	unsigned char key[32];
	char text[sizeof(key) * 2 + 1];
	int code;

	io_random(key, sizeof(key));
	for (size_t i = 0; i < sizeof(key); i++)
		(void)snprintf(text + 2 * i, 3, "%02x", key[i]);
	code = write_file(im, SV(VAULT_KEY), sv_from(text), 0640);
	*out_text = code == EX_OK ? secret_new(sv_from(text)) : NULL;
	secret_wipe(key, sizeof(key));
	secret_wipe(text, sizeof(text));
	return code;
}

static int save_login(struct identity_vault *v, const struct setup_login *l, struct err *err)
{
	struct buf name = BUF_INIT(VAULT_NAME_MAX);
	struct identity_login login = { .refresh_token = l->refresh_token,
		.confidential = l->confidential,
		.signed_in_at = io_clock_wall(),
		.obtained_at = io_clock_wall() };
	int rc = buf_printf(&name, "login/%.*s/%.*s", SV_ARG(l->tenant), SV_ARG(l->user));

	(void)snprintf(login.client_id, sizeof(login.client_id), "%.*s", SV_ARG(l->client_id));
	if (rc == 0)
		rc = identity_login_save(v, buf_sv(&name), &login, err);
	buf_deinit(&name);
	return rc;
}

static int fill_vault(const struct import *im, const char *key_path)
{
	CLEANUP(identity_vault_freep) struct identity_vault *v = NULL;
	const struct conf_secret key = { .kind = CONF_SECRET_FILE, .name = sv_from(key_path) };
	struct err err = { 0 };
	int rc = identity_vault_open_at(SV(DATA_DIR), &key, true, &v, &err);

	for (size_t i = 0; i < im->read.secret_count && rc == 0; i++) {
		const struct setup_secret *s = &im->read.secrets[i];

		if (is_sealed(im, s))
			rc = identity_vault_put(v, s->file, secret_reveal(s->value), &err);
	}
	for (size_t i = 0; i < im->read.login_count && rc == 0; i++)
		rc = save_login(v, &im->read.logins[i], &err);
	if (rc != 0)
		return cli_fail(EX_CANTCREAT, "%s", err.text);
	(void)printf("wrote " DATA_DIR "/vault (%zu sign-in%s with tokens)\n",
		im->read.login_count,
		im->read.login_count == 1 ? "" : "s");
	return EX_OK;
}

static int write_vault(const struct import *im)
{
	CLEANUP(secret_freep) struct secret *text = NULL;
	char path[PATH_MAX];
	int code = make_key(im, &text);

	(void)path_in(im, SV(VAULT_KEY), path);
	if (code == EX_OK)
		(void)printf("wrote %s (the key of the vault)\n", path);
	return code == EX_OK && im->read.sealed ? fill_vault(im, path) : code;
}

int import_write(struct import *im)
{
	CLEANUP(buf_deinitp) struct buf text = BUF_INIT(SETUP_IMPORT_TEXT_MAX);
	struct err err = { 0 };
	int code;

	check_certificates(&im->read);
	choose_vault(im);
	if (setup_import_config(&im->read, sv_from(im->kind_name), im->plain, &text) != 0)
		return cli_fail(EX_DATAERR, "the configuration is larger than 16 MB");
	code = check_absent(im);
	for (size_t i = 0; i < im->read.secret_count && code == EX_OK; i++)
		if (!is_sealed(im, &im->read.secrets[i]))
			code = write_secret(im, &im->read.secrets[i]);
	if (code == EX_OK && im->read.vault)
		code = write_vault(im);
	if (code == EX_OK && io_file_write_durably(im->output, buf_sv(&text), 0640, &err) != 0)
		code = cli_fail(EX_CANTCREAT, "%s", err.text);
	if (code != EX_OK)
		return code;
	own(im, im->output, 0640);
	(void)printf("wrote %s\n", im->output);
	return EX_OK;
}
