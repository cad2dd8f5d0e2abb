/* SPDX-License-Identifier: Apache-2.0 */
#include "base/buf.h"
#include "base/must.h"
#include "conf/test_rows.h"

static const char *const fine[] = {
	GOOD,
	MORE,
	"listeners:\n  - { address: \"127.0.0.1:25\" }\n  - { address: \"[::1]:25\" }\n  - { "
	"address: unix:/run/s, mode: \"0660\" }\n"
	"  - { address: systemd:smtp }\n" GOOD,
	"listeners:\n" GOOD,
	"connectors:\n  - { name: lab, provider: smtp, host: 127.0.0.1, port: 2526, tls: none, "
	"connections: 20 }\nroutes: [ { through: lab } ]\n",
	"listeners:\n  - { address: \"127.0.0.1:25\", auth: required }\n" MORE,
	"listeners:\n  - { address: \"*:25\", no_password_from: [10.0.0.0/8] }\nconnectors: [ { "
	"name: l, host: h } ]\n"
	"routes: [ { sender: \"*@b.c\", through: l } ]\n",
	/* Private, single, or out of reach. */
	"listeners:\n  - { address: \"*:25\", no_password_from: [172.16.0.0/12, 192.168.7.0/24, "
	"169.254.0.0/16, 100.64.0.0/10, 127.0.0.0/8, \"fd00::/8\", \"fe80::/10\", "
	"198.51.100.7, \"2001:db8::1\"] }\n"
	"  - { address: \"127.0.0.1:26\", no_password_from: 0.0.0.0/0 }\n"
	"connectors: [ { name: l, host: h } ]\nroutes: [ { sender: \"*@b.c\", through: l } ]\n",
	"mailboxes:\n  - { address: a@b.c, provider: gmail, password: file:/p }\nconnectors: [ { "
	"name: l, host: h } "
	"]\n"
	"routes:\n  - { through: sender }\n  - { sender: \"*@b.c\", through: a@b.c }\n  - { "
	"through: l }\n",
};

static void nothing_is_said_of_what_is_right(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT_OF(fine); i++) {
		struct conf_findings f;
		struct conf *c = load(fine[i], &f);

		if (!c || f.count) {
			print_findings(&f);
			fail_msg("row %zu", i);
		}
		conf_findings_free(&f);
		conf_unref(c);
	}
}

/* Wherever a password was written by mistake, no finding repeats it. */
static void secrets_are_not_repeated(void **state)
{
	static const char *const texts[] = {
		"users: [ { name: a, password: Hunter2-x, senders: [\"*\"] } ]\n" GOOD,
		"users: [ { name: a, password: \"file:Hunter2-x\", senders: [\"*\"] } ]\n" GOOD,
		"users: [ { name: a, password: \"env:Hunter2-x!\", senders: [\"*\"] } ]\n" GOOD,
		"users: [ { name: a, password: { Hunter2-x: b }, senders: [\"*\"] } ]\n" GOOD,
		"users: [ { name: a, password: [Hunter2-x], senders: [\"*\"] } ]\n" GOOD,
		"users: [ { name: a, password: \"Hunter2-x\\n\", senders: [\"*\"] } ]\n" GOOD,
		"mailboxes: [ { address: a@b.c, passwrd: Hunter2-x } ]\n" GOOD,
		"mailboxes: [ { address: a@b.c, auth: Hunter2-x } ]\n" GOOD,
		"mailboxes: [ { address: \"a@b.c:Hunter2-x\", password: file:/p } ]\n" GOOD,
		"connectors: [ { name: a, host: \"smtp://u:Hunter2-x@h\" } ]\nroutes: [ { through: "
		"a } ]\n",
		"connectors: [ { name: a, host: h, port: Hunter2-x } ]\nroutes: [ { through: a } "
		"]\n",
		"bounces: { through: \"u:Hunter2-x@h\" }\n" GOOD,
		"\"smtp://u:Hunter2-x@h\": b\n" GOOD,
		"password:Hunter2-x\n",
		"password: \"Hunter2-x\n",
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(texts); i++) {
		struct conf_findings f;

		assert_null(load(texts[i], &f));
		assert_true(f.error_count > 0);
		for (size_t k = 0; k < f.count; k++)
			if (strstr(f.items[k].text, "Hunter2"))
				fail_msg("row %zu: %s", i, f.items[k].text);
		conf_findings_free(&f);
	}
}

