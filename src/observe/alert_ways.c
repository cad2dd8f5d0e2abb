/* SPDX-License-Identifier: Apache-2.0 */
#include "base/must.h"
#include "base/text.h"
#include "identity/secrets.h"
#include "io/log.h"
#include "io/spawn.h"
#include "observe/alerts_priv.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>

/*
 * Each way has a queue of its own, so that a webhook that hangs does not keep the mail back, and sends one
 * alert at a time, in the order of the events.
 */
enum {
	WEBHOOK_TIMEOUT_S = 20,
};

/* ---- queues ---- */

static void alert_free(struct alert *alert)
{
	if (!alert)
		return;
	free(alert->json);
	free(alert->subject);
	free(alert->text);
	free(alert->lane);
	free(alert);
}

static void next(struct alert_way *w)
{
	if (w->busy || list_empty(&w->queue))
		return;
	w->busy = list_entry(w->queue.next, struct alert, node);
	list_remove(&w->busy->node);
	w->count--;
	w->tries = 0;
	/* Not at once: an event comes in the middle of somebody else's work. */
	io_timer_start(&w->timer, io_now(w->a->loop));
}

static void on_timer(void *arg)
{
	struct alert_way *w = arg;

	if (!w->busy)
		return;
	w->tries++;
	w->send(w);
}

void alert_way_put(struct alert_way *w, const struct alert *alert)
{
	struct alert *copy;

	if (w->count == ALERT_QUEUE_MAX) {
		log_line(LOG_WARN,
			"alert",
			"%s: too many alerts wait: this one is only in the log: %s",
			w->name,
			alert->subject);
		return;
	}
	copy = xcalloc(1, sizeof(*copy));
	copy->json = sv_dup(sv_from(alert->json));
	copy->subject = sv_dup(sv_from(alert->subject));
	copy->text = sv_dup(sv_from(alert->text));
	copy->lane = sv_dup(sv_from(alert->lane));
	list_append(&w->queue, &copy->node);
	w->count++;
	next(w);
}

void alert_way_done(struct alert_way *w, enum alert_outcome outcome, const char *why)
{
	static const unsigned pauses_s[ALERT_TRIES_MAX - 1] = { 2, 10, 60, 300, 1200, 3600 };

	if (outcome == ALERT_AGAIN && w->tries < ALERT_TRIES_MAX) {
		log_line(LOG_WARN, "alert", "%s: %s: trying again", w->name, why);
		io_timer_start(
			&w->timer, mono_add(io_now(w->a->loop), pauses_s[w->tries - 1] * US_PER_S));
		return;
	}
	if (outcome != ALERT_DONE)
		log_line(LOG_ERROR,
			"alert",
			"%s: %s: this alert did not go out: %s",
			w->name,
			why,
			w->busy->subject);
	alert_free(w->busy);
	w->busy = NULL;
	next(w);
}

/* ---- what a worker does: the secret of the webhook, the command ---- */

struct alert_job {
	struct alert_way *w;
	struct conf *conf;
	struct identity_vault *vault;
	char *json;
	struct secret *key;
	int rc;
	char why[512];
};

static void job_free(struct alert_job *j)
{
	secret_free(j->key);
	conf_unref(j->conf);
	free(j->json);
	free(j);
}

static void start_job(struct alert_way *w, void (*run)(void *arg), void (*done)(void *arg))
{
	struct alert_job *j = xcalloc(1, sizeof(*j));

	j->w = w;
	j->conf = conf_ref(w->a->conf);
	j->vault = w->a->vault;
	j->json = sv_dup(sv_from(w->busy->json));
	if (io_workers_run(w->a->workers, run, done, j) == 0)
		return;
	job_free(j);
	alert_way_done(w, ALERT_AGAIN, "all workers are busy");
}

/* ---- webhook ---- */

void observe_alert_sign(
	struct sv key, int64_t seconds, struct sv body, char out[OBSERVE_SIGNATURE_MAX])
{
	CLEANUP(buf_deinitp) struct buf text = BUF_INIT(IO_HTTPS_BODY_MAX);
	unsigned char mac[EVP_MAX_MD_SIZE];
	unsigned len = 0;
	int at;

	must(buf_printf(&text, "%lld.", (long long)seconds) == 0 && buf_append(&text, body) == 0);
	must(HMAC(EVP_sha256(),
		     key.ptr,
		     (int)key.len,
		     (const unsigned char *)buf_sv(&text).ptr,
		     text.len,
		     mac,
		     &len) != NULL);
	at = snprintf(out, OBSERVE_SIGNATURE_MAX, "t=%lld,v1=", (long long)seconds);
	for (unsigned i = 0; i < len; i++)
		at += snprintf(out + at, OBSERVE_SIGNATURE_MAX - (size_t)at, "%02x", mac[i]);
}

static void load_key(void *arg)
{
	struct alert_job *j = arg;
	struct err err = { 0 };
	const char *warning = NULL;

	j->rc = identity_secret_load(
		&conf_general(j->conf)->alerts.webhook_secret, j->vault, &j->key, &warning, &err);
	(void)snprintf(j->why, sizeof(j->why), "%s", err.text);
}

