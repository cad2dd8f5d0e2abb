/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/must.h"
#include "identity/tokens_priv.h"
#include "io/file.h"
#include "io/test_ca.h"

#include <microhttpd.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <unistd.h>

#include "cmocka_all.h"

/* A token service in a thread (libmicrohttpd) that answers as it is told, and a broker that asks it. */

enum {
	GUARD_S = 60,
	BODY_MAX = 8192,
	SCRIPT_MAX = 64,
	WAITERS_MAX = 256,
};

static struct test_ca ca;

#define CLIENT_ID "11111111-2222-3333-4444-555555555555"

struct line {
	unsigned status;
	const char *retry_after; /* NULL: none */
	char body[1024];
};

struct service {
	struct MHD_Daemon *daemon;
	unsigned port;
	char *key, *chain;
	pthread_mutex_t lock; /* guards what follows */
	struct line script[SCRIPT_MAX];
	unsigned script_count, requests;
	char bodies[SCRIPT_MAX][BODY_MAX]; /* of the requests */
	char urls[SCRIPT_MAX][128];
	bool hold; /* answers wait */
	struct MHD_Connection *held;
};

struct upload {
	char bytes[BODY_MAX];
	size_t len;
};

static inline enum MHD_Result service_answer(
	struct service *s, struct MHD_Connection *c, unsigned n)
{
	const struct line *line = &s->script[n < s->script_count ? n : s->script_count - 1];
	struct MHD_Response *r;
	enum MHD_Result result;

	must(s->script_count > 0);
	r = MHD_create_response_from_buffer(
		strlen(line->body), (void *)(uintptr_t)line->body, MHD_RESPMEM_MUST_COPY);
	if (line->retry_after)
		must(MHD_add_response_header(r, "Retry-After", line->retry_after) == MHD_YES);
	result = MHD_queue_response(c, line->status, r);
	MHD_destroy_response(r);
	return result;
}

static inline enum MHD_Result service_request(void *arg, struct MHD_Connection *c, const char *url,
	const char *method, const char *version, const char *bytes, size_t *len, void **state)
{
	struct service *s = arg;
	struct upload *u = *state;
	enum MHD_Result result = MHD_YES;

	(void)version;
	if (!u) {
		*state = xcalloc(1, sizeof(*u));
		return MHD_YES;
	}
	if (*len) {
		must(u->len + *len < sizeof(u->bytes));
		memcpy(u->bytes + u->len, bytes, *len);
		u->len += *len;
		*len = 0;
		return MHD_YES;
	}
	must(pthread_mutex_lock(&s->lock) == 0);
	if (s->hold) {
		s->held = c;
		MHD_suspend_connection(c);
	} else {
		must(s->requests < SCRIPT_MAX);
		must(strcmp(method, "POST") == 0);
		memcpy(s->bodies[s->requests], u->bytes, u->len + 1);
		(void)snprintf(s->urls[s->requests], sizeof(s->urls[0]), "%s", url);
		result = service_answer(s, c, s->requests++);
	}
	must(pthread_mutex_unlock(&s->lock) == 0);
	return result;
}

static inline void service_over(
	void *arg, struct MHD_Connection *c, void **state, enum MHD_RequestTerminationCode why)
{
	(void)arg;
	(void)c;
	(void)why;
	free(*state);
	*state = NULL;
}

static inline char *read_text(const char *path)
{
	char *text = xcalloc(1, 8192);
	FILE *file = fopen(path, "r");

	assert_non_null(file);
	assert_true(fread(text, 1, 8191, file) > 0);
	assert_int_equal(fclose(file), 0);
	return text;
}

