/* SPDX-License-Identifier: Apache-2.0 */
#include "domain/check_priv.h"

#include "authn/dkim_key.h"
#include "base/must.h"

enum {
	BITS_GOOD = 2048,
	CLOUD_SELECTORS_MAX = 4,
};

struct selector {
	struct sv name;
	bool cloud; /* one of the cloud's own */
	bool cname; /* which should be a CNAME */
	const struct authn_answer *a;
};

static struct sv step_enable(struct domain_run *d)
{
	return domain_step(d, domain_cloud(d)->step_enable);
}

/* How the record comes to be here. */
static struct sv tell_way(struct domain_run *d, const struct selector *s)
{
	if (s->a->alias.len)
		return domain_text(d, "%.*s leads to %.*s", SV_ARG(s->name), SV_ARG(s->a->alias));
	return s->cname ? domain_text(d,
				  "%.*s is no CNAME any more (flattened, or a key of another "
				  "system)",
				  SV_ARG(s->name))
			: s->name;
}

static bool key_is_usable(const struct authn_dkim_key *k)
{
	return k->fault == AUTHN_KEY_GOOD &&
	       (k->type == AUTHN_KEY_ED25519 || k->bits >= AUTHN_KEY_BITS_MIN);
}

static void tell_good_key(struct domain_run *d, const struct selector *s,
	const struct authn_dkim_key *k, struct sv record)
{
	struct sv way = tell_way(d, s);

	if (k->type == AUTHN_KEY_ED25519)
		domain_find(d,
			DOMAIN_DKIM,
			DOMAIN_WARN,
			domain_text(d,
				"%.*s: an Ed25519 key, which Gmail and Outlook.com do not check",
				SV_ARG(way)),
			SV("Sign with RSA, too"),
			record);
	else
		domain_find(d,
			DOMAIN_DKIM,
			DOMAIN_OK,
			domain_text(d, "%.*s: RSA, %u bits", SV_ARG(way), k->bits),
			SV(""),
			record);
	if (k->type == AUTHN_KEY_RSA && k->bits < BITS_GOOD)
		domain_find(d,
			DOMAIN_DKIM,
			DOMAIN_WARN,
			domain_text(d, "%.*s: %u bits are few", SV_ARG(s->name), k->bits),
			s->cloud ? domain_step(d, domain_cloud(d)->step_rotate)
				 : SV("Make a key of 2048 bits"),
			SV(""));
	if (k->testing)
		domain_find(d,
			DOMAIN_DKIM,
			DOMAIN_WARN,
			domain_text(
				d, "%.*s: t=y says that DKIM is only being tried", SV_ARG(s->name)),
			SV("Remove t=y from the key record"),
			SV(""));
	if (s->cname && s->a->alias.len == 0)
		domain_find(d,
			DOMAIN_DKIM,
			DOMAIN_WARN,
			domain_text(d,
				"%.*s: without its CNAME the key here stays when %s rotates it, "
				"and signatures fail from then on",
				SV_ARG(s->name),
				domain_cloud(d)->signer),
			SV("Publish the CNAME itself; at Cloudflare turn the proxy and CNAME "
			   "flattening off for it"),
			SV(""));
}

static bool selector_is_good(const struct selector *s)
{
	struct authn_dkim_key k = { 0 };
	bool good = authn_dkim_key_find(s->a, &k) && key_is_usable(&k);

	authn_dkim_key_deinit(&k);
	return good;
}

