/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/of_conf.h"

int cli_conf_load(const struct cli_context *ctx, struct conf **out)
{
	struct conf_findings findings;

	*out = conf_load(ctx->config_path, &findings);
	for (size_t i = 0; !*out && i < findings.count; i++)
		if (!findings.items[i].warning)
			cli_print_finding(&findings.items[i]);
	conf_findings_free(&findings);
	return *out ? EX_OK : cli_fail(EX_CONFIG, "the configuration has errors");
}

static bool is_same(const struct conf_tenant *a, const struct conf_tenant *b)
{
	return a == b || (a && b && a->id.len && sv_eq_nocase(a->id, b->id));
}

int cli_tenant_number(struct cli_tenants *all, const struct conf_tenant *t, uint32_t *out)
{
	for (*out = 0; *out < all->count; (*out)++)
		if (is_same(all->list[*out], t))
			return EX_OK;
	if (all->count == CLI_TENANTS_MAX)
		return cli_fail(EX_CONFIG, "more than %d tenants", CLI_TENANTS_MAX);
	all->list[all->count++] = t;
	return EX_OK;
}
