/* SPDX-License-Identifier: Apache-2.0 */
#include "base/limits.h"
#include "base/must.h"
#include "base/text.h"
#include "sandbox/checks.h"
#include "sandbox/dialogue.h"
#include "sandbox/mailpit.h"
#include "sandbox/page.h"
#include "sandbox/sandbox_priv.h"

#include <stdio.h>
#include <stdlib.h>

/*
 * The HTTP API.
 *
 *   GET    /messages?to=&from=&subject=&after=N     list
 *   GET    /messages?mailbox=     GET /inbox/N/raw     what arrived for a mailbox of its own: NDRs
 *   GET    /messages/wait?...&timeout=SECONDS       answers once a message fits (408 when none came)
 *   GET    /messages/N     GET /messages/N/raw      one, read: headers, text, html, attachments
 *   GET    /messages/N/attachments/K                the bytes of one
 *   GET    /messages/N/dialogue                     what client and server said, [] over Graph
 *   GET    /messages/N/checks                       would Exchange, readers, receivers of bulk mail take it?
 *   DELETE /messages                                forget messages, counts and violations
 *   GET    /faults    POST /faults    DELETE /faults
 *   GET    /settings ... PUT /settings              switches, limits, mailboxes
 *   POST   /scenario/NAME     POST /reset            open sessions end
 *   GET    /clock     PUT /clock {"speed":60} or {"advance_seconds":3600}
 *   GET    /logins     POST /logins/approve {"user_code":,"user":}    POST /logins/deny {"user_code":}
 *   GET    /tokens     POST /tokens {"user":,"client_id":,"scope":,"life":}     counts; a token at once
 *   GET    /verdict
 *
 * and beside it Mailpit's API (sandbox/mailpit.h), and the page (sandbox/page.h).
 */
enum {
	BODY_MAX = 1 << 20,
	WAIT_SECONDS_MAX = 600,
};

struct sandbox_api {
	struct sandbox *sandbox;
	struct sandbox_web *web;
};

/* ---- messages ---- */

static struct sandbox_message_filter read_filter(const struct sandbox_web_request *r)
{
	struct sandbox_message_filter f = {
		.to = sandbox_web_argument(r, "to"),
		.from = sandbox_web_argument(r, "from"),
		.subject = sandbox_web_argument(r, "subject"),
	};

	(void)!sv_parse_u64(sandbox_web_argument(r, "after"), UINT64_MAX, &f.after);
	return f;
}

static enum MHD_Result list_messages(struct sandbox_api *a, struct sandbox_web_request *r)
{
	struct sandbox_message_filter f = read_filter(r);
	struct sv mailbox = sandbox_web_argument(r, "mailbox");
	const struct sandbox_messages *from = a->sandbox->messages;
	const struct sandbox_message *m;
	json_t *all = json_array();

	if (mailbox.len) {
		from = a->sandbox->inboxes;
		f.to = mailbox;
	}
	for (m = sandbox_messages_next(from, 0, &f); m;
		m = sandbox_messages_next(from, m->number, &f))
		(void)json_array_append_new(all, sandbox_message_json(m));
	return sandbox_web_json(r, MHD_HTTP_OK, all);
}

static enum MHD_Result one_attachment(
	const struct sandbox_message *m, struct sandbox_web_request *r, struct sv number)
{
	CLEANUP(buf_deinitp) struct buf bytes = BUF_INIT(m->raw_len + 1), type = BUF_INIT(256);
	uint32_t n;

	if (sv_parse_u32(number, UINT32_MAX, &n) != 0 ||
		!sandbox_message_attachment(m, n, &bytes, &type))
		return sandbox_web_error(
			r, MHD_HTTP_NOT_FOUND, "no such attachment; 1 is the first");
	return sandbox_web_send(r, MHD_HTTP_OK, buf_sv(&type).ptr, buf_sv(&bytes));
}