static inline void service_open(struct service *s)
{
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) } };

	assert_int_equal(pthread_mutex_init(&s->lock, NULL), 0);
	s->key = read_text(ca.key);
	s->chain = read_text(ca.chain);
	s->daemon = MHD_start_daemon(
		MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_TLS | MHD_ALLOW_SUSPEND_RESUME,
		0,
		NULL,
		NULL,
		service_request,
		s,
		MHD_OPTION_SOCK_ADDR,
		&at,
		MHD_OPTION_HTTPS_MEM_KEY,
		s->key,
		MHD_OPTION_HTTPS_MEM_CERT,
		s->chain,
		MHD_OPTION_NOTIFY_COMPLETED,
		service_over,
		NULL,
		MHD_OPTION_END);
	assert_non_null(s->daemon);
	s->port = MHD_get_daemon_info(s->daemon, MHD_DAEMON_INFO_BIND_PORT)->port;
}

static inline void service_close(struct service *s)
{
	must(pthread_mutex_lock(&s->lock) == 0);
	s->hold = false;
	if (s->held)
		MHD_resume_connection(s->held);
	must(pthread_mutex_unlock(&s->lock) == 0);
	MHD_stop_daemon(s->daemon);
	free(s->key);
	free(s->chain);
	(void)pthread_mutex_destroy(&s->lock);
}

/* What it answers next; the last one for ever. */
static inline void service_says(
	struct service *s, unsigned status, const char *retry_after, const char *body)
{
	struct line *line;

	must(pthread_mutex_lock(&s->lock) == 0);
	must(s->script_count < SCRIPT_MAX);
	line = &s->script[s->script_count++];
	line->status = status;
	line->retry_after = retry_after;
	(void)snprintf(line->body, sizeof(line->body), "%s", body);
	must(pthread_mutex_unlock(&s->lock) == 0);
}

static inline unsigned service_requests(struct service *s)
{
	unsigned n;

	must(pthread_mutex_lock(&s->lock) == 0);
	n = s->requests;
	must(pthread_mutex_unlock(&s->lock) == 0);
	return n;
}

static inline void service_hold(struct service *s, bool hold)
{
	must(pthread_mutex_lock(&s->lock) == 0);
	s->hold = hold;
	if (!hold && s->held)
		MHD_resume_connection(TAKE(s->held));
	must(pthread_mutex_unlock(&s->lock) == 0);
}

/* A request is there whose answer waits. */
static inline bool service_holds(struct service *s)
{
	bool held;

	must(pthread_mutex_lock(&s->lock) == 0);
	held = s->held != NULL;
	must(pthread_mutex_unlock(&s->lock) == 0);
	return held;
}

/* ---- the broker ---- */

struct bench;

struct waiter {
	struct bench *b;
	struct identity_token_request *request;
	unsigned answers;
	char token[256], reply[1100];
	uint64_t serial;
	struct verdict verdict;
	void (*hook)(struct waiter *w, const struct identity_token *answer);
};

struct bench {
	struct service service;
	struct io_loop *loop;
	struct io_timer guard, later;
	bool hung;
	struct io_resolver *resolver;
	struct io_https *https;
	struct io_workers *workers;
	struct identity_vault *vault;
	struct identity_tokens *tokens;
	struct conf *conf;
	char folder[64], key[96], secret[96], vault_path[96], lock_path[96];
	struct conf_secret vault_key;
	struct conf_tenant tenant;
	struct conf_lane app_lane, user_lane;
	unsigned wanted, answers;
	struct waiter waiters[WAITERS_MAX];
	unsigned count;
};

static inline void stop(void *arg)
{
	struct bench *b = arg;

	io_loop_stop(b->loop);
}

static inline void on_guard(void *arg)
{
	struct bench *b = arg;

	b->hung = true;
	io_loop_stop(b->loop);
}

static inline void write_text(const char *path, const char *text)
{
	struct err err = { 0 };

	assert_int_equal(io_file_write_durably(path, sv_from(text), 0600, &err), 0);
}

static inline struct identity_vault *bench_vault(struct bench *b)
{
	struct identity_vault *v = NULL;
	struct err err = { 0 };

	assert_int_equal(
		identity_vault_open_at(sv_from(b->folder), &b->vault_key, true, &v, &err), 0);
	return v;
}