static void all_faults_come_at_once_in_order(void **state)
{
	struct conf_findings f;

	(void)state;
	assert_null(load("hostname: relay.example.com.\nlisteners:\n  - address: 127.0.0.1:99999\n "
			 "   adress: x\n"
			 "routes:\n  - { through: nobody }\n",
		&f));
	assert_int_equal(f.count, 4);
	assert_int_equal(f.error_count, 4);
	assert_int_equal(f.items[0].line, 1);
	assert_int_equal(f.items[1].line, 3);
	assert_int_equal(f.items[2].line, 4);
	assert_int_equal(f.items[3].line, 6);
	assert_string_equal(f.items[0].file, "text");
	conf_findings_free(&f);
}

static void findings_are_bounded(void **state)
{
	struct buf text = BUF_INIT(1 << 20);
	struct conf_findings f;

	(void)state;
	for (int i = 0; i < 5000; i++)
		assert_int_equal(buf_printf(&text, "x%d: y\n", i), 0);
	assert_null(conf_load_text(buf_sv(&text), &f));
	assert_int_equal(f.count, 1001);
	assert_non_null(strstr(f.items[1000].text, "and 4001 more"));
	assert_int_equal(f.error_count, 5001);
	conf_findings_free(&f);
	buf_deinit(&text);
}

static const char full[] =
	"data_dir: /q\nmaildrop: /m\nsubmit_socket: /r/s\ncontrol_socket: /r/c\nhostname: "
	"relay.contoso.com\n"
	"qualify: contoso.com\naliases: { root: Admin, admin: it, mailer-daemon: post@contoso.com "
	"}\n"
	"retry: { first: 30s, ceiling: 2h, expire: 4d }\ndelay_notice: off\nparked_expire: 20d\n"
	"history: { keep: 7d, max: 100MB, subject: false }\nbounces: { through: Relay@contoso.com, "
	"to: it@contoso.com }\n"
	"min_free: 64MB\nuncertain: assume-sent\nlog: { level: debug, format: json }\n"
	"limits: { inbound_memory: 10MB, inbound_connections: 50, upstream_connections: 60, "
	"local_bytes_per_uid: 5MB }\n"
	"listeners:\n  - address: 0.0.0.0:587\n    tls: starttls\n    certificate: /c.pem\n    "
	"key: file:/k.pem\n"
	"    auth: optional\n    no_password_from: [127.0.0.0/8]\n    message_size: 1MB\n    "
	"recipients: 7\n"
	"    connections: 40\n    connections_per_peer: 3\n    idle: 90s\n"
	"  - address: 127.0.0.1:25\n  - { address: unix:/run/x, mode: \"0660\" }\n  - address: "
	"systemd:smtp\n"
	"users:\n  - { name: erp, password: credential:erp, senders: [erp@contoso.com, "
	"\"*@x.example\"], from: any, per_day: 7, messages_per_day: 5, bytes_per_day: 3MB }\n  - { "
	"name: local:www-data, senders: [w@b.c] }\n  - { "
	"name: "
	"\"local:*\", from: force }\n"
	"tenants:\n  - { name: contoso, id: 00000000-0000-0000-0000-00000000000f, domains: "
	"[contoso.com, b.example], licences: 25 }\n"
	"mailboxes:\n  - { address: ERP@contoso.com, tenant: contoso, provider: submission, auth: "
	"password, password: file:/p }\n"
	"  - address: relay@contoso.com\n    password: env:P\n    login: svc@contoso.com\n"
	"    endpoint: { host: localhost, port: 2525, ca_file: \"\" }\n"
	"    limits: { share: 50%, messages_per_minute: 10, recipients_per_day: 20, "
	"recipients_per_message: 30, connections: 4, message_size: 2MB }\n"
	"connectors:\n  - { name: lab, provider: smtp, host: 127.0.0.1, tls: none, connections: 20 "
	"}\n"
	"  - { name: far, host: h.example, tls: implicit, port: 465, login: u, password: env:F }\n"
	"routes:\n  - { user: erp, listener: 127.0.0.1:25, recipient: \"*@contoso.com\", sender: "
	"\"*@x.example\", through: lab, rewrite_from: erp@contoso.com }\n"
	"  - { listener: systemd:smtp, sender: \"\", through: far }\n  - { user: local:root, "
	"through: relay@contoso.com }\n  - { through: sender }\n";

