/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "authn/ask.h"
#include "base/must.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

/*
 * The world's DNS as a table, for tests of machines. Data as in a zone file: A "192.0.2.1", MX "10 host", TXT the
 * text (strings joined), PTR, NS and CNAME a name. CNAMEs are followed, as a resolver does. NULL: there is no answer
 * to this name and type (type 0: to nothing that no row before it answers).
 *
 *     static const struct zone_row rows[] = { { "a.test", AUTHN_TXT, "v=spf1 -all" }, ... };
 *     struct zone z = ZONE(rows);
 *     while (spf_next(s, &q) == AUTHN_ASK)
 *             spf_answer(s, zone_ask(&z, &q));
 */
struct zone_row {
	const char *name;
	unsigned type;
	const char *data;
	size_t len; /* of `data`; 0: up to its NUL */
};

struct zone {
	const struct zone_row *rows;
	size_t row_count;
	unsigned asked;
	/* The last answer. */
	struct authn_answer answer;
	struct authn_record records[LIMIT_DNS_RECORDS];
	unsigned char addresses[LIMIT_DNS_RECORDS][16];
	char alias[LIMIT_DNS_NAME + 1];
};

#define ZONE(table)                                                              \
	{                                                                        \
		.rows = (table), .row_count = sizeof(table) / sizeof((table)[0]) \
	}

static inline void zone_take(struct zone *z, const struct zone_row *row)
{
	struct authn_record *r;
	unsigned char *address;
	uint32_t preference;

	if (z->answer.count == LIMIT_DNS_RECORDS) {
		z->answer.cut = true;
		return;
	}
	r = &z->records[z->answer.count];
	address = z->addresses[z->answer.count];
	*r = (struct authn_record){ .data = row->len ? sv_make(row->data, row->len)
						     : sv_from(row->data) };
	if (row->type == AUTHN_A || row->type == AUTHN_AAAA) {
		must(inet_pton(row->type == AUTHN_A ? AF_INET : AF_INET6, row->data, address) == 1);
		r->data = sv_make((const char *)address, row->type == AUTHN_A ? 4 : 16);
	} else if (row->type == AUTHN_MX) {
		struct sv number;

		(void)sv_cut_char(&r->data, ' ', &number);
		must(sv_parse_u32(number, 65535, &preference) == 0);
		r->preference = (uint16_t)preference;
	}
	z->answer.count++;
}

/* One name: true when it leads on by a CNAME. */
static inline bool zone_look(
	struct zone *z, struct sv name, unsigned type, bool *found, struct sv *next)
{
	for (size_t i = 0; i < z->row_count; i++) {
		const struct zone_row *row = &z->rows[i];
		struct sv row_name = sv_from(row->name);

		if (!sv_eq_nocase(row_name, name)) {
			/* A name above one that exists exists, too. */
			if (row_name.len > name.len && sv_ends_nocase(row_name, name) &&
				row_name.ptr[row_name.len - name.len - 1] == '.')
				*found = true;
			continue;
		}
		*found = true;
		if (!row->data && z->answer.count == 0 && (row->type == type || row->type == 0)) {
			z->answer.status = AUTHN_FAILURE;
			z->answer.rcode = 2;
			return false;
		}
		if (row->type == type) {
			zone_take(z, row);
		} else if (row->type == AUTHN_CNAME) {
			*next = sv_from(row->data);
			return true;
		}
	}
	return false;
}

static inline const struct authn_answer *zone_ask(struct zone *z, const struct authn_question *q)
{
	struct sv name = sv_from(q->name);
	bool found = false;

	z->asked++;
	z->answer = (struct authn_answer){
		.status = AUTHN_NO_DATA, .records = z->records, .ttl_s = 300
	};
	for (unsigned hops = 0; zone_look(z, name, q->type, &found, &name); hops++) {
		found = false;
		z->answer.alias = name;
		if (hops == 8) {
			z->answer.status = AUTHN_FAILURE;
			z->answer.rcode = 2;
			return &z->answer;
		}
	}
	if (z->answer.status == AUTHN_FAILURE)
		z->answer.count = 0;
	else if (z->answer.count)
		z->answer.status = AUTHN_FOUND;
	else if (!found)
		z->answer.status = AUTHN_NXDOMAIN;
	if (z->answer.status == AUTHN_NXDOMAIN)
		z->answer.rcode = 3;
	return &z->answer;
}

/* Answers what a memo has asked for; how many questions that were. */
static inline unsigned zone_serve(struct zone *z, struct authn_memo *m)
{
	struct authn_question q;
	unsigned count = 0;

	for (; authn_memo_next(m, &q); count++)
		authn_memo_answer(m, &q, zone_ask(z, &q));
	return count;
}
