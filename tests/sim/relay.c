/* SPDX-License-Identifier: Apache-2.0 */
#include "base/arena.h"
#include "base/must.h"
#include "conf/conf.h"
#include "conf/route.h"
#include "identity/tokens.h"
#include "io/file.h"
#include "io/https.h"
#include "io/worker.h"
#include "outbound/outbound.h"
#include "sched/look.h"
#include "store/fault_vfs.h"
#include "store/store.h"
#include "store/store_health.h"
#include "tests/sim/sim.h"

#include <dirent.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/*
 * A relay as `serve` puts it together, without its front. One that dies is left as it stands, in the middle of
 * whatever it did; its disk, as it is then, becomes the folder of the next one.
 */
enum {
	TEXT_MAX = 512,
	COPY_MAX = 64 << 20,
};

static const char configuration[] =
	"hostname: relay.example.com\n"
	"retry: { first: 1m, ceiling: 5m, expire: 20m }\n"
	"parked_expire: 20m\n"
	"delay_notice: 8m\n"
	"classes: { transactional: { expire: 6m } }\n"
	"tenants:\n"
	"  - { name: c, id: contoso.com, domains: [contoso.com],\n"
	"      app: { client_id: 11111111-2222-3333-4444-555555555555, secret: env:SIM_SECRET } }\n"
	"mailboxes:\n"
	"  - { address: erp@contoso.com, tenant: c, doors: [submission, graph], password: "
	"env:SIM_SECRET, auth: app,\n"
	"      endpoint: { host: 127.0.0.1, port: 2507 },\n"
	"      limits: { messages_per_minute: 6, recipients_per_day: 60, share: 100% } }\n"
	"connectors:\n"
	"  - { name: good, host: 127.0.0.1, port: 2501, tls: none, connections: 3 }\n"
	"  - { name: silent, host: 127.0.0.1, port: 2502, tls: none, connections: 20 }\n"
	"  - { name: moody, host: 127.0.0.1, port: 2503, tls: none, connections: 3 }\n"
	"  - { name: limit, host: 127.0.0.1, port: 2504, tls: none, connections: 2,\n"
	"      limits: { messages_per_minute: 1 } }\n"
	"  - { name: slow, host: 127.0.0.1, port: 2505, tls: none, connections: 3 }\n"
	"  - { name: busy, host: 127.0.0.1, port: 2506, tls: none, connections: 3,\n"
	"      limits: { messages_per_minute: 60, share: 100% } }\n"
	"routes: [ { through: good } ]\n";
static const char *const queues[HOST_COUNT] = { [HOST_GOOD] = "c:good",
	[HOST_SILENT] = "c:silent",
	[HOST_MOODY] = "c:moody",
	[HOST_LIMIT] = "c:limit",
	[HOST_SLOW] = "c:slow",
	[HOST_BUSY] = "c:busy",
	[HOST_ERP] = "m:erp@contoso.com" };
static const char *const principals[PRINCIPALS] = { "anna", "ben", "cron", "dora" };
const char relay_denied_sender[] = "other@contoso.com";

static struct {
	char base[TEXT_MAX], folder[TEXT_MAX];
	unsigned life; /* how many have been */
	bool up, power_cut, disk_fails;
	struct io_loop *loop;
	struct store *store;
	struct conf *conf;
	struct io_resolver *resolver;
	struct io_workers *workers;
	struct io_https *https;
	struct identity_tokens *tokens;
	struct outbound *outbound;
	unsigned looking;
} relay;

/* ---- the disk ---- */

static void copy_file(const char *from, const char *to)
{
	struct buf bytes = BUF_INIT(COPY_MAX);
	FILE *f;

	must(io_file_read(from, COPY_MAX, &bytes, NULL) == 0);
	f = fopen(to, "we");
	must(f != NULL);
	must(fwrite(bytes.ptr, 1, bytes.len, f) == bytes.len);
	must(fclose(f) == 0);
	buf_deinit(&bytes);
}