static void answered(void *arg, const struct io_https_answer *answer)
{
	struct alert_way *w = arg;
	char why[256];

	w->request = NULL;
	if (answer->rc == 0 && answer->status >= 200 && answer->status < 300) {
		alert_way_done(w, ALERT_DONE, "");
		return;
	}
	if (answer->rc != 0)
		(void)snprintf(why, sizeof(why), "%.*s", SV_ARG(sv_head(answer->error, 200)));
	else
		(void)snprintf(why, sizeof(why), "the receiver answered %u", answer->status);
	alert_way_done(w,
		answer->rc == 0 && answer->status >= 300 && answer->status < 500 &&
				answer->status != 408 && answer->status != 429
			? ALERT_NEVER
			: ALERT_AGAIN,
		why);
}

static void key_loaded(void *arg)
{
	struct alert_job *j = arg;
	struct alert_way *w = j->w;
	const struct conf_alerts *c = &conf_general(j->conf)->alerts;
	char signature[OBSERVE_SIGNATURE_MAX], header[OBSERVE_SIGNATURE_MAX + 32];
	const char *headers[] = { header, "User-Agent: postern/" POSTERN_VERSION, NULL };

	if (j->rc != 0) {
		alert_way_done(w, ALERT_AGAIN, j->why);
		job_free(j);
		return;
	}
	observe_alert_sign(secret_reveal(j->key),
		io_wall(w->a->loop).us / (int64_t)US_PER_S,
		sv_from(j->json),
		signature);
	(void)snprintf(header, sizeof(header), "Postern-Signature: %s", signature);
	w->request = io_https_start(w->a->https,
		&(struct io_https_call){ .method = "POST",
			.url = c->webhook_url,
			.ca_file = c->webhook_ca_file,
			.content_type = SV("application/json"),
			.body = sv_from(j->json),
			.headers = headers,
			.timeout_us = WEBHOOK_TIMEOUT_S * US_PER_S },
		answered,
		w);
	job_free(j);
}

static void webhook_send(struct alert_way *w)
{
	if (conf_general(w->a->conf)->alerts.webhook_url.len == 0)
		alert_way_done(w, ALERT_NEVER, "it is not configured any more");
	else
		start_job(w, load_key, key_loaded);
}

/* ---- command ---- */

static void run_command(void *arg)
{
	struct alert_job *j = arg;
	const struct io_command c = { .line = conf_general(j->conf)->alerts.command,
		.input = sv_from(j->json),
		.timeout_us = ALERT_COMMAND_S * US_PER_S };
	struct io_command_end end;
	int rc = io_command_run(&c, &end);

	if (rc == 0 && WIFEXITED(end.status) && WEXITSTATUS(end.status) == 0)
		return;
	j->rc = rc == 0 ? RC_STATE : rc == RC_PARSE ? RC_CONFIG : rc;
	if (rc == RC_PARSE)
		(void)snprintf(j->why, sizeof(j->why), "it has too many words");
	else if (rc == RC_TIMEOUT)
		(void)snprintf(j->why,
			sizeof(j->why),
			"it did not end within %d seconds",
			ALERT_COMMAND_S);
	else if (rc != 0)
		(void)snprintf(
			j->why, sizeof(j->why), "%s cannot be run: %s", end.program, rc_text(rc));
	else if (WIFEXITED(end.status))
		(void)snprintf(
			j->why, sizeof(j->why), "it ended with code %d", WEXITSTATUS(end.status));
	else
		(void)snprintf(
			j->why, sizeof(j->why), "it was ended by signal %d", WTERMSIG(end.status));
}

static void command_ended(void *arg)
{
	struct alert_job *j = arg;

	alert_way_done(j->w,
		j->rc == 0           ? ALERT_DONE
		: j->rc == RC_CONFIG ? ALERT_NEVER
				     : ALERT_AGAIN,
		j->why);
	job_free(j);
}

static void command_send(struct alert_way *w)
{
	if (conf_general(w->a->conf)->alerts.command.len == 0)
		alert_way_done(w, ALERT_NEVER, "it is not configured any more");
	else
		start_job(w, run_command, command_ended);
}

/* ---- life ---- */

static void init(struct alert_way *w, struct observe_alerts *a, const char *name,
	void (*send)(struct alert_way *w))
{
	*w = (struct alert_way){ .a = a, .name = name, .send = send };
	list_init(&w->queue);
	io_timer_init(&w->timer, a->loop, on_timer, w);
}

void alert_ways_init(struct observe_alerts *a)
{
	init(&a->webhook, a, "webhook", webhook_send);
	init(&a->command, a, "command", command_send);
	init(&a->mail, a, "mail", alert_mail_send);
}

static void deinit(struct alert_way *w)
{
	io_timer_stop(&w->timer);
	alert_free(w->busy);
	while (!list_empty(&w->queue)) {
		struct alert *alert = list_entry(w->queue.next, struct alert, node);

		list_remove(&alert->node);
		alert_free(alert);
	}
}

void alert_ways_deinit(struct observe_alerts *a)
{
	deinit(&a->webhook);
	deinit(&a->command);
	deinit(&a->mail);
}
