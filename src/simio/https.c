/* SPDX-License-Identifier: Apache-2.0 */
#include "io/https.h"
#include "base/buf.h"
#include "base/must.h"
#include "simio/simio_priv.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

/* HTTPS: a request goes to its host, and an answer comes back, each in its time. Who asked may be gone by then. */
enum {
	ORIGINS_MAX = 8,
	ORIGIN_LEN = 128,
	BODY_MAX = 64 << 20,
};
#define WAY_US_MIN 100
#define WAY_US_MAX (60 * US_PER_MS)
#define TIMEOUT_US US_PER_MIN

static struct origin {
	char name[ORIGIN_LEN];
	struct io_loop *loop;
	simio_web_fn *fn;
	void *arg;
} origins[ORIGINS_MAX];
static size_t origin_count;

struct io_https {
	struct io_loop *loop;
};

/* What the one who asked has of it. */
struct io_https_request {
	struct io_loop *loop;
	io_https_fn *done;
	void *arg;
	struct simio_request *there; /* NULL: it has ended there */
	struct simio_event *end;     /* its time is over, or its answer comes */
	struct buf body;
	struct io_https_answer answer;
};

struct simio_request {
	struct io_https_request *from; /* NULL: nobody waits for it any more */
	const struct origin *to;
	char method[8];
	struct buf url, body;
};

void simio_serve(struct io_loop *l, const char *origin, simio_web_fn *fn, void *arg)
{
	struct origin *o;

	must(origin_count < ORIGINS_MAX);
	o = &origins[origin_count++];
	(void)snprintf(o->name, sizeof(o->name), "%s", origin);
	o->loop = l;
	o->fn = fn;
	o->arg = arg;
}

struct io_https *io_https_new(const struct io_https_options *options, struct err *err)
{
	struct io_https *h = xcalloc(1, sizeof(*h));

	(void)err;
	h->loop = options->loop;
	return h;
}

/* ---- the end of it ---- */

static void request_free(struct io_https_request *r)
{
	if (r->there)
		r->there->from = NULL;
	simio_never(r->end);
	buf_deinit(&r->body);
	free(r);
}

static void tell(void *arg)
{
	struct io_https_request *r = arg;

	r->end = NULL;
	r->answer.body = buf_sv(&r->body);
	r->done(r->arg, &r->answer);
	request_free(r);
}

static void end_in(struct io_https_request *r, uint64_t delay_us, const struct io_https_answer *a)
{
	simio_never(r->end);
	r->answer = *a;
	r->end = simio_later(r->loop, delay_us, tell, r);
}

static uint64_t way_us(void)
{
	return WAY_US_MIN + simio_below(WAY_US_MAX);
}

static void there_free(struct simio_request *r)
{
	if (r->from)
		r->from->there = NULL;
	buf_deinit(&r->url);
	buf_deinit(&r->body);
	free(r);
}

void simio_request_answer(struct simio_request *r, unsigned status, struct sv body)
{
	struct io_https_request *from = r->from;

	if (from && !from->loop->dead) {
		simio_hash_bytes(body);
		must(buf_append(&from->body, body) == 0);
		end_in(from,
			way_us(),
			&(struct io_https_answer){ .status = status, .began = true });
	}
	there_free(r);
}

void simio_request_cut(struct simio_request *r)
{
	struct io_https_request *from = r->from;

	if (from && !from->loop->dead)
		end_in(from,
			way_us(),
			&(struct io_https_answer){
				.rc = -ECONNRESET, .began = true, .error = SV("the line broke") });
	there_free(r);
}

/* ---- the beginning ---- */

static void arrive(void *arg)
{
	struct simio_request *r = arg;

	simio_hash_bytes(buf_sv(&r->url));
	simio_hash_bytes(buf_sv(&r->body));
	r->to->fn(r->to->arg, r);
}

static const struct origin *find_origin(struct sv url)
{
	for (size_t i = 0; i < origin_count; i++)
		if (sv_starts(url, sv_from(origins[i].name)))
			return &origins[i];
	return NULL;
}

struct io_https_request *io_https_start(
	struct io_https *h, const struct io_https_call *call, io_https_fn *done, void *arg)
{
	struct io_https_request *r = xcalloc(1, sizeof(*r));
	const struct origin *to = find_origin(call->url);

	r->loop = h->loop;
	r->done = done;
	r->arg = arg;
	buf_init(&r->body, BODY_MAX);
	if (!to) {
		end_in(r,
			way_us(),
			&(struct io_https_answer){
				.rc = -ECONNREFUSED, .error = SV("nobody is there") });
		return r;
	}
	r->there = xcalloc(1, sizeof(*r->there));
	r->there->from = r;
	r->there->to = to;
	(void)snprintf(r->there->method, sizeof(r->there->method), "%s", call->method);
	buf_init(&r->there->url, BODY_MAX);
	buf_init(&r->there->body, BODY_MAX);
	must(buf_append(&r->there->url, call->url) == 0);
	must(buf_append(&r->there->body,
		     call->secret_body ? secret_reveal(call->secret_body) : call->body) == 0);
	(void)simio_later(to->loop, way_us(), arrive, r->there);
	end_in(r,
		call->timeout_us ? call->timeout_us : TIMEOUT_US,
		&(struct io_https_answer){
			.rc = RC_TIMEOUT, .began = true, .error = SV("no answer came") });
	return r;
}

void io_https_cancel(struct io_https_request *r)
{
	if (r)
		request_free(r);
}

/* ---- as the host has it ---- */

const char *simio_request_method(const struct simio_request *r)
{
	return r->method;
}

struct sv simio_request_path(const struct simio_request *r)
{
	return sv_skip(buf_sv(&r->url), strlen(r->to->name));
}

struct sv simio_request_body(const struct simio_request *r)
{
	return buf_sv(&r->body);
}
