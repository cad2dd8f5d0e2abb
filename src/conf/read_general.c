/* SPDX-License-Identifier: Apache-2.0 */
#include "base/must.h"
#include "conf/conf_priv.h"
#include "io/fs.h"
#include "io/machine.h"
#include "mail/address.h"

/* The longest path of a Unix socket, its NUL not counted: sun_path of sockaddr_un has 108 bytes. */
enum {
	SOCKET_PATH_MAX = 107,
	ALIAS_STEPS_MAX = 32,
	PRICE_MAX = 1000000,
};

#define YEAR_US (366 * US_PER_DAY)
#define BYTES_MAX (UINT64_C(1) << 50)

static const char *const log_levels[] = { "debug", "info", "warn", "error", NULL };
static const char *const log_formats[] = { "text", "json", NULL };
static const char *const uncertain_words[] = { "retry", "hold", "assume-sent", NULL };

#define AT(member) .offset = offsetof(struct conf_general, member)

static const struct conf_field retry_fields[] = {
	{ .name = SV_INIT("first"),
		.type = CONF_TYPE_DURATION,
		AT(retry_first_us),
		.min = US_PER_S,
		.max = 7 * US_PER_DAY },
	{ .name = SV_INIT("ceiling"),
		.type = CONF_TYPE_DURATION,
		AT(retry_ceiling_us),
		.min = US_PER_S,
		.max = 7 * US_PER_DAY },
	{ .name = SV_INIT("expire"),
		.type = CONF_TYPE_DURATION,
		AT(retry_expire_us),
		.min = US_PER_S,
		.max = 30 * US_PER_DAY },
	CONF_FIELDS_END,
};

static const struct conf_field history_fields[] = {
	{ .name = SV_INIT("keep"),
		.type = CONF_TYPE_DURATION,
		.flags = CONF_OFF,
		AT(history_keep_us),
		.min = US_PER_S,
		.max = 10 * YEAR_US },
	{ .name = SV_INIT("max"),
		.type = CONF_TYPE_SIZE,
		AT(history_bytes_max),
		.min = 1 << 20,
		.max = BYTES_MAX },
	{ .name = SV_INIT("subject"), .type = CONF_TYPE_BOOL, AT(keep_subject) },
	CONF_FIELDS_END,
};

/* Resolved when mailboxes and connectors are known. */
static void read_bounces_through(struct conf_load *ld, const struct conf_node *value, void *out)
{
	struct sv *through = out;

	if (!conf_is_text(ld, value))
		return;
	ld->bounces_through = value;
	*through = conf_keep(ld, value->text);
}

static const struct conf_field bounces_fields[] = {
	{ .name = SV_INIT("through"),
		.type = CONF_TYPE_READ,
		AT(bounces_through),
		.read = read_bounces_through },
	{ .name = SV_INIT("to"), .type = CONF_TYPE_ADDRESS, AT(bounces_to) },
	CONF_FIELDS_END,
};

static const struct conf_field log_fields[] = {
	{ .name = SV_INIT("level"), .type = CONF_TYPE_WORD, AT(log_level), .words = log_levels },
	{ .name = SV_INIT("format"), .type = CONF_TYPE_WORD, AT(log_format), .words = log_formats },
	CONF_FIELDS_END,
};

static const struct conf_field limits_fields[] = {
	{ .name = SV_INIT("inbound_memory"),
		.type = CONF_TYPE_SIZE,
		AT(inbound_memory_bytes),
		.min = 1 << 20,
		.max = BYTES_MAX },
	{ .name = SV_INIT("inbound_connections"),
		.type = CONF_TYPE_U32,
		AT(inbound_connections_max),
		.min = 1,
		.max = 1000000 },
	{ .name = SV_INIT("upstream_connections"),
		.type = CONF_TYPE_U32,
		AT(upstream_connections_max),
		.min = 1,
		.max = 1000000 },
	{ .name = SV_INIT("local_bytes_per_uid"),
		.type = CONF_TYPE_SIZE,
		AT(local_bytes_per_uid_max),
		.min = 1 << 20,
		.max = BYTES_MAX },
	CONF_FIELDS_END,
};