/* The next one finds its disk in a folder of its own, for the dead one still has the old one open. */
static void move_disk(void)
{
	char before[TEXT_MAX], from[TEXT_MAX * 2], to[TEXT_MAX * 2];
	struct dirent *entry;
	DIR *d;

	(void)snprintf(before, sizeof(before), "%s", relay.folder);
	(void)snprintf(relay.folder, sizeof(relay.folder), "%.400s/%u", relay.base, relay.life);
	must(mkdir(relay.folder, 0700) == 0);
	d = before[0] ? opendir(before) : NULL;
	while (d && (entry = readdir(d)) != NULL) {
		if (entry->d_name[0] == '.' || strcmp(entry->d_name, "lock") == 0)
			continue;
		(void)snprintf(from, sizeof(from), "%s/%.200s", before, entry->d_name);
		(void)snprintf(to, sizeof(to), "%s/%.200s", relay.folder, entry->d_name);
		copy_file(from, to);
	}
	if (d)
		(void)closedir(d);
}

/* ---- life ---- */

void relay_begin(const char *folder)
{
	struct conf_findings findings;

	must(setenv("SIM_SECRET", "secret", 1) == 0);
	(void)snprintf(relay.base, sizeof(relay.base), "%s", folder);
	relay.conf = conf_load_text(sv_from(configuration), &findings);
	for (size_t i = 0; i < findings.count && !relay.conf; i++)
		simio_note("%u: %s", findings.items[i].line, findings.items[i].text);
	conf_findings_free(&findings);
	if (!relay.conf)
		check_failed("the configuration is not valid");
	fault_vfs_reset();
}

bool relay_is_up(void)
{
	return relay.up;
}

static void resolve_uncertain(void)
{
	struct err err = { 0 };
	const struct store_uncertain how = { .policy = STORE_UNCERTAIN_RETRY,
		.now = io_wall(relay.loop),
		.retry_at = wall_add(io_wall(relay.loop), (int64_t)(5 * US_PER_MIN)),
		.ledger = faults_forget_uncertain() ? NULL : outbound_uncertain_ledger,
		.arg = relay.outbound };

	if (store_each_uncertain(relay.store, outbound_restore_uncertain, relay.outbound, &err) !=
			0 ||
		store_resolve_uncertain(relay.store, &how, &err) != 0)
		check_failed("kept: the queue does not recover: %s", err.text);
}

void relay_start(void)
{
	const struct store_disk disk = { .vfs = FAULT_VFS_NAME };
	struct store_recovery found = { 0 };
	struct store_options options;
	struct err err = { 0 };

	relay.life++;
	move_disk();
	fault_vfs_reset();
	relay.loop = io_loop_new();
	options = (struct store_options){ .data_dir = sv_from(relay.folder),
		.history_keep_us = US_PER_DAY,
		.history_bytes_max = UINT64_C(1) << 30,
		.disk = &disk };
	relay.store = store_open(relay.loop, &options, &found, &err);
	if (!relay.store)
		check_failed("kept: the queue does not open: %s", err.text);
	relay.workers = io_workers_new(relay.loop, 1, 16);
	relay.resolver = io_resolver_new(relay.loop, &err);
	relay.https = io_https_new(&(struct io_https_options){ .loop = relay.loop }, &err);
	relay.tokens = identity_tokens_new(&(struct identity_tokens_options){
		.loop = relay.loop, .https = relay.https, .workers = relay.workers });
	relay.outbound = outbound_new(&(struct outbound_options){ .loop = relay.loop,
		.store = relay.store,
		.https = relay.https,
		.tokens = relay.tokens,
		.resolver = relay.resolver,
		.conf = relay.conf,
		.workers = relay.workers });
	resolve_uncertain();
	simio_note("relay %u starts: %llu wait, %llu uncertain",
		relay.life,
		(unsigned long long)found.queued_count,
		(unsigned long long)found.uncertain_count);
	outbound_start(relay.outbound);
	relay.up = true;
	relay.looking = 0;
	check_relay_up(true);
}

