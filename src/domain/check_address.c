/* SPDX-License-Identifier: Apache-2.0 */
#include "domain/check_priv.h"

#include "authn/spf.h"

#include <string.h>

/* ---- SPF for one address ---- */

static enum domain_level level_of(enum spf_result r)
{
	if (r == SPF_PASS)
		return DOMAIN_OK;
	if (r == SPF_TEMPERROR)
		return DOMAIN_UNKNOWN;
	return r == SPF_FAIL || r == SPF_PERMERROR ? DOMAIN_FAIL : DOMAIN_WARN;
}

static void check_spf(struct domain_run *d, const struct domain_address *a)
{
	struct sv sender = domain_text(d, "postmaster@%.*s", SV_ARG(d->q->domain));
	struct spf_input in = { .sender = sender,
		.helo = d->q->helo.len ? d->q->helo : d->q->domain,
		.is_ipv6 = a->is_ipv6 };
	struct spf_verdict v;
	struct sv text;

	memcpy(in.address, a->bytes, sizeof(in.address));
	if (!spf_check(&in, d->memo, &v)) {
		d->waits = true;
		return;
	}
	text = domain_text(
		d, "%.*s (%.*s): %s", SV_ARG(a->text), SV_ARG(a->why), spf_result_name(v.result));
	if (v.problem[0])
		text = domain_text(d, "%.*s, %s", SV_ARG(text), v.problem);
	else if (v.term[0])
		text = domain_text(d, "%.*s by \"%s\" at %s", SV_ARG(text), v.term, v.domain);
	if (v.result == SPF_SOFTFAIL || v.result == SPF_NEUTRAL)
		text = domain_text(d, "%.*s; -all would refuse it", SV_ARG(text));
	domain_find(d,
		DOMAIN_SPF,
		level_of(v.result),
		text,
		v.result == SPF_PASS || v.result == SPF_TEMPERROR || v.result == SPF_PERMERROR
			? SV("")
			: domain_text(d,
				  "If mail of this domain leaves from there, add ip%c:%.*s to the "
				  "SPF record",
				  a->is_ipv6 ? '6' : '4',
				  SV_ARG(a->text)),
		SV(""));
}

/* ---- the name of an address, and what is said in EHLO ---- */

/* The address as labels, last first: "1.2.0.192" or 32 digits. */
static struct sv reversed(struct domain_run *d, const struct domain_address *a)
{
	CLEANUP(buf_deinitp) struct buf text = BUF_INIT(128);

	spf_address_labels(a->bytes, a->is_ipv6, true, &text);
	return arena_sv(&d->r->arena, buf_sv(&text));
}

static bool has_address(const struct authn_answer *a, const struct domain_address *address)
{
	size_t size = address->is_ipv6 ? 16 : 4;

	for (size_t i = 0; i < a->count; i++) {
		if (a->records[i].data.len == size &&
			memcmp(a->records[i].data.ptr, address->bytes, size) == 0)
			return true;
	}
	return false;
}

static enum authn_rr type_of(const struct domain_address *a)
{
	return a->is_ipv6 ? AUTHN_AAAA : AUTHN_A;
}

static void check_name(struct domain_run *d, const struct domain_address *a)
{
	const struct authn_answer *ptr = domain_look_name(d,
					  domain_text(d,
						  "%.*s.%s",
						  SV_ARG(reversed(d, a)),
						  a->is_ipv6 ? "ip6.arpa" : "in-addr.arpa"),
					  AUTHN_PTR),
				  *back;

	if (!ptr)
		return;
	if (ptr->status == AUTHN_FAILURE) {
		domain_find(d,
			DOMAIN_HOST,
			DOMAIN_UNKNOWN,
			domain_text(d, "no answer for the name of %.*s", SV_ARG(a->text)),
			SV(""),
			SV(""));
		return;
	}
	if (ptr->count == 0) {
		domain_find(d,
			DOMAIN_HOST,
			DOMAIN_FAIL,
			domain_text(d,
				"%.*s has no name (PTR): Gmail and many others refuse mail from it",
				SV_ARG(a->text)),
			SV("Ask whoever gave you the address to set its PTR record"),
			SV(""));
		return;
	}
	back = domain_look_name(d, ptr->records[0].data, type_of(a));
	if (!back)
		return;
	if (has_address(back, a))
		domain_find(d,
			DOMAIN_HOST,
			DOMAIN_OK,
			domain_text(d,
				"%.*s is %.*s, and that name leads back",
				SV_ARG(a->text),
				SV_ARG(ptr->records[0].data)),
			SV(""),
			SV(""));
	else
		domain_find(d,
			DOMAIN_HOST,
			DOMAIN_WARN,
			domain_text(d,
				"%.*s is %.*s, but that name does not lead back to it",
				SV_ARG(a->text),
				SV_ARG(ptr->records[0].data)),
			SV("Make PTR and A (or AAAA) record agree"),
			SV(""));
}