static enum MHD_Result one_message(struct sandbox *s, const struct sandbox_messages *from,
	struct sandbox_web_request *r, struct sv path)
{
	const struct sandbox_message *m = NULL;
	struct sv number;
	uint64_t n;

	(void)sv_cut_char(&path, '/', &number);
	if (sv_parse_u64(number, UINT64_MAX, &n) == 0)
		m = sandbox_messages_get(from, n);
	if (!m)
		return sandbox_web_error(
			r, MHD_HTTP_NOT_FOUND, "no such message (kept: the newest)");
	if (sv_eq(path, SV("raw")))
		return sandbox_web_send(
			r, MHD_HTTP_OK, "message/rfc822", sv_make(m->raw, m->raw_len));
	if (sv_starts(path, SV("attachments/")))
		return one_attachment(m, r, sv_skip(path, 12));
	if (sv_eq(path, SV("dialogue")))
		return sandbox_web_json(r, MHD_HTTP_OK, sandbox_dialogue_json(m->dialogue));
	if (sv_eq(path, SV("checks")))
		return sandbox_web_json(r, MHD_HTTP_OK, sandbox_checks(s, m));
	if (path.len)
		return sandbox_web_error(
			r, MHD_HTTP_NOT_FOUND, "known: raw, dialogue, checks, attachments/K");
	return sandbox_web_json(r, MHD_HTTP_OK, sandbox_message_parsed(m));
}

/* Answers at once when a message fits, else waits until one comes or time is up. */
static enum MHD_Result wait_message(struct sandbox_api *a, struct sandbox_web_request *r)
{
	struct sandbox_message_filter f = read_filter(r);
	const struct sandbox_message *m = sandbox_messages_next(a->sandbox->messages, 0, &f);
	struct mono_time now = io_now(a->sandbox->loop);
	uint32_t seconds = 30;

	if (m)
		return sandbox_web_json(r, MHD_HTTP_OK, sandbox_message_json(m));
	if (sandbox_web_argument(r, "timeout").len &&
		sv_parse_u32(sandbox_web_argument(r, "timeout"), WAIT_SECONDS_MAX, &seconds) != 0)
		return sandbox_web_error(
			r, MHD_HTTP_BAD_REQUEST, "timeout is in seconds, at most 600");
	if (r->until.us == 0)
		r->until = mono_add(now, seconds * US_PER_S);
	if (r->over)
		return sandbox_web_error(r, MHD_HTTP_REQUEST_TIMEOUT, "no message fitted in time");
	return sandbox_web_wait(r, mono_span(now, r->until));
}

void sandbox_api_message_arrived(struct sandbox_api *a)
{
	sandbox_web_wake(a->web);
}

/* ---- faults, settings, clock ---- */

static enum MHD_Result put_json(struct sandbox_api *a, struct sandbox_web_request *r,
	struct sv body, int (*apply)(struct sandbox *s, const json_t *value, struct err *err))
{
	json_t *value = json_loadb(body.ptr, body.len, 0, NULL);
	struct err err = { 0 };
	int rc;

	if (!value)
		return sandbox_web_error(r, MHD_HTTP_BAD_REQUEST, "the body is not JSON");
	rc = apply(a->sandbox, value, &err);
	json_decref(value);
	if (rc != 0)
		return sandbox_web_error(r, MHD_HTTP_BAD_REQUEST, err.text);
	return sandbox_web_json(r, MHD_HTTP_OK, json_object());
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

static enum MHD_Result clear_messages(struct sandbox_api *a, struct sandbox_web_request *r)
{
	sandbox_messages_clear(a->sandbox->messages);
	sandbox_messages_clear(a->sandbox->inboxes);
	sandbox_model_forget(a->sandbox->model);
	a->sandbox->totals = (struct sandbox_totals){ 0 };
	return sandbox_web_json(r, MHD_HTTP_OK, json_object());
}

static enum MHD_Result clear_faults(struct sandbox_api *a, struct sandbox_web_request *r)
{
	sandbox_faults_deinit(&a->sandbox->faults);
	return sandbox_web_json(r, MHD_HTTP_OK, json_array());
}

static enum MHD_Result reset(struct sandbox_api *a, struct sandbox_web_request *r)
{
	struct err err = { 0 };

