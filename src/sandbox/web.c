/* SPDX-License-Identifier: Apache-2.0 */
#include "sandbox/web.h"

#include "base/must.h"
#include "io/net.h"

#include <stdio.h>
#include <stdlib.h>

enum {
	CONNECTIONS_MAX = 256,
	/* A request's head: tokens of some KB stand in it. */
	CONNECTION_MEMORY = 65536,
	WAIT_FOR_EVER_S = 86400,
};

struct sandbox_web {
	struct io_loop *loop;
	struct MHD_Daemon *daemon;
	struct io_watch *watch;
	struct io_timer timer;
	struct list waiting;
	enum MHD_Result (*fn)(void *arg, struct sandbox_web_request *r);
	void *arg;
	size_t body_max;
	char *certificate, *key;
	bool closing;
};

static void run_daemon(struct sandbox_web *w)
{
	MHD_UNSIGNED_LONG_LONG ms;

	(void)MHD_run(w->daemon);
	if (MHD_get_timeout(w->daemon, &ms) == MHD_YES)
		io_timer_start(&w->timer, mono_add(io_now(w->loop), ms * US_PER_MS));
	else
		io_timer_stop(&w->timer);
}

static void daemon_readable(void *arg, unsigned events)
{
	(void)events;
	run_daemon(arg);
}

static void daemon_timer(void *arg)
{
	run_daemon(arg);
}

/* ---- answering ---- */

enum MHD_Result sandbox_web_send(
	struct sandbox_web_request *r, unsigned status, const char *type, struct sv bytes)
{
	static char empty[1] = "";
	struct MHD_Response *response;
	enum MHD_Result result;

	if (r->cut)
		return MHD_NO;
	response = MHD_create_response_from_buffer(
		bytes.len, bytes.len ? (void *)(uintptr_t)bytes.ptr : empty, MHD_RESPMEM_MUST_COPY);
	must(response != NULL);
	if (type)
		(void)MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, type);
	for (size_t i = 0; i < r->header_count; i++)
		(void)MHD_add_response_header(response, r->header_names[i], r->header_values[i]);
	result = MHD_queue_response(r->connection, status, response);
	MHD_destroy_response(response);
	return result;
}

enum MHD_Result sandbox_web_json(struct sandbox_web_request *r, unsigned status, json_t *value)
{
	char *text = json_dumps(value, JSON_INDENT(1));
	enum MHD_Result result;
	size_t len;

	must(text != NULL);
	len = strlen(text);
	text[len] = '\n'; /* in the place of its NUL: for the terminal */
	result = sandbox_web_send(
		r, status, "application/json; charset=utf-8", sv_make(text, len + 1));
	free(text);
	json_decref(value);
	return result;
}

enum MHD_Result sandbox_web_error(struct sandbox_web_request *r, unsigned status, const char *text)
{
	json_t *o = json_object();

	(void)json_object_set_new(o, "error", json_string(text));
	return sandbox_web_json(r, status, o);
}

void sandbox_web_header(struct sandbox_web_request *r, const char *name, const char *value)
{
	must(r->header_count < SANDBOX_WEB_HEADERS_MAX);
	r->header_names[r->header_count] = name;
	(void)snprintf(r->header_values[r->header_count], SANDBOX_WEB_VALUE_MAX, "%s", value);
	r->header_count++;
}

static void stop_waiting(struct sandbox_web_request *r)
{
	if (!r->waiting)
		return;
	r->waiting = false;
	io_timer_stop(&r->timer);
	list_remove(&r->node);
}

static void wait_over(void *arg)
{
	struct sandbox_web_request *r = arg;
	struct sandbox_web *w = r->web;

	r->over = true;
	stop_waiting(r);
	MHD_resume_connection(r->connection);
	run_daemon(w);
}

enum MHD_Result sandbox_web_wait(struct sandbox_web_request *r, uint64_t us)
{
	must(!r->waiting);
	r->waiting = true;
	io_timer_init(&r->timer, r->web->loop, wait_over, r);
	io_timer_start(&r->timer, mono_add(io_now(r->web->loop), us));
	list_append(&r->web->waiting, &r->node);
	MHD_suspend_connection(r->connection);
	return MHD_YES;
}

enum MHD_Result sandbox_web_stall(struct sandbox_web_request *r)
{
	r->cut = true;
	return sandbox_web_wait(r, WAIT_FOR_EVER_S * US_PER_S);
}

static void resume_all(struct sandbox_web *w)
{
	list_each_safe (node, after, &w->waiting) {
		struct sandbox_web_request *r = list_entry(node, struct sandbox_web_request, node);

		if (r->cut && !w->closing)
			continue;
		stop_waiting(r);
		MHD_resume_connection(r->connection);
	}
}

void sandbox_web_wake(struct sandbox_web *w)
{
	if (list_empty(&w->waiting))
		return;
	resume_all(w);
	run_daemon(w);
}

struct sv sandbox_web_argument(const struct sandbox_web_request *r, const char *name)
{
	return sv_from(MHD_lookup_connection_value(r->connection, MHD_GET_ARGUMENT_KIND, name));
}