static void general_of_a_full_file(const struct conf *c)
{
	const struct conf_general *g = conf_general(c);

	assert_true(sv_eq(g->data_dir, SV("/q")) && sv_eq(g->maildrop, SV("/m")));
	assert_true(sv_eq(g->submit_socket, SV("/r/s")) && sv_eq(g->control_socket, SV("/r/c")));
	assert_true(sv_eq(g->hostname, SV("relay.contoso.com")) &&
		    sv_eq(g->qualify, SV("contoso.com")));
	assert_int_equal(g->retry_first_us, 30 * US_PER_S);
	assert_int_equal(g->retry_ceiling_us, 2 * US_PER_HOUR);
	assert_int_equal(g->retry_expire_us, 4 * US_PER_DAY);
	assert_int_equal(g->delay_notice_us, 0);
	assert_int_equal(g->parked_expire_us, 20 * US_PER_DAY);
	assert_int_equal(g->history_keep_us, 7 * US_PER_DAY);
	assert_int_equal(g->history_bytes_max, 100 << 20);
	assert_false(g->keep_subject);
	assert_true(sv_eq(g->bounces_to, SV("it@contoso.com")));
	assert_non_null(conf_lane_named(c, g->bounces_through));
	assert_int_equal(g->min_free_bytes, 64 << 20);
	assert_int_equal(g->uncertain, CONF_UNCERTAIN_ASSUME_SENT);
	assert_true(sv_eq(g->log_level, SV("debug")) && sv_eq(g->log_format, SV("json")));
	assert_int_equal(g->inbound_memory_bytes, 10 << 20);
	assert_int_equal(g->inbound_connections_max, 50);
	assert_int_equal(g->upstream_connections_max, 60);
	assert_int_equal(g->local_bytes_per_uid_max, 5 << 20);
	assert_true(sv_eq(conf_alias(c, SV("ROOT")), SV("it@contoso.com")));
	assert_true(sv_eq(conf_alias(c, SV("mailer-daemon")), SV("post@contoso.com")));
	assert_int_equal(conf_alias(c, SV("nobody")).len, 0);
}

static void listeners_of_a_full_file(const struct conf *c)
{
	size_t n;
	const struct conf_listener *l = conf_listeners(c, &n);

	assert_int_equal(n, 4);
	assert_true(sv_eq(l[0].name, SV("0.0.0.0:587")));
	assert_int_equal(l[0].tls, CONF_TLS_STARTTLS);
	assert_int_equal(l[0].auth, CONF_AUTH_OPTIONAL);
	assert_true(sv_eq(l[0].certificate, SV("/c.pem")) && sv_eq(l[0].key.name, SV("/k.pem")));
	assert_int_equal(l[0].no_password_count, 1);
	assert_int_equal(l[0].message_bytes_max, 1 << 20);
	assert_int_equal(l[0].rcpt_max, 7);
	assert_int_equal(l[0].connections_max, 40);
	assert_int_equal(l[0].connections_per_peer_max, 3);
	assert_int_equal(l[0].idle_us_max, 90 * US_PER_S);
	assert_int_equal(l[0].place.line, 18);
	assert_int_equal(l[1].auth, CONF_AUTH_OFF);
	assert_int_equal(l[1].no_password_count, 2);
	assert_true(io_network_is_loopback(&l[1].no_password_from[0]));
	assert_true(io_network_is_loopback(&l[1].no_password_from[1]));
	assert_int_equal(l[1].connections_max, 50);
	assert_int_equal(l[1].connections_per_peer_max, 50);
	assert_int_equal(l[2].unix_mode, 0660);
	assert_true(l[3].systemd && sv_eq(l[3].name, SV("smtp")));
	assert_int_equal(l[3].no_password_count, 2);
}

