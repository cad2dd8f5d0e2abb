/* SPDX-License-Identifier: Apache-2.0 */
#include "authn/spf.h"
#include "authn/test_zone.h"
#include "base/buf.h"

#include "cmocka_all.h"

#include <stdio.h>
#include <yaml.h>

/*
 * The test suites of RFC 7208 and RFC 4408 (openspf.org), where a folder shared/corpus/spf stands beside the project or
 * POSTERN_CORPUS names one. They are not part of the project: without them this test says so, and is skipped.
 */
enum {
	ROWS_MAX = 512,
};

struct suite {
	yaml_document_t *doc;
	struct zone_row rows[ROWS_MAX];
	size_t row_count;
	struct buf joined; /* strings of TXT records that come in pieces */
	unsigned cases, faults;
};

static FILE *open_suite(const char *file)
{
	const char *folders[] = { getenv("POSTERN_CORPUS"),
		"../../shared/corpus",
		"../../../shared/corpus",
		"../shared/corpus" };
	char path[512];

	for (size_t i = 0; i < sizeof(folders) / sizeof(folders[0]); i++) {
		FILE *f;

		if (!folders[i])
			continue;
		(void)snprintf(path, sizeof(path), "%s/spf/%s", folders[i], file);
		f = fopen(path, "re");
		if (f)
			return f;
	}
	return NULL;
}

static yaml_node_t *node(struct suite *s, int index)
{
	return yaml_document_get_node(s->doc, index);
}

static struct sv scalar(yaml_node_t *n)
{
	must(n && n->type == YAML_SCALAR_NODE);
	return sv_make((const char *)n->data.scalar.value, n->data.scalar.length);
}

static yaml_node_t *member(struct suite *s, yaml_node_t *map, const char *name)
{
	if (!map || map->type != YAML_MAPPING_NODE)
		return NULL;
	for (yaml_node_pair_t *p = map->data.mapping.pairs.start; p < map->data.mapping.pairs.top;
		p++) {
		if (sv_eq_nocase(scalar(node(s, p->key)), sv_from(name)))
			return node(s, p->value);
	}
	return NULL;
}

/* A scalar, or the members of a list one behind the other. */
static struct sv joined(struct suite *s, yaml_node_t *n, const char *between)
{
	size_t from = s->joined.len;

	if (n->type == YAML_SCALAR_NODE)
		return scalar(n);
	for (yaml_node_item_t *i = n->data.sequence.items.start; i < n->data.sequence.items.top;
		i++) {
		must(i == n->data.sequence.items.start ||
			buf_append(&s->joined, sv_from(between)) == 0);
		must(buf_append(&s->joined, scalar(node(s, *i))) == 0);
	}
	must(buf_append_char(&s->joined, '\0') == 0);
	return sv_make(s->joined.ptr + from, s->joined.len - from - 1);
}

static void add_row(struct suite *s, struct sv name, unsigned type, struct sv data, bool dead)
{
	must(s->row_count < ROWS_MAX);
	/* An empty text is of length 0, and ends in a NUL as all of libyaml's do. */
	s->rows[s->row_count++] =
		(struct zone_row){ name.ptr, type, dead ? NULL : data.ptr, data.len };
}

static const struct {
	const char *name;
	unsigned type;
} types[] = {
	{ "A", AUTHN_A },
	{ "AAAA", AUTHN_AAAA },
	{ "MX", AUTHN_MX },
	{ "PTR", AUTHN_PTR },
	{ "CNAME", AUTHN_CNAME },
	{ "TXT", AUTHN_TXT },
	{ "SPF", 99 },
};

static struct sv without_dot(struct sv v)
{
	return v.len && v.ptr[v.len - 1] == '.' ? sv_head(v, v.len - 1) : v;
}

/* "SPF" stands for TXT, too, unless the name has a TXT of its own ("NONE": none at all). */
static void read_record(struct suite *s, struct sv name, yaml_node_t *record, bool has_txt)
{
	yaml_node_pair_t *p;
	unsigned type = 0;
	struct sv data, key;

	if (record->type == YAML_SCALAR_NODE) {
		must(sv_eq(scalar(record), SV("TIMEOUT")));
		return;
	}
	p = record->data.mapping.pairs.start;
	key = scalar(node(s, p->key));
	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
		if (sv_eq_nocase(key, sv_from(types[i].name)))
			type = types[i].type;
	}
	must(type != 0);
	data = joined(s, node(s, p->value), type == AUTHN_MX ? " " : "");
	if (sv_eq(data, SV("NONE")) || (type == 99 && has_txt))
		return;
	if (type == AUTHN_PTR || type == AUTHN_CNAME || type == AUTHN_MX)
		data = without_dot(data);
	add_row(s, name, type == 99 ? AUTHN_TXT : type, data, false);
}