static const struct conf_field vault_fields[] = {
	{ .name = SV_INIT("key"),
		.type = CONF_TYPE_SECRET,
		.flags = CONF_REQUIRED | CONF_EXISTS | CONF_LATER,
		AT(vault_key) },
	CONF_FIELDS_END,
};

static const struct conf_field dnssec_fields[] = {
	{ .name = SV_INIT("anchor"),
		.type = CONF_TYPE_PATH,
		.flags = CONF_REQUIRED | CONF_EXISTS,
		AT(dnssec_anchor) },
	CONF_FIELDS_END,
};

/* `out` is the whole of general. */
static void read_dnssec(struct conf_load *ld, const struct conf_node *value, void *out)
{
	if (value->kind == CONF_NODE_SCALAR && sv_eq(value->text, SV("off")))
		return;
	if (value->kind == CONF_NODE_MAP)
		(void)conf_read_map(ld, value, dnssec_fields, out, NULL);
	else
		conf_error(ld, value, "dnssec: must be off, or { anchor: /PATH }");
}

/* One there is; the word is written down for the reader's sake. */
static void read_store(struct conf_load *ld, const struct conf_node *value, void *out)
{
	(void)out;
	if (conf_is_text(ld, value) && !sv_eq(value->text, SV("sqlite")))
		conf_error(ld, value, "store: must be sqlite: remove the key, or write that");
}

/* Dollars with two places, as a bill has them. */
static void read_price(struct conf_load *ld, const struct conf_node *value, void *out)
{
	if (conf_is_text(ld, value) && conf_parse_dollars(value->text, PRICE_MAX, out) != 0)
		conf_error(ld,
			value,
			"hve: must be the dollars for a million recipients, from 0 to %d: write "
			"42 or 42.00",
			PRICE_MAX);
}

/* A port is part of it, as the daemon may connect only to ports that it knows. */
static void read_dns(struct conf_load *ld, const struct conf_node *value, void *out)
{
	struct sv *text = out;
	struct io_address a;

	if (!conf_is_text(ld, value))
		return;
	*text = conf_keep(ld, value->text);
	if (io_address_parse(*text, &a) != 0 || a.both_families || a.any.sa_family == AF_UNIX)
		conf_error(ld, value, "dns: must be an address with its port: 192.0.2.1:53");
}

static const struct conf_field domains_fields[] = {
	{ .name = SV_INIT("watch"), .type = CONF_TYPE_BOOL, AT(domains.watch) },
	{ .name = SV_INIT("dns"), .type = CONF_TYPE_READ, AT(domains.dns), .read = read_dns },
	{ .name = SV_INIT("selectors"), .type = CONF_TYPE_DOMAINS, AT(domains.selectors) },
	{ .name = SV_INIT("block_lists"), .type = CONF_TYPE_DOMAINS, AT(domains.lists) },
	CONF_FIELDS_END,
};

static const struct conf_field prices_fields[] = {
	{ .name = SV_INIT("hve"), .type = CONF_TYPE_READ, AT(hve_price_cents), .read = read_price },
	CONF_FIELDS_END,
};

/* Sections are only noted: names must be known before what refers to them is read. */
static void keep_section(struct conf_load *ld, const struct conf_node *value, enum conf_section s)
{
	must(ld->section_count[s] < CONF_FILES_MAX);
	ld->sections[s][ld->section_count[s]++] = value;
}

#define DEFINE_KEEP(name, section)                                                              \
	static void keep_##name(struct conf_load *ld, const struct conf_node *value, void *out) \
	{                                                                                       \
		(void)out;                                                                      \
		keep_section(ld, value, section);                                               \
	}                                                                                       \
	struct keep_decl_##name /* swallows the semicolon */

