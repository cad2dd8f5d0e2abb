/* SPDX-License-Identifier: Apache-2.0 */
#include "conf/conf.h"

#include "base/must.h"
#include "io/file.h"

#include "cmocka_all.h"

#include <unistd.h>

#define GOOD \
	"connectors:\n  - { name: lab, host: mail.example.com }\nroutes:\n  - { through: lab }\n"

static void print_findings(const struct conf_findings *f)
{
	for (size_t i = 0; i < f->count; i++)
		print_message("  %s:%u:%u: %s%s\n",
			f->items[i].file,
			f->items[i].line,
			f->items[i].column,
			f->items[i].warning ? "warning: " : "",
			f->items[i].text);
}

static char folder[64];

static const char *path_of(const char *name)
{
	static char paths[8][128];
	static unsigned turn;
	char *path = paths[turn++ % 8];

	(void)snprintf(path, sizeof(paths[0]), "%s/%s", folder, name);
	return path;
}

static const char *put(const char *name, const char *text)
{
	const char *path = path_of(name);

	assert_int_equal(io_file_write_durably(path, sv_from(text), 0600, NULL), 0);
	return path;
}

static struct conf *load_file(const char *name, struct conf_findings *f)
{
	return conf_load(path_of(name), f);
}

static void says(const struct conf_findings *f, const char *file, unsigned line, unsigned column,
	const char *text)
{
	size_t len = strlen(file);

	for (size_t i = 0; i < f->count; i++) {
		const struct conf_finding *x = &f->items[i];
		size_t have = strlen(x->file);

		if (have >= len && strcmp(x->file + have - len, file) == 0 && x->line == line &&
			x->column == column && strstr(x->text, text))
			return;
	}
	print_findings(f);
	fail_msg("wanted %s:%u:%u %s", file, line, column, text);
}

static void includes_are_joined(void **state)
{
	struct conf_findings f;
	struct conf *c;
	size_t n;

	(void)state;
	(void)put("main.yaml",
		"hostname: a.example\ninclude: [one.yaml, two.yaml]\nconnectors: [ { name: a, "
		"host: h } ]\n");
	(void)put("one.yaml", "connectors: [ { name: b, host: h } ]\n");
	(void)put("two.yaml", "routes: [ { sender: a@b.c, through: b }, { through: a } ]\n");
	c = load_file("main.yaml", &f);
	print_findings(&f);
	assert_non_null(c);
	(void)conf_lanes(c, &n);
	assert_int_equal(n, 2);
	conf_findings_free(&f);
	conf_unref(c);

	(void)put(
		"one.yaml", "hostname: b.example\nconnectors: [ { name: a, host: h } ]\nbad: x\n");
	(void)put("two.yaml", "routes: [ { through: b } ]\ninclude: main.yaml\n");
	assert_null(load_file("main.yaml", &f));
	says(&f, "two.yaml", 2, 10, "included already");
	says(&f, "one.yaml", 1, 1, "duplicate key (first in");
	says(&f, "one.yaml", 2, 23, "listed twice, first in");
	says(&f, "one.yaml", 3, 1, "unknown key 'bad'");
	conf_findings_free(&f);

	(void)put("main.yaml", "include: [none.yaml]\nroutes: [ { through: b } ]\nbad: x\n");
	assert_null(load_file("main.yaml", &f));
	says(&f, "main.yaml", 1, 11, "cannot open");
	says(&f, "main.yaml", 3, 1, "unknown key");
	assert_int_equal(f.count, 2); /* what the missing file may hold is not missed */
	conf_findings_free(&f);

	(void)put("main.yaml", "include: i1.yaml\n");
	(void)put("i1.yaml", "include: i2.yaml\n");
	(void)put("i2.yaml", "include: i3.yaml\n");
	(void)put("i3.yaml", "include: i4.yaml\n");
	(void)put("i4.yaml", "include: i5.yaml\n");
	(void)put("i5.yaml", GOOD);
	assert_null(load_file("main.yaml", &f));
	says(&f, "i4.yaml", 1, 10, "more than 4 deep");
	conf_findings_free(&f);
}

