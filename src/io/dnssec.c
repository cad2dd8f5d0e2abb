/* SPDX-License-Identifier: Apache-2.0 */
#include "io/dnssec.h"

#include "base/must.h"
#include "base/time.h"
#include "io/dnssec_priv.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/*
 * libunbound works in one thread of its own and tells of answers by a pipe, which we watch; its callback
 * comes on the loop, within ub_process(). There it is only written down: what follows is a task, so that
 * owners may cancel and free whenever they run.
 *
 * A query goes A, AAAA when there is no A, TLSA at the name that the host's alias leads to, TLSA at the
 * host. Nothing follows an answer that is not signed (RFC 7672 2.2.2: servers of unsigned zones
 * may choke on TLSA), and nothing a bogus one.
 */
enum {
	TYPE_A = 1,
	TYPE_AAAA = 28,
	TYPE_TLSA = 52,
	NAME_MAX_LEN = 256,
	TLSA_NAME_MAX = NAME_MAX_LEN + 16,
	QUERY_S = 30, /* for the whole of it; libunbound itself is more patient */
};

enum step {
	STEP_A,
	STEP_AAAA,
	STEP_TLSA_ALIAS,
	STEP_TLSA
};

struct io_dnssec_query {
	struct io_dnssec *d;
	struct list node;
	io_tlsa_fn *fn; /* NULL: cancelled, and waits only for libunbound to let go */
	void *arg;
	uint16_t port;
	enum step step;
	bool asked; /* libunbound holds this query */
	char host[NAME_MAX_LEN], alias[NAME_MAX_LEN];
	struct io_timer timer;
	struct io_task task;
	int rc;
	struct ub_result *result;
};

static void query_free(struct io_dnssec_query *q)
{
	io_timer_stop(&q->timer);
	io_task_cancel(q->d->loop, &q->task);
	list_remove(&q->node);
	ub_resolve_free(q->result);
	free(q);
}

/* The last thing that is done with `q`, unless libunbound still holds it. */
static void answer(struct io_dnssec_query *q, int rc, const struct io_tlsa *records, size_t count)
{
	io_tlsa_fn *fn = TAKE(q->fn);
	void *arg = q->arg;

	io_timer_stop(&q->timer);
	if (!q->asked)
		query_free(q);
	if (fn)
		fn(arg, rc, records, count);
}

static void on_result(void *arg, int error, struct ub_result *result)
{
	struct io_dnssec_query *q = arg;

	q->asked = false;
	q->rc = error == 0 ? 0 : RC_DNS;
	q->result = result;
	io_task_post(q->d->loop, &q->task);
}

static void ask(struct io_dnssec_query *q, enum step step)
{
	char name[TLSA_NAME_MAX];
	bool tlsa = step == STEP_TLSA_ALIAS || step == STEP_TLSA;

	q->step = step;
	if (tlsa)
		(void)snprintf(name,
			sizeof(name),
			"_%u._tcp.%s",
			(unsigned)q->port,
			step == STEP_TLSA_ALIAS ? q->alias : q->host);
	else
		(void)snprintf(name, sizeof(name), "%s", q->host);
	q->asked = true;
	if (ub_resolve_async(q->d->ub,
		    name,
		    tlsa             ? TYPE_TLSA
		    : step == STEP_A ? TYPE_A
				     : TYPE_AAAA,
		    DNS_CLASS_IN,
		    q,
		    on_result,
		    NULL) != 0)
		on_result(q, 1, NULL);
}

static bool is_sound(const struct io_dnssec_query *q)
{
	return q->rc == 0 && q->result && !q->result->bogus &&
	       (q->result->rcode == DNS_RCODE_NOERROR || q->result->rcode == DNS_RCODE_NXDOMAIN);
}