	/* It began with the same scenario. */
	must(sandbox_reset(a->sandbox, &err) == 0);
	return sandbox_web_json(r, MHD_HTTP_OK, json_object());
}

static enum MHD_Result play_scenario(
	struct sandbox_api *a, struct sandbox_web_request *r, struct sv name)
{
	struct err err = { 0 };

	if (sandbox_scenario_apply(a->sandbox, name, &err) != 0)
		return sandbox_web_error(r, MHD_HTTP_NOT_FOUND, err.text);
	/* What is switched off must not go on working for those who are in. */
	sandbox_session_close_all(a->sandbox);
	return sandbox_web_json(r, MHD_HTTP_OK, json_object());
}

/* ---- sign-in ---- */

static int answer_login(struct sandbox *s, const json_t *value, bool allow, struct err *err)
{
	const char *code = json_string_value(json_object_get(value, "user_code"));
	const char *user = json_string_value(json_object_get(value, "user"));

	if (!code || (allow && !user))
		return err_set(err, RC_PARSE, "give \"user_code\" and \"user\"");
	if (sandbox_entra_device_answer(s->entra,
		    sv_from(code),
		    sv_from(user ? user : ""),
		    allow,
		    sandbox_instant(s).now_s) != 0)
		return err_set(err, RC_NOT_FOUND, "no device code of that name waits");
	return 0;
}

static int approve_login(struct sandbox *s, const json_t *value, struct err *err)
{
	return answer_login(s, value, true, err);
}

static int deny_login(struct sandbox *s, const json_t *value, struct err *err)
{
	return answer_login(s, value, false, err);
}

static enum MHD_Result mint_token(struct sandbox_api *a, struct sandbox_web_request *r)
{
	struct sv body = buf_sv(&r->body);
	json_t *spec = json_loadb(body.len ? body.ptr : "", body.len, 0, NULL);
	struct sandbox *s = a->sandbox;
	struct err err = { 0 };
	json_t *answer = NULL;
	int rc = sandbox_entra_mint(s->entra, spec, sandbox_instant(s), &answer, &err);

	json_decref(spec);
	if (rc != 0)
		return sandbox_web_error(r, MHD_HTTP_BAD_REQUEST, err.text);
	return sandbox_web_json(r, MHD_HTTP_OK, answer);
}

/* ---- dispatch ---- */

static enum MHD_Result serve_mailpit(struct sandbox *s, struct sandbox_web_request *r)
{
	const struct sandbox_mailpit mailpit = {
		.messages = s->messages,
		.accepted = s->totals.accepted,
		.refused = s->totals.refused,
		.uptime_s = (io_wall(s->loop).us - s->started_at.us) / (int64_t)US_PER_S,
	};

	return sandbox_mailpit_serve(&mailpit, r);
}

static enum MHD_Result serve(void *arg, struct sandbox_web_request *r)
{
	struct sandbox_api *a = arg;
	struct sandbox *s = a->sandbox;
	struct sv path = r->path, body = buf_sv(&r->body);
	bool get = sv_eq(r->method, SV("GET"));
	bool put = sv_eq(r->method, SV("PUT")) || sv_eq(r->method, SV("POST"));
	bool del = sv_eq(r->method, SV("DELETE"));

