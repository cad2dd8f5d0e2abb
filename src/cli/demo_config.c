/* SPDX-License-Identifier: Apache-2.0 */
#include "base/must.h"
#include "cli/demo_priv.h"
#include "io/file.h"

#include <stdio.h>

static int put_mailbox(struct buf *out, const struct demo *d, const char *address)
{
	return buf_printf(out,
		"  - address: %s\n    tenant: contoso\n    auth: password\n    password: "
		"file:%s/secret\n"
		"    endpoint: { host: localhost, port: %d, ca_file: %s/sandbox/ca.pem }\n"
		"    limits: { share: 100%% }\n",
		address,
		d->folder,
		d->sandbox_port,
		d->folder);
}

/* The other doors, and the routes to all of them. */
static int put_doors(struct buf *out, const struct demo *d)
{
	return buf_printf(out,
		"  - address: token@contoso.com\n    tenant: contoso\n    auth: app\n"
		"    endpoint: { host: localhost, port: %d, ca_file: %s/sandbox/ca.pem }\n"
		"  - address: alerts@contoso.com\n    tenant: contoso\n    provider: hve\n    "
		"auth: "
		"app\n"
		"    endpoint: { host: localhost, port: %d, ca_file: %s/sandbox/ca.pem }\n"
		"  - { address: graph@contoso.com, tenant: contoso, provider: graph, auth: app }\n"
		"connectors:\n"
		"  - name: gate\n    provider: connector\n    tenant: contoso\n    host: "
		"localhost\n    port: %d\n    ca_file: %s/sandbox/ca.pem\n"
		"    certificate: %s/sandbox/client.pem\n    key: file:%s/sandbox/client.key\n"
		"devices:\n"
		"  - { name: scanner, from: %s, sender: scanner@contoso.com }\n"
		"routes:\n"
		"  - { device: scanner, through: gate }\n"
		"  - { through: sender }\n",
		d->sandbox_port,
		d->folder,
		d->hve_port,
		d->folder,
		d->connector_port,
		d->folder,
		d->folder,
		d->folder,
		DEMO_SCANNER_ADDRESS);
}

int demo_write_config(const struct demo *d, struct err *err)
{
	CLEANUP(buf_deinitp) struct buf out = BUF_INIT(1 << 16);
	char path[PATH_MAX], address[64];
	int rc = buf_printf(&out,
		"# The demo's relay: 16 mailboxes and a connector of a pretended tenant, "
		"Microsoft's real limits.\n"
		"data_dir: %s/data\nmaildrop: %s/maildrop\nsubmit_socket: %s/submit.sock\n"
		"control_socket: %s/control.sock\nhostname: relay.contoso.com\nqualify: "
		"contoso.com\n"
		"retry: { first: 1s, ceiling: 10s, expire: 1d }\n"
		"listeners:\n  - address: 127.0.0.1:%d\n    no_password_from: [127.0.0.0/8]\n"
		"tenants:\n  - name: contoso\n    id: 00000000-0000-0000-0000-000000000000\n"
		"    domains: [contoso.com]\n"
		"    app: { client_id: 11111111-1111-1111-1111-111111111111, secret: "
		"\"file:%s/secret\" }\n"
		"    endpoints: { login: \"https://localhost:%d\", graph: "
		"\"https://localhost:%d\", ca_file: %s/sandbox/ca.pem }\n"
		"mailboxes:\n",
		d->folder,
		d->folder,
		d->folder,
		d->folder,
		d->relay_port,
		d->folder,
		d->https_port,
		d->https_port,
		d->folder);

	for (unsigned i = 0; i < DEMO_MAILBOXES && rc == 0; i++) {
		(void)snprintf(address, sizeof(address), "app%u@contoso.com", i);
		rc = put_mailbox(&out, d, address);
	}
	if (rc == 0)
		rc = put_mailbox(&out, d, "newsletter@contoso.com");
	if (rc == 0)
		rc = put_doors(&out, d);
	must(rc == 0);
	(void)snprintf(path, sizeof(path), "%s/secret", d->folder);
	rc = io_file_write_durably(path, SV("sandbox\n"), 0600, err);
	(void)snprintf(path, sizeof(path), "%s/maildrop", d->folder);
	if (rc == 0)
		rc = io_folder_make(path, 0700, err);
	(void)snprintf(path, sizeof(path), "%s/postern.yaml", d->folder);
	return rc ? rc : io_file_write_durably(path, buf_sv(&out), 0600, err);
}