void relay_disk_fails(const struct fault_plan *how)
{
	fault_vfs_plan(how);
	relay.disk_fails = true;
	check_disk(false);
}

void relay_disk_is_well(void)
{
	if (!relay.disk_fails)
		return;
	fault_vfs_clear();
	relay.disk_fails = false;
	check_disk(true);
}

void relay_kill(bool power_cut)
{
	must(relay.up);
	relay_disk_is_well();
	simio_note("relay %u dies%s", relay.life, power_cut ? " with its machine" : "");
	relay.up = false;
	check_relay_up(false);
	simio_kill(relay.loop);
	fault_vfs_clear();
	if (power_cut) {
		fault_vfs_power_loss(simio_below(UINT64_MAX));
		simio_reboot();
	}
}

static void on_struck(void *arg)
{
	(void)arg;
	relay_kill(relay.power_cut);
	longjmp(relay_death, 1);
}

void relay_keep_power(void)
{
	relay.power_cut = false;
}

void relay_die_at(uint64_t nth, bool power_cut)
{
	relay.power_cut = power_cut;
	fault_vfs_plan(&(struct fault_plan){ .nth = nth,
		.write_code = SQLITE_IOERR_WRITE,
		.calls = FAULT_CHANGES,
		.struck = on_struck });
}

/* ---- mail ---- */

/* What is on its way into the queue. */
struct letter {
	struct post post;
	struct store_put put;
	struct store_message m;
	struct store_recipient recipients[RECIPIENTS_MAX];
	struct arena arena;
	struct buf body;
	void *claim;
	unsigned mail;
};

/* Whoever gave it is told 451, and has it still. */
static void not_taken(struct letter *t)
{
	if (check_disk_is_well())
		check_failed("kept: the queue took no mail: %s", t->put.op.err.text);
	simio_note("m%u is not taken: %s", t->mail, t->put.op.err.text);
	if (t->claim)
		outbound_withdrawn(relay.outbound, t->claim);
	arena_reset(&t->arena);
	buf_deinit(&t->body);
	free(t);
}

static void put_done(struct store_op *op)
{
	struct letter *t = CONTAINER_OF(op, struct letter, put.op);

	if (op->rc != 0) {
		not_taken(t);
		return;
	}
	simio_note("m%u is ours, for host %u, %s of %s%s",
		t->mail,
		t->post.host,
		mail_class_name(t->post.class).ptr,
		principals[t->post.principal],
		t->claim ? ", at once" : "");
	check_promised(t->mail, t->m.id, &t->post);
	if (t->claim) {
		outbound_committed(relay.outbound, t->claim, &t->arena, &t->body);
	} else {
		outbound_queued(
			relay.outbound, t->m.id, &t->recipients[0].flow, t->post.recipients);
		arena_reset(&t->arena);
	}
	buf_deinit(&t->body);
	free(t);
}

static struct mail_flow flow_of(const struct post *p)
{
	return (struct mail_flow){ .queue = sv_from(queues[p->host]),
		.class = p->class,
		.principal = sv_from(principals[p->principal]),
		.external = p->host == HOST_ERP };
}

static void fill_recipients(struct letter *t)
{
	struct wall_time now = io_wall(relay.loop);
	struct wall_time ends = conf_class_end(relay.conf, t->post.class, now);
	char address[64];

	if (ends.us > t->m.expires_at.us)
		ends = t->m.expires_at;
	t->m.expires_at = ends;
	for (unsigned i = 0; i < t->post.recipients; i++) {
		(void)snprintf(address, sizeof(address), "m%ur%u@host.example", t->mail, i);
		t->recipients[i] = (struct store_recipient){ .index = i,
			.address = arena_sv(&t->arena, sv_from(address)),
			.flow = flow_of(&t->post),
			.state = STORE_RCPT_QUEUED,
			.next_at = now,
			.look_at = sched_look_first(now, ends, NOTICE_US) };
	}
	t->m.recipients = t->recipients;
	t->m.recipient_count = t->post.recipients;
}