static void tell_key(struct domain_run *d, const struct selector *s)
{
	struct authn_dkim_key k = { 0 };
	bool found = authn_dkim_key_find(s->a, &k);
	struct sv record = s->a->count ? s->a->records[0].data : SV("");

	if (found && key_is_usable(&k))
		tell_good_key(d, s, &k, record);
	else if (k.fault == AUTHN_KEY_VERSION && s->a->alias.len == 0)
		domain_find(d,
			DOMAIN_DKIM,
			DOMAIN_WARN,
			domain_text(d,
				"%.*s has a record that is no key: a wildcard of the domain "
				"answers, "
				"or v=DKIM1 is not its first tag",
				SV_ARG(s->name)),
			s->cloud ? step_enable(d)
				 : SV("Publish the record as the signing system shows it"),
			record);
	else if (k.fault == AUTHN_KEY_GOOD)
		domain_find(d,
			DOMAIN_DKIM,
			DOMAIN_WARN,
			domain_text(d,
				"%.*s: a key of %u bits is not valid any more",
				SV_ARG(s->name),
				k.bits),
			SV("Make a key of 2048 bits"),
			record);
	else
		domain_find(d,
			DOMAIN_DKIM,
			DOMAIN_WARN,
			domain_text(d,
				"%.*s: the key record %s",
				SV_ARG(tell_way(d, s)),
				authn_key_fault_text(k.fault)),
			s->cloud ? step_enable(d)
				 : SV("Publish the record as the signing system shows it"),
			record);
	authn_dkim_key_deinit(&k);
}

static void tell_selector(struct domain_run *d, const struct selector *s)
{
	struct sv name = s->name;

	if (s->a->status == AUTHN_FOUND)
		tell_key(d, s);
	else if (s->a->status == AUTHN_FAILURE)
		domain_find(d,
			DOMAIN_DKIM,
			DOMAIN_UNKNOWN,
			domain_text(d, "no answer for %.*s", SV_ARG(name)),
			SV(""),
			SV(""));
	else if (s->a->alias.len && provider_is_dkim_target(s->a->alias))
		domain_find(d,
			DOMAIN_DKIM,
			DOMAIN_WARN,
			domain_text(d,
				"%.*s leads to %.*s, where there is no key: signing is not "
				"enabled, or this is the key's turn to come",
				SV_ARG(name),
				SV_ARG(s->a->alias)),
			step_enable(d),
			SV(""));
	else if (s->a->alias.len)
		domain_find(d,
			DOMAIN_DKIM,
			DOMAIN_WARN,
			domain_text(d,
				"%.*s leads to %.*s, where there is no key",
				SV_ARG(name),
				SV_ARG(s->a->alias)),
			SV("Publish the CNAME exactly as the signing system shows it"),
			SV(""));
	else
		domain_find(d,
			DOMAIN_DKIM,
			DOMAIN_WARN,
			domain_text(d, "%.*s is not published", SV_ARG(name)),
			s->cloud ? step_enable(d)
				 : SV("Publish the record as the signing system shows it"),
			SV(""));
}

static const struct authn_answer *look_selector(struct domain_run *d, struct sv name)
{
	return domain_look(
		d, domain_text(d, "%.*s._domainkey", SV_ARG(sv_head(name, 63))), AUTHN_TXT);
}

void domain_check_dkim(struct domain_run *d)
{
	const struct provider_domain_row *cloud = domain_cloud(d);
	struct selector all[CLOUD_SELECTORS_MAX + DOMAIN_SELECTORS_MAX];
	size_t count = 0, good = 0, unknown = 0;

	must(cloud->selector_count <= CLOUD_SELECTORS_MAX);
	for (size_t i = 0; i < cloud->selector_count; i++)
		all[count++] = (struct selector){
			cloud->selectors[i], true, cloud->selectors_are_cnames, NULL
		};
	for (size_t i = 0; i < d->q->selector_count && i < DOMAIN_SELECTORS_MAX; i++)
		all[count++] = (struct selector){ .name = d->q->selectors[i] };
	for (size_t i = 0; i < count; i++)
		all[i].a = look_selector(d, all[i].name);
	if (d->waits)
		return;
	for (size_t i = 0; i < count; i++) {
		good += selector_is_good(&all[i]);
		unknown += all[i].a->status == AUTHN_FAILURE;
	}
	if (!good && !unknown)
		domain_find(d,
			DOMAIN_DKIM,
			DOMAIN_FAIL,
			domain_text(d,
				"there is no key by which signatures of this domain are valid; %s "
				"signs as %s then, which does not count for DMARC of this domain",
				cloud->signer,
				cloud->tenant_example),
			step_enable(d),
			SV(""));
	for (size_t i = 0; i < count; i++)
		tell_selector(d, &all[i]);
	d->r->dkim = good ? DOMAIN_OK : unknown ? DOMAIN_UNKNOWN : DOMAIN_FAIL;
}
