/* SPDX-License-Identifier: Apache-2.0 */
#include "sandbox/sandbox.h"

#include "base/must.h"
#include "base/secret.h"
#include "base/text.h"
#include "io/file.h"
#include "sandbox/ca.h"
#include "sandbox/sandbox_priv.h"

#include <stdio.h>
#include <stdlib.h>

enum {
	PATH_LEN_MAX = 4096,
	PEM_MAX = 65536,
	/* Graph takes 4 MB in one request; more is answered with 413 by itself. */
	HTTPS_BODY_MAX = 5 << 20,
};

static void accept_submission(void *arg, int fd)
{
	sandbox_session_start(arg, SANDBOX_DOOR_SUBMISSION, fd);
}

static void accept_hve(void *arg, int fd)
{
	sandbox_session_start(arg, SANDBOX_DOOR_HVE, fd);
}

static void accept_connector(void *arg, int fd)
{
	sandbox_session_start(arg, SANDBOX_DOOR_CONNECTOR, fd);
}

static int listen_smtp(struct sandbox *s, enum sandbox_door door, struct sv text, struct err *err)
{
	static io_accept_fn *const accepts[] = {
		[SANDBOX_DOOR_SUBMISSION] = accept_submission,
		[SANDBOX_DOOR_HVE] = accept_hve,
		[SANDBOX_DOOR_CONNECTOR] = accept_connector,
	};
	struct io_address address;

	if (io_address_parse(text, &address) != 0)
		return err_set(err,
			RC_CONFIG,
			"'%.*s' is no address and port, as 127.0.0.1:2587",
			SV_ARG(text));
	if (!s->options.beyond_loopback && !io_address_is_loopback(&address.any))
		return err_set(err,
			RC_CONFIG,
			"'%.*s' is beyond loopback, and the sandbox takes mail from anybody who "
			"reaches it; --beyond-loopback allows it",
			SV_ARG(text));
	s->listeners[door] = io_listener_open(s->loop, &address, 0, accepts[door], s, err);
	return s->listeners[door] ? 0 : RC_CONFIG;
}

static int load_tls(struct sandbox *s, const struct sandbox_options *o, struct err *err)
{
	char certificate[PATH_LEN_MAX], key[PATH_LEN_MAX];
	int rc = sandbox_ca_make(o->folder, o->host_name, err);

	if (rc != 0)
		return rc;
	(void)snprintf(certificate, sizeof(certificate), "%.*s/server.pem", SV_ARG(o->folder));
	(void)snprintf(key, sizeof(key), "%.*s/server.key", SV_ARG(o->folder));
	buf_init(&s->ca_path, PATH_LEN_MAX);
	rc = buf_printf(&s->ca_path, "%.*s/ca.pem", SV_ARG(o->folder));
	if (rc != 0)
		return err_set(err, rc, "the folder's name is too long");
	s->tls = io_tls_server_new(certificate, key, err);
	s->connector_tls = s->tls ? io_tls_server_new(certificate, key, err) : NULL;
	if (!s->connector_tls)
		return RC_TLS;
	(void)snprintf(certificate, sizeof(certificate), "%.*s/ca.pem", SV_ARG(o->folder));
	return io_tls_server_ask_certificate(s->connector_tls, certificate, err);
}

/* ---- HTTPS ---- */

enum sandbox_strike sandbox_web_strike(struct sandbox *s, struct sandbox_web_request *r,
	enum sandbox_stage at, struct sv address, const struct sandbox_fault **out_fault,
	enum MHD_Result *out_result)
{
	uint32_t dice = (uint32_t)prng_next(io_prng(s->loop));
	const struct sandbox_fault *fault;
	json_t *o;
	char seconds[16];

