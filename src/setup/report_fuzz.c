/* SPDX-License-Identifier: Apache-2.0 */
#include "setup/report.h"

#include "base/must.h"
#include "setup/tenant.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_text(struct sv text)
{
	for (size_t i = 0; i < text.len; i++)
		must(text.ptr[i] >= ' ' && text.ptr[i] <= '~');
	must(text.len <= SETUP_CELL_MAX);
}

/* A client is an address that stands for itself, once; nothing in it can end a line. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct sv bytes = sv_make((const char *)data, size);
	char id[SETUP_TENANT_ID_MAX];
	struct setup_report r;

	if (setup_tenant_id(bytes, id) == 0)
		must(strlen(id) + 1 == sizeof(id) && strspn(id, "0123456789abcdef-") == strlen(id));
	if (setup_report_read(bytes, &r, NULL) != 0)
		return 0;
	must(r.count > 0 && r.count <= SETUP_CLIENTS_MAX);
	for (size_t i = 0; i < r.count; i++) {
		const struct setup_client *c = &r.clients[i];

		check_text(c->address);
		check_text(c->protocols);
		check_text(c->tls);
		check_text(c->from);
		must(sv_rfind_char(c->address, '@') > 0 && sv_find_char(c->address, ' ') < 0 &&
			sv_find_char(c->address, '"') < 0);
		for (size_t k = 0; k < i; k++)
			must(!sv_eq_nocase(r.clients[k].address, c->address));
	}
	setup_report_deinit(&r);
	return 0;
}