DEFINE_KEEP(aliases, CONF_SECTION_ALIASES);
DEFINE_KEEP(listeners, CONF_SECTION_LISTENERS);
DEFINE_KEEP(users, CONF_SECTION_USERS);
DEFINE_KEEP(tenants, CONF_SECTION_TENANTS);
DEFINE_KEEP(devices, CONF_SECTION_DEVICES);
DEFINE_KEEP(mailboxes, CONF_SECTION_MAILBOXES);
DEFINE_KEEP(mailboxes_from, CONF_SECTION_MAILBOXES_FROM);
DEFINE_KEEP(connectors, CONF_SECTION_CONNECTORS);
DEFINE_KEEP(pools, CONF_SECTION_POOLS);
DEFINE_KEEP(routes, CONF_SECTION_ROUTES);

/* load.c has followed it before anything is read. */
static void skip_include(struct conf_load *ld, const struct conf_node *value, void *out)
{
	(void)ld;
	(void)value;
	(void)out;
}

#define SECTION(key, fn)                                                                       \
	{                                                                                      \
		.name = SV_INIT(key), .type = CONF_TYPE_READ, .flags = CONF_REPEAT, .read = fn \
	}

const struct conf_field conf_top_fields[] = {
	{ .name = SV_INIT("data_dir"), .type = CONF_TYPE_PATH, .flags = CONF_OWN, AT(data_dir) },
	{ .name = SV_INIT("store"), .type = CONF_TYPE_READ, .read = read_store },
	{ .name = SV_INIT("maildrop"), .type = CONF_TYPE_PATH, .flags = CONF_OWN, AT(maildrop) },
	{ .name = SV_INIT("submit_socket"),
		.type = CONF_TYPE_PATH,
		.flags = CONF_OWN,
		AT(submit_socket),
		.max = SOCKET_PATH_MAX },
	{ .name = SV_INIT("control_socket"),
		.type = CONF_TYPE_PATH,
		.flags = CONF_OWN,
		AT(control_socket),
		.max = SOCKET_PATH_MAX },
	{ .name = SV_INIT("hostname"), .type = CONF_TYPE_HOST, AT(hostname) },
	{ .name = SV_INIT("qualify"), .type = CONF_TYPE_HOST, AT(qualify) },
	SECTION("aliases", keep_aliases),
	{ .name = SV_INIT("retry"), .type = CONF_TYPE_MAP, .fields = retry_fields },
	{ .name = SV_INIT("classes"), .type = CONF_TYPE_MAP, .fields = conf_classes_fields },
	{ .name = SV_INIT("delay_notice"),
		.type = CONF_TYPE_DURATION,
		.flags = CONF_OFF,
		AT(delay_notice_us),
		.min = US_PER_S,
		.max = 30 * US_PER_DAY },
	{ .name = SV_INIT("parked_expire"),
		.type = CONF_TYPE_DURATION,
		AT(parked_expire_us),
		.min = US_PER_S,
		.max = YEAR_US },
	{ .name = SV_INIT("history"), .type = CONF_TYPE_MAP, .fields = history_fields },
	{ .name = SV_INIT("bounces"), .type = CONF_TYPE_MAP, .fields = bounces_fields },
	{ .name = SV_INIT("min_free"),
		.type = CONF_TYPE_SIZE,
		.flags = CONF_OFF,
		AT(min_free_bytes),
		.min = 1 << 20,
		.max = BYTES_MAX },
	{ .name = SV_INIT("uncertain"),
		.type = CONF_TYPE_CHOICE,
		AT(uncertain),
		.words = uncertain_words },
	{ .name = SV_INIT("log"), .type = CONF_TYPE_MAP, .fields = log_fields },
	{ .name = SV_INIT("limits"), .type = CONF_TYPE_MAP, .fields = limits_fields },
	{ .name = SV_INIT("redirect_all"), .type = CONF_TYPE_ADDRESS, AT(redirect_all) },
	{ .name = SV_INIT("proxy"), .type = CONF_TYPE_URL, .flags = CONF_PROXY, AT(proxy) },
	{ .name = SV_INIT("vault"), .type = CONF_TYPE_MAP, .fields = vault_fields },
	{ .name = SV_INIT("dnssec"), .type = CONF_TYPE_READ, .offset = 0, .read = read_dnssec },
	{ .name = SV_INIT("alerts"), .type = CONF_TYPE_READ, AT(alerts), .read = conf_read_alerts },
	{ .name = SV_INIT("domains"), .type = CONF_TYPE_MAP, .fields = domains_fields },
	{ .name = SV_INIT("confine"), .type = CONF_TYPE_BOOL, AT(confine) },
	{ .name = SV_INIT("prices"), .type = CONF_TYPE_MAP, .fields = prices_fields },
	SECTION("listeners", keep_listeners),
	SECTION("users", keep_users),
	SECTION("tenants", keep_tenants),
	SECTION("devices", keep_devices),
	SECTION("mailboxes", keep_mailboxes),
	SECTION("mailboxes_from", keep_mailboxes_from),
	SECTION("connectors", keep_connectors),
	SECTION("pools", keep_pools),
	SECTION("routes", keep_routes),
	SECTION("include", skip_include),
	CONF_FIELDS_END,
};