/* What cannot be used is kept with an empty `data`: then TLS is a duty, and the CAs decide. */
static bool take_record(const char *bytes, int len, struct io_tlsa *out)
{
	if (len < 4)
		return false;
	*out = (struct io_tlsa){ .usage = (uint8_t)bytes[0],
		.selector = (uint8_t)bytes[1],
		.matching = (uint8_t)bytes[2] };
	if ((size_t)len - 3 <= sizeof(out->data)) {
		out->len = (size_t)len - 3;
		memcpy(out->data, bytes + 3, out->len);
	}
	return true;
}

/* Those for mail first (DANE-TA 2, DANE-EE 3): more than IO_TLSA_MAX are not kept. */
static size_t take_records(const struct ub_result *result, struct io_tlsa out[IO_TLSA_MAX])
{
	size_t count = 0;

	for (unsigned turn = 0; turn < 2; turn++) {
		for (size_t i = 0; result->data[i] && count < IO_TLSA_MAX; i++) {
			struct io_tlsa r;

			if (!take_record(result->data[i], result->len[i], &r))
				continue;
			if ((r.usage == 2 || r.usage == 3) == (turn == 0))
				out[count++] = r;
		}
	}
	return count;
}

/* The host's own address: only where that is signed is there more to ask. */
static void after_address(struct io_dnssec_query *q)
{
	const struct ub_result *result = q->result;
	struct sv alias = sv_from(result->canonname);

	if (!result->havedata && q->step == STEP_A) {
		ub_resolve_free(TAKE(q->result));
		ask(q, STEP_AAAA);
		return;
	}
	if (!result->havedata || !result->secure) {
		answer(q, 0, NULL, 0);
		return;
	}
	if (alias.len > 1 && alias.ptr[alias.len - 1] == '.')
		alias.len--;
	if (alias.len > 0 && alias.len < sizeof(q->alias) && !sv_eq_nocase(alias, sv_from(q->host)))
		memcpy(q->alias, alias.ptr, alias.len);
	ub_resolve_free(TAKE(q->result));
	ask(q, q->alias[0] ? STEP_TLSA_ALIAS : STEP_TLSA);
}

static void after_tlsa(struct io_dnssec_query *q)
{
	struct io_tlsa records[IO_TLSA_MAX];
	size_t count =
		q->result->secure && q->result->havedata ? take_records(q->result, records) : 0;

	if (count == 0 && q->step == STEP_TLSA_ALIAS) {
		ub_resolve_free(TAKE(q->result));
		ask(q, STEP_TLSA);
		return;
	}
	answer(q, 0, records, count);
}

static void go_on(void *arg)
{
	struct io_dnssec_query *q = arg;

	if (!q->fn)
		query_free(q);
	else if (!is_sound(q))
		answer(q, RC_DNS, NULL, 0);
	else if (q->step == STEP_A || q->step == STEP_AAAA)
		after_address(q);
	else
		after_tlsa(q);
}

static void too_late(void *arg)
{
	/* A task that waits is not overtaken: the answer is there. */
	if (!io_task_is_queued(&((struct io_dnssec_query *)arg)->task))
		answer(arg, RC_DNS, NULL, 0);
}

/* On a round of its own, so that no answer can come before io_dnssec_tlsa() has returned. */
static void start(void *arg)
{
	struct io_dnssec_query *q = arg;

	if (!q->fn) {
		query_free(q);
		return;
	}
	q->task.run = go_on;
	ask(q, STEP_A);
}

struct io_dnssec_query *io_dnssec_tlsa(
	struct io_dnssec *d, struct sv host, uint16_t port, io_tlsa_fn *fn, void *arg)
{
	struct io_dnssec_query *q = xcalloc(1, sizeof(*q));