static void lanes_of_a_full_file(const struct conf *c)
{
	size_t n;
	const struct conf_lane *l = conf_lanes(c, &n);

	assert_int_equal(n, 4);
	assert_ptr_equal(conf_lane(c, SV("submission/erp@contoso.com")), &l[0]);
	assert_ptr_equal(conf_lane(c, SV("submission/relay@contoso.com")), &l[1]);
	assert_ptr_equal(conf_lane(c, SV("smtp/lab")), &l[2]);
	assert_ptr_equal(conf_lane_named(c, SV("far")), &l[3]);
	assert_ptr_equal(conf_lane_named(c, SV("Erp@Contoso.COM")), &l[0]);
	assert_null(conf_lane(c, SV("smtp/erp@contoso.com")));
	assert_int_equal(l[0].tls, SMTP_CLIENT_TLS_REQUIRED);
	assert_true(sv_eq(l[0].host, SV("smtp.office365.com")) && l[0].port == 587);
	assert_true(sv_eq(l[0].login, SV("erp@contoso.com")));
	assert_true(sv_eq(l[0].tenant->name, SV("contoso")) && l[0].tenant->domain_count == 2);
	assert_int_equal(l[0].tenant->licences, 25);
	assert_int_equal(l[0].limits.share_percent, 80);
	assert_int_equal(l[0].limits.messages_per_minute, 30);
	assert_int_equal(l[0].limits.recipients_per_day, 10000);
	assert_true(sv_eq(l[1].login, SV("svc@contoso.com")));
	assert_int_equal(l[1].password.kind, CONF_SECRET_ENV);
	assert_true(sv_eq(l[1].host, SV("localhost")) && l[1].port == 2525 && !l[1].ca_file.len);
	assert_int_equal(l[1].limits.share_percent, 50);
	assert_int_equal(l[1].limits.messages_per_minute, 10);
	assert_int_equal(l[1].limits.recipients_per_day, 20);
	assert_int_equal(l[1].limits.recipients_per_message, 30);
	assert_int_equal(l[1].limits.connections, 4);
	assert_int_equal(l[1].limits.message_bytes_max, 2 << 20);
	assert_int_equal(l[2].kind, CONF_LANE_CONNECTOR);
	assert_int_equal(l[2].tls, SMTP_CLIENT_TLS_NONE);
	assert_int_equal(l[2].limits.connections, 20);
	assert_int_equal(l[2].limits.share_percent, 100);
	assert_int_equal(l[3].limits.connections, 10);
	assert_int_equal(l[3].tls, SMTP_CLIENT_TLS_IMPLICIT);
}

static void a_full_file_is_read(void **state)
{
	struct conf_findings f;
	struct conf *c = load(full, &f);
	const struct conf_user *u;
	size_t n;

	(void)state;
	print_findings(&f);
	assert_non_null(c);
	assert_int_equal(f.count, 1);
	assert_non_null(strstr(f.items[0].text, "2 mailboxes sign in with a password"));
	assert_true(f.items[0].warning && f.items[0].line == 39);
	conf_findings_free(&f);
	general_of_a_full_file(c);
	listeners_of_a_full_file(c);
	lanes_of_a_full_file(c);
	u = conf_user(c, SV("erp"));
	assert_non_null(u);
	assert_int_equal(u->sender_count, 2);
	assert_int_equal(u->password.kind, CONF_SECRET_CREDENTIAL);
	assert_int_equal(u->quota.recipients, 7);
	assert_int_equal(u->quota.messages, 5);
	assert_int_equal(u->quota.bytes, 3 << 20);
	assert_null(conf_user(c, SV("ERP")));
	assert_int_equal(u->from, CONF_FROM_ANY);
	assert_null(conf_local_user(c, SV("erp")));
	assert_int_equal(conf_local_user(c, SV("local:www-data"))->from, CONF_FROM_CHECK);
	assert_int_equal(conf_local_user(c, SV("local:root"))->from, CONF_FROM_FORCE);
	(void)conf_users(c, &n);
	assert_int_equal(n, 3);
	(void)conf_routes(c, &n);
	assert_int_equal(n, 4);
	conf_unref(conf_ref(c));
	conf_unref(c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_is_said_of_what_is_right),
		cmocka_unit_test(secrets_are_not_repeated),
		cmocka_unit_test(all_faults_come_at_once_in_order),
		cmocka_unit_test(findings_are_bounded),
		cmocka_unit_test(a_full_file_is_read),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
