/* SPDX-License-Identifier: Apache-2.0 */
#include "base/limits.h"
#include "base/must.h"
#include "base/text.h"
#include "sandbox/sandbox_priv.h"

#include <microhttpd.h>
#include <stdio.h>
#include <stdlib.h>

/*
 * The HTTP API, on libmicrohttpd driven by our loop (its epoll descriptor is watched).
 *
 *   GET    /messages?to=&from=&subject=&after=N     list
 *   GET    /messages/wait?...&timeout=SECONDS       answers once a message fits (408 when none came)
 *   GET    /messages/N     GET /messages/N/raw      one
 *   DELETE /messages                                forget messages, counts and violations
 *   GET    /faults    POST /faults    DELETE /faults
 *   GET    /settings ... PUT /settings              switches, limits, mailboxes
 *   POST   /scenario/NAME
 *   GET    /clock     PUT /clock {"speed":60} or {"advance_seconds":3600}
 *   GET    /verdict
 */
enum {
	BODY_MAX = 1 << 20,
	CONNECTIONS_MAX = 64,
	WAIT_SECONDS_MAX = 600,
};

struct waiter {
	struct list node;
	struct sandbox_api *api;
	struct MHD_Connection *connection;
	struct io_timer timeout;
	bool over; /* timed out: answer 408 */
};

struct sandbox_api {
	struct sandbox *sandbox;
	struct MHD_Daemon *daemon;
	struct io_watch *watch;
	struct io_timer timer;
	struct list waiters;
};

/* What one HTTP request carries between libmicrohttpd's calls. */
struct request {
	struct buf body;
	struct waiter *waiter;
	bool too_large;
};