	q->d = d;
	q->fn = fn;
	q->arg = arg;
	q->port = port;
	list_append(&d->queries, &q->node);
	io_timer_init(&q->timer, d->loop, too_late, q);
	io_timer_start(&q->timer, mono_add(io_now(d->loop), QUERY_S * US_PER_S));
	q->task = (struct io_task){ .run = start, .arg = q };
	if (host.len == 0 || host.len >= sizeof(q->host) || memchr(host.ptr, '\0', host.len)) {
		q->rc = RC_DNS;
		q->task.run = go_on;
	} else {
		memcpy(q->host, host.ptr, host.len);
		if (q->host[host.len - 1] == '.')
			q->host[host.len - 1] = '\0';
	}
	io_task_post(d->loop, &q->task);
	return q;
}

void io_dnssec_cancel(struct io_dnssec_query *q)
{
	if (!q)
		return;
	q->fn = NULL;
	if (!q->asked)
		query_free(q);
}

static void on_watch(void *arg, unsigned events)
{
	struct io_dnssec *d = arg;

	(void)events;
	(void)ub_process(d->ub);
	io_watch_set(d->watch, IO_READABLE);
}

static int set_up(struct io_dnssec *d, struct sv anchor, struct sv forward, struct err *err)
{
	char file[4096], server[128];
	int error;

	if (anchor.len >= sizeof(file) || forward.len >= sizeof(server))
		return err_set(
			err, RC_CONFIG, "the file of DNSSEC trust anchors has no usable name");
	(void)snprintf(file, sizeof(file), "%.*s", SV_ARG(anchor));
	(void)snprintf(server, sizeof(server), "%.*s", SV_ARG(forward));
	error = anchor.len == 0 || access(file, R_OK) == 0 ? 0 : -errno;
	if (error != 0)
		return err_set(err, error, "DNSSEC trust anchors %s: %s", file, rc_text(error));
	(void)ub_ctx_debugout(d->ub, NULL); /* it would write to our stderr */
	must(ub_ctx_async(d->ub, 1) == 0);
	/* Five hundred domains at once: by itself a library has 16 sockets. */
	must(ub_ctx_set_option(d->ub, "outgoing-range:", "200") == 0);
	if (anchor.len && ub_ctx_add_ta_file(d->ub, file) != 0)
		return err_set(err, RC_CONFIG, "DNSSEC trust anchors %s cannot be read", file);
	error = forward.len ? ub_ctx_set_fwd(d->ub, server) : ub_ctx_resolvconf(d->ub, NULL);
	if (error != 0)
		return err_set(err,
			RC_CONFIG,
			"the name server for DNSSEC (%s): %s",
			forward.len ? server : "/etc/resolv.conf",
			ub_strerror(error));
	/* libunbound reads what it was given only now. By itself it would know no test. (RFC 6761), and a
	 * name server that we are sent to may. */
	error = ub_ctx_zone_add(d->ub, "test.", "transparent");
	if (error != 0)
		return err_set(err,
			RC_CONFIG,
			"DNSSEC trust anchors %s: no DS or DNSKEY records that libunbound can read "
			"(%s)",
			file,
			ub_strerror(error));
	return 0;
}

struct io_dnssec *io_dnssec_new(
	struct io_loop *l, struct sv anchor, struct sv forward, struct err *err)
{
	struct io_dnssec *d = xcalloc(1, sizeof(*d));

	d->loop = l;
	list_init(&d->queries);
	list_init(&d->looks);
	d->ub = ub_ctx_create();
	must(d->ub != NULL);
	if (set_up(d, anchor, forward, err) != 0) {
		ub_ctx_delete(d->ub);
		free(d);
		return NULL;
	}
	d->watch = io_watch_new(l, ub_fd(d->ub), IO_READABLE, on_watch, d);
	must(d->watch != NULL);
	return d;
}

void io_dnssec_free(struct io_dnssec *d)
{
	if (!d)
		return;
	io_watch_free(d->watch);
	/* Ends the thread; there are no callbacks after it. */
	ub_ctx_delete(d->ub);
	list_each_safe (at, after, &d->queries)
		query_free(list_entry(at, struct io_dnssec_query, node));
	list_each_safe (at, after, &d->looks)
		io_dns_look_free(io_dns_look_of(at));
	free(d);
}