/* As inbound does it. */
void relay_put(unsigned mail, const struct post *p)
{
	struct letter *t = xcalloc(1, sizeof(*t));
	struct wall_time now = io_wall(relay.loop);
	const char *sender = p->denied ? relay_denied_sender : "erp@contoso.com";

	t->mail = mail;
	t->post = *p;
	buf_init(&t->body, 1 << 20);
	must(buf_printf(&t->body,
		     "From: <%s>\r\nSubject: hello\r\nMessage-ID: <1@contoso.com>\r\n\r\nGood "
		     "day.\r\n",
		     sender) == 0);
	t->m = (struct store_message){ .id = store_new_id(relay.store),
		.accepted_at = now,
		.expires_at = wall_add(now, (int64_t)EXPIRE_US),
		.sender = arena_sv(&t->arena, sv_from(sender)),
		.size = t->body.len,
		.header_size = (uint32_t)sv_find(buf_sv(&t->body), SV("\r\n\r\n")) + 4,
		.message_id = SV("<1@contoso.com>") };
	fill_recipients(t);
	t->put = (struct store_put){ .op.kind = STORE_OP_PUT,
		.op.done = put_done,
		.message = &t->m,
		.body = buf_sv(&t->body) };
	if (p->quick)
		t->claim = outbound_claim(relay.outbound, &t->arena, &t->put, &t->m, t->recipients);
	store_submit(relay.store, &t->put.op);
}

/* What limits leave of so much: `part` of it, rounded up, is for better mail. */
static bool has_room(uint32_t used, uint32_t capacity, uint32_t wanted, uint32_t part)
{
	uint32_t kept = part ? (capacity + part - 1) / part : 0;

	return capacity == 0 || used + wanted + kept <= capacity;
}

bool relay_may_send(unsigned host, bool bulk)
{
	const struct mail_flow flow = flow_of(&(struct post){ .host = host });
	struct outbound_lane_status s;

	return outbound_lane_look(relay.outbound, outbound_lane_of(relay.outbound, &flow), &s) &&
	       s.state == SCHED_LANE_READY && !s.probing &&
	       has_room(s.use.minute.used, s.use.minute.capacity, 1, bulk ? 10 : 0) &&
	       has_room(s.use.day.used, s.use.day.capacity, RECIPIENTS_MAX, bulk ? 50 : 0);
}

/* ---- looking ---- */

struct look {
	struct store_list list;
	struct arena arena;
	unsigned mail;
	bool at_end;
};

static void look_done(struct store_op *op)
{
	struct look *k = CONTAINER_OF(op, struct look, list.op);

	relay.looking--;
	if (op->rc != 0 && !check_disk_is_well()) {
		arena_reset(&k->arena);
		free(k);
		return;
	}
	if (op->rc != 0 || k->list.out_count != check_recipients(k->mail))
		check_failed("kept: m%u was promised, and the queue has %zu of its recipients: %s",
			k->mail,
			k->list.out_count,
			rc_text(op->rc));
	for (size_t i = 0; i < k->list.out_count; i++) {
		const struct store_recipient *r = &k->list.out_rows[i].recipient;

		check_recipient(
			k->mail, r->index, (int)r->state, r->uncertain, r->last_cause, k->at_end);
	}
	arena_reset(&k->arena);
	free(k);
}

bool relay_looks(void)
{
	return relay.looking > 0;
}

void relay_look(bool at_end)
{
	for (unsigned i = 0; i < MAILS; i++) {
		struct look *k;

		if (check_id(i) == 0 || (!at_end && check_is_final(i)))
			continue;
		k = xcalloc(1, sizeof(*k));
		k->mail = i;
		k->at_end = at_end;
		k->list = (struct store_list){ .op.kind = STORE_OP_LIST,
			.op.done = look_done,
			.filter.id = check_id(i),
			.filter.state = -1,
			.after_index = UINT32_MAX,
			.limit = RECIPIENTS_MAX,
			.out_arena = &k->arena };
		relay.looking++;
		store_submit(relay.store, &k->list.op);
	}
}
