/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/htable.h"
#include "conf/conf.h"
#include "domain/check.h"

/*
 * The domains that are looked at, and what a configuration knows of them: their cloud, the addresses that connectors
 * leave from, selectors and block lists. Its questions are for domain/look.h.
 */
enum {
	DOMAIN_SET_MAX = 5000,
};

struct domain_set {
	struct arena arena;
	struct htable seen;
	struct sv *names; /* in ASCII, each once */
	size_t name_count, name_cap;
	struct sv selectors[DOMAIN_SELECTORS_MAX];
	size_t selector_count;
	struct sv lists[DOMAIN_LISTS_MAX];
	size_t list_count;
	struct domain_address addresses[DOMAIN_ADDRESSES_MAX];
	size_t address_count;
	struct domain_question *questions; /* after domain_set_ask() */
};

void domain_set_deinit(struct domain_set *s);
/* What the configuration says beside the names. Its texts are copied. */
void domain_set_read(struct domain_set *s, const struct conf *conf);
/* False: no name of a domain. */
NODISCARD bool domain_set_add(struct domain_set *s, struct sv name);
/* Those of the tenants and of the mailboxes. */
void domain_set_add_all(struct domain_set *s, const struct conf *conf);
/* One question a name. NULL: no configuration. */
void domain_set_ask(struct domain_set *s, const struct conf *conf);

enum {
	DOMAIN_SERVER_MAX = 64
};
/* "192.0.2.1" and "127.0.0.1:5300" as libunbound wants them: "127.0.0.1@5300". False: no address. */
NODISCARD bool domain_server_text(struct sv given, char out[DOMAIN_SERVER_MAX]);