void conf_read_top(struct conf_load *ld, const struct conf_node *root, struct conf_seen *seen)
{
	(void)conf_read_map(ld, root, conf_top_fields, &ld->conf->general, seen);
}

static const struct conf_general defaults = {
	.data_dir = SV_INIT("/var/lib/postern"),
	.maildrop = SV_INIT("/var/spool/postern/maildrop"),
	.submit_socket = SV_INIT("/run/postern/submit.sock"),
	.control_socket = SV_INIT("/run/postern/control.sock"),
	.log_format = SV_INIT("text"),
	.log_level = SV_INIT("info"),
	.retry_first_us = US_PER_MIN,
	.retry_ceiling_us = US_PER_HOUR,
	.retry_expire_us = 5 * US_PER_DAY, /* RFC 5321 4.5.4.1: at least four to five days */
	.delay_notice_us = 4 * US_PER_HOUR,
	.parked_expire_us = 14 * US_PER_DAY, /* longer than a holiday of the one who can mend it */
	.history_keep_us = 14 * US_PER_DAY,
	.history_bytes_max = UINT64_C(1) << 30,
	.inbound_memory_bytes = UINT64_C(64) << 20,
	.inbound_connections_max = 1000,
	.upstream_connections_max = 500,
	.local_bytes_per_uid_max = UINT64_C(1) << 30,
	.uncertain = CONF_UNCERTAIN_RETRY,
	.keep_subject = true,
	.alerts.log = true,
	.confine = true,
	/* https://mc.merill.net/message/MC1243552: $42 since 2026-06-01; read on 2026-11-23. */
	.hve_price_cents = 4200,
};

void conf_general_defaults(struct conf_general *g)
{
	*g = defaults;
}

/* The machine's name is taken as it is, when it can be said in EHLO at all. */
static void default_hostname(struct conf_load *ld)
{
	char name[IO_MACHINE_NAME_MAX];

	if (ld->on_disk && io_machine_name(name) == 0 && conf_host_ok(sv_from(name)))
		ld->conf->general.hostname = conf_keep(ld, sv_from(name));
	else
		ld->conf->general.hostname = SV("localhost");
}

/* Debian's dns-root-data; without it DANE is off until an anchor is named. */
static void default_anchor(struct conf_load *ld)
{
	static const char path[] = "/usr/share/dns/root.key";

	if (ld->on_disk && io_fs_is_readable(path)) {
		const struct conf_node at = { .file = ld->files[0].path, .line = 1, .column = 1 };

		ld->conf->general.dnssec_anchor = sv_from(path);
		conf_outside_keep(ld, CONF_OUTSIDE_FILE, sv_from(path), &at);
	}
}