struct sv sandbox_web_field(const struct sandbox_web_request *r, const char *name)
{
	return sv_from(MHD_lookup_connection_value(r->connection, MHD_HEADER_KIND, name));
}

/* ---- libmicrohttpd's calls ---- */

/* NOLINTNEXTLINE(readability-function-size): the library's signature */
static enum MHD_Result on_request(void *cls, struct MHD_Connection *connection, const char *url,
	const char *method, const char *version, const char *upload_data, size_t *upload_data_size,
	void **con_cls)
{
	struct sandbox_web *w = cls;
	struct sandbox_web_request *r = *con_cls;

	(void)version;
	if (!r) {
		r = xcalloc(1, sizeof(*r));
		r->web = w;
		r->connection = connection;
		buf_init(&r->body, w->body_max);
		*con_cls = r;
		return MHD_YES;
	}
	if (*upload_data_size) {
		r->too_large = r->too_large ||
			       buf_append(&r->body, sv_make(upload_data, *upload_data_size)) != 0;
		*upload_data_size = 0;
		return MHD_YES;
	}
	if (w->closing)
		return MHD_NO;
	r->method = sv_from(method);
	r->path = sv_from(url);
	return w->fn(w->arg, r);
}

static void on_completed(void *cls, struct MHD_Connection *connection, void **con_cls,
	enum MHD_RequestTerminationCode toe)
{
	struct sandbox_web_request *r = *con_cls;

	(void)cls;
	(void)connection;
	(void)toe;
	if (!r)
		return;
	if (r->done)
		r->done(r->done_arg, r);
	stop_waiting(r);
	buf_deinit(&r->body);
	free(r);
	*con_cls = NULL;
}

static struct MHD_Daemon *start_daemon(struct sandbox_web *w, const struct io_address *at)
{
	struct MHD_OptionItem tls[] = {
		{ MHD_OPTION_HTTPS_MEM_CERT, 0, w->certificate },
		{ MHD_OPTION_HTTPS_MEM_KEY, 0, w->key },
		{ MHD_OPTION_END, 0, NULL },
	};
	struct MHD_OptionItem none[] = { { MHD_OPTION_END, 0, NULL } };
	unsigned flags = MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME;

	if (at->any.sa_family == AF_INET6)
		flags |= MHD_USE_IPv6;
	if (w->certificate)
		flags |= MHD_USE_TLS;
	return MHD_start_daemon(flags,
		0,
		NULL,
		NULL,
		on_request,
		w,
		MHD_OPTION_SOCK_ADDR,
		&at->any,
		MHD_OPTION_NOTIFY_COMPLETED,
		on_completed,
		NULL,
		MHD_OPTION_CONNECTION_LIMIT,
		(unsigned)CONNECTIONS_MAX,
		MHD_OPTION_CONNECTION_MEMORY_LIMIT,
		(size_t)CONNECTION_MEMORY,
		MHD_OPTION_ARRAY,
		w->certificate ? tls : none,
		MHD_OPTION_END);
}

static void web_free(struct sandbox_web *w)
{
	free(w->certificate);
	free(w->key);
	free(w);
}

struct sandbox_web *sandbox_web_open(const struct sandbox_web_options *o, struct err *err)
{
	struct sandbox_web *w;
	const union MHD_DaemonInfo *info;
	struct io_address at;

	if (io_address_parse(o->address, &at) != 0 ||
		(!o->beyond_loopback && !io_address_is_loopback(&at.any))) {
		(void)err_set(err,
			RC_CONFIG,
			"'%.*s' is no loopback address and port; --beyond-loopback allows others",
			SV_ARG(o->address));
		return NULL;
	}
	w = xcalloc(1, sizeof(*w));
	w->loop = o->loop;
	w->fn = o->fn;
	w->arg = o->arg;
	w->body_max = o->body_max;
	w->certificate = o->certificate ? sv_dup(sv_from(o->certificate)) : NULL;
	w->key = o->key ? sv_dup(sv_from(o->key)) : NULL;
	list_init(&w->waiting);
	io_timer_init(&w->timer, o->loop, daemon_timer, w);
	w->daemon = start_daemon(w, &at);
	if (!w->daemon) {
		(void)err_set(err,
			RC_CONFIG,
			"cannot listen for %s on %.*s",
			w->certificate ? "HTTPS" : "HTTP",
			SV_ARG(o->address));
		web_free(w);
		return NULL;
	}
	info = MHD_get_daemon_info(w->daemon, MHD_DAEMON_INFO_EPOLL_FD);
	must(info != NULL);
	w->watch = io_watch_new(o->loop, info->epoll_fd, IO_READABLE, daemon_readable, w);
	return w;
}

void sandbox_web_close(struct sandbox_web *w)
{
	if (!w)
		return;
	w->closing = true;
	resume_all(w);
	(void)MHD_run(w->daemon);
	io_timer_stop(&w->timer);
	io_watch_free(w->watch);
	MHD_stop_daemon(w->daemon);
	web_free(w);
}

int sandbox_web_port(const struct sandbox_web *w)
{
	const union MHD_DaemonInfo *info =
		MHD_get_daemon_info(w->daemon, MHD_DAEMON_INFO_BIND_PORT);

	return info ? info->port : 0;
}