static void files_that_cannot_be_read(void **state)
{
	struct conf_findings f;

	(void)state;
	assert_null(load_file("none", &f));
	says(&f, "/none", 1, 1, "cannot open");
	assert_int_equal(f.count, 1);
	conf_findings_free(&f);
	assert_null(conf_load("/", &f));
	says(&f, "/", 1, 1, "not a file");
	conf_findings_free(&f);
	(void)put("main.yaml", "");
	assert_null(load_file("main.yaml", &f));
	says(&f, "main.yaml", 1, 1, "routes: there is none");
	conf_findings_free(&f);
}

static void missing_files_are_named(void **state)
{
	char text[1000];
	struct conf_findings f;
	struct conf *c;

	(void)state;
	(void)snprintf(text,
		sizeof(text),
		"listeners:\n  - { address: \"127.0.0.1:465\", tls: implicit, certificate: "
		"%s/no.pem, key: \"file:%s/no.key\" }\n"
		"connectors: [ { name: a, host: h, ca_file: %s/no.ca } ]\nroutes: [ { through: a } "
		"]\n",
		folder,
		folder,
		folder);
	(void)put("main.yaml", text);
	assert_null(load_file("main.yaml", &f));
	says(&f, "main.yaml", 2, 61, "there is no file");
	assert_int_equal(f.error_count, 3);
	conf_findings_free(&f);

	/* One mailbox's password is no reason to stop the mail of all others. */
	(void)snprintf(text,
		sizeof(text),
		"mailboxes: [ { address: a@b.c, password: \"file:%s/no.secret\" } ]\nroutes: [ { "
		"through: sender } ]\n",
		folder);
	(void)put("main.yaml", text);
	c = load_file("main.yaml", &f);
	assert_non_null(c);
	says(&f, "main.yaml", 1, 42, "there is no file");
	assert_true(f.items[0].warning);
	conf_findings_free(&f);
	conf_unref(c);
}

static void mailboxes_come_from_csv(void **state)
{
	struct conf_findings f;
	struct conf *c;
	const struct conf_lane *l;
	size_t n;

	(void)state;
	(void)put("p", "x");
	(void)put("main.yaml", "mailboxes_from: out.csv\nroutes: [ { through: sender } ]\n");
	(void)put("out.csv",
		"\xef\xbb\xbf"
		"address,password,share,host,port,login\r\n"
		"a@b.c,env:P,50%,mail.example.com,2525,\"svc, \"\"one\"\"\"\r\n"
		"\r\n"
		"B@b.c,env:P,,,,\r\n"
		",,,,,\r\n");
	c = load_file("main.yaml", &f);
	print_findings(&f);
	assert_non_null(c);
	l = conf_lanes(c, &n);
	assert_int_equal(n, 2);
	assert_int_equal(l[0].limits.share_percent, 50);
	assert_true(sv_eq(l[0].host, SV("mail.example.com")) && l[0].port == 2525);
	assert_true(sv_eq(l[0].login, SV("svc, \"one\"")));
	assert_true(sv_eq(l[1].key, SV("submission/b@b.c")));
	assert_int_equal(l[1].place.line, 4);
	conf_findings_free(&f);
	conf_unref(c);

	(void)put("out.csv", "address;password\na@b.c;env:P\n");
	c = load_file("main.yaml", &f);
	assert_non_null(c);
	conf_findings_free(&f);
	conf_unref(c);
}

static void csv_names_several_doors(void **state)
{
	struct conf_findings f;
	struct conf *c;

	(void)state;
	(void)put("main.yaml",
		"tenants: [ { name: t, id: b.c, app: { client_id: a, secret: env:S } } ]\n"
		"mailboxes_from: out.csv\nroutes: [ { through: sender } ]\n");
	(void)put("out.csv",
		"address,tenant,doors\n"
		"a@b.c,t,submission graph\n"
		"b@b.c,t,\"graph, submission\"\n"
		"c@b.c,t,graph\n"
		"d@b.c,t,\n");
	c = load_file("main.yaml", &f);
	print_findings(&f);
	assert_non_null(c);
	assert_int_equal(conf_member(c, SV("m:a@b.c"))->lane_count, 2);
	assert_int_equal(conf_lane(c, SV("graph/a@b.c"))->door, 1);
	assert_int_equal(conf_lane(c, SV("graph/b@b.c"))->door, 0);
	assert_int_equal(conf_lane(c, SV("submission/b@b.c"))->door, 1);
	assert_int_equal(conf_member(c, SV("m:c@b.c"))->lane_count, 1);
	assert_non_null(conf_lane(c, SV("submission/d@b.c")));
	conf_findings_free(&f);
	conf_unref(c);
}

