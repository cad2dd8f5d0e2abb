/* SPDX-License-Identifier: Apache-2.0 */
#include "setup/plan_priv.h"

#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>

struct finding {
	struct arena *arena;
	const struct conf_tenant *tenant;
	struct sv first, fitting;
};

static bool in_domain(struct sv name, struct sv domain)
{
	return sv_eq_nocase(name, domain) ||
	       (name.len > domain.len && sv_ends_nocase(name, domain) &&
		       name.ptr[name.len - domain.len - 1] == '.');
}

static void take(struct finding *f, const ASN1_STRING *text)
{
	struct sv name = sv_make(
		(const char *)ASN1_STRING_get0_data(text), (size_t)ASN1_STRING_length(text));

	if (!name.len || sv_find_char(name, '\0') >= 0 || f->fitting.len)
		return;
	name = arena_sv(f->arena, name);
	if (!f->first.len)
		f->first = name;
	for (size_t i = 0; f->tenant && i < f->tenant->domain_count; i++)
		if (in_domain(name, f->tenant->domains[i]))
			f->fitting = name;
}

static void find_names(struct finding *f, const X509 *x)
{
	GENERAL_NAMES *names = X509_get_ext_d2i(x, NID_subject_alt_name, NULL, NULL);
	const X509_NAME *subject = X509_get_subject_name(x);
	int at = X509_NAME_get_index_by_NID(subject, NID_commonName, -1);

	for (int i = 0; i < sk_GENERAL_NAME_num(names); i++) {
		const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);

		if (name->type == GEN_DNS)
			take(f, name->d.dNSName);
	}
	GENERAL_NAMES_free(names);
	if (at >= 0)
		take(f, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at)));
}

struct sv setup_certificate_name(struct arena *arena, struct sv path, const struct conf_tenant *t)
{
	struct finding f = { .arena = arena, .tenant = t };
	FILE *from = path.len ? fopen(arena_str(arena, path), "re") : NULL;
	X509 *x = from ? PEM_read_X509(from, NULL, NULL, NULL) : NULL;

	if (x)
		find_names(&f, x);
	X509_free(x);
	if (from)
		(void)fclose(from);
	return f.fitting.len ? f.fitting : f.first;
}