	if (r->struck)
		return SANDBOX_STRIKE_NONE;
	r->struck = true;
	fault = sandbox_faults_strike(&s->faults, at, address, dice);
	if (!fault)
		return SANDBOX_STRIKE_NONE;
	o = json_object();
	(void)json_object_set_new(o, "text", json_string(sandbox_stage_name(at)));
	sandbox_events_write(s->events, "fault", sandbox_now_us(s), o);
	switch (fault->deed) {
	case SANDBOX_DO_REPLY:
		if (fault->retry_after_s) {
			(void)snprintf(seconds, sizeof(seconds), "%u", fault->retry_after_s);
			sandbox_web_header(r, "Retry-After", seconds);
		}
		*out_fault = fault;
		return SANDBOX_STRIKE_REPLY;
	case SANDBOX_DO_CUT:
		*out_result = MHD_NO;
		return SANDBOX_STRIKE_TAKEN;
	case SANDBOX_DO_STALL:
		*out_result = sandbox_web_stall(r);
		return SANDBOX_STRIKE_TAKEN;
	case SANDBOX_DO_SLOW:
		*out_result = sandbox_web_wait(r, fault->delay_us);
		return SANDBOX_STRIKE_TAKEN;
	case SANDBOX_DO_CUT_AFTER:
		r->cut = true;
		break;
	case SANDBOX_DO_COUNT:
		break;
	}
	return SANDBOX_STRIKE_NONE;
}

static enum MHD_Result serve_https(void *arg, struct sandbox_web_request *r)
{
	if (sandbox_admin_owns(r->path) && !r->too_large)
		return sandbox_admin_web(arg, r);
	if (sv_starts(r->path, SV("/v1.0/")) || sv_starts(r->path, SV("/uploads/")))
		return sandbox_graph_web(arg, r);
	if (r->too_large)
		return sandbox_web_error(r, MHD_HTTP_CONTENT_TOO_LARGE, "the request is too large");
	return sandbox_entra_web(arg, r);
}

static int listen_https(struct sandbox *s, const struct sandbox_options *o, struct err *err)
{
	CLEANUP(buf_deinitp) struct buf certificate = BUF_INIT(PEM_MAX), key = BUF_INIT(PEM_MAX);
	struct sandbox_web_options options = {
		.loop = s->loop,
		.address = o->https_address,
		.beyond_loopback = o->beyond_loopback,
		.body_max = HTTPS_BODY_MAX,
		.fn = serve_https,
		.arg = s,
	};
	char path[PATH_LEN_MAX];
	int rc;

	(void)snprintf(path, sizeof(path), "%.*s/server.pem", SV_ARG(o->folder));
	rc = io_file_read(path, PEM_MAX - 1, &certificate, err);
	(void)snprintf(path, sizeof(path), "%.*s/server.key", SV_ARG(o->folder));
	if (rc == 0)
		rc = io_file_read(path, PEM_MAX - 1, &key, err);
	if (rc == 0)
		rc = buf_append_char(&certificate, '\0');
	if (rc == 0)
		rc = buf_append_char(&key, '\0');
	if (rc != 0)
		return rc;
	options.certificate = buf_sv(&certificate).ptr;
	options.key = buf_sv(&key).ptr;
	s->https = sandbox_web_open(&options, err);
	secret_wipe(key.ptr, key.cap);
	return s->https ? 0 : RC_CONFIG;
}

/* ---- what changes with its use ---- */

static int fill(struct sandbox *s, struct err *err)
{
	const struct sandbox_options *o = &s->options;

	s->speed = o->speed > 0 ? o->speed : 1;
	s->clock_us = 0;
	s->clock_at = io_now(s->loop);
	s->started_at = io_wall(s->loop);
	s->totals = (struct sandbox_totals){ 0 };
	s->model = sandbox_model_new();
	s->entra = sandbox_entra_new(o->folder);
	s->messages = sandbox_messages_new(o->keep_bytes);
	s->inboxes = sandbox_messages_new(o->keep_bytes);
	sandbox_tenant_init(&s->tenant);
	s->graph = sandbox_graph_new();
	s->admin = sandbox_admin_new();
	sandbox_model_set_open_password(s->model, o->password);
	sandbox_model_switches(s->model)->rewrite_ids = o->rewrite_ids;
	return o->scenario.len ? sandbox_scenario_apply(s, o->scenario, err) : 0;
}

static void empty(struct sandbox *s)
{
	sandbox_faults_deinit(&s->faults);
	sandbox_messages_free(s->messages);
	sandbox_messages_free(s->inboxes);
	sandbox_tenant_deinit(&s->tenant);
	sandbox_graph_free(s->graph);
	sandbox_admin_free(s->admin);
	sandbox_model_free(s->model);
	sandbox_entra_free(s->entra);
}

int sandbox_reset(struct sandbox *s, struct err *err)
{
	sandbox_session_close_all(s);
	empty(s);
	return fill(s, err);
}

