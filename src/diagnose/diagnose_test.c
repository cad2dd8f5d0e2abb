/* SPDX-License-Identifier: Apache-2.0 */
#include "diagnose/diagnose.h"

#include "diagnose/diagnose_priv.h"
#include "io/test_dns.h"

#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <unistd.h>

/* What a test with the real binary cannot arrange: names. The rest is in tests/e2e/test_check_live.py. */

enum {
	DNS_AAAA = 28
};

static const struct dns_row rows[] = {
	{ "filtered.test", DNS_MX, DNS_NOERROR, (const char *const[]){ "10 localhost", NULL } },
	{ "broken.test", DNS_MX, DNS_SERVFAIL, NULL },
	{ "smtp.contoso.test", DNS_A, DNS_SERVFAIL, NULL },
	{ "smtp.contoso.test", DNS_AAAA, DNS_SERVFAIL, NULL },
};

/* A name server in a process of its own, loop and all: diagnose has a loop of its own. */
static void serve_names(int tell)
{
	struct io_loop *loop;
	struct dns dns;

	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	loop = io_loop_new();
	dns_open(&dns, loop, rows, COUNT_OF(rows));
	if (write(tell, &dns.port, sizeof(dns.port)) == (ssize_t)sizeof(dns.port))
		io_loop_run(loop);
	_exit(1);
}

static pid_t name_server(char servers[32])
{
	unsigned port = 0;
	int ends[2];
	pid_t pid;

	assert_int_equal(pipe(ends), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0)
		serve_names(ends[1]);
	assert_int_equal(read(ends[0], &port, sizeof(port)), sizeof(port));
	(void)close(ends[0]);
	(void)close(ends[1]);
	(void)snprintf(servers, 32, "127.0.0.1:%u", port);
	return pid;
}

struct seen {
	char steps[2000];
};

static void ended(void *arg, const struct diagnose_step *step)
{
	struct seen *s = arg;
	size_t at = strlen(s->steps);

	(void)snprintf(s->steps + at,
		sizeof(s->steps) - at,
		"%s %s %s\n",
		step->name,
		diagnose_status_name(step->status),
		step->cause);
}

struct row {
	const char *lane;
	const char *steps;
	const char *cause;
	enum diagnose_owner owner;
	int exit_code;
	const char *first;
};

static const struct row table[] = {
	{ "domain: unknown.test",
		"mail exchanger fail name-unknown\nsession skipped \nlimits ok \n",
		"name-unknown",
		DIAGNOSE_OWNER_YOU,
		EX_CONFIG,
		"or the domain behind it" },
	{ "domain: broken.test",
		"mail exchanger fail dns-broken\nsession skipped \nlimits ok \n",
		"dns-broken",
		DIAGNOSE_OWNER_NETWORK,
		EX_UNAVAILABLE,
		"/etc/resolv.conf" },
	{ "host: smtp.contoso.test",
		"name fail dns-broken\nsession skipped \nlimits ok \n",
		"dns-broken",
		DIAGNOSE_OWNER_NETWORK,
		EX_UNAVAILABLE,
		"getent hosts smtp.contoso.test" },
	/* Nobody listens on port 25 of the test's machine; the warning before does not hide that. */
	{ "domain: filtered.test",
		"mail exchanger fail exchanger-not-microsoft\nsession skipped \nlimits ok \n",
		"exchanger-not-microsoft",
		DIAGNOSE_OWNER_YOU,
		EX_CONFIG,
		"Microsoft's own host" },
	{ "domain: filtered.test\n    ca_file: /etc/ssl/certs/ca-certificates.crt",
		"mail exchanger warn exchanger-not-microsoft\nname ok \nconnect fail port-blocked\n"
		"session skipped \nlimits ok \n",
		"port-blocked",
		DIAGNOSE_OWNER_NETWORK,
		EX_UNAVAILABLE,
		"open outgoing TCP port 25 to localhost" },
};

static struct conf *load(const char *lane)
{
	char text[1000];
	struct conf_findings findings;
	struct conf *conf;

	(void)snprintf(text,
		sizeof(text),
		"hostname: relay.contoso.com\ndnssec: off\ntenants:\n  - name: contoso\n    id: "
		"contoso.com\n"
		"    domains: [contoso.com]\nconnectors:\n  - name: link\n    provider: connector\n"
		"    tenant: contoso\n    %s\nroutes: [ { through: link } ]\n",
		lane);
	conf = conf_load_text(sv_from(text), &findings);
	if (!conf)
		fail_msg("%s", findings.count ? findings.items[0].text : "no findings");
	conf_findings_free(&findings);
	return conf;
}

static void one(const struct row *row, const char *servers)
{
	struct conf *conf = load(row->lane);
	struct seen seen = { 0 };
	const struct diagnose_options options = {
		.conf = conf, .name_servers = sv_from(servers), .ended = ended, .arg = &seen
	};
	struct diagnose_verdict v;
	struct err err = { 0 };
	struct diagnose *d = diagnose_new(&options, &err);

	assert_non_null(d);
	diagnose_lane(d, conf_lane_named(conf, SV("link")), &v);
	assert_string_equal(seen.steps, row->steps);
	assert_int_equal(v.status, DIAGNOSE_FAIL);
	assert_string_equal(v.cause, row->cause);
	assert_int_equal(v.owner, row->owner);
	assert_int_equal(v.exit_code, row->exit_code);
	if (sv_find(v.first, sv_from(row->first)) < 0)
		fail_msg("%.*s", SV_ARG(v.first));
	diagnose_free(d);
	conf_unref(conf);
}

/* A machine of developers may have a mail server. */
static bool has_mail_server(void)
{
	const struct sockaddr_in at = {
		.sin_family = AF_INET, .sin_port = htons(25), .sin_addr = { htonl(INADDR_LOOPBACK) }
	};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	bool answers = connect(fd, (const struct sockaddr *)&at, sizeof(at)) == 0;

	(void)close(fd);
	return answers;
}

static void names_that_are_broken(void **state)
{
	char servers[32];
	pid_t pid = name_server(servers);

	(void)state;
	for (size_t i = 0; i < COUNT_OF(table); i++)
		if (strcmp(table[i].cause, "port-blocked") != 0 || !has_mail_server())
			one(&table[i], servers);
	(void)kill(pid, SIGKILL);
	(void)waitpid(pid, NULL, 0);
}

/* Port 587 begins with a greeting everywhere: `tls: implicit` would be the wrong advice. */
static void silence_on_a_mail_port_is_no_tls_port(void **state)
{
	(void)state;
	assert_int_equal(diagnose_silence_cause(587), CAUSE_SLOW_GREETING);
	assert_int_equal(diagnose_silence_cause(25), CAUSE_SLOW_GREETING);
	assert_int_equal(diagnose_silence_cause(465), CAUSE_NO_GREETING);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(names_that_are_broken),
		cmocka_unit_test(silence_on_a_mail_port_is_no_tls_port) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
