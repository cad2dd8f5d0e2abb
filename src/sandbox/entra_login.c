/* SPDX-License-Identifier: Apache-2.0 */
#include "base/must.h"
#include "sandbox/entra_priv.h"
#include "sandbox/events.h"

#include <openssl/rand.h>
#include <stdlib.h>

/* Codes that wait: a person at the device page, or a client that comes back with its redirect. */

static void login_free(struct sandbox_entra *e, struct entra_login *l)
{
	char *const texts[] = {
		l->client_id, l->scope, l->user, l->redirect_uri, l->challenge, l->nonce
	};

	for (size_t i = 0; i < COUNT_OF(texts); i++)
		free(texts[i]);
	list_remove(&l->node);
	e->login_count--;
	free(l);
}

void entra_logins_free(struct sandbox_entra *e)
{
	list_each_safe (node, after, &e->logins)
		login_free(e, list_entry(node, struct entra_login, node));
}

/* As Microsoft's: nine letters and digits, none that look alike. */
static void make_user_code(char out[16])
{
	static const char letters[] = "ABCDEFGHJKLMNPQRSTUVWXYZ23456789";
	unsigned char bytes[9];

	must(RAND_bytes(bytes, sizeof(bytes)) == 1);
	for (size_t i = 0; i < sizeof(bytes); i++)
		out[i] = letters[bytes[i] % 32];
	out[sizeof(bytes)] = '\0';
}

struct entra_login *entra_login_add(struct sandbox_entra *e, bool device)
{
	struct entra_login *l = xcalloc(1, sizeof(*l));

	if (e->login_count == ENTRA_LOGINS_MAX)
		login_free(e, list_entry(e->logins.next, struct entra_login, node));
	l->device = device;
	entra_random_text(l->code, sizeof(l->code));
	if (device)
		make_user_code(l->user_code);
	list_append(&e->logins, &l->node);
	e->login_count++;
	return l;
}

struct entra_login *entra_login_find(struct sandbox_entra *e, bool device, struct sv code)
{
	list_each (node, &e->logins) {
		struct entra_login *l = list_entry(node, struct entra_login, node);

		if (l->device == device && sv_eq(sv_from(l->code), code))
			return l;
	}
	return NULL;
}

int sandbox_entra_device_answer(
	struct sandbox_entra *e, struct sv user_code, struct sv user, bool allow, uint64_t now_s)
{
	list_each (node, &e->logins) {
		struct entra_login *l = list_entry(node, struct entra_login, node);

		if (!l->device || l->state != ENTRA_LOGIN_WAITS ||
			!sv_eq_nocase(sv_from(l->user_code), user_code) ||
			l->made_s + l->life_s <= now_s)
			continue;
		l->state = allow ? ENTRA_LOGIN_ALLOWED : ENTRA_LOGIN_DECLINED;
		l->user = sv_dup(user);
		return 0;
	}
	return RC_NOT_FOUND;
}

json_t *sandbox_entra_logins(const struct sandbox_entra *e)
{
	json_t *all = json_array();

	list_each (node, &e->logins) {
		const struct entra_login *l = list_entry(node, struct entra_login, node);
		json_t *one;

		if (!l->device || l->state != ENTRA_LOGIN_WAITS)
			continue;
		one = json_object();
		(void)json_object_set_new(one, "user_code", json_string(l->user_code));
		(void)json_object_set_new(
			one, "client_id", sandbox_json_text(sv_from(l->client_id)));
		(void)json_object_set_new(one, "scope", sandbox_json_text(sv_from(l->scope)));
		(void)json_array_append_new(all, one);
	}
	return all;
}
