/* SPDX-License-Identifier: Apache-2.0 */
#include "identity/logins.h"

#include "base/must.h"
#include "base/text.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

void identity_login_free(struct identity_login *l)
{
	if (!l)
		return;
	secret_free(l->refresh_token);
	secret_free(l->previous);
	free(l);
}

struct sv identity_login_user(const struct conf_lane *lane, char out[IDENTITY_USER_MAX])
{
	struct sv user = sv_head(lane->login.len ? lane->login : lane->name, IDENTITY_USER_MAX - 1);

	for (size_t i = 0; i < user.len; i++)
		out[i] = ascii_lower(user.ptr[i]);
	out[user.len] = '\0';
	return sv_make(out, user.len);
}

int identity_login_name(const struct conf_tenant *tenant, struct sv user, struct buf *out)
{
	return buf_printf(out, "login/%.*s/%.*s", SV_ARG(tenant->name), SV_ARG(user));
}

/* ---- reading ---- */

static struct secret *secret_of(const json_t *root, const char *key)
{
	const json_t *value = json_object_get(root, key);
	struct sv text = sv_make(json_string_value(value), json_string_length(value));

	return text.len ? secret_new(text) : NULL;
}

static void copy_of(const json_t *root, const char *key, char *out, size_t size)
{
	struct sv text = sv_from(json_string_value(json_object_get(root, key)));

	if (text.len && text.len < size)
		memcpy(out, text.ptr, text.len + 1);
}

static struct wall_time time_of(const json_t *root, const char *key)
{
	json_int_t s = json_integer_value(json_object_get(root, key));

	if (s < 0 || s > (json_int_t)1 << 40)
		s = 0;
	return (struct wall_time){ (int64_t)s * (int64_t)US_PER_S };
}

int identity_login_parse(struct sv text, struct identity_login **out_login)
{
	CLEANUP(identity_login_freep) struct identity_login *l = xcalloc(1, sizeof(*l));
	json_t *root =
		text.len ? json_loadb(text.ptr, text.len, JSON_REJECT_DUPLICATES, NULL) : NULL;

	if (json_is_object(root)) {
		l->refresh_token = secret_of(root, "refresh_token");
		l->previous = secret_of(root, "previous");
		copy_of(root, "client_id", l->client_id, sizeof(l->client_id));
		copy_of(root, "scope", l->scope, sizeof(l->scope));
		l->confidential = json_is_true(json_object_get(root, "confidential"));
		l->signed_in_at = time_of(root, "signed_in_at");
		l->obtained_at = time_of(root, "obtained_at");
	}
	json_decref(root);
	if (!l->refresh_token)
		return RC_CORRUPT;
	*out_login = TAKE(l);
	return 0;
}

int identity_login_load(struct identity_vault *vault, struct sv name,
	struct identity_login **out_login, struct err *err)
{
	CLEANUP(secret_freep) struct secret *text = NULL;
	int rc = identity_vault_get(vault, name, &text, err);

	if (rc == -EBADMSG)
		return err_set(err,
			RC_CORRUPT,
			"the sign-in that the vault kept as '%.*s' is damaged on the disk: sign in "
			"again",
			SV_ARG(sv_head(name, 100)));
	if (rc == 0 && identity_login_parse(secret_reveal(text), out_login) != 0)
		rc = err_set(err,
			RC_CORRUPT,
			"what the vault has under '%.*s' is no login: sign in again",
			SV_ARG(sv_head(name, 100)));
	return rc;
}

/* ---- writing ---- */

static int put_text(struct buf *out, const char *key, struct sv value)
{
	int rc = buf_printf(out, "%c\"%s\":", out->len ? ',' : '{', key);

	return rc == 0 ? text_json_string(out, value) : rc;
}

static int render(const struct identity_login *l, struct buf *out)
{
	int rc = put_text(out, "refresh_token", secret_reveal(l->refresh_token));

	if (rc == 0 && l->previous)
		rc = put_text(out, "previous", secret_reveal(l->previous));
	if (rc == 0)
		rc = put_text(out, "client_id", sv_from(l->client_id));
	if (rc == 0)
		rc = put_text(out, "scope", sv_from(l->scope));
	if (rc == 0)
		rc = buf_printf(out,
			",\"confidential\":%s,\"signed_in_at\":%lld,\"obtained_at\":%lld}",
			l->confidential ? "true" : "false",
			(long long)(l->signed_in_at.us / (int64_t)US_PER_S),
			(long long)(l->obtained_at.us / (int64_t)US_PER_S));
	return rc;
}

int identity_login_save(struct identity_vault *vault, struct sv name,
	const struct identity_login *login, struct err *err)
{
	struct buf text = BUF_INIT(VAULT_VALUE_MAX);
	int rc;

	/* Room for all at once, so that no copy stays behind. */
	must(buf_reserve(&text, VAULT_VALUE_MAX) == 0);
	rc = render(login, &text);
	if (rc == 0)
		rc = identity_vault_put(vault, name, buf_sv(&text), err);
	else
		rc = err_set(err, rc, "the refresh token is too long for the vault");
	secret_wipe(text.ptr, text.cap);
	buf_deinit(&text);
	return rc;
}
