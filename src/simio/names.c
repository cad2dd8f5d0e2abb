/* SPDX-License-Identifier: Apache-2.0 */
#include "base/limits.h"
#include "base/must.h"
#include "simio/simio_priv.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The resolver: what the script says. */
enum {
	NAMES_MAX = 64,
	NAME_LEN = 128,
};
#define ANSWER_US_MAX (200 * US_PER_MS)

static struct {
	char host[NAME_LEN], ip[NAME_LEN];
} names[NAMES_MAX];
static size_t name_count;

struct io_resolver {
	struct io_loop *loop;
};

struct io_resolve {
	struct simio_event *event;
	char host[NAME_LEN];
	uint16_t port;
	io_resolve_fn *fn;
	io_mx_fn *mx;
	void *arg;
};

void simio_name(const char *host, const char *ip)
{
	must(name_count < NAMES_MAX);
	(void)snprintf(names[name_count].host, NAME_LEN, "%s", host);
	(void)snprintf(names[name_count++].ip, NAME_LEN, "%s", ip);
}

struct io_resolver *io_resolver_new(struct io_loop *l, struct err *err)
{
	struct io_resolver *r = xcalloc(1, sizeof(*r));

	(void)err;
	r->loop = l;
	return r;
}

static size_t look_up(const struct io_resolve *q, struct io_address *out)
{
	char text[NAME_LEN + 8];
	size_t n = 0;

	(void)snprintf(text, sizeof(text), "%s:%u", q->host, q->port);
	if (io_address_parse(sv_from(text), &out[0]) == 0)
		return 1;
	for (size_t i = 0; i < name_count && n < LIMIT_HOST_ADDRESSES; i++) {
		if (strcmp(names[i].host, q->host) != 0)
			continue;
		(void)snprintf(text, sizeof(text), "%s:%u", names[i].ip, q->port);
		must(io_address_parse(sv_from(text), &out[n++]) == 0);
	}
	return n;
}

static void answer(void *arg)
{
	struct io_resolve q = *(struct io_resolve *)arg;
	struct io_address found[LIMIT_HOST_ADDRESSES];
	size_t count;

	free(arg);
	if (q.mx) {
		q.mx(q.arg, RC_NO_NAME, NULL, 0);
		return;
	}
	count = look_up(&q, found);
	q.fn(q.arg, count ? 0 : RC_NO_NAME, found, count);
}

static struct io_resolve *ask(struct io_resolver *r, struct sv host)
{
	struct io_resolve *q = xcalloc(1, sizeof(*q));

	(void)snprintf(q->host, sizeof(q->host), "%.*s", SV_ARG(host));
	q->event = simio_later(r->loop, simio_below(ANSWER_US_MAX), answer, q);
	return q;
}

struct io_resolve *io_resolve_host(
	struct io_resolver *r, struct sv host, uint16_t port, io_resolve_fn *fn, void *arg)
{
	struct io_resolve *q = ask(r, host);

	q->port = port;
	q->fn = fn;
	q->arg = arg;
	return q;
}

struct io_resolve *io_resolve_mx(struct io_resolver *r, struct sv domain, io_mx_fn *fn, void *arg)
{
	struct io_resolve *q = ask(r, domain);

	q->mx = fn;
	q->arg = arg;
	return q;
}

void io_resolve_cancel(struct io_resolve *q)
{
	if (!q)
		return;
	simio_never(q->event);
	free(q);
}
