/* SPDX-License-Identifier: Apache-2.0 */
#include "identity/secrets.h"

#include "base/buf.h"
#include "base/must.h"
#include "identity/secrets_priv.h"
#include "io/confine.h"
#include "io/fs.h"
#include "io/machine.h"

#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

enum {
	SECRET_MAX = 65536 /* room for any key file; a password is shorter */
};

/* Wipes all that the buffer ever held: its storage may not go back to the heap with a password. */
static void wiped_deinit(struct buf *b)
{
	if (b->ptr)
		secret_wipe(b->ptr, b->cap);
	buf_deinit(b);
}

int identity_secret_fail(
	const struct conf_secret *where, struct err *err, int code, const char *fmt, ...)
{
	char text[200];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (!where->place.file)
		return err_set(err, code, "%s", text);
	return err_set(err,
		code,
		"%.80s:%u:%u: %s",
		where->place.file,
		where->place.line,
		where->place.column,
		text);
}

static int keep(const struct conf_secret *where, struct sv bytes, struct secret **out_secret,
	struct err *err)
{
	if (bytes.len == 0)
		return identity_secret_fail(
			where, err, RC_CONFIG, "the secret is empty: write the password into it");
	*out_secret = secret_new(bytes);
	return 0;
}

/* "\n" and, from other systems' editors, "\r\n". */
struct sv identity_secret_line(struct sv text)
{
	if (text.len && text.ptr[text.len - 1] == '\n') {
		text.len--;
		if (text.len && text.ptr[text.len - 1] == '\r')
			text.len--;
	}
	return text;
}

/* Not io_file_read(): its buffers are not wiped. Room at once: a buffer that grows leaves copies behind. */
static int read_all(int fd, struct buf *out)
{
	ssize_t n;

	must(buf_reserve(out, SECRET_MAX) == 0);
	n = io_fs_read_at(fd, 0, buf_tail(out), SECRET_MAX);
	if (n < 0)
		return (int)n;
	buf_grew(out, (size_t)n);
	return n == SECRET_MAX ? RC_LIMIT : 0;
}

static int load_file(const struct conf_secret *where, const char *path, struct secret **out_secret,
	const char **out_warning, struct err *err)
{
	CLEANUP(wiped_deinit) struct buf bytes = BUF_INIT(SECRET_MAX);
	/* Without O_NONBLOCK a FIFO of this name would stop the loop. */
	CLEANUP(io_closep) int fd = io_fs_open(path, O_RDONLY | O_NONBLOCK);
	struct stat st = { 0 };
	int rc = fd < 0 ? fd : io_fs_stat_open(fd, &st);

	if (rc != 0)
		return identity_secret_fail(
			where, err, rc, "cannot read %s: %s", path, io_confine_rc_text(rc, path));
	if (!S_ISREG(st.st_mode))
		return identity_secret_fail(where, err, -EINVAL, "%s is not a file", path);
	rc = read_all(fd, &bytes);
	if (rc != 0)
		return identity_secret_fail(
			where, err, rc, "cannot read %s: %s", path, rc_text(rc));
	rc = keep(where, identity_secret_line(buf_sv(&bytes)), out_secret, err);
	if (rc == 0 && (st.st_mode & S_IRWXO))
		*out_warning =
			"the file of a secret can be read by everybody: chmod 0640 it (chown "
			"root:postern)";
	return rc;
}

static int load_env(const struct conf_secret *where, struct secret **out_secret, struct err *err)
{
	CLEANUP(buf_deinitp) struct buf name = BUF_INIT(PATH_MAX);
	const char *value;

	if (buf_append(&name, where->name) != 0 || buf_append_char(&name, '\0') != 0)
		return identity_secret_fail(
			where, err, RC_LIMIT, "the name of the environment variable is too long");
	value = io_machine_variable(buf_sv(&name).ptr);
	if (!value)
		return identity_secret_fail(where,
			err,
			RC_NOT_FOUND,
			"the environment has no %.80s: set it in the service's unit",
			buf_sv(&name).ptr);
	return keep(where, sv_from(value), out_secret, err);
}

static int load_credential(const struct conf_secret *where, struct secret **out_secret,
	const char **out_warning, struct err *err)
{
	const char *folder = io_machine_variable("CREDENTIALS_DIRECTORY");
	char path[PATH_MAX];
	int n;

	if (!folder)
		return identity_secret_fail(where,
			err,
			RC_NOT_FOUND,
			"there is no CREDENTIALS_DIRECTORY: add LoadCredential=%.*s:PATH to the "
			"service's unit",
			SV_ARG(where->name));
	n = snprintf(path, sizeof(path), "%s/%.*s", folder, SV_ARG(where->name));
	if (n < 0 || (size_t)n >= sizeof(path))
		return identity_secret_fail(
			where, err, -ENAMETOOLONG, "the path of the credential is too long");
	return load_file(where, path, out_secret, out_warning, err);
}

static int load_from_vault(const struct conf_secret *where, struct identity_vault *vault,
	struct secret **out_secret, struct err *err)
{
	struct err inner = { 0 };
	int rc;

	if (!vault)
		return identity_secret_fail(where,
			err,
			RC_CONFIG,
			"vault:%.*s needs a vault: write vault: { key: file:/PATH }",
			SV_ARG(sv_head(where->name, 60)));
	rc = identity_vault_get(vault, where->name, out_secret, &inner);
	return rc ? identity_secret_fail(where, err, rc, "%s", inner.text) : 0;
}

int identity_secret_load(const struct conf_secret *where, struct identity_vault *vault,
	struct secret **out_secret, const char **out_warning, struct err *err)
{
	char path[PATH_MAX];
	const char *unused;
	int n;

	if (!out_warning)
		out_warning = &unused;
	*out_warning = NULL;
	switch (where->kind) {
	case CONF_SECRET_FILE:
		n = snprintf(path, sizeof(path), "%.*s", SV_ARG(where->name));
		if (n < 0 || (size_t)n >= sizeof(path))
			return identity_secret_fail(
				where, err, -ENAMETOOLONG, "the path of the secret is too long");
		return load_file(where, path, out_secret, out_warning, err);
	case CONF_SECRET_ENV:
		return load_env(where, out_secret, err);
	case CONF_SECRET_CREDENTIAL:
		return load_credential(where, out_secret, out_warning, err);
	case CONF_SECRET_COMMAND:
		return identity_command_run(where, out_secret, err);
	case CONF_SECRET_VAULT:
		return load_from_vault(where, vault, out_secret, err);
	case CONF_SECRET_NONE:
		break;
	}
	return identity_secret_fail(where, err, RC_CONFIG, "no secret is configured here");
}

enum cause identity_secret_cause(int rc, enum cause otherwise)
{
	return rc == -ENOKEY    ? CAUSE_VAULT_CLOSED
	       : rc == -EBADMSG ? CAUSE_VAULT_DAMAGED
				: otherwise;
}