	if (r->too_large)
		return sandbox_web_error(r, MHD_HTTP_CONTENT_TOO_LARGE, "at most 1 MB");
	/* A page that the developer happens to look at may not play with it (Fetch Metadata, W3C). */
	if (!get && sv_eq_nocase(sandbox_web_field(r, "Sec-Fetch-Site"), SV("cross-site")))
		return sandbox_web_error(
			r, MHD_HTTP_FORBIDDEN, "asked for by a page of another site");
	if (get && sandbox_page_knows(path))
		return sandbox_page_serve(r);
	if (sandbox_mailpit_knows(path))
		return serve_mailpit(s, r);
	if (get && sv_eq(path, SV("/messages")))
		return list_messages(a, r);
	if (get && sv_eq(path, SV("/messages/wait")))
		return wait_message(a, r);
	if (get && sv_starts(path, SV("/messages/")))
		return one_message(s, s->messages, r, sv_skip(path, 10));
	if (get && sv_starts(path, SV("/inbox/")))
		return one_message(s, s->inboxes, r, sv_skip(path, 7));
	if (del && sv_eq(path, SV("/messages")))
		return clear_messages(a, r);
	if (get && sv_eq(path, SV("/faults")))
		return sandbox_web_json(r, MHD_HTTP_OK, sandbox_faults_json(&s->faults));
	if (put && sv_eq(path, SV("/faults")))
		return put_json(a, r, body, add_faults);
	if (del && sv_eq(path, SV("/faults")))
		return clear_faults(a, r);
	if (get && sv_eq(path, SV("/admin")))
		return sandbox_web_json(r, MHD_HTTP_OK, sandbox_admin_json(s->admin));
	if (get && sv_eq(path, SV("/settings")))
		return sandbox_web_json(r, MHD_HTTP_OK, sandbox_settings_json(s));
	if (put && sv_eq(path, SV("/settings")))
		return put_json(a, r, body, sandbox_settings_apply);
	if (put && sv_eq(path, SV("/reset")))
		return reset(a, r);
	if (put && sv_starts(path, SV("/scenario/")))
		return play_scenario(a, r, sv_skip(path, 10));
	if (get && sv_eq(path, SV("/clock")))
		return sandbox_web_json(r, MHD_HTTP_OK, clock_json(s));
	if (put && sv_eq(path, SV("/clock")))
		return put_json(a, r, body, set_clock);
	if (get && sv_eq(path, SV("/logins")))
		return sandbox_web_json(r, MHD_HTTP_OK, sandbox_entra_logins(s->entra));
	if (put && sv_eq(path, SV("/logins/approve")))
		return put_json(a, r, body, approve_login);
	if (put && sv_eq(path, SV("/logins/deny")))
		return put_json(a, r, body, deny_login);
	if (get && sv_eq(path, SV("/tokens")))
		return sandbox_web_json(r, MHD_HTTP_OK, sandbox_entra_counts(s->entra));
	if (put && sv_eq(path, SV("/tokens")))
		return mint_token(a, r);
	if (get && sv_eq(path, SV("/verdict")))
		return sandbox_web_json(r, MHD_HTTP_OK, sandbox_verdict_json(s));
	return sandbox_web_error(r,
		MHD_HTTP_NOT_FOUND,
		"unknown: /messages /messages/wait /faults /settings /scenario/NAME /reset /clock "
		"/logins /tokens /verdict");
}

struct sandbox_api *sandbox_api_open(struct sandbox *s, struct sv address, struct err *err)
{
	struct sandbox_api *a = xcalloc(1, sizeof(*a));
	struct sandbox_web_options options = {
		.loop = s->loop,
		.address = address,
		.beyond_loopback = s->options.beyond_loopback,
		.body_max = BODY_MAX,
		.fn = serve,
		.arg = a,
	};

	a->sandbox = s;
	a->web = sandbox_web_open(&options, err);
	if (!a->web) {
		free(a);
		return NULL;
	}
	return a;
}

void sandbox_api_close(struct sandbox_api *a)
{
	if (!a)
		return;
	sandbox_web_close(a->web);
	free(a);
}

int sandbox_api_port(const struct sandbox_api *a)
{
	return sandbox_web_port(a->web);
}
