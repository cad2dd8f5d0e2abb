/* SPDX-License-Identifier: Apache-2.0 */
#include "setup/config.h"

#include "base/must.h"
#include "base/text.h"

#include <stdarg.h>
#include <stdio.h>

enum {
	NAME_MAX_BYTES = 60, /* of a tenant: postern.yaml(5) allows 64 */
};

static const struct {
	struct sv name;
	const char *words;
} doors[] = {
	{ SV_INIT("submission"),
		"The usual one: mailboxes send by SMTP to anybody, each 30 messages a minute "
		"and 10,000 recipients a day." },
	{ SV_INIT("hve"),
		"High Volume Email: any amount of mail, but to your own people only; Microsoft "
		"bills each message." },
	{ SV_INIT("connector"),
		"No mailbox: Microsoft knows this relay by its certificate or its own fixed "
		"address; needs port 25." },
	{ SV_INIT("graph"),
		"HTTPS instead of SMTP: where the tenant forbids SMTP, or a firewall stops it." },
};
static_assert(COUNT_OF(doors) == SETUP_DOOR_COUNT, "a row for each door");

const char *setup_door_name(enum setup_door door)
{
	return doors[door].name.ptr;
}

const char *setup_door_words(enum setup_door door)
{
	return doors[door].words;
}

int setup_door_parse(struct sv text, enum setup_door *out_door)
{
	for (size_t i = 0; i < COUNT_OF(doors); i++) {
		bool number = text.len == 1 && text.ptr[0] == (char)('1' + i);

		if (!number && !sv_eq_nocase(text, doors[i].name))
			continue;
		*out_door = (enum setup_door)i;
		return 0;
	}
	return RC_PARSE;
}

bool setup_domain(struct sv text, char out[LIMIT_DOMAIN + 1], struct sv *out_domain)
{
	char before = '.';
	bool dot = false;

	if (!text.len || text.len > LIMIT_DOMAIN)
		return false;
	for (size_t i = 0; i < text.len; i++) {
		char c = ascii_lower(text.ptr[i]);
		bool name = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');

		/* Labels neither begin nor end with a dash. */
		if (!name && !(c == '-' && before != '.') &&
			!(c == '.' && before != '.' && before != '-'))
			return false;
		dot = dot || c == '.';
		before = c;
		out[i] = c;
	}
	out[text.len] = '\0';
	*out_domain = sv_make(out, text.len);
	return dot && before != '.' && before != '-';
}

const char *setup_user_name(const struct setup_report *r, size_t i, char out[SETUP_NAME_MAX])
{
	struct sv address = r->clients[i].address;
	bool odd = false;

	for (size_t k = 0; k < address.len; k++) {
		char c = address.ptr[k];
		bool plain = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '@' ||
			     c == '.' || c == '_' || c == '+' || c == '-';

		out[k] = plain ? c : '-';
		odd = odd || !plain;
	}
	out[address.len] = '\0';
	/* Two addresses may differ in such a character only. */
	if (odd)
		(void)snprintf(out + address.len, SETUP_NAME_MAX - address.len, "-%zu", i + 1);
	return out;
}

/* ---- postern.yaml ---- */

struct writer {
	const struct setup_choice *c;
	struct buf *out;
	char tenant[NAME_MAX_BYTES + 1];
	int rc;
};

static void PRINTF_LIKE(2, 3) put(struct writer *w, const char *fmt, ...)
{
	char text[2048];
	va_list args;
	int n;

	va_start(args, fmt);
	n = vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	must(n >= 0 && (size_t)n < sizeof(text));
	if (w->rc == 0)
		w->rc = buf_append(w->out, sv_make(text, (size_t)n));
}

static void put_quoted(struct writer *w, struct sv text)
{
	if (w->rc == 0)
		w->rc = text_json_string(w->out, text);
}

/* Cron and many programs write to root, and there is no such mailbox. */
static void put_root(struct writer *w)
{
	put(w,
		"# Names without a domain, like root, are completed with it.\n"
		"qualify: %.*s\n",
		SV_ARG(w->c->domain));
	if (w->c->root.len) {
		put(w,
			"# Who reads what cron and other programs write to root.\naliases: { "
			"root: ");
		put_quoted(w, w->c->root);
		put(w, " }\n\n");
		return;
	}
	put(w,
		"# Programs write to root, which becomes root@%.*s. Whose mail is that?\n"
		"# aliases: { root: \"it@%.*s\" }\n\n",
		SV_ARG(w->c->domain),
		SV_ARG(w->c->domain));
}