static void faults_in_csv_have_their_place(void **state)
{
	static const struct {
		const char *text;
		unsigned line, column;
		const char *says;
	} rows[] = {
		{ "", 1, 1, "the file is empty" },
		{ "password\nenv:P\n", 1, 1, "no column 'address'" },
		{ "adress,password\n", 1, 1, "did you mean 'address'?" },
		{ "address,address\n", 1, 9, "named twice" },
		{ "address,password\na@b.c,env:P\nnobody,env:P\n", 3, 1, "must be a mail address" },
		{ "address,password\na@b.c,env:P\nb@b.c,env:P,x\n", 3, 1, "3 fields" },
		{ "address,password\na@b.c,Hunter2\n", 2, 7, "a secret never stands" },
		{ "address,password,share\na@b.c,env:P,80\n", 2, 13, "percentage" },
		{ "address,password\na@b.c,env:P\nA@b.c,env:P\n", 3, 1, "listed twice" },
		{ "address,password\n\"a@b.c,env:P\n", 2, 1, "not CSV" },
		{ "address,password\na@b.c,e\"nv:P\n", 2, 1, "not CSV" },
		{ "address,password\n\"a@b.c\nd\",env:P\n", 2, 1, "control character" },
		{ "address\na@b.c\n", 2, 1, "password: is missing" },
		{ "address,doors\na@b.c,graph hve\n", 2, 7, "as a separate mailbox" },
		{ "address,doors\na@b.c,graph grahp\n", 2, 7, "did you mean 'graph'?" },
		{ "address,doors,provider\na@b.c,graph,graph\n", 2, 13, "short form" },
	};

	(void)state;
	(void)put("main.yaml", "mailboxes_from: out.csv\nroutes: [ { through: sender } ]\n");
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct conf_findings f;

		(void)put("out.csv", rows[i].text);
		assert_null(load_file("main.yaml", &f));
		says(&f, "out.csv", rows[i].line, rows[i].column, rows[i].says);
		for (size_t k = 0; k < f.count; k++)
			assert_null(strstr(f.items[k].text, "Hunter2"));
		conf_findings_free(&f);
	}
}

/* As in the design: every section at once. `@` is the folder. */
static const char sample[] =
	"data_dir: /var/lib/postern\n"
	"store: sqlite\n"
	"hostname: relay.contoso.com\n"
	"qualify: contoso.com\n"
	"aliases: { root: it@contoso.com }\n"
	"retry: { first: 1m, ceiling: 1h, expire: 5d }\n"
	"history: { keep: 14d, max: 1GB }\n"
	"bounces: { through: relay@contoso.com, to: it@contoso.com }\n"
	"\n"
	"listeners:\n"
	"  - address: 127.0.0.1:2525\n"
	"    no_password_from: [127.0.0.0/8, \"::1/128\"]\n"
	"  - address: 0.0.0.0:587\n"
	"    tls: starttls\n"
	"    certificate: @/relay.pem\n"
	"    key: file:@/relay.key\n"
	"    auth: required\n"
	"  - { address: 10.0.5.1:465, tls: implicit, certificate: @/relay.pem, key: "
	"file:@/relay.key, legacy_tls: true }\n"
	"\n"
	"users:\n"
	"  - { name: erp, password: file:@/erp.scram, senders: [erp@contoso.com] }\n"
	"\n"
	"devices:\n"
	"  - { name: scanner-3, from: 10.0.5.30/32, sender: scanner@contoso.com, recipients: "
	"internal, per_day: 300, tls: legacy }\n"
	"\n"
	"tenants:\n"
	"  - name: contoso\n"
	"    id: 00000000-0000-0000-0000-000000000000\n"
	"    cloud: global\n"
	"    domains: [contoso.com]\n"
	"    licences: 25\n"
	"    app: { client_id: \"…\", secret: file:@/contoso.secret }\n"
	"    endpoints: { login: \"https://login.microsoftonline.com\", graph: "
	"\"https://graph.microsoft.com\", ca_file: \"\" }\n"
	"\n"
	"mailboxes:\n"
	"  - address: erp@contoso.com\n"
	"    tenant: contoso\n"
	"    provider: submission\n"
	"    auth: app\n"
	"  - address: scanner@contoso.com\n"
	"    tenant: contoso\n"
	"    auth: password\n"
	"    password: file:@/scanner.secret\n"
	"    login: svc-scan@contoso.com\n"
	"    endpoint: { host: smtp.office365.com, port: 587, ca_file: \"\" }\n"
	"    limits: { share: 80%, messages_per_minute: 30, recipients_per_day: 10000, "
	"recipients_per_message: 500, connections: 2 }\n"
	"mailboxes_from: @/outreach.csv\n"
	"\n"
	"connectors:\n"
	"  - name: contoso-relay\n"
	"    provider: connector\n"
	"    tenant: contoso\n"
	"    host: contoso-com.mail.protection.outlook.com\n"
	"    certificate: @/connector.pem\n"
	"    key: file:@/connector.key\n"
	"  - { name: lab, provider: smtp, host: 127.0.0.1, port: 2526, tls: none, connections: 20 "
	"}\n"
	"\n"
	"routes:\n"
	"  - { through: sender }\n"
	"  - { user: erp, through: [contoso-relay, erp@contoso.com], rewrite_from: erp@contoso.com "
	"}\n";