static int start(struct sandbox *s, const struct sandbox_options *o, struct err *err)
{
	int rc = load_tls(s, o, err);

	if (rc != 0)
		return rc;
	s->events = sandbox_events_open(o->events_path, err);
	if (!s->events)
		return RC_CONFIG;
	rc = fill(s, err);
	if (rc != 0)
		return rc;
	rc = listen_smtp(s, SANDBOX_DOOR_SUBMISSION, o->smtp_address, err);
	if (rc == 0 && o->hve_address.len)
		rc = listen_smtp(s, SANDBOX_DOOR_HVE, o->hve_address, err);
	if (rc == 0 && o->connector_address.len)
		rc = listen_smtp(s, SANDBOX_DOOR_CONNECTOR, o->connector_address, err);
	if (rc == 0 && o->https_address.len)
		rc = listen_https(s, o, err);
	/* The last one: whoever reaches it finds all of them. */
	if (rc == 0 && o->http_address.len) {
		s->api = sandbox_api_open(s, o->http_address, err);
		rc = s->api ? 0 : RC_CONFIG;
	}
	return rc;
}

struct sandbox *sandbox_new(
	struct io_loop *l, const struct sandbox_options *options, struct err *err)
{
	struct sandbox *s = xcalloc(1, sizeof(*s));

	s->loop = l;
	s->options = *options;
	s->starttls_off = options->implicit_tls_off;
	list_init(&s->sessions);
	if (start(s, options, err) != 0) {
		sandbox_free(s);
		return NULL;
	}
	return s;
}

void sandbox_free(struct sandbox *s)
{
	if (!s)
		return;
	sandbox_session_close_all(s);
	sandbox_api_close(s->api);
	sandbox_web_close(s->https);
	for (size_t i = 0; i < COUNT_OF(s->listeners); i++) {
		if (s->listeners[i])
			io_listener_close(s->listeners[i]);
	}
	io_tls_unref(s->tls);
	io_tls_unref(s->connector_tls);
	sandbox_events_close(s->events);
	empty(s);
	buf_deinit(&s->ca_path);
	free(s);
}

int sandbox_smtp_port(const struct sandbox *s)
{
	return io_listener_port(s->listeners[SANDBOX_DOOR_SUBMISSION]);
}

static int door_port(const struct sandbox *s, enum sandbox_door door)
{
	return s->listeners[door] ? io_listener_port(s->listeners[door]) : 0;
}

int sandbox_hve_port(const struct sandbox *s)
{
	return door_port(s, SANDBOX_DOOR_HVE);
}

int sandbox_connector_port(const struct sandbox *s)
{
	return door_port(s, SANDBOX_DOOR_CONNECTOR);
}

int sandbox_http_port(const struct sandbox *s)
{
	return s->api ? sandbox_api_port(s->api) : 0;
}

int sandbox_https_port(const struct sandbox *s)
{
	return s->https ? sandbox_web_port(s->https) : 0;
}

struct sv sandbox_ca_path(const struct sandbox *s)
{
	return buf_sv(&s->ca_path);
}

struct sandbox_totals sandbox_totals(const struct sandbox *s)
{
	struct sandbox_totals totals = s->totals;

	totals.duplicates = sandbox_messages_duplicates(s->messages);
	totals.violations = sandbox_model_violation_count(s->model);
	return totals;
}

/* How near it came to each limit: also to those that were kept. */
static json_t *scopes_json(const struct sandbox *s)
{
	json_t *list = json_array();

	for (unsigned i = 0; i < SANDBOX_LIMIT_COUNT; i++) {
		enum sandbox_limit limit = (enum sandbox_limit)i;
		const struct sandbox_peak *p = sandbox_model_peak(s->model, limit);
		json_t *o = json_object();

		(void)json_object_set_new(o, "limit", json_string(sandbox_limit_name(limit)));
		(void)json_object_set_new(o, "scope", json_string(sandbox_limit_scope(limit)));
		(void)json_object_set_new(o, "who", json_string(p->who));
		(void)json_object_set_new(o, "peak", json_integer((json_int_t)p->used));
		(void)json_object_set_new(o, "allowed", json_integer((json_int_t)p->allowed));
		(void)json_object_set_new(o, "broken", json_integer((json_int_t)p->broken));
		(void)json_array_append_new(list, o);
	}
	return list;
}