static void check_services(struct conf_load *ld, const struct conf_seen *seen)
{
	const struct conf_general *g = &ld->conf->general;

	if (g->vault_key.kind != CONF_SECRET_NONE && g->vault_key.kind != CONF_SECRET_FILE &&
		g->vault_key.kind != CONF_SECRET_CREDENTIAL)
		conf_error(ld,
			conf_given(conf_top_fields, seen, "vault"),
			"vault: its key must be a file or a systemd credential: write key: "
			"file:/PATH or key: credential:NAME");
	if (!conf_given(conf_top_fields, seen, "dnssec"))
		default_anchor(ld);
	if (g->redirect_all.len)
		conf_warn(ld,
			conf_given(conf_top_fields, seen, "redirect_all"),
			"redirect_all: EVERY recipient of EVERY message becomes %.*s, and nobody "
			"else gets any mail: remove it before real mail is sent",
			SV_ARG(g->redirect_all));
}

static void check_hostname(struct conf_load *ld, const struct conf_node *at)
{
	struct sv name = ld->conf->general.hostname;
	struct io_network numeric;

	if (io_network_parse(name, &numeric) == 0)
		conf_error(ld,
			at,
			"hostname: must be a name like relay.example.com: servers refuse an "
			"address in EHLO");
	else if (!conf_hostname_ok(name))
		conf_error(ld,
			at,
			"hostname: must be a full name in your domain, like relay.example.com, of "
			"letters, digits and dashes: other servers see it and distrust anything "
			"else; without this key the machine's own name is used");
}

void conf_general_check(struct conf_load *ld, const struct conf_seen *seen)
{
	const struct conf_general *g = &ld->conf->general;
	const struct conf_node *retry = conf_given(conf_top_fields, seen, "retry");
	struct io_network numeric;

	if (!g->hostname.len)
		default_hostname(ld);
	else
		check_hostname(ld, conf_given(conf_top_fields, seen, "hostname"));
	if (g->qualify.len && io_network_parse(g->qualify, &numeric) == 0)
		conf_error(ld,
			conf_given(conf_top_fields, seen, "qualify"),
			"qualify: must be a mail domain like example.com");
	if (g->retry_first_us > g->retry_ceiling_us)
		conf_error(
			ld, retry, "retry: first is longer than ceiling: make it the shorter one");
	if (g->retry_ceiling_us > g->retry_expire_us)
		conf_error(ld,
			retry,
			"retry: ceiling is longer than expire, so mail would be given up before "
			"its second try: make expire longer");
	conf_classes_check(ld, conf_given(conf_top_fields, seen, "classes"));
	check_services(ld, seen);
}

/* aliases */

struct alias {
	struct sv name, target;
	const struct conf_node *key, *value;
	struct sv end; /* the address it leads to */
};

static struct alias *read_alias(
	struct conf_load *ld, const struct conf_node *key, struct htable *all)
{
	struct alias *a;
	struct address parsed;

	if (address_parse(key->text, ADDRESS_UTF8 | ADDRESS_NO_DOMAIN, &parsed) != 0 ||
		parsed.domain.len) {
		conf_error(ld,
			key,
			"aliases: the name must be the part before the @ alone, like root");
		return NULL;
	}
	if (!conf_is_text(ld, key->value))
		return NULL;
	if (address_parse(key->value->text, ADDRESS_UTF8 | ADDRESS_NO_DOMAIN, &parsed) != 0) {
		conf_error(ld,
			key->value,
			"aliases: must lead to one mail address like it@contoso.com, or to another "
			"alias");
		return NULL;
	}
	a = arena_alloc(&ld->nodes, sizeof(*a));
	*a = (struct alias){ .name = conf_keep_lower(ld, key->text),
		.target = key->value->text,
		.key = key,
		.value = key->value };
	if (htable_get(all, a->name)) {
		const struct alias *first = htable_get(all, a->name);

		conf_error(ld,
			key,
			"aliases: duplicate name (first in %s, line %u): keep one of them",
			first->key->file,
			first->key->line);
		return NULL;
	}
	htable_put(all, a->name, a);
	return a;
}

static bool alias_end(
	struct conf_load *ld, const struct alias *a, const struct htable *all, struct sv *out)
{
	const struct sv qualify = ld->conf->general.qualify;
	struct sv at = a->target;
	CLEANUP(buf_deinitp) struct buf full = BUF_INIT(LIMIT_ADDRESS + 1);

