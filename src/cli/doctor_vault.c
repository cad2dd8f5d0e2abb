/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/doctor_priv.h"
#include "identity/vault.h"

#include <errno.h>

static const char part[] = "vault";

/* Those that the configuration names: of a damaged record only this way tells whose it was. */
static void look_at_one(struct doctor *d, struct identity_vault *v, const struct conf_secret *where)
{
	struct secret *value = NULL;
	struct err err = { 0 };

	if (where->kind != CONF_SECRET_VAULT)
		return;
	if (identity_vault_get(v, where->name, &value, &err) == -EBADMSG)
		doctor_say(d,
			DOCTOR_FAULT,
			part,
			"Put the secret there again; its mail waits meanwhile.",
			"%s",
			err.text);
	secret_free(value);
}

static void look_at_names(struct doctor *d, struct identity_vault *v)
{
	size_t count;
	const struct conf_lane *lanes = conf_lanes(d->conf, &count);
	const struct conf_tenant *const *tenants;

	for (size_t i = 0; i < count; i++) {
		look_at_one(d, v, &lanes[i].password);
		look_at_one(d, v, &lanes[i].certificate_key);
		look_at_one(d, v, &lanes[i].passphrase);
	}
	tenants = conf_tenants(d->conf, &count);
	for (size_t i = 0; i < count; i++) {
		look_at_one(d, v, &tenants[i]->app.secret);
		look_at_one(d, v, &tenants[i]->app.key);
		look_at_one(d, v, &tenants[i]->app.passphrase);
	}
}

static void say_keys(struct doctor *d, const struct identity_vault_health *h)
{
	if (!h->two_keys)
		return;
	if (h->new_key)
		doctor_say(d,
			DOCTOR_NOTE,
			part,
			"postern reload",
			"the new key is in place, and the old one still opens the vault");
	else
		doctor_say(d,
			DOCTOR_NOTE,
			part,
			"Put the new key where `vault: { key }` points, then: postern reload",
			"`vault rekey` was begun: the old key and the new one open the vault");
}

static bool is_damaged(const struct identity_vault_health *h)
{
	return h->damaged_records || h->header_damaged;
}

static void say_damage(struct doctor *d, const struct identity_vault_health *h)
{
	doctor_say(d,
		DOCTOR_FAULT,
		part,
		"postern doctor --repair clears it away and keeps a copy.",
		"%llu damaged places (%llu bytes)%s; %zu secrets are whole, %zu are known to be "
		"lost",
		(unsigned long long)h->damaged_records,
		(unsigned long long)h->damaged_bytes,
		h->header_damaged ? " and one of its two headers" : "",
		h->secrets,
		h->lost);
}

static void repair(struct doctor *d, const char *what)
{
	struct identity_vault *v = NULL;
	struct identity_vault_health h;
	char kept[PATH_MAX];
	struct err err = { 0 };

	(void)!identity_vault_open_later(d->conf, &v, &err);
	if (v && identity_vault_repair(v, kept, &err) == 0 &&
		identity_vault_look(v, &h, &err) == 0) {
		doctor_say(d,
			DOCTOR_REPAIRED,
			part,
			NULL,
			"%s: written anew with %zu secrets%s%s",
			what,
			h.secrets,
			kept[0] ? "; the damaged file is kept as " : "",
			kept);
		look_at_names(d, v);
	} else {
		doctor_say(d, DOCTOR_FAULT, part, NULL, "it cannot be repaired: %s", err.text);
	}
	identity_vault_free(v);
}

void doctor_vault(struct doctor *d)
{
	struct identity_vault *v = NULL;
	struct identity_vault_health h;
	struct err err = { 0 };
	int rc;

	if (conf_general(d->conf)->vault_key.kind == CONF_SECRET_NONE)
		return;
	rc = identity_vault_open(d->conf, false, &v, &err);
	if (rc == 0)
		rc = identity_vault_look(v, &h, &err);
	if (rc == -EUCLEAN && d->repair) {
		repair(d, "it had no header that can be read");
	} else if (rc != 0) {
		doctor_say(d,
			DOCTOR_FAULT,
			part,
			rc == -EUCLEAN
				? "postern doctor --repair brings back the vault of before the "
				  "last rewrite (vault.1), if there is one."
				: "Correct what `vault: { key }` names. Mail that needs the "
				  "vault waits; no other.",
			"%s",
			err.text);
	} else if (is_damaged(&h) && d->repair) {
		repair(d, "it was damaged");
	} else {
		if (is_damaged(&h))
			say_damage(d, &h);
		else
			doctor_say(d, DOCTOR_OK, part, NULL, "%zu secrets, all whole", h.secrets);
		say_keys(d, &h);
		look_at_names(d, v);
	}
	identity_vault_free(v);
}
