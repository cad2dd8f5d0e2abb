/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/buf.h"
#include "base/err.h"
#include "base/list.h"
#include "io/loop.h"

#include <jansson.h>
#include <microhttpd.h>

/*
 * An HTTP or HTTPS listener on libmicrohttpd, driven by our loop (its epoll descriptor is watched). A
 * request comes to the handler whole. The handler answers, or waits: then it is called again.
 */
struct sandbox_web;

enum {
	SANDBOX_WEB_HEADERS_MAX = 4,
	SANDBOX_WEB_VALUE_MAX = 240,
};

struct sandbox_web_request {
	struct sandbox_web *web;
	struct MHD_Connection *connection;
	struct sv method, path; /* decoded, without the query */
	struct buf body;
	bool too_large;         /* the body was larger than the listener takes, and is cut short */
	bool over;              /* its wait ended because time was up */
	bool struck;            /* a scripted fault has had its turn */
	bool cut;               /* whatever is answered: the connection is closed instead */
	struct mono_time until; /* the handler's own: how long it waits at most */
	void (*done)(void *arg, struct sandbox_web_request *r); /* NULL: none; once, at its end */
	void *done_arg;
	/* the rest belongs to web.c */
	bool waiting;
	struct list node;
	struct io_timer timer;
	char header_values[SANDBOX_WEB_HEADERS_MAX][SANDBOX_WEB_VALUE_MAX];
	const char *header_names[SANDBOX_WEB_HEADERS_MAX];
	size_t header_count;
};

struct sandbox_web_options {
	struct io_loop *loop;
	struct sv address;
	bool beyond_loopback;          /* else another address is refused */
	const char *certificate, *key; /* PEM text; NULL: plain HTTP */
	size_t body_max;
	enum MHD_Result (*fn)(void *arg, struct sandbox_web_request *r);
	void *arg;
};
NODISCARD struct sandbox_web *sandbox_web_open(
	const struct sandbox_web_options *options, struct err *err);
void sandbox_web_close(struct sandbox_web *w);
int sandbox_web_port(const struct sandbox_web *w);

/* What the handler returns: one of these. */
enum MHD_Result sandbox_web_send(
	struct sandbox_web_request *r, unsigned status, const char *type, struct sv bytes);
enum MHD_Result sandbox_web_json(
	struct sandbox_web_request *r, unsigned status, json_t *value); /* takes the value */
enum MHD_Result sandbox_web_error(struct sandbox_web_request *r, unsigned status, const char *text);
/* The handler is called again after so long (with `over`), or when sandbox_web_wake() is called. */
enum MHD_Result sandbox_web_wait(struct sandbox_web_request *r, uint64_t us);
enum MHD_Result sandbox_web_stall(struct sandbox_web_request *r); /* no answer, ever */

/* For the answer that follows; `name` is a constant. */
void sandbox_web_header(struct sandbox_web_request *r, const char *name, const char *value);
/* Calls the handler again for those who wait. */
void sandbox_web_wake(struct sandbox_web *w);

struct sv sandbox_web_argument(const struct sandbox_web_request *r, const char *name);
struct sv sandbox_web_field(const struct sandbox_web_request *r, const char *name);
