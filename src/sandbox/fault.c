/* SPDX-License-Identifier: Apache-2.0 */
#include "sandbox/fault.h"

#include "base/must.h"
#include "base/time.h"
#include "mail/address.h"
#include "sandbox/keys.h"

#include <stdio.h>
#include <stdlib.h>

/* The faults come from a test's API calls: far more than any script needs. */
enum {
	FAULTS_MAX = 4000
};

static const char *const stage_names[] = {
	[SANDBOX_AT_CONNECT] = "connect",
	[SANDBOX_AT_EHLO] = "ehlo",
	[SANDBOX_AT_AUTH] = "auth",
	[SANDBOX_AT_MAIL] = "mail",
	[SANDBOX_AT_RCPT] = "rcpt",
	[SANDBOX_AT_DATA] = "data",
	[SANDBOX_AT_DOT] = "dot",
	[SANDBOX_AT_TOKEN] = "token",
	[SANDBOX_AT_GRAPH] = "graph",
};
static_assert(COUNT_OF(stage_names) == SANDBOX_AT_COUNT, "name every stage");

static const char *const deed_names[] = {
	[SANDBOX_DO_REPLY] = "reply",
	[SANDBOX_DO_CUT] = "cut",
	[SANDBOX_DO_CUT_AFTER] = "cut-after",
	[SANDBOX_DO_STALL] = "stall",
	[SANDBOX_DO_SLOW] = "slow",
};
static_assert(COUNT_OF(deed_names) == SANDBOX_DO_COUNT, "name every deed");

static const struct sandbox_key keys[] = {
	{ "at", SANDBOX_TYPE_TEXT },
	{ "do", SANDBOX_TYPE_TEXT },
	{ "reply", SANDBOX_TYPE_TEXT },
	{ "times", SANDBOX_TYPE_COUNT },
	{ "probability", SANDBOX_TYPE_NUMBER },
	{ "match", SANDBOX_TYPE_TEXT },
	{ "retry_after", SANDBOX_TYPE_COUNT },
	{ "delay_ms", SANDBOX_TYPE_COUNT },
};

const char *sandbox_stage_name(enum sandbox_stage stage)
{
	return stage_names[stage];
}

void sandbox_faults_deinit(struct sandbox_faults *f)
{
	free(f->items);
	*f = (struct sandbox_faults){ 0 };
}

static int find_name(const char *const *names, size_t count, const char *name)
{
	for (size_t i = 0; name && i < count; i++) {
		if (strcmp(names[i], name) == 0)
			return (int)i;
	}
	return -1;
}

/* "451 4.7.0 text": the enhanced code may be missing. */
static int parse_reply(struct sandbox_fault *fault, const char *text, struct err *err)
{
	struct sv rest = sv_from(text);
	struct sv code, word;
	uint32_t number;

	(void)sv_cut_char(&rest, ' ', &code);
	if (sv_parse_u32(code, 599, &number) != 0 || number < 200)
		return err_set(
			err, RC_PARSE, "fault: \"reply\" must begin with a code of 200 to 599");
	fault->code = (uint16_t)number;
	word = rest;
	if (rest.len > 4 && rest.ptr[1] == '.') {
		(void)sv_cut_char(&rest, ' ', &word);
		(void)snprintf(fault->enhanced, sizeof(fault->enhanced), "%.*s", SV_ARG(word));
	}
	if (sv_find_char(rest, '\r') >= 0 || sv_find_char(rest, '\n') >= 0)
		return err_set(err, RC_PARSE, "fault: \"reply\" has a line break");
	(void)snprintf(fault->text, sizeof(fault->text), "%.*s", SV_ARG(rest));
	return 0;
}

