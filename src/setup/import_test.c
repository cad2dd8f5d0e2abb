/* SPDX-License-Identifier: Apache-2.0 */
#include "setup/import.h"

#include "base/must.h"
#include "conf/conf.h"

#include "cmocka_all.h"

#define PASSWORD "Zq8unlikelyPassword"

struct file {
	const char *path, *text;
};

static int read_file(void *arg, struct sv path, struct buf *out)
{
	for (const struct file *f = arg; f && f->path; f++)
		if (sv_eq(path, sv_from(f->path)))
			return buf_append(out, sv_from(f->text));
	return RC_NOT_FOUND;
}

/* Reads, writes, loads what was written; the text and the notes hold no password. */
static struct setup_import *import(
	setup_import_fn *fn, const char *text, struct file *files, struct buf *out)
{
	struct setup_import *im = xcalloc(1, sizeof(*im));
	const struct setup_import_source from = {
		.text = sv_from(text), .read = read_file, .arg = files, .base = SV("/srv")
	};
	struct conf_findings f;
	struct err err = { 0 };
	struct conf *c;

	if (fn(im, &from, &err) != 0)
		fail_msg("%s", err.text);
	assert_int_equal(setup_import_config(im, SV("a test"), SV("/etc/postern"), out), 0);
	c = conf_load_text(buf_sv(out), &f);
	for (size_t i = 0; i < f.count; i++)
		if (!f.items[i].warning)
			print_message("%u: %s\n", f.items[i].line, f.items[i].text);
	if (!c)
		print_message("%.*s", SV_ARG(buf_sv(out)));
	assert_non_null(c);
	conf_findings_free(&f);
	conf_unref(c);
	assert_true(sv_find(buf_sv(out), SV(PASSWORD)) < 0);
	return im;
}

static void end(struct setup_import *im, struct buf *out)
{
	setup_import_deinit(im);
	free(im);
	buf_deinit(out);
}

static void has(const struct buf *out, const char *text)
{
	if (sv_find(buf_sv(out), sv_from(text)) < 0)
		fail_msg("no \"%s\" in\n%.*s", text, SV_ARG(buf_sv(out)));
}

static void test_postfix(void **state)
{
	static struct file files[] = {
		{ "/etc/postfix/sasl",
			"# comment\n[smtp.office365.com]:587  erp@contoso.com:" PASSWORD ":x\n"
			"crm@contoso.com crm@contoso.com:" PASSWORD "2\n"
			"mail.example.com:2525 joe:" PASSWORD "3\n" },
		{ "/etc/postfix/senders",
			"@example.com   mail.example.com:2525\nnews@example.com "
			"[smtp.office365.com]:587\n" },
		{ NULL, NULL },
	};
	struct buf out = BUF_INIT(SETUP_IMPORT_TEXT_MAX);
	struct setup_import *im = import(setup_import_postfix,
		"# main.cf\nmydomain = contoso.com\nmyhostname = relay.$mydomain\n"
		"mynetworks = 127.0.0.0/8, [::1]/128\n   10.0.0.0/8\n"
		"cfg = /etc/postfix\n"
		"relayhost = [mail.example.com]:25\nrelayhost = [smtp.office365.com]:587\n"
		"smtp_sasl_password_maps = hash:${cfg}/sasl\n"
		"sender_dependent_relayhost_maps = texthash:$cfg/senders\n"
		"smtp_sender_dependent_authentication = yes\n"
		"smtp_tls_security_level = encrypt\ninet_interfaces = loopback-only\n"
		"header_checks = pcre:/etc/postfix/header\n",
		files,
		&out);

	(void)state;
	has(&out, "hostname: \"relay.contoso.com\"");
	has(&out, "qualify: \"contoso.com\"");
	has(&out, "no_password_from: [\"127.0.0.0/8\", \"::1\", \"10.0.0.0/8\"]");
	has(&out, "address: \"127.0.0.1:25\"");
	has(&out,
		"- address: \"erp@contoso.com\"\n    provider: \"submission\"\n    auth: password\n"
		"    password: \"file:/etc/postern/erp@contoso.com.secret\"");
	has(&out, "- address: \"crm@contoso.com\"");
	has(&out,
		"host: \"mail.example.com\"\n    port: 2525\n    tls: \"required\"\n    login: "
		"\"joe\"");
	has(&out, "{ sender: \"news@example.com\", through: \"");
	has(&out, "{ sender: \"*@example.com\", through: \"server");
	has(&out, "{ sender: \"crm@contoso.com\", through: \"crm@contoso.com\" }");
	has(&out, "  - { through: \"erp@contoso.com\", rewrite_from: \"erp@contoso.com\" }\n");
	has(&out, "main.cf line 14: header_checks: the file /etc/postfix/header cannot be read");
	/* A password may hold colons. */
	for (size_t i = 0; i < im->secret_count; i++)
		if (sv_eq(im->secrets[i].file, SV("erp@contoso.com.secret")))
			assert_true(sv_eq(secret_reveal(im->secrets[i].value), SV(PASSWORD ":x")));
	end(im, &out);
}

static void test_postfix_connector(void **state)
{
	struct buf out = BUF_INIT(SETUP_IMPORT_TEXT_MAX);
	struct setup_import *im = import(setup_import_postfix,
		"relayhost = [contoso-com.mail.protection.outlook.com]\n"
		"smtp_sasl_password_maps = mysql:/etc/postfix/my.cf\n"
		"mynetworks=127.0.0.1 10.1.1.0/30 !10.1.1.1\n"
		"inet_interfaces = localhost\n",
		NULL,
		&out);

	(void)state;
	has(&out, "provider: \"connector\"\n    host: \"contoso-com.mail.protection.outlook.com\"");
	has(&out, "a map of type mysql");
	has(&out, "no_password_from: [\"127.0.0.1\", \"10.1.1.0\", \"10.1.1.2/31\"]");
	end(im, &out);
}