static void run_daemon(struct sandbox_api *a)
{
	MHD_UNSIGNED_LONG_LONG ms;

	(void)MHD_run(a->daemon);
	if (MHD_get_timeout(a->daemon, &ms) == MHD_YES)
		io_timer_start(&a->timer, mono_add(io_now(a->sandbox->loop), ms * US_PER_MS));
	else
		io_timer_stop(&a->timer);
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

static enum MHD_Result send_bytes(
	struct MHD_Connection *c, unsigned status, const char *type, struct sv bytes)
{
	static char empty[1] = "";
	struct MHD_Response *r = MHD_create_response_from_buffer(
		bytes.len, bytes.len ? (void *)(uintptr_t)bytes.ptr : empty, MHD_RESPMEM_MUST_COPY);
	enum MHD_Result result;

	must(r != NULL);
	(void)MHD_add_response_header(r, MHD_HTTP_HEADER_CONTENT_TYPE, type);
	result = MHD_queue_response(c, status, r);
	MHD_destroy_response(r);
	return result;
}

static enum MHD_Result send_json(struct MHD_Connection *c, unsigned status, json_t *value)
{
	char *text = json_dumps(value, JSON_INDENT(1));
	enum MHD_Result result;

	must(text != NULL);
	result = send_bytes(c, status, "application/json", sv_from(text));
	free(text);
	json_decref(value);
	return result;
}

static enum MHD_Result send_error(struct MHD_Connection *c, unsigned status, const char *text)
{
	json_t *o = json_object();

	(void)json_object_set_new(o, "error", json_string(text));
	return send_json(c, status, o);
}

/* ---- messages ---- */

static struct sv argument(struct MHD_Connection *c, const char *name)
{
	return sv_from(MHD_lookup_connection_value(c, MHD_GET_ARGUMENT_KIND, name));
}

static struct sandbox_message_filter read_filter(struct MHD_Connection *c)
{
	struct sandbox_message_filter f = {
		.to = argument(c, "to"),
		.from = argument(c, "from"),
		.subject = argument(c, "subject"),
	};

	(void)!sv_parse_u64(argument(c, "after"), UINT64_MAX, &f.after);
	return f;
}

static enum MHD_Result list_messages(struct sandbox_api *a, struct MHD_Connection *c)
{
	struct sandbox_message_filter f = read_filter(c);
	const struct sandbox_message *m = sandbox_messages_next(a->sandbox->messages, 0, &f);
	json_t *all = json_array();

	while (m) {
		(void)json_array_append_new(all, sandbox_message_json(m));
		m = sandbox_messages_next(a->sandbox->messages, m->number, &f);
	}
	return send_json(c, MHD_HTTP_OK, all);
}

static enum MHD_Result one_message(struct sandbox_api *a, struct MHD_Connection *c, struct sv path)
{
	const struct sandbox_message *m = NULL;
	struct sv number;
	uint64_t n;

	(void)sv_cut_char(&path, '/', &number);
	if (sv_parse_u64(number, UINT64_MAX, &n) == 0)
		m = sandbox_messages_get(a->sandbox->messages, n);
	if (!m)
		return send_error(c, MHD_HTTP_NOT_FOUND, "no such message (kept: the newest)");
	if (sv_eq(path, SV("raw")))
		return send_bytes(c, MHD_HTTP_OK, "message/rfc822", sv_make(m->raw, m->raw_len));
	return send_json(c, MHD_HTTP_OK, sandbox_message_json(m));
}

static void waiter_free(struct waiter *w)
{
	io_timer_stop(&w->timeout);
	list_remove(&w->node);
	free(w);
}

static void wait_over(void *arg)
{
	struct waiter *w = arg;

	w->over = true;
	MHD_resume_connection(w->connection);
	run_daemon(w->api);
}

/* Answers at once when a message fits, else suspends the connection until one comes or time is up. */
static enum MHD_Result wait_message(
	struct sandbox_api *a, struct MHD_Connection *c, struct request *r)
{
	struct sandbox_message_filter f = read_filter(c);
	const struct sandbox_message *m = sandbox_messages_next(a->sandbox->messages, 0, &f);
	uint32_t seconds = 30;

	if (m)
		return send_json(c, MHD_HTTP_OK, sandbox_message_json(m));
	if (r->waiter && r->waiter->over)
		return send_error(c, MHD_HTTP_REQUEST_TIMEOUT, "no message fitted in time");
	if (argument(c, "timeout").len &&
		sv_parse_u32(argument(c, "timeout"), WAIT_SECONDS_MAX, &seconds) != 0)
		return send_error(c, MHD_HTTP_BAD_REQUEST, "timeout is in seconds, at most 600");
	if (!r->waiter) {
		r->waiter = xcalloc(1, sizeof(*r->waiter));
		r->waiter->api = a;
		r->waiter->connection = c;
		io_timer_init(&r->waiter->timeout, a->sandbox->loop, wait_over, r->waiter);
		io_timer_start(&r->waiter->timeout,
			mono_add(io_now(a->sandbox->loop), seconds * US_PER_S));
		list_append(&a->waiters, &r->waiter->node);
	}
	MHD_suspend_connection(c);
	return MHD_YES;
}

void sandbox_api_message_arrived(struct sandbox_api *a)
{
	if (list_empty(&a->waiters))
		return;
	list_each (node, &a->waiters) {
		struct waiter *w = list_entry(node, struct waiter, node);

		if (!w->over)
			MHD_resume_connection(w->connection);
	}
	run_daemon(a);
}

/* ---- faults, settings, clock ---- */

static enum MHD_Result put_json(struct sandbox_api *a, struct MHD_Connection *c, struct sv body,
	int (*apply)(struct sandbox *s, const json_t *value, struct err *err))
{
	json_t *value = json_loadb(body.ptr, body.len, 0, NULL);
	struct err err = { 0 };
	int rc;

	if (!value)
		return send_error(c, MHD_HTTP_BAD_REQUEST, "the body is not JSON");
	rc = apply(a->sandbox, value, &err);
	json_decref(value);
	if (rc != 0)
		return send_error(c, MHD_HTTP_BAD_REQUEST, err.text);
	return send_json(c, MHD_HTTP_OK, json_object());
}

static int add_faults(struct sandbox *s, const json_t *value, struct err *err)
{
	return sandbox_faults_add(&s->faults, value, err);
}

static int set_clock(struct sandbox *s, const json_t *value, struct err *err)
{
	const json_t *speed = json_object_get(value, "speed");
	const json_t *advance = json_object_get(value, "advance_seconds");

	if (!json_is_number(speed) && !json_is_number(advance))
		return err_set(err, RC_PARSE, "give \"speed\" or \"advance_seconds\", a number");
	if (json_is_number(speed)) {
		if (json_number_value(speed) <= 0 || json_number_value(speed) > 1e6)
			return err_set(err, RC_PARSE, "\"speed\" is above 0 and at most 1000000");
		sandbox_set_speed(s, json_number_value(speed));
	}
	if (json_is_number(advance)) {
		if (json_number_value(advance) < 0 || json_number_value(advance) > 1e9)
			return err_set(err, RC_PARSE, "\"advance_seconds\" is 0 to 1000000000");
		sandbox_advance(s, (uint64_t)(json_number_value(advance) * 1e6));
	}
	return 0;
}

static json_t *clock_json(const struct sandbox *s)
{
	json_t *o = json_object();

	(void)json_object_set_new(o, "now", json_integer((json_int_t)sandbox_now_us(s)));
	(void)json_object_set_new(o, "speed", json_real(s->speed));
	return o;
}

static json_t *settings_json(const struct sandbox *s)
{
	const struct sandbox_limits *l = sandbox_model_limits(s->model);
	json_t *o = json_object();
	json_t *limits = json_object();
	json_t *mailboxes = json_array();

	(void)json_object_set_new(
		limits, "messages_per_minute", json_integer(l->messages_per_minute));
	(void)json_object_set_new(limits, "connections", json_integer(l->connections));
	(void)json_object_set_new(
		limits, "recipients_per_day", json_integer(l->recipients_per_day));
	(void)json_object_set_new(
		limits, "recipients_per_message", json_integer(l->recipients_per_message));
	(void)json_object_set_new(
		limits, "message_bytes", json_integer((json_int_t)l->message_bytes_max));
	(void)json_object_set_new(o, "limits", limits);
	for (size_t i = 0; i < sandbox_model_mailbox_count(s->model); i++) {
		const struct sandbox_mailbox *b = sandbox_model_mailbox_at(s->model, i);
		json_t *one = json_object();

		(void)json_object_set_new(one, "address", sandbox_json_text(sv_from(b->address)));
		(void)json_object_set_new(one, "accepted", json_integer((json_int_t)b->accepted));
		(void)json_object_set_new(one, "sending", json_integer(b->sending));
		(void)json_array_append_new(mailboxes, one);
	}
	(void)json_object_set_new(o, "mailboxes", mailboxes);
	return o;
}

static enum MHD_Result clear_messages(struct sandbox_api *a, struct MHD_Connection *c)
{
	sandbox_messages_clear(a->sandbox->messages);
	sandbox_model_forget(a->sandbox->model);
	a->sandbox->totals = (struct sandbox_totals){ 0 };
	return send_json(c, MHD_HTTP_OK, json_object());
}

static enum MHD_Result clear_faults(struct sandbox_api *a, struct MHD_Connection *c)
{
	sandbox_faults_deinit(&a->sandbox->faults);
	return send_json(c, MHD_HTTP_OK, json_array());
}

static enum MHD_Result play_scenario(
	struct sandbox_api *a, struct MHD_Connection *c, struct sv name)
{
	struct err err = { 0 };

	if (sandbox_scenario_apply(a->sandbox, name, &err) != 0)
		return send_error(c, MHD_HTTP_NOT_FOUND, err.text);
	return send_json(c, MHD_HTTP_OK, json_object());
}

/* ---- dispatch ---- */

static enum MHD_Result dispatch(struct sandbox_api *a, struct MHD_Connection *c, struct sv method,
	struct sv path, struct request *r)
{
	bool get = sv_eq(method, SV("GET"));
	bool put = sv_eq(method, SV("PUT")) || sv_eq(method, SV("POST"));
	bool del = sv_eq(method, SV("DELETE"));

	if (get && sv_eq(path, SV("/messages")))
		return list_messages(a, c);
	if (get && sv_eq(path, SV("/messages/wait")))
		return wait_message(a, c, r);
	if (get && sv_starts(path, SV("/messages/")))
		return one_message(a, c, sv_skip(path, 10));
	if (del && sv_eq(path, SV("/messages")))
		return clear_messages(a, c);
	if (get && sv_eq(path, SV("/faults")))
		return send_json(c, MHD_HTTP_OK, sandbox_faults_json(&a->sandbox->faults));
	if (put && sv_eq(path, SV("/faults")))
		return put_json(a, c, buf_sv(&r->body), add_faults);
	if (del && sv_eq(path, SV("/faults")))
		return clear_faults(a, c);
	if (get && sv_eq(path, SV("/settings")))
		return send_json(c, MHD_HTTP_OK, settings_json(a->sandbox));
	if (put && sv_eq(path, SV("/settings")))
		return put_json(a, c, buf_sv(&r->body), sandbox_settings_apply);
	if (put && sv_starts(path, SV("/scenario/")))
		return play_scenario(a, c, sv_skip(path, 10));
	if (get && sv_eq(path, SV("/clock")))
		return send_json(c, MHD_HTTP_OK, clock_json(a->sandbox));
	if (put && sv_eq(path, SV("/clock")))
		return put_json(a, c, buf_sv(&r->body), set_clock);
	if (get && sv_eq(path, SV("/verdict")))
		return send_json(c, MHD_HTTP_OK, sandbox_verdict_json(a->sandbox));
	return send_error(c,
		MHD_HTTP_NOT_FOUND,
		"unknown: /messages /messages/wait /faults /settings /scenario/NAME /clock "
		"/verdict");
}

/* NOLINTNEXTLINE(readability-function-size): the library's signature */
static enum MHD_Result on_request(void *cls, struct MHD_Connection *connection, const char *url,
	const char *method, const char *version, const char *upload_data, size_t *upload_data_size,
	void **con_cls)
{
	struct sandbox_api *a = cls;
	struct request *r = *con_cls;

	(void)version;
	if (!r) {
		r = xcalloc(1, sizeof(*r));
		buf_init(&r->body, BODY_MAX);
		*con_cls = r;
		return MHD_YES;
	}
	if (*upload_data_size) {
		r->too_large = r->too_large ||
			       buf_append(&r->body, sv_make(upload_data, *upload_data_size)) != 0;
		*upload_data_size = 0;
		return MHD_YES;
	}
	if (r->too_large)
		return send_error(connection, MHD_HTTP_CONTENT_TOO_LARGE, "at most 1 MB");
	return dispatch(a, connection, sv_from(method), sv_from(url), r);
}

static void on_completed(void *cls, struct MHD_Connection *connection, void **con_cls,
	enum MHD_RequestTerminationCode toe)
{
	struct request *r = *con_cls;

	(void)cls;
	(void)connection;
	(void)toe;
	if (!r)
		return;
	if (r->waiter)
		waiter_free(r->waiter);
	buf_deinit(&r->body);
	free(r);
	*con_cls = NULL;
}

struct sandbox_api *sandbox_api_open(struct sandbox *s, struct sv address, struct err *err)
{
	struct sandbox_api *a = xcalloc(1, sizeof(*a));
	const union MHD_DaemonInfo *info;
	struct io_address at;

	a->sandbox = s;
	list_init(&a->waiters);
	io_timer_init(&a->timer, s->loop, daemon_timer, a);
	if (io_address_parse(address, &at) != 0 || !io_address_is_loopback(&at.any)) {
		(void)err_set(
			err, RC_CONFIG, "'%.*s' is no loopback address and port", SV_ARG(address));
		free(a);
		return NULL;
	}
	a->daemon = MHD_start_daemon(MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME |
					     (at.any.sa_family == AF_INET6 ? MHD_USE_IPv6 : 0U),
		0,
		NULL,
		NULL,
		on_request,
		a,
		MHD_OPTION_SOCK_ADDR,
		&at.any,
		MHD_OPTION_NOTIFY_COMPLETED,
		on_completed,
		NULL,
		MHD_OPTION_CONNECTION_LIMIT,
		(unsigned)CONNECTIONS_MAX,
		MHD_OPTION_END);
	if (!a->daemon) {
		(void)err_set(err, RC_CONFIG, "cannot listen for HTTP on %.*s", SV_ARG(address));
		free(a);
		return NULL;
	}
	info = MHD_get_daemon_info(a->daemon, MHD_DAEMON_INFO_EPOLL_FD);
	must(info != NULL);
	a->watch = io_watch_new(s->loop, info->epoll_fd, IO_READABLE, daemon_readable, a);
	return a;
}

void sandbox_api_close(struct sandbox_api *a)
{
	if (!a)
		return;
	list_each (node, &a->waiters) {
		struct waiter *w = list_entry(node, struct waiter, node);

		w->over = true;
		MHD_resume_connection(w->connection);
	}
	(void)MHD_run(a->daemon);
	io_timer_stop(&a->timer);
	io_watch_free(a->watch);
	MHD_stop_daemon(a->daemon);
	free(a);
}

int sandbox_api_port(const struct sandbox_api *a)
{
	const union MHD_DaemonInfo *info =
		MHD_get_daemon_info(a->daemon, MHD_DAEMON_INFO_BIND_PORT);

	return info ? info->port : 0;
}