static inline void bench_files(struct bench *b)
{
	(void)snprintf(b->folder, sizeof(b->folder), "/tmp/postern-test-XXXXXX");
	assert_non_null(mkdtemp(b->folder));
	(void)snprintf(b->key, sizeof(b->key), "%s/key", b->folder);
	(void)snprintf(b->secret, sizeof(b->secret), "%s/secret", b->folder);
	(void)snprintf(b->vault_path, sizeof(b->vault_path), "%s/vault", b->folder);
	(void)snprintf(b->lock_path, sizeof(b->lock_path), "%s/vault.lock", b->folder);
	write_text(b->key, "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff\n");
	write_text(b->secret, "Abc8Q~value\n");
	b->vault_key = (struct conf_secret){ CONF_SECRET_FILE, sv_from(b->key), { 0 } };
	b->vault = bench_vault(b);
}

/* A configuration with the two mailboxes. */
static inline struct conf *bench_conf(struct bench *b, const char *client_id)
{
	CLEANUP(buf_deinitp) struct buf text = BUF_INIT(4096);
	struct conf_findings findings;
	struct conf *c;

	assert_int_equal(buf_printf(&text,
				 "vault: { key: \"file:%s\" }\ntenants:\n"
				 "  - name: contoso\n"
				 "    id: contoso.com\n"
				 "    domains: [contoso.com]\n"
				 "    app: { client_id: %s, secret: \"file:%s\" }\n"
				 "    endpoints: { login: \"https://127.0.0.1:%u\", ca_file: %s }\n"
				 "mailboxes:\n"
				 "  - { address: erp@contoso.com, tenant: contoso, auth: app }\n"
				 "  - { address: scan@contoso.com, tenant: contoso, auth: user }\n"
				 "routes: [ { through: sender } ]\n",
				 b->key,
				 client_id,
				 b->secret,
				 b->service.port,
				 ca.ca),
		0);
	c = conf_load_text(buf_sv(&text), &findings);
	if (!c)
		fail_msg("%s", findings.items[0].text);
	conf_findings_free(&findings);
	return c;
}

/* Copies, which the tests change. */
static inline void bench_lanes(struct bench *b)
{
	b->app_lane = *conf_lane_named(b->conf, SV("erp@contoso.com"));
	b->user_lane = *conf_lane_named(b->conf, SV("scan@contoso.com"));
	b->tenant = *b->app_lane.tenant;
	b->app_lane.tenant = b->user_lane.tenant = &b->tenant;
}

static inline struct bench *bench_open(void)
{
	struct bench *b = xcalloc(1, sizeof(*b));
	struct err err = { 0 };

	service_open(&b->service);
	bench_files(b);
	b->conf = bench_conf(b, CLIENT_ID);
	bench_lanes(b);
	b->loop = io_loop_new();
	io_timer_init(&b->guard, b->loop, on_guard, b);
	io_timer_start(&b->guard, mono_add(io_now(b->loop), GUARD_S * US_PER_S));
	io_timer_init(&b->later, b->loop, stop, b);
	b->resolver = io_resolver_new(b->loop, &err);
	assert_non_null(b->resolver);
	b->https = io_https_new(
		&(struct io_https_options){ b->loop, b->resolver, sv_make(NULL, 0) }, &err);
	assert_non_null(b->https);
	b->workers = io_workers_new(b->loop, 2, 64);
	b->tokens = identity_tokens_new(
		&(struct identity_tokens_options){ b->loop, b->https, b->workers, b->vault });
	return b;
}

static inline void bench_close(struct bench *b)
{
	identity_tokens_free(b->tokens);
	io_https_free(b->https);
	io_resolver_free(b->resolver);
	io_workers_free(b->workers);
	identity_vault_free(b->vault);
	conf_unref(b->conf);
	io_loop_free(b->loop);
	service_close(&b->service);
	(void)unlink(b->key);
	(void)unlink(b->secret);
	(void)unlink(b->vault_path);
	(void)unlink(b->lock_path);
	(void)rmdir(b->folder);
	free(b);
}