static void test_msmtp(void **state)
{
	struct buf out = BUF_INIT(SETUP_IMPORT_TEXT_MAX);
	struct setup_import *im = import(setup_import_msmtp,
		"defaults\ntls on\nport 587\nlogfile ~/.msmtp.log\n"
		"account work\nhost smtp.office365.com\nfrom erp@contoso.com\nuser it@contoso.com\n"
		"password \"" PASSWORD " with blanks\"\n"
		"account old : work\nhost mail.example.com\nport 465\ntls_starttls off\nfrom "
		"old@example.com\n"
		"user old\npasswordeval /usr/bin/pass show old\n"
		"account odd\nhost odd.example.com\nuser odd\npasswordeval \"pass show x | head "
		"-1\"\nfoo bar\n"
		"account default : work\n",
		NULL,
		&out);

	(void)state;
	has(&out,
		"- address: \"erp@contoso.com\"\n    provider: \"submission\"\n    auth: password\n"
		"    login: \"it@contoso.com\"\n    password: "
		"\"file:/etc/postern/erp@contoso.com.secret\"");
	has(&out, "tls: \"implicit\"");
	has(&out, "{ sender: \"old@example.com\", through: \"server2\" }");
	has(&out, "  - { through: \"erp@contoso.com\", rewrite_from: \"erp@contoso.com\" }\n");
	has(&out, "password: \"command:/etc/postern/server3.secret\"");
	has(&out, "msmtprc line 21: foo");
	for (size_t i = 0; i < im->secret_count; i++)
		if (im->secrets[i].is_script)
			assert_true(sv_eq(secret_reveal(im->secrets[i].value),
				SV("#!/bin/sh\npass show x | head -1\n")));
	assert_true(sv_eq(secret_reveal(im->secrets[0].value), SV(PASSWORD " with blanks")));
	end(im, &out);
}

static void test_smtp2graph(void **state)
{
	struct buf out = BUF_INIT(SETUP_IMPORT_TEXT_MAX);
	struct setup_import *im = import(setup_import_smtp2graph,
		"mode: full\nsend:\n  appReg:\n    tenant: contoso\n"
		"    id: 01234567-89ab-cdef-0123-456789abcdef\n    secret: " PASSWORD "\n"
		"  retryLimit: 10\nreceive:\n  port: 587\n  listenAddress: 127.0.0.1\n"
		"  tlsKeyPath: private.key\n  tlsCertPath: /etc/server.crt\n  requireAuth: true\n"
		"  ipWhitelist: [127.0.0.1]\n  allowedFrom: [NoReply@example.com]\n"
		"  rateLimit: { limit: 10 }\n"
		"  users:\n    - { username: app, password: " PASSWORD "1 }\n"
		"    - { username: fax, password: " PASSWORD
		"2, allowedFrom: [fax@example.com] }\n",
		NULL,
		&out);

	(void)state;
	has(&out, "- name: \"contoso\"\n    id: \"contoso.onmicrosoft.com\"");
	has(&out, "secret: \"file:/etc/postern/contoso.secret\"");
	has(&out,
		"- address: \"noreply@example.com\"\n    tenant: \"contoso\"\n    provider: "
		"\"graph\"");
	has(&out, "key: \"file:/srv/private.key\"");
	has(&out, "auth: required");
	has(&out,
		"- name: \"fax\"\n    password: \"file:/etc/postern/fax.scram\"\n    senders: "
		"[\"fax@example.com\"]");
	has(&out, "config.yml line 16: receive: rateLimit");
	has(&out, "through: \"sender\"");
	assert_int_equal(im->secret_count, 3);
	end(im, &out);
}

/* Left out in the file: no secret gets a name that begins with a dot, and none is kept for nobody. */
static void test_without_names(void **state)
{
	struct buf out = BUF_INIT(SETUP_IMPORT_TEXT_MAX);
	struct setup_import *im = import(setup_import_smtp2graph,
		"send:\n  appReg: { id: 01234567-89ab-cdef-0123-456789abcdef, secret: " PASSWORD
		" }\nreceive:\n  allowedFrom: [a@example.com]\n"
		"  users: [ { username: x }, { password: " PASSWORD "1 } ]\n",
		NULL,
		&out);

	(void)state;
	assert_int_equal(im->user_count, 0);
	assert_int_equal(im->secret_count, 1);
	assert_true(im->secrets[0].file.ptr[0] != '.');
	end(im, &out);
}

static void test_faults(void **state)
{
	static const struct {
		setup_import_fn *fn;
		const char *text, *says;
	} rows[] = {
		{ setup_import_postfix, "", "no settings" },
		{ setup_import_postfix, "# nothing\n", "no settings" },
		{ setup_import_msmtp, "account a\nuser b\n", "no host" },
		{ setup_import_smtp2graph, "a: [", "is not YAML" },
		{ setup_import_smtp2graph, "a: b\n", "neither send" },
	};
	struct setup_import *im = xcalloc(1, sizeof(*im));

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		const struct setup_import_source from = { .text = sv_from(rows[i].text),
			.read = read_file };
		struct err err = { 0 };

		assert_int_equal(rows[i].fn(im, &from, &err), RC_PARSE);
		if (!strstr(err.text, rows[i].says))
			fail_msg("%zu: %s", i, err.text);
		setup_import_deinit(im);
	}
	free(im);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_postfix),
		cmocka_unit_test(test_postfix_connector),
		cmocka_unit_test(test_msmtp),
		cmocka_unit_test(test_smtp2graph),
		cmocka_unit_test(test_without_names),
		cmocka_unit_test(test_faults),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