static void a_whole_sample_is_read(void **state)
{
	static const char *const files[] = { "relay.pem",
		"relay.key",
		"erp.scram",
		"contoso.secret",
		"scanner.secret",
		"connector.pem",
		"connector.key" };
	struct buf text = BUF_INIT(8192);
	struct sv rest = sv_from(sample), part;
	struct conf_findings f;
	struct conf *c;
	bool more = true;

	(void)state;
	while (more) {
		more = sv_cut_char(&rest, '@', &part);
		/* Addresses have an @ too. */
		if (buf_append(&text, part) != 0 ||
			(more && buf_append(&text,
					 rest.ptr[0] == '/' ? sv_from(folder) : SV("@")) != 0))
			fail_msg("the sample is too long");
	}
	assert_int_equal(buf_append_char(&text, '\0'), 0);
	for (size_t i = 0; i < COUNT_OF(files); i++)
		(void)put(files[i], "x");
	(void)put("outreach.csv",
		"address,tenant,auth,sender,recipients_per_domain\n"
		"relay@contoso.com,contoso,app,force,5\n");
	(void)put("main.yaml", text.ptr);
	c = load_file("main.yaml", &f);
	print_findings(&f);
	assert_non_null(c);
	says(&f, "main.yaml", 32, 23, "Application (client) ID");
	says(&f, "main.yaml", 40, 5, "1 mailbox signs in with a password");
	assert_int_equal(f.count, 2);
	assert_int_equal(conf_lane_named(c, SV("relay@contoso.com"))->sender, CONF_SENDER_FORCE);
	assert_int_equal(
		conf_lane_named(c, SV("relay@contoso.com"))->limits.recipients_per_domain, 5);
	conf_findings_free(&f);
	conf_unref(c);
	buf_deinit(&text);
	for (size_t i = 0; i < COUNT_OF(files); i++)
		assert_int_equal(unlink(path_of(files[i])), 0);
	assert_int_equal(unlink(path_of("outreach.csv")), 0);
}

static void commands_and_anchors_must_exist(void **state)
{
	struct conf_findings f;
	struct conf *c;
	char text[600];

	(void)state;
	(void)snprintf(text,
		sizeof(text),
		"users: [ { name: a, password: \"command:%s/none x\", senders: [\"*\"] } ]\n"
		"dnssec: { anchor: %s/none }\n" GOOD,
		folder,
		folder);
	(void)put("main.yaml", text);
	assert_null(load_file("main.yaml", &f));
	says(&f, "main.yaml", 1, 31, "there is no file");
	says(&f, "main.yaml", 2, 19, "there is no file");
	assert_int_equal(f.count, 2);
	conf_findings_free(&f);

	/* DANE is on where Debian has put the anchor, and not where it is switched off. */
	(void)put("main.yaml", GOOD);
	c = load_file("main.yaml", &f);
	assert_non_null(c);
	assert_int_equal(conf_general(c)->dnssec_anchor.len > 0,
		access("/usr/share/dns/root.key", R_OK) == 0);
	conf_findings_free(&f);
	conf_unref(c);
	(void)put("main.yaml", "dnssec: off\n" GOOD);
	c = load_file("main.yaml", &f);
	assert_non_null(c);
	assert_int_equal(conf_general(c)->dnssec_anchor.len, 0);
	conf_findings_free(&f);
	conf_unref(c);
}