static inline void on_token(void *arg, const struct identity_token *answer)
{
	struct waiter *w = arg;

	w->answers++;
	w->request = NULL;
	w->serial = answer->serial;
	w->verdict = answer->verdict;
	(void)snprintf(w->reply, sizeof(w->reply), "%.*s", SV_ARG(answer->reply));
	if (answer->token)
		(void)snprintf(
			w->token, sizeof(w->token), "%.*s", SV_ARG(secret_reveal(answer->token)));
	if (w->hook)
		w->hook(w, answer);
	if (++w->b->answers == w->b->wanted)
		io_loop_stop(w->b->loop);
}

static inline struct waiter *want(struct bench *b, const struct conf_lane *lane)
{
	struct waiter *w = &b->waiters[b->count++];
	bool later;

	assert_true(b->count <= WAITERS_MAX);
	w->b = b;
	later = identity_token_get(b->tokens, b->conf, lane, 0, on_token, w, &w->request);
	assert_int_equal(w->answers, !later);
	assert_int_equal(w->request != NULL, later);
	return w;
}

static inline void wait_for(struct bench *b, unsigned answers)
{
	b->wanted = answers;
	if (b->answers < answers)
		io_loop_run(b->loop);
	assert_false(b->hung);
	assert_int_equal(b->answers, answers);
}

static inline struct waiter *get(struct bench *b, const struct conf_lane *lane)
{
	struct waiter *w = want(b, lane);

	wait_for(b, b->count);
	return w;
}

static inline void run_a_moment(struct bench *b)
{
	io_timer_start(&b->later, mono_add(io_now(b->loop), 30 * US_PER_MS));
	io_loop_run(b->loop);
	assert_false(b->hung);
}

/* Until the service has had so many requests and no identity works. */
static inline void settle(struct bench *b, unsigned requests)
{
	bool idle = false;

	while (!idle || service_requests(&b->service) < requests) {
		run_a_moment(b);
		idle = true;
		htable_each (&b->tokens->identities, slot) {
			const struct identity *id = slot->value;

			idle = idle && id->state == IDENTITY_IDLE;
		}
	}
	assert_int_equal(service_requests(&b->service), requests);
}

static inline struct identity *only_identity(struct bench *b)
{
	struct identity *id = NULL;

	htable_each (&b->tokens->identities, slot) {
		assert_null(id);
		id = slot->value;
	}
	must(id != NULL); /* GCC knows that this does not return */
	return id;
}

/* The pause is over. */
static inline void skip_pause(struct bench *b)
{
	only_identity(b)->backoff.until = io_now(b->loop);
}

static inline void sign_in(struct bench *b, const char *token, const char *previous)
{
	struct identity_login login = { .refresh_token = secret_new(sv_from(token)),
		.previous = previous ? secret_new(sv_from(previous)) : NULL };
	struct err err = { 0 };

	(void)snprintf(
		login.client_id, sizeof(login.client_id), "%.*s", SV_ARG(b->tenant.app.client_id));
	assert_int_equal(
		identity_login_save(b->vault, SV("login/contoso/scan@contoso.com"), &login, &err),
		0);
	secret_free(login.refresh_token);
	secret_free(login.previous);
}

/* As another process finds it in the file. */
static inline void expect_login(struct bench *b, const char *token, const char *previous)
{
	struct identity_vault *v = bench_vault(b);
	struct identity_login *login = NULL;
	struct err err = { 0 };

	assert_int_equal(
		identity_login_load(v, SV("login/contoso/scan@contoso.com"), &login, &err), 0);
	assert_true(secret_eq(login->refresh_token, sv_from(token)));
	assert_int_equal(login->previous != NULL, previous != NULL);
	if (previous)
		assert_true(secret_eq(login->previous, sv_from(previous)));
	identity_login_free(login);
	identity_vault_free(v);
}

#define TOKEN(name, life) \
	"{\"token_type\":\"Bearer\",\"expires_in\":" life ",\"access_token\":\"" name "\"}"
#define ROTATED(name, refresh)                                                    \
	"{\"token_type\":\"Bearer\",\"expires_in\":3600,\"access_token\":\"" name \
	"\",\"refresh_token\":\"" refresh "\"}"
#define REFUSED(word, text) "{\"error\":\"" word "\",\"error_description\":\"" text "\"}"