	for (unsigned steps = 0; sv_find_char(at, '@') < 0; steps++) {
		const struct alias *next = conf_get_lower(all, at);

		if (next == a || steps >= ALIAS_STEPS_MAX) {
			conf_error(ld,
				a->value,
				"aliases: this leads in a circle and never to an address: let one "
				"of its names lead to a mail address");
			return false;
		}
		if (!next)
			break;
		at = next->target;
	}
	if (sv_find_char(at, '@') < 0) {
		if (!qualify.len) {
			conf_error(ld,
				a->value,
				"aliases: leads to a name without a domain: write the whole "
				"address, or set qualify");
			return false;
		}
		if (buf_printf(&full, "%.*s@%.*s", SV_ARG(at), SV_ARG(qualify)) != 0) {
			conf_error(ld, a->value, "aliases: the address is too long");
			return false;
		}
		at = buf_sv(&full);
	}
	*out = conf_keep(ld, at);
	return true;
}

void conf_read_aliases(struct conf_load *ld)
{
	struct htable all = { 0 };

	for (size_t i = 0; i < ld->section_count[CONF_SECTION_ALIASES]; i++) {
		const struct conf_node *map = ld->sections[CONF_SECTION_ALIASES][i];

		if (map->kind != CONF_NODE_MAP && !conf_is_absent(map))
			conf_error(ld,
				map,
				"aliases: must be names with addresses: aliases: { root: "
				"it@contoso.com }");
		for (const struct conf_node *key = map->kind == CONF_NODE_MAP ? map->first : NULL;
			key;
			key = key->next)
			(void)read_alias(ld, key, &all);
	}
	htable_each (&all, slot) {
		struct alias *a = slot->value;
		struct sv *end = arena_alloc(&ld->conf->arena, sizeof(*end));

		if (alias_end(ld, a, &all, end))
			htable_put(&ld->conf->alias, a->name, end);
	}
	htable_deinit(&all);
}

/* users */

static const char *const from_words[] = { "check", "force", "any", NULL };
static_assert(
	CONF_FROM_CHECK == 0 && CONF_FROM_FORCE == 1 && CONF_FROM_ANY == 2, "order of from_words");

static const struct conf_field user_fields[] = {
	{ .name = SV_INIT("name"),
		.type = CONF_TYPE_TEXT,
		.flags = CONF_REQUIRED,
		.offset = offsetof(struct conf_user, name) },
	{ .name = SV_INIT("password"),
		.type = CONF_TYPE_SECRET,
		.flags = CONF_EXISTS,
		.offset = offsetof(struct conf_user, password) },
	{ .name = SV_INIT("senders"),
		.type = CONF_TYPE_PATTERNS,
		.offset = offsetof(struct conf_user, senders) },
	{ .name = SV_INIT("sender"),
		.type = CONF_TYPE_READ,
		.offset = offsetof(struct conf_user, sender),
		.read = conf_read_sender },
	{ .name = SV_INIT("as"),
		.type = CONF_TYPE_ADDRESS,
		.offset = offsetof(struct conf_user, as) },
	{ .name = SV_INIT("from"),
		.type = CONF_TYPE_CHOICE,
		.offset = offsetof(struct conf_user, from),
		.words = from_words },
	CONF_QUOTA_FIELDS(struct conf_user, quota),
	CONF_CLASS_FIELD(struct conf_user, class),
	CONF_FIELDS_END,
};

static_assert(offsetof(struct conf_user, sender_count) ==
		      offsetof(struct conf_user, senders) + sizeof(const struct sv *),
	"CONF_TYPE_PATTERNS writes a pointer and the count behind it");

static void check_sender(
	struct conf_load *ld, const struct conf_user *u, const struct conf_seen *seen)
{
	const struct conf_node *as = conf_given(user_fields, seen, "as");