/* A file of the source, where the tests run beside it. */
static const char *source_path(const char *name)
{
	static const char own[] = "src/conf/conf_files_test.c";
	static char path[500];

	/* __FILE__ is as the build named it: from the source or from the build folder. */
	(void)snprintf(path,
		sizeof(path),
		"%.*s%s",
		(int)(sizeof(__FILE__) - sizeof(own)),
		__FILE__,
		name);
	return access(path, R_OK) == 0 ? path : NULL;
}

/* As installed: no more than files that are not there yet. */
static void the_shipped_file_is_right(void **state)
{
	const char *path = source_path("packaging/postern.yaml");
	struct conf_findings f;
	struct conf *c;

	(void)state;
	if (!path)
		skip();
	c = conf_load(path, &f);
	print_findings(&f);
	assert_non_null(c);
	assert_int_equal(f.count, 0);
	assert_true(sv_eq(conf_alias(c, SV("root")), SV("it@example.com")));
	conf_findings_free(&f);
	conf_unref(c);
}

/* What people copy from the manual works. */
static void the_examples_of_the_manual_are_right(void **state)
{
	static const struct sv begin = SV_INIT(".Bd -literal -offset indent\n");
	const char *path = source_path("docs/man/postern.yaml.5");
	CLEANUP(buf_deinitp) struct buf page = BUF_INIT(1 << 20);
	struct sv rest;
	int count = 0;

	(void)state;
	if (!path)
		skip();
	assert_int_equal(io_file_read(path, 1 << 20, &page, NULL), 0);
	rest = buf_sv(&page);
	for (ptrdiff_t at = sv_find(rest, begin); at >= 0; at = sv_find(rest, begin), count++) {
		struct conf_findings f;
		struct conf *c;
		ptrdiff_t end;

		rest = sv_skip(rest, (size_t)at + begin.len);
		end = sv_find(rest, SV("\n.Ed\n"));
		assert_true(end > 0);
		c = conf_load_text(sv_head(rest, (size_t)end + 1), &f);
		for (size_t i = 0; i < f.count; i++)
			if (!strstr(f.items[i].text, "in with a password"))
				fail_msg("example %d, line %u: %s",
					count + 1,
					f.items[i].line,
					f.items[i].text);
		assert_non_null(c);
		conf_findings_free(&f);
		conf_unref(c);
	}
	assert_true(count >= 4);
}

static int make_folder(void **state)
{
	(void)state;
	(void)snprintf(folder, sizeof(folder), "/tmp/conf_files_test.XXXXXX");
	return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state)
{
	static const char *const names[] = { "main.yaml",
		"one.yaml",
		"two.yaml",
		"i1.yaml",
		"i2.yaml",
		"i3.yaml",
		"i4.yaml",
		"i5.yaml",
		"out.csv",
		"p" };

	(void)state;
	for (size_t i = 0; i < COUNT_OF(names); i++)
		(void)unlink(path_of(names[i]));
	return rmdir(folder);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(includes_are_joined),
		cmocka_unit_test(files_that_cannot_be_read),
		cmocka_unit_test(missing_files_are_named),
		cmocka_unit_test(mailboxes_come_from_csv),
		cmocka_unit_test(csv_names_several_doors),
		cmocka_unit_test(faults_in_csv_have_their_place),
		cmocka_unit_test(a_whole_sample_is_read),
		cmocka_unit_test(commands_and_anchors_must_exist),
		cmocka_unit_test(the_shipped_file_is_right),
		cmocka_unit_test(the_examples_of_the_manual_are_right),
	};

	return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
