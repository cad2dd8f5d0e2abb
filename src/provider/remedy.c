/* SPDX-License-Identifier: Apache-2.0 */
#include "provider/remedy.h"

#include "provider/remedy_priv.h"

#include "base/must.h"

const struct provider_remedy_table *const provider_remedy_tables[PROVIDER_REMEDY_TABLES] = {
	&provider_remedy_sign_in,
	&provider_remedy_limits,
	&provider_remedy_senders,
	&provider_remedy_messages,
	&provider_remedy_services,
};

static const char *const owner_names[][2] = {
	{ "you", "you, or whoever runs the sending program" },
	{ "administrator", "your administrator" },
	{ "recipient", "the recipient's side" },
	{ "microsoft", "the provider (Microsoft): wait" },
};
static_assert(COUNT_OF(owner_names) == PROVIDER_OWNER_COUNT, "one name an owner");

const char *provider_owner_name(enum provider_owner owner)
{
	must(owner < PROVIDER_OWNER_COUNT);
	return owner_names[owner][0];
}

const char *provider_owner_words(enum provider_owner owner)
{
	must(owner < PROVIDER_OWNER_COUNT);
	return owner_names[owner][1];
}

const struct provider_remedy *provider_remedy(const char *cause)
{
	for (size_t t = 0; cause && t < PROVIDER_REMEDY_TABLES; t++) {
		const struct provider_remedy_table *table = provider_remedy_tables[t];

		for (size_t i = 0; i < table->count; i++)
			if (strcmp(table->rows[i].cause, cause) == 0)
				return &table->rows[i];
	}
	return NULL;
}

/* ---- places ---- */

/* Bytes that mean nothing to PowerShell or a shell. */
static bool is_plain(struct sv value)
{
	if (value.len == 0 || value.len > 320 || value.ptr[0] == '-')
		return false;
	for (size_t i = 0; i < value.len; i++) {
		char c = value.ptr[i];

		if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
			    c == '.' || c == '_' || c == '-' || c == '+' || c == '@'))
			return false;
	}
	return true;
}

static bool find_place(struct sv name, const struct provider_facts *facts, struct sv *out_value,
	const char **out_else)
{
	static const struct {
		struct sv name;
		const char *otherwise;
	} places[] = {
		{ SV_INIT("mailbox"), "MAILBOX" },
		{ SV_INIT("sender"), "SENDER" },
		{ SV_INIT("recipient"), "RECIPIENT" },
		{ SV_INIT("tenant"), "TENANT" },
		{ SV_INIT("app"), "APP" },
	};
	const struct sv values[] = {
		facts->mailbox, facts->sender, facts->recipient, facts->tenant, facts->app
	};

	static_assert(COUNT_OF(places) == COUNT_OF(values), "one value a place");
	for (size_t i = 0; i < COUNT_OF(places); i++) {
		if (sv_eq(places[i].name, name)) {
			*out_value = values[i];
			*out_else = places[i].otherwise;
			return true;
		}
	}
	return false;
}

int provider_remedy_fill(const char *step, const struct provider_facts *facts, struct buf *out)
{
	struct sv rest = sv_from(step);
	struct sv part, value;
	const char *otherwise;
	int rc;

	for (;;) {
		bool more = sv_cut_char(&rest, '{', &part);

		rc = buf_append(out, part);
		if (rc != 0 || !more)
			return rc;
		(void)sv_cut_char(&rest, '}', &part);
		if (!find_place(part, facts, &value, &otherwise))
			must_fail("a place in a remedy", __FILE__, __LINE__);
		rc = buf_append(out, is_plain(value) ? value : sv_from(otherwise));
		if (rc != 0)
			return rc;
	}
}