	if (u->sender != CONF_SENDER_KEEP && !as)
		conf_error(ld,
			conf_given(user_fields, seen, "sender"),
			"sender: rewrite and force need the address to send as: add as: "
			"erp@contoso.com");
	else if (u->sender == CONF_SENDER_KEEP && as)
		conf_error(ld,
			as,
			"as: needs sender: rewrite (Reply-To keeps the original) or sender: force "
			"beside it");
	if (u->sender != CONF_SENDER_KEEP && conf_given(user_fields, seen, "from"))
		conf_error(ld,
			conf_given(user_fields, seen, "from"),
			"from: has no effect beside sender: rewrite or force, which replace From: "
			"remove one of them");
}

/* "local:www-data", "local:*" */
static bool local_name_ok(struct sv name)
{
	struct sv account = sv_skip(name, CONF_LOCAL_PREFIX.len);

	return sv_eq(account, SV("*")) || conf_name_ok(account, "@+$\\");
}

static void check_password(struct conf_load *ld, const struct conf_node *map,
	const struct conf_user *u, const struct conf_seen *seen)
{
	const struct conf_node *password = conf_given(user_fields, seen, "password");

	if (u->local && password)
		conf_error(ld,
			password,
			"password: an account of this machine (local:) signs in at no listener: "
			"remove it");
	else if (!u->local && !password)
		conf_error(ld,
			map,
			"password: is missing: add password: file:/PATH, written by `postern user "
			"add`");
	if (!u->local && !conf_given(user_fields, seen, "senders"))
		conf_error(ld,
			map,
			"senders: is missing: add senders: with the addresses that this user may "
			"send as");
}

static void check_user(struct conf_load *ld, const struct conf_node *map, const struct conf_user *u,
	const struct conf_seen *seen)
{
	const struct conf_node *senders = conf_given(user_fields, seen, "senders");
	const struct conf_node *name = conf_given(user_fields, seen, "name");

	if (senders && senders->kind != CONF_NODE_MAP && !senders->first)
		conf_error(ld,
			map,
			"senders: is empty, so this user could send nothing: list addresses, or "
			"\"*\" for any");
	if (!u->name.len)
		return;
	if (u->name.len > CONF_NAME_MAX ||
		!(u->local ? local_name_ok(u->name) : conf_name_ok(u->name, "@+")))
		conf_error(ld,
			name,
			"name: must be made of letters, digits and . _ - + @, at most %d of them, "
			"or be "
			"local:NAME for an account of this machine",
			CONF_NAME_MAX);
	else if (htable_get(&ld->conf->user_by_name, u->name)) {
		const size_t *first = htable_get(&ld->conf->user_by_name, u->name);

		conf_error(ld,
			name,
			"name: there is a user of this name in %s line %u already: choose another",
			ld->conf->users[*first - 1].place.file,
			ld->conf->users[*first - 1].place.line);
	}
}

static void read_user(struct conf_load *ld, const struct conf_node *map)
{
	struct conf *c = ld->conf;
	struct conf_user u = { .place = conf_place_of(ld, map) };
	struct conf_seen seen = { 0 };
	size_t *index;

	if (conf_read_map(ld, map, user_fields, &u, &seen)) {
		u.local = sv_starts(u.name, CONF_LOCAL_PREFIX);
		check_password(ld, map, &u, &seen);
		check_sender(ld, &u, &seen);
	}
	check_user(ld, map, &u, &seen);
	if (!u.name.len || htable_get(&c->user_by_name, u.name))
		return;
	c->users = conf_grow(c->users, c->user_count, sizeof(*c->users));
	c->users[c->user_count++] = u;
	/* The array moves while it grows, so the table keeps the place in it, from 1. */
	index = arena_alloc(&c->arena, sizeof(*index));
	*index = c->user_count;
	htable_put(&c->user_by_name, u.name, index);
}

void conf_read_users(struct conf_load *ld)
{
	for (size_t i = 0; i < ld->section_count[CONF_SECTION_USERS]; i++) {
		const struct conf_node *list = ld->sections[CONF_SECTION_USERS][i];

		if (conf_is_list(ld, list))
			for (const struct conf_node *n = list->first; n; n = n->next)
				read_user(ld, n);
	}
}
