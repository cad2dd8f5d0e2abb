/* SPDX-License-Identifier: Apache-2.0 */
#include "io/dnssec.h"

#include "base/buf.h"
#include "base/must.h"
#include "io/dnssec_priv.h"

#include <stdlib.h>
#include <string.h>

/* One question, one answer. How libunbound's callbacks become tasks: dnssec.c. */
enum {
	/* Each byte of a name may need an escape of four. */
	NAME_TEXT_MAX = 4 * 256,
};

struct io_dns_look {
	struct io_dnssec *d;
	struct list node;
	io_dns_fn *fn; /* NULL: cancelled or answered, and waits only for libunbound to let go */
	void *arg;
	uint16_t type;
	bool asked; /* libunbound holds this query */
	struct buf name;
	struct io_timer timer;
	struct io_task task;
	int error;
	struct ub_result *result;
};

struct io_dns_look *io_dns_look_of(struct list *node)
{
	return list_entry(node, struct io_dns_look, node);
}

void io_dns_look_free(struct io_dns_look *q)
{
	io_timer_stop(&q->timer);
	io_task_cancel(q->d->loop, &q->task);
	list_remove(&q->node);
	ub_resolve_free(q->result);
	buf_deinit(&q->name);
	free(q);
}

static enum io_dns_status status_of(const struct ub_result *r, int error)
{
	if (error != 0 || !r || r->bogus)
		return IO_DNS_FAILURE;
	if (r->rcode == DNS_RCODE_NXDOMAIN)
		return IO_DNS_NXDOMAIN;
	if (r->rcode != DNS_RCODE_NOERROR)
		return IO_DNS_FAILURE;
	return r->havedata && r->data[0] ? IO_DNS_FOUND : IO_DNS_NO_DATA;
}

/* A name that CNAMEs led to, when it is another than the one that was asked for. */
static struct sv alias_of(const struct ub_result *r)
{
	struct sv alias = sv_from(r->canonname), asked = sv_from(r->qname);

	if (alias.len > 1 && alias.ptr[alias.len - 1] == '.')
		alias.len--;
	if (asked.len > 1 && asked.ptr[asked.len - 1] == '.')
		asked.len--;
	return sv_eq_nocase(alias, asked) ? SV("") : alias;
}

/* The last thing that is done with `q`, unless libunbound still holds it: the owner may free all of it. */
static void look_answer(struct io_dns_look *q)
{
	struct sv records[IO_DNS_RECORDS_MAX];
	struct ub_result *r = TAKE(q->result);
	struct io_dns_answer a = {
		.status = status_of(r, q->error), .rcode = DNS_RCODE_SERVFAIL, .records = records
	};
	io_dns_fn *fn = TAKE(q->fn);
	void *arg = q->arg;

	io_timer_stop(&q->timer);
	if (!q->asked)
		io_dns_look_free(q);
	if (r) {
		a.rcode = (uint8_t)r->rcode;
		a.secure = r->secure != 0;
		a.bogus = r->bogus != 0;
		a.ttl_s = r->ttl > 0 ? (uint32_t)r->ttl : 0;
		a.alias = alias_of(r);
	}
	for (size_t i = 0; a.status == IO_DNS_FOUND && r->data[i]; i++) {
		a.cut = i == IO_DNS_RECORDS_MAX;
		if (a.cut)
			break;
		records[a.count++] = sv_make(r->data[i], (size_t)r->len[i]);
	}
	if (fn)
		fn(arg, &a);
	ub_resolve_free(r);
}

static void look_done(void *arg)
{
	look_answer(arg);
}

static void on_look_result(void *arg, int error, struct ub_result *result)
{
	struct io_dns_look *q = arg;

	q->asked = false;
	q->error = error;
	q->result = result;
	io_task_post(q->d->loop, &q->task);
}

/* On a round of its own, so that no answer can come before io_dns_ask() has returned. */
static void look_start(void *arg)
{
	struct io_dns_look *q = arg;

	q->task.run = look_done;
	if (!q->fn) {
		io_dns_look_free(q);
		return;
	}
	q->asked = true;
	if (ub_resolve_async(q->d->ub,
		    buf_sv(&q->name).ptr,
		    q->type,
		    DNS_CLASS_IN,
		    q,
		    on_look_result,
		    NULL) != 0)
		on_look_result(q, 1, NULL);
}

static void look_late(void *arg)
{
	struct io_dns_look *q = arg;

	/* A task that waits is not overtaken: the answer is there. */
	if (!io_task_is_queued(&q->task))
		look_answer(q);
}

/* As zone files write it: what is not a usual letter as \DDD. */
static bool write_name(struct sv name, struct buf *out)
{
	int rc = 0;

	for (size_t i = 0; i < name.len && rc == 0; i++) {
		unsigned char c = (unsigned char)name.ptr[i];
		bool plain = (c >= '0' && c <= '9') ||
			     (ascii_lower((char)c) >= 'a' && ascii_lower((char)c) <= 'z') ||
			     c == '-' || c == '_' || c == '.';

		rc = plain ? buf_append_char(out, (char)c) : buf_printf(out, "\\%03u", (unsigned)c);
	}
	return name.len && rc == 0 && buf_append_char(out, '\0') == 0;
}

struct io_dns_look *io_dns_ask(struct io_dnssec *d, struct sv name, uint16_t type,
	uint64_t patience_us, io_dns_fn *fn, void *arg)
{
	struct io_dns_look *q = xcalloc(1, sizeof(*q));

	q->d = d;
	q->fn = fn;
	q->arg = arg;
	q->type = type;
	buf_init(&q->name, NAME_TEXT_MAX);
	list_append(&d->looks, &q->node);
	io_timer_init(&q->timer, d->loop, look_late, q);
	io_timer_start(&q->timer, mono_add(io_now(d->loop), patience_us));
	q->task = (struct io_task){ .run = look_start, .arg = q };
	if (!write_name(name, &q->name)) {
		q->error = 1;
		q->task.run = look_done;
	}
	io_task_post(d->loop, &q->task);
	return q;
}

void io_dns_cancel(struct io_dns_look *q)
{
	if (!q)
		return;
	q->fn = NULL;
	if (!q->asked)
		io_dns_look_free(q);
}
