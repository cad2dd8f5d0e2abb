/* SPDX-License-Identifier: Apache-2.0 */
#include "base/must.h"
#include "base/text.h"
#include "diagnose/diagnose_priv.h"

#include <jansson.h>
#include <stdio.h>

/*
 * The mailbox through Graph. To read it would need permissions that a sender does not have; so a message
 * without any recipient is offered: whoever may not send is told so (403), whoever may is told that there are no
 * recipients (400), and nothing can leave.
 */

struct answer {
	struct diagnose *d;
	int rc;
	unsigned status;
	char code[100], message[500], error[400];
};

static void copy(char *out, size_t size, const json_t *text)
{
	const char *from = json_string_value(text);

	(void)text_line(sv_from(from ? from : ""), out, size);
}

static void on_answer(void *arg, const struct io_https_answer *a)
{
	struct answer *out = arg;
	json_t *root = json_loadb(a->body.len ? a->body.ptr : "", a->body.len, 0, NULL);
	json_t *error = json_object_get(root, "error");
	const struct smtp_mask mask = diagnose_mask(out->d);
	const struct smtp_transcript_answer told = { .status = a->status,
		.request_id = a->request_id,
		.retry_after_us = a->retry_after_us,
		.body = a->body };

	if (a->rc != 0)
		smtp_transcript_add(
			&out->d->transcript, io_now(out->d->loop), SMTP_TRANSCRIPT_NOTE, a->error);
	else
		smtp_transcript_add_answer(&out->d->transcript, io_now(out->d->loop), &told, &mask);
	out->rc = a->rc;
	out->status = a->status;
	copy(out->code, sizeof(out->code), json_object_get(error, "code"));
	copy(out->message, sizeof(out->message), json_object_get(error, "message"));
	(void)snprintf(out->error, sizeof(out->error), "%.*s", SV_ARG(a->error));
	json_decref(root);
	diagnose_done(out->d);
}

static int url_of(const struct conf_lane *l, struct buf *out)
{
	int rc = buf_printf(out, "%.*s/v1.0/users/", SV_ARG(l->tenant->graph_url));

	for (size_t i = 0; rc == 0 && i < l->name.len; i++) {
		unsigned char c = (unsigned char)l->name.ptr[i];
		bool plain = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') ||
			     (c >= 'A' && c <= 'Z') || (c && strchr("-._~@", c));

		rc = plain ? buf_append_char(out, (char)c) : buf_printf(out, "%%%02X", c);
	}
	return rc == 0 ? buf_append(out, SV("/sendMail")) : rc;
}

static void post(struct diagnose *d, struct sv mime, struct answer *out)
{
	CLEANUP(buf_deinitp) struct buf url = BUF_INIT(2048), body = BUF_INIT(16384);
	struct io_https_request *request;
	struct io_https_call call = { .method = "POST",
		.ca_file = d->lane->tenant->ca_file,
		.bearer = d->token,
		.content_type = SV("text/plain"),
		.timeout_us = DIAGNOSE_STEP_S * US_PER_S };

	*out = (struct answer){ .d = d, .rc = RC_TIMEOUT };
	/* An empty URL is refused by io_https_start(). */
	if (url_of(d->lane, &url) != 0)
		buf_reset(&url);
	must(text_base64_encode(&body, mime) == 0);
	call.url = buf_sv(&url);
	call.body = buf_sv(&body);
	smtp_transcript_add_request(
		&d->transcript, io_now(d->loop), call.method, call.url, d->token != NULL, body.len);
	request = io_https_start(d->https, &call, on_answer, out);
	if (!diagnose_wait(d))
		io_https_cancel(request);
}

static void say_refused(struct diagnose *d, const char *step, const struct answer *a)
{
	const struct provider_http_answer answer = {
		.status = a->status, .error = sv_from(a->code), .description = sv_from(a->message)
	};
	char said[700];
	struct verdict v;

	if (a->rc != 0) {
		v = provider_judge_network(d->lane->provider, a->rc);
		diagnose_say_verdict(d, step, &v, sv_from(a->error));
		return;
	}
	v = provider_judge_graph(&answer);
	/* The permission stands in the token: it is not that. */
	if (d->claims_fit && v.cause == CAUSE_MAIL_SEND_MISSING) {
		v.cause = CAUSE_APP_SCOPE_POLICY;
		v.summary = "The app has Mail.Send, but a policy keeps it from this mailbox.";
	}
	(void)snprintf(said, sizeof(said), "%u %s: %s", a->status, a->code, a->message);
	diagnose_say_verdict(d, step, &v, sv_from(said));
}

static void send_one(struct diagnose *d)
{
	CLEANUP(buf_deinitp) struct buf mime = BUF_INIT(4096);
	struct sv to = d->o.to.len ? d->o.to : d->lane->name;
	struct answer a;

	must(buf_printf(&mime,
		     "From: <%.*s>\r\nTo: <%.*s>\r\nSubject: postern check\r\nMIME-Version: 1.0\r\n"
		     "Auto-Submitted: auto-generated\r\n"
		     "Content-Type: text/plain; charset=us-ascii\r\n\r\n"
		     "This message was sent by `postern check --send` through Graph.\r\n",
		     SV_ARG(d->lane->name),
		     SV_ARG(to)) == 0);
	diagnose_begin(d, "message");
	post(d, buf_sv(&mime), &a);
	if (a.rc == 0 && a.status == 202)
		diagnose_say(d,
			"message",
			DIAGNOSE_OK,
			CAUSE_NONE,
			"Graph has taken it (202), to %.*s; what fails later comes as a bounce",
			SV_ARG(to));
	else
		say_refused(d, "message", &a);
}

void diagnose_web(struct diagnose *d)
{
	struct answer a;

	diagnose_begin(d, "mailbox");
	post(d, SV("Subject: postern check\r\n\r\n"), &a);
	if (a.rc == 0 && a.status == 400 &&
		(sv_find_nocase(sv_from(a.code), SV("Recipient")) >= 0 ||
			sv_find_nocase(sv_from(a.message), SV("recipient")) >= 0)) {
		diagnose_say(d,
			"mailbox",
			DIAGNOSE_OK,
			CAUSE_NONE,
			"the app may send as %.*s (a message without recipients was refused for "
			"that alone)",
			SV_ARG(d->lane->name));
	} else {
		say_refused(d, "mailbox", &a);
		return;
	}
	if (d->o.send)
		send_one(d);
}