static int add_one(struct sandbox_faults *f, const json_t *spec, struct err *err)
{
	struct sandbox_fault fault = { .probability = 1 };
	const char *reply = json_string_value(json_object_get(spec, "reply"));
	const char *match = json_string_value(json_object_get(spec, "match"));
	const json_t *probability = json_object_get(spec, "probability");
	int rc = sandbox_keys_check(spec, "fault", keys, COUNT_OF(keys), err);
	int at = find_name(
		stage_names, SANDBOX_AT_COUNT, json_string_value(json_object_get(spec, "at")));
	int deed = find_name(
		deed_names, SANDBOX_DO_COUNT, json_string_value(json_object_get(spec, "do")));

	if (rc != 0)
		return rc;
	if (at < 0)
		return err_set(err,
			RC_PARSE,
			"fault: \"at\" must be connect, ehlo, auth, mail, rcpt, data, dot, token "
			"or "
			"graph");
	if (deed < 0)
		return err_set(err,
			RC_PARSE,
			"fault: \"do\" must be reply, cut, cut-after, stall or slow");
	if (probability &&
		(json_number_value(probability) < 0 || json_number_value(probability) > 1))
		return err_set(err, RC_PARSE, "fault: \"probability\" must be 0 to 1");
	fault.at = (enum sandbox_stage)at;
	fault.deed = (enum sandbox_deed)deed;
	fault.times = (uint32_t)json_integer_value(json_object_get(spec, "times"));
	fault.retry_after_s = (uint32_t)json_integer_value(json_object_get(spec, "retry_after"));
	fault.delay_us =
		(uint64_t)json_integer_value(json_object_get(spec, "delay_ms")) * US_PER_MS;
	if (probability)
		fault.probability = json_number_value(probability);
	if (match)
		(void)snprintf(fault.match, sizeof(fault.match), "%s", match);
	if (fault.deed == SANDBOX_DO_REPLY) {
		rc = reply ? parse_reply(&fault, reply, err)
			   : err_set(err, RC_PARSE, "fault: \"do\":\"reply\" needs a \"reply\"");
		if (rc != 0)
			return rc;
	}
	if (f->count == FAULTS_MAX)
		return err_set(err, RC_LIMIT, "fault: there are %d already", FAULTS_MAX);
	f->items = xrealloc(f->items, (f->count + 1) * sizeof(*f->items));
	f->items[f->count++] = fault;
	return 0;
}

int sandbox_faults_add(struct sandbox_faults *f, const json_t *spec, struct err *err)
{
	size_t before = f->count;

	if (!json_is_array(spec))
		return add_one(f, spec, err);
	for (size_t i = 0; i < json_array_size(spec); i++) {
		int rc = add_one(f, json_array_get(spec, i), err);

		if (rc != 0) {
			f->count = before;
			return rc;
		}
	}
	return 0;
}

json_t *sandbox_faults_json(const struct sandbox_faults *f)
{
	json_t *all = json_array();

	for (size_t i = 0; i < f->count; i++) {
		const struct sandbox_fault *fault = &f->items[i];
		json_t *one = json_object();
		char reply[sizeof(fault->text) + 32];

		must(json_object_set_new(one, "at", json_string(stage_names[fault->at])) == 0);
		must(json_object_set_new(one, "do", json_string(deed_names[fault->deed])) == 0);
		must(json_object_set_new(one, "times", json_integer(fault->times)) == 0);
		must(json_object_set_new(one, "done", json_integer(fault->done)) == 0);
		if (fault->deed == SANDBOX_DO_REPLY) {
			(void)snprintf(reply,
				sizeof(reply),
				"%u %s%s%s",
				fault->code,
				fault->enhanced,
				fault->enhanced[0] ? " " : "",
				fault->text);
			must(json_object_set_new(one, "reply", json_string(reply)) == 0);
		}
		must(json_array_append_new(all, one) == 0);
	}
	return all;
}

const struct sandbox_fault *sandbox_faults_strike(
	struct sandbox_faults *f, enum sandbox_stage at, struct sv address, uint32_t dice)
{
	for (size_t i = 0; i < f->count; i++) {
		struct sandbox_fault *fault = &f->items[i];

		if (fault->at != at || (fault->times && fault->done >= fault->times))
			continue;
		if (fault->match[0] && !address_matches(sv_from(fault->match), address) &&
			!sv_eq_nocase(sv_from(fault->match), address))
			continue;
		if (fault->probability < 1 && (double)dice >= fault->probability * 4294967296.0)
			continue;
		fault->done++;
		return fault;
	}
	return NULL;
}
