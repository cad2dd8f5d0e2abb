/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "provider/remedy.h"

struct provider_remedy_table {
	const struct provider_remedy *rows;
	size_t count;
};

extern const struct provider_remedy_table provider_remedy_sign_in;
extern const struct provider_remedy_table provider_remedy_limits;
extern const struct provider_remedy_table provider_remedy_senders;
extern const struct provider_remedy_table provider_remedy_messages;
extern const struct provider_remedy_table provider_remedy_services;

enum {
	PROVIDER_REMEDY_TABLES = 5
};
extern const struct provider_remedy_table *const provider_remedy_tables[PROVIDER_REMEDY_TABLES];