static void check_helo(struct domain_run *d, const struct domain_address *a)
{
	const struct authn_answer *answer;

	if (d->q->helo.len == 0)
		return;
	answer = domain_look_name(d, d->q->helo, type_of(a));
	if (!answer)
		return;
	if (answer->status == AUTHN_FAILURE)
		domain_find(d,
			DOMAIN_HOST,
			DOMAIN_UNKNOWN,
			domain_text(d, "no answer for %.*s", SV_ARG(d->q->helo)),
			SV(""),
			SV(""));
	else if (!has_address(answer, a))
		domain_find(d,
			DOMAIN_HOST,
			DOMAIN_WARN,
			domain_text(d,
				"EHLO says %.*s, which does not lead to %.*s",
				SV_ARG(d->q->helo),
				SV_ARG(a->text)),
			SV("Set `hostname` to a name that leads to this address"),
			SV(""));
	else
		domain_find(d,
			DOMAIN_HOST,
			DOMAIN_OK,
			domain_text(d,
				"EHLO says %.*s, which leads to %.*s",
				SV_ARG(d->q->helo),
				SV_ARG(a->text)),
			SV(""),
			SV(""));
}

/* ---- block lists ---- */

/* Lists answer with 127.0.0.0/16; 127.255.255.x says that the question was refused (too many, an open resolver), and any
 * other address comes from a name server that makes answers up. */
static void check_list(struct domain_run *d, struct sv what, struct sv name, struct sv list)
{
	const struct authn_answer *a = domain_look_name(
		d, domain_text(d, "%.*s.%.*s", SV_ARG(name), SV_ARG(list)), AUTHN_A);
	const unsigned char *b;

	if (!a)
		return;
	if (a->status == AUTHN_FAILURE) {
		domain_find(d,
			DOMAIN_LISTS,
			DOMAIN_UNKNOWN,
			domain_text(
				d, "%.*s gave no answer about %.*s", SV_ARG(list), SV_ARG(what)),
			SV(""),
			SV(""));
		return;
	}
	if (a->count == 0) {
		domain_find(d,
			DOMAIN_LISTS,
			DOMAIN_OK,
			domain_text(d, "%.*s is not on %.*s", SV_ARG(what), SV_ARG(list)),
			SV(""),
			SV(""));
		return;
	}
	b = (const unsigned char *)a->records[0].data.ptr;
	if (b[0] == 127 && b[1] == 0)
		domain_find(d,
			DOMAIN_LISTS,
			DOMAIN_FAIL,
			domain_text(d,
				"%.*s is on %.*s (%u.%u.%u.%u)",
				SV_ARG(what),
				SV_ARG(list),
				b[0],
				b[1],
				b[2],
				b[3]),
			domain_text(d,
				"Find out why at the web page of %.*s, stop the cause, then ask "
				"for removal there",
				SV_ARG(list)),
			SV(""));
	else
		domain_find(d,
			DOMAIN_LISTS,
			DOMAIN_UNKNOWN,
			domain_text(d,
				"%.*s answered %u.%u.%u.%u about %.*s, which is an error and no "
				"listing",
				SV_ARG(list),
				b[0],
				b[1],
				b[2],
				b[3],
				SV_ARG(what)),
			SV("Ask it by a name server of your own: lists refuse questions from "
			   "public ones"),
			SV(""));
}

void domain_check_addresses(struct domain_run *d)
{
	for (size_t i = 0; i < d->q->address_count && i < DOMAIN_ADDRESSES_MAX; i++) {
		const struct domain_address *a = &d->q->addresses[i];

		check_spf(d, a);
		if (!a->sends)
			continue;
		check_name(d, a);
		check_helo(d, a);
		for (size_t k = 0; k < d->q->block_list_count && k < DOMAIN_LISTS_MAX; k++)
			check_list(d, a->text, reversed(d, a), d->q->block_lists[k]);
	}
}