static void read_zone(struct suite *s, yaml_node_t *zone)
{
	s->row_count = 0;
	buf_reset(&s->joined);
	must(buf_reserve(&s->joined, 200000) == 0);
	for (yaml_node_pair_t *p = zone->data.mapping.pairs.start; p < zone->data.mapping.pairs.top;
		p++) {
		struct sv name = scalar(node(s, p->key));
		yaml_node_t *list = node(s, p->value);
		bool has_txt = false, dead = false;

		for (yaml_node_item_t *i = list->data.sequence.items.start;
			i < list->data.sequence.items.top;
			i++) {
			yaml_node_t *r = node(s, *i);

			has_txt = has_txt || member(s, r, "TXT");
			dead = dead || r->type == YAML_SCALAR_NODE;
		}
		for (yaml_node_item_t *i = list->data.sequence.items.start;
			i < list->data.sequence.items.top;
			i++)
			read_record(s, name, node(s, *i), has_txt);
		if (dead)
			add_row(s, name, 0, SV(""), true);
	}
}

static bool is_expected(struct suite *s, yaml_node_t *result, const struct spf_verdict *v)
{
	struct sv name = sv_from(spf_result_name(v->result));

	if (result->type == YAML_SCALAR_NODE)
		return sv_eq_nocase(scalar(result), name);
	for (yaml_node_item_t *i = result->data.sequence.items.start;
		i < result->data.sequence.items.top;
		i++) {
		if (sv_eq_nocase(scalar(node(s, *i)), name))
			return true;
	}
	return false;
}

static void run_case(struct suite *s, struct sv name, yaml_node_t *test)
{
	struct sv host = scalar(member(s, test, "host"));
	yaml_node_t *explanation = member(s, test, "explanation");
	struct zone z = { .rows = s->rows, .row_count = s->row_count };
	struct spf_input in = { .sender = scalar(member(s, test, "mailfrom")),
		.helo = scalar(member(s, test, "helo")),
		.is_ipv6 = sv_find_char(host, ':') >= 0 };
	CLEANUP(spf_freep) struct spf *machine = NULL;
	const struct spf_verdict *v;
	struct authn_question q;
	struct sv want;

	must(inet_pton(in.is_ipv6 ? AF_INET6 : AF_INET, host.ptr, in.address) == 1);
	if (in.is_ipv6 && memcmp(in.address, "\0\0\0\0\0\0\0\0\0\0\xff\xff", 12) == 0) {
		in.is_ipv6 = false;
		memmove(in.address, in.address + 12, 4);
	}
	machine = spf_new(&in);
	while (spf_next(machine, &q) == AUTHN_ASK)
		spf_answer(machine, zone_ask(&z, &q));
	v = spf_verdict(machine);
	s->cases++;
	want = explanation ? scalar(explanation) : SV("");
	if (sv_eq(want, SV("DEFAULT")))
		want = SV("");
	if (is_expected(s, member(s, test, "result"), v) &&
		(!explanation || sv_eq(want, sv_from(v->explanation))))
		return;
	s->faults++;
	print_message("%.*s: %s, \"%s\" (%s; %u asked)\n",
		SV_ARG(name),
		spf_result_name(v->result),
		v->explanation,
		v->problem,
		z.asked);
}

static void run_suite(const char *file, unsigned cases)
{
	struct suite s = { .joined = BUF_INIT(400000) };
	FILE *f = open_suite(file);
	yaml_parser_t parser;
	yaml_document_t doc;

	if (!f) {
		print_message("SKIPPED: %s is not here: put it into ../shared/corpus/spf or name "
			      "its folder with POSTERN_CORPUS\n",
			file);
		skip();
		return;
	}
	must(yaml_parser_initialize(&parser) == 1);
	yaml_parser_set_input_file(&parser, f);
	s.doc = &doc;
	while (yaml_parser_load(&parser, &doc) && yaml_document_get_root_node(&doc)) {
		yaml_node_t *root = yaml_document_get_root_node(&doc),
			    *tests = member(&s, root, "tests");

		read_zone(&s, member(&s, root, "zonedata"));
		for (yaml_node_pair_t *p = tests->data.mapping.pairs.start;
			p < tests->data.mapping.pairs.top;
			p++)
			run_case(&s, scalar(node(&s, p->key)), node(&s, p->value));
		yaml_document_delete(&doc);
	}
	yaml_document_delete(&doc);
	yaml_parser_delete(&parser);
	(void)fclose(f);
	buf_deinit(&s.joined);
	print_message("%s: %u cases, %u differ\n", file, s.cases, s.faults);
	assert_int_equal(s.faults, 0);
	assert_true(s.cases >= cases);
}

static void the_suite_of_rfc_7208_passes(void **state)
{
	(void)state;
	run_suite("rfc7208-tests.yml", 203);
}

static void the_suite_of_rfc_4408_passes(void **state)
{
	(void)state;
	run_suite("rfc4408-tests.yml", 190);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_suite_of_rfc_7208_passes),
		cmocka_unit_test(the_suite_of_rfc_4408_passes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
