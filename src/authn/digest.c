/* SPDX-License-Identifier: Apache-2.0 */
#include "authn/verify_priv.h"
#include "base/limits.h"
#include "base/must.h"

static void put(void *arg, struct sv bytes)
{
	must(EVP_DigestUpdate(arg, bytes.ptr, bytes.len) == 1);
}

void digest_init(struct digest *d, enum authn_algorithm algorithm)
{
	*d = (struct digest){ .ctx = EVP_MD_CTX_new() };
	must(d->ctx != NULL);
	must(EVP_DigestInit_ex(
		     d->ctx, algorithm == AUTHN_RSA_SHA1 ? EVP_sha1() : EVP_sha256(), NULL) == 1);
}

void digest_end(struct digest *d)
{
	unsigned len = 0;

	must(EVP_DigestFinal_ex(d->ctx, d->bytes, &len) == 1);
	d->len = len;
}

void digest_deinit(struct digest *d)
{
	EVP_MD_CTX_free(d->ctx);
	d->ctx = NULL;
}

struct authn_sink digest_sink(struct digest *d)
{
	return (struct authn_sink){ put, d->ctx };
}

void digest_fields(const struct authn_fields *f, const struct authn_field *own, struct sv names,
	enum authn_canon canon, struct digest *d)
{
	bool taken[LIMIT_HEADER_FIELDS] = { false };
	struct authn_sink sink = digest_sink(d);
	size_t count = 0;
	const struct authn_field *list = authn_fields_list(f, &count);
	struct sv name;

	if (own)
		taken[own - list] = true;
	while (authn_list_next(&names, &name)) {
		/* A name beyond those that are there stands for nothing: so nobody can add one (RFC 6376 5.4). */
		for (size_t i = count; name.len && i-- > 0;) {
			if (taken[i] || !sv_eq_nocase(list[i].name, name))
				continue;
			taken[i] = true;
			authn_canon_field(canon, list[i].whole, true, &sink);
			break;
		}
	}
}

void digest_own(const struct authn_field *own, struct sv value_whole, enum authn_canon canon,
	struct digest *d)
{
	CLEANUP(buf_deinitp) struct buf text = BUF_INIT(LIMIT_HEADER);
	struct authn_sink sink = digest_sink(d);
	size_t before = (size_t)(value_whole.ptr - own->whole.ptr);

	must(buf_append(&text, sv_head(own->whole, before)) == 0);
	must(buf_append(&text, sv_skip(own->whole, before + value_whole.len)) == 0);
	authn_canon_field(canon, buf_sv(&text), false, &sink);
}
