/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/ask.h"
#include "cli/domain_priv.h"
#include "cli/start.h"
#include "io/loop.h"

#include <getopt.h>
#include <string.h>
#include <unistd.h>

int domain_load_conf(struct cli_context *ctx, bool needed, struct conf **out_conf)
{
	if (!needed && access(ctx->config_path, F_OK) != 0 &&
		strcmp(ctx->config_path, CLI_CONFIG_PATH) == 0)
		return EX_OK;
	*out_conf = cli_load_conf(ctx);
	return *out_conf ? EX_OK : cli_conf_failed(ctx);
}

int domain_add_named(struct domain_set *s, int argc, char **argv)
{
	for (int i = optind; i < argc; i++) {
		if (!domain_set_add(s, sv_from(argv[i])))
			return cli_fail(
				EX_USAGE, "%s is not a domain name. Example: contoso.com", argv[i]);
	}
	return EX_OK;
}

struct asking {
	struct io_loop *loop;
	domain_run_fn *run;
	void *arg;
};

static bool run_one(void *arg, size_t index, struct authn_memo *memo)
{
	struct asking *a = arg;

	return a->run(a->arg, index, memo);
}

static void on_finished(void *arg)
{
	io_loop_stop(((struct asking *)arg)->loop);
}

int domain_ask(
	const struct conf *conf, const char *dns, size_t count, domain_run_fn *run, void *arg)
{
	struct sv anchor = conf ? conf_general(conf)->dnssec_anchor : SV("");
	struct asking a = { .run = run, .arg = arg };
	char server[DOMAIN_SERVER_MAX] = "";
	struct io_dnssec *dnssec;
	struct domain_look *l;
	struct err err = { 0 };

	if (dns && !domain_server_text(sv_from(dns), server))
		return cli_fail(
			EX_USAGE, "--dns needs an address, for example 192.0.2.1 or 127.0.0.1:53");
	a.loop = io_loop_new();
	dnssec = io_dnssec_new(a.loop, anchor, sv_from(server), &err);
	if (!dnssec) {
		io_loop_free(a.loop);
		return cli_fail(EX_CONFIG, "%s", err.text);
	}
	l = domain_look_new(a.loop, dnssec, count, run_one, on_finished, &a);
	io_loop_run(a.loop);
	domain_look_free(l);
	io_dnssec_free(dnssec);
	io_loop_free(a.loop);
	return EX_OK;
}