json_t *sandbox_verdict_json(const struct sandbox *s)
{
	struct sandbox_totals totals = sandbox_totals(s);
	json_t *o = json_object();
	json_t *broken = json_array();

	(void)json_object_set_new(o, "sessions", json_integer((json_int_t)totals.sessions));
	(void)json_object_set_new(o, "accepted", json_integer((json_int_t)totals.accepted));
	(void)json_object_set_new(o, "recipients", json_integer((json_int_t)totals.recipients));
	(void)json_object_set_new(
		o, "hve_recipients", json_integer((json_int_t)totals.hve_recipients));
	(void)json_object_set_new(o,
		"hve_microdollars",
		json_integer((json_int_t)sandbox_model_hve_microdollars(s->model)));
	(void)json_object_set_new(
		o, "strict", json_boolean(sandbox_model_limits(s->model)->strict));
	(void)json_object_set_new(o, "scopes", scopes_json(s));
	(void)json_object_set_new(o, "refused", json_integer((json_int_t)totals.refused));
	(void)json_object_set_new(o, "duplicates", json_integer((json_int_t)totals.duplicates));
	for (size_t i = 0; i < totals.violations; i++) {
		const struct sandbox_violation *v = sandbox_model_violation(s->model, i);
		json_t *one = json_object();

		(void)json_object_set_new(one, "limit", json_string(v->limit));
		(void)json_object_set_new(one, "mailbox", json_string(v->mailbox));
		(void)json_object_set_new(one, "at", json_integer((json_int_t)v->at_us));
		(void)json_object_set_new(one, "used", json_integer(v->used));
		(void)json_object_set_new(one, "allowed", json_integer(v->allowed));
		(void)json_array_append_new(broken, one);
	}
	(void)json_object_set_new(o, "limits_broken", broken);
	return o;
}

/* The first of each (limit, mailbox), with how often it happened. */
static int verdict_violations(const struct sandbox *s, struct buf *out)
{
	size_t count = sandbox_model_violation_count(s->model);
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < count; i++) {
		const struct sandbox_violation *v = sandbox_model_violation(s->model, i);
		size_t same = 0;
		bool seen = false;
		char at[TEXT_DURATION_MAX];

		for (size_t k = 0; k < count; k++) {
			const struct sandbox_violation *w = sandbox_model_violation(s->model, k);

			if (strcmp(v->limit, w->limit) != 0 || strcmp(v->mailbox, w->mailbox) != 0)
				continue;
			seen = seen || k < i;
			same++;
		}
		if (!seen)
			rc = buf_printf(out,
				"  %s broken by %s: %zu times, first after %s (%u, allowed %u)\n",
				v->limit,
				v->mailbox,
				same,
				text_span(v->at_us, at),
				v->used,
				v->allowed);
	}
	return rc;
}

static int verdict_scopes(const struct sandbox *s, struct buf *out)
{
	int rc = 0;

	for (unsigned i = 0; rc == 0 && i < SANDBOX_LIMIT_COUNT; i++) {
		enum sandbox_limit limit = (enum sandbox_limit)i;
		const struct sandbox_peak *p = sandbox_model_peak(s->model, limit);
		char peak[TEXT_COUNT_MAX], allowed[TEXT_COUNT_MAX];

		if (p->used == 0)
			continue;
		rc = buf_printf(out,
			"  %-23s %-16s at most %s of %s: %s\n",
			sandbox_limit_name(limit),
			sandbox_limit_scope(limit),
			text_count((long long)p->used, peak),
			p->allowed ? text_count((long long)p->allowed, allowed) : "any number",
			p->who);
	}
	return rc;
}

int sandbox_verdict(const struct sandbox *s, struct buf *out)
{
	struct sandbox_totals t = sandbox_totals(s);
	int rc = buf_printf(out,
		"sandbox: %llu sessions, %llu messages accepted (%llu recipients), %llu refused, "
		"%llu duplicates\n",
		(unsigned long long)t.sessions,
		(unsigned long long)t.accepted,
		(unsigned long long)t.recipients,
		(unsigned long long)t.refused,
		(unsigned long long)t.duplicates);

	if (rc == 0)
		rc = t.violations ? buf_printf(out, "verdict: limits were broken\n")
				  : buf_printf(out, "verdict: no limit was broken\n");
	rc = rc == 0 ? verdict_violations(s, out) : rc;
	return rc == 0 && sandbox_model_limits(s->model)->strict ? verdict_scopes(s, out) : rc;
}