static void put_listeners(struct writer *w)
{
	put(w,
		"listeners:\n"
		"  # Programs on this machine; they need no password.\n"
		"  - address: 127.0.0.1:25\n"
		"    no_password_from: [127.0.0.0/8]\n%s"
		"  # Other machines sign in as one of the users. Put a certificate there, then "
		"take\n"
		"  # the # off these two lines.\n"
		"  # - { address: \"*:587\", tls: required, auth: required,\n"
		"  #     certificate: %.*s/relay.pem, key: \"file:%.*s/relay.key\" }\n\n",
		w->c->report ? "    auth: optional\n" : "",
		SV_ARG(w->c->folder),
		SV_ARG(w->c->folder));
}

static void put_users(struct writer *w)
{
	char name[SETUP_NAME_MAX];

	if (!w->c->report) {
		put(w,
			"# `postern user add erp` makes a user for another machine:\n"
			"# users:\n"
			"#   - { name: erp, password: \"file:%.*s/erp.scram\", senders: "
			"[\"*@%.*s\"] }\n\n",
			SV_ARG(w->c->folder),
			SV_ARG(w->c->domain));
		return;
	}
	put(w,
		"# One user for each sender of the report; its password stands on its sheet.\n"
		"users:\n");
	for (size_t i = 0; i < w->c->report->count; i++) {
		(void)setup_user_name(w->c->report, i, name);
		put(w, "  - { name: ");
		put_quoted(w, sv_from(name));
		put(w,
			", password: \"file:%.*s/users/%s.scram\", senders: [",
			SV_ARG(w->c->folder),
			name);
		put_quoted(w, w->c->report->clients[i].address);
		put(w, "] }\n");
	}
	put(w, "\n");
}

static void put_tenant(struct writer *w)
{
	const struct setup_choice *c = w->c;

	put(w, "tenants:\n  - name: %s\n", w->tenant);
	if (c->tenant_id.len)
		put(w, "    id: %.*s\n", SV_ARG(c->tenant_id));
	else
		put(w,
			"    # The id could not be looked up; the domain does as well.\n"
			"    id: %.*s\n",
			SV_ARG(c->domain));
	if (c->cloud != PROVIDER_CLOUD_GLOBAL)
		put(w, "    cloud: %s\n", provider_cloud(c->cloud)->name);
	put(w,
		"    # Recipients in these domains are internal.\n"
		"    domains: [%.*s",
		SV_ARG(c->domain));
	for (size_t i = 0; i < c->more_domain_count; i++)
		put(w, ", %.*s", SV_ARG(c->more_domains[i]));
	put(w, "]\n");
	if (c->login_url.len) {
		put(w, "    endpoints:\n      login: ");
		put_quoted(w, c->login_url);
		if (c->ca_file.len) {
			put(w, "\n      ca_file: ");
			put_quoted(w, c->ca_file);
		}
		put(w, "\n");
	}
	if (c->door != SETUP_DOOR_CONNECTOR)
		put(w,
			"    app:\n"
			"      # `postern setup powershell` prints a script that registers the app "
			"and tells its\n"
			"      # id; with zeros here it makes a new one.\n"
			"      client_id: 00000000-0000-0000-0000-000000000000\n"
			"      # The column Value of a client secret of the app, in a file; paste "
			"it, "
			"then Ctrl-D:\n"
			"      #   install -m 0640 -o root -g postern /dev/stdin %.*s/%s.secret\n"
			"      # A certificate is better: certificate: and key: instead.\n"
			"      secret: \"file:%.*s/%s.secret\"\n",
			SV_ARG(c->folder),
			w->tenant,
			SV_ARG(c->folder),
			w->tenant);
	put(w, "\n");
}

static void put_mailboxes(struct writer *w)
{
	const struct setup_choice *c = w->c;

	put(w, "mailboxes:\n");
	if (c->door == SETUP_DOOR_HVE)
		put(w, "  # An account of High Volume Email: From is always the account itself.\n");
	for (size_t i = 0; i < c->sender_count; i++) {
		put(w, "  - address: ");
		put_quoted(w, c->senders[i]);
		put(w,
			"\n    tenant: %s\n    provider: %s\n    auth: app\n",
			w->tenant,
			setup_door_name(c->door));
		/* All that has no mailbox of its own leaves as the first. */
		if (i == 0 && c->door != SETUP_DOOR_HVE && !c->report)
			put(w,
				"    # Mail of other senders becomes this one's; Reply-To keeps "
				"the original.\n"
				"    # keep needs SendAs for each of them.\n"
				"    sender: rewrite\n");
	}
	put(w, "\nroutes:\n");
	put(w,
		"  # A sender that is one of the mailboxes leaves by it.\n"
		"  - { %sthrough: sender }\n",
		c->door == SETUP_DOOR_HVE ? "recipient: internal, " : "");
	if (c->report)
		return;
	put(w, "  # All other mail, that of cron and root too, leaves by the first.\n  - { ");
	if (c->door == SETUP_DOOR_HVE)
		put(w, "recipient: internal, ");
	put(w, "through: ");
	put_quoted(w, c->senders[0]);
	put(w, " }\n");
}

