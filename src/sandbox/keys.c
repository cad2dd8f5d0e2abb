/* SPDX-License-Identifier: Apache-2.0 */
#include "sandbox/keys.h"

#include "base/guess.h"

static const char *const type_names[] = {
	[SANDBOX_TYPE_BOOL] = "true or false",
	[SANDBOX_TYPE_COUNT] = "a whole number from 0",
	[SANDBOX_TYPE_INTEGER] = "a whole number",
	[SANDBOX_TYPE_NUMBER] = "a number",
	[SANDBOX_TYPE_TEXT] = "a text",
	[SANDBOX_TYPE_TEXT_OR_NULL] = "a text or null",
	[SANDBOX_TYPE_TEXTS] = "a list of texts",
	[SANDBOX_TYPE_OBJECT] = "an object",
	[SANDBOX_TYPE_LIST] = "a list",
};

static bool is_texts(const json_t *value)
{
	for (size_t i = 0; i < json_array_size(value); i++) {
		if (!json_is_string(json_array_get(value, i)))
			return false;
	}
	return json_is_array(value);
}

static bool fits(const json_t *value, enum sandbox_type type)
{
	switch (type) {
	case SANDBOX_TYPE_BOOL:
		return json_is_boolean(value);
	case SANDBOX_TYPE_COUNT:
		return json_is_integer(value) && json_integer_value(value) >= 0 &&
		       json_integer_value(value) <= UINT32_MAX;
	case SANDBOX_TYPE_INTEGER:
		return json_is_integer(value);
	case SANDBOX_TYPE_NUMBER:
		return json_is_number(value);
	case SANDBOX_TYPE_TEXT:
		return json_is_string(value);
	case SANDBOX_TYPE_TEXT_OR_NULL:
		return json_is_string(value) || json_is_null(value);
	case SANDBOX_TYPE_TEXTS:
		return is_texts(value);
	case SANDBOX_TYPE_OBJECT:
		return json_is_object(value);
	case SANDBOX_TYPE_LIST:
		return json_is_array(value);
	}
	return false;
}

static const struct sandbox_key *find(
	const char *name, const struct sandbox_key *keys, size_t count, struct guess *guess)
{
	guess->name = sv_from(name);
	for (size_t i = 0; i < count; i++) {
		if (sv_eq(sv_from(keys[i].name), guess->name))
			return &keys[i];
		guess_try(guess, sv_from(keys[i].name));
	}
	return NULL;
}

int sandbox_keys_check(const json_t *object, const char *where, const struct sandbox_key *keys,
	size_t count, struct err *err)
{
	const char *name;
	json_t *value;

	if (!json_is_object(object))
		return err_set(err, RC_PARSE, "%s: expected an object", where);
	json_object_foreach((json_t *)(uintptr_t)object, name, value)
	{
		struct guess guess = { 0 };
		const struct sandbox_key *key = find(name, keys, count, &guess);

		if (!key && guess.best.len)
			return err_set(err,
				RC_PARSE,
				"%s: unknown key \"%.40s\"; did you mean \"%.*s\"?",
				where,
				name,
				SV_ARG(guess.best));
		if (!key)
			return err_set(err, RC_PARSE, "%s: unknown key \"%.40s\"", where, name);
		if (!fits(value, key->type))
			return err_set(err,
				RC_PARSE,
				"%s: \"%s\" must be %s",
				where,
				name,
				type_names[key->type]);
	}
	return 0;
}