static void put_connector(struct writer *w)
{
	const struct setup_choice *c = w->c;

	put(w,
		"connectors:\n"
		"  # The domain's mail exchanger is looked up. Microsoft must know this relay: by "
		"its public\n"
		"  # address, which nobody else may use, or by a certificate for a name in the "
		"domain.\n"
		"  - name: exchange\n"
		"    provider: connector\n"
		"    tenant: %s\n"
		"    domain: %.*s\n"
		"    # certificate: %.*s/connector.pem\n"
		"    # key: \"file:%.*s/connector.key\"\n\n"
		"routes:\n"
		"  # Exchange relays for senders of the tenant's own domains only.\n"
		"  - { sender: \"*@%.*s\", through: exchange }\n",
		w->tenant,
		SV_ARG(c->domain),
		SV_ARG(c->folder),
		SV_ARG(c->folder),
		SV_ARG(c->domain));
}

int setup_config(const struct setup_choice *c, struct buf *out)
{
	struct writer w = { .c = c, .out = out };
	struct sv label, rest = c->domain;

	(void)sv_cut_char(&rest, '.', &label);
	(void)snprintf(w.tenant, sizeof(w.tenant), "%.*s", SV_ARG(label));
	put(&w,
		"# Written by `postern init` for %.*s. postern.yaml(5) explains every key.\n"
		"# After a change: postern check && systemctl reload postern\n\n",
		SV_ARG(c->domain));
	if (c->hostname.len)
		put(&w,
			"# Said in EHLO: this machine's own name has no domain.\n"
			"hostname: %.*s\n",
			SV_ARG(c->hostname));
	put_root(&w);
	put_listeners(&w);
	put_users(&w);
	put_tenant(&w);
	if (c->door == SETUP_DOOR_CONNECTOR)
		put_connector(&w);
	else
		put_mailboxes(&w);
	return w.rc;
}

/* ---- a sheet for a device ---- */

static bool has_old_tls(struct sv tls)
{
	return sv_find(tls, SV("1.0")) >= 0 || sv_find(tls, SV("1.1")) >= 0;
}

int setup_sheet(
	const struct setup_report *r, size_t i, struct sv host, struct sv password, struct buf *out)
{
	const struct setup_client *k = &r->clients[i];
	char name[SETUP_NAME_MAX];
	struct writer w = { .out = out };

	(void)setup_user_name(r, i, name);
	put(&w, "# %.*s\n\n", SV_ARG(k->address));
	put(&w,
		"Set at the device or program that sends as this address:\n\n"
		"    server     %.*s\n    port       587\n    security   STARTTLS (not SSL)\n"
		"    user       %s\n    password   %.*s\n    sender     %.*s\n\n",
		SV_ARG(host),
		name,
		SV_ARG(password),
		SV_ARG(k->address));
	put(&w, "What Microsoft's report says about it:\n\n");
	put(&w, "    messages   %llu\n", (unsigned long long)k->messages);
	if (k->protocols.len)
		put(&w, "    signed in  %.*s\n", SV_ARG(k->protocols));
	if (k->tls.len)
		put(&w, "    TLS        %.*s\n", SV_ARG(k->tls));
	if (k->from.len)
		put(&w, "    from       %.*s\n", SV_ARG(k->from));
	put(&w, "\n");
	if (has_old_tls(k->tls))
		put(&w,
			"It has used an old TLS. If it knows no newer one, let it send by its "
			"address "
			"instead:\nan entry under `devices` with `tls: legacy`, see "
			"docs/devices.md.\n\n");
	put(&w,
		"- [ ] device changed\n- [ ] a test mail has arrived (`postern trace --from "
		"ADDRESS`)\n- [ ] this sheet deleted: it holds the password\n");
	return w.rc;
}
