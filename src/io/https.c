/* SPDX-License-Identifier: Apache-2.0 */
#include "io/https.h"

#include "base/limits.h"
#include "base/must.h"
#include "io/https_priv.h"

#include <linux/tcp.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/*
 * libcurl's multi handle on our loop. It names its sockets by a callback, each gets a watch, and one
 * timer serves its deadlines. It never looks a name up, since that would start a thread for each: the
 * resolver asks, and the addresses are laid into its cache before the request begins.
 *
 * A request goes: prepared -> waits in a name -> with libcurl -> finished, its task posted -> `done`.
 * No callback of libcurl calls an owner, so owners may start, cancel and free whenever they run.
 */

struct https_socket {
	struct list node;
	struct io_https *h;
	struct io_watch *watch;
	curl_socket_t fd;
	unsigned events;
	struct io_https_request *request; /* that it serves; NULL: none */
	uint64_t before;                  /* what had come when that request got it */
};

/* ---- outcomes ---- */

static void leave_multi(struct io_https_request *r)
{
	if (r->added)
		must(curl_multi_remove_handle(r->h->multi, r->easy) == CURLM_OK);
	r->added = false;
	list_each (at, &r->h->sockets) {
		struct https_socket *s = list_entry(at, struct https_socket, node);

		if (s->request == r)
			s->request = NULL;
	}
}

static void finish(struct io_https_request *r)
{
	io_timer_stop(&r->timer);
	list_remove(&r->waiting);
	leave_multi(r);
	if (r->easy)
		curl_easy_cleanup(TAKE(r->easy));
	io_task_post(r->h->loop, &r->task);
}

static void deliver(void *arg)
{
	struct io_https_request *r = arg;
	struct io_https_answer answer = {
		.rc = r->rc,
		.status = r->rc == 0 ? r->status : 0,
		.body = r->rc == 0 ? sv_make(r->answer, r->answer_len) : sv_make(NULL, 0),
		.retry_after_us = r->rc == 0 ? r->retry_after_us : 0,
		.location = r->rc == 0 ? sv_from(r->location) : sv_make(NULL, 0),
		.request_id = r->rc == 0 ? sv_from(r->request_id) : sv_make(NULL, 0),
		.date = r->rc == 0 ? r->date : (struct wall_time){ 0 },
		.error = r->rc != 0 ? sv_from(r->words) : sv_make(NULL, 0),
		.began = r->rc != 0 && r->sent > 0,
	};

	list_remove(&r->node);
	r->delivering = true;
	/* The callback may free the io_https, but not this request. */
	r->done(r->arg, &answer);
	https_request_free(r);
}

static void too_late(void *arg)
{
	struct io_https_request *r = arg;

	r->rc = RC_TIMEOUT;
	(void)snprintf(r->words,
		sizeof(r->words),
		"%s: no answer within %llu seconds",
		r->at.host,
		(unsigned long long)((r->timeout_us + US_PER_S - 1) / US_PER_S));
	finish(r);
}

static void take_outcomes(struct io_https *h)
{
	int left;
	CURLMsg *m;

	while ((m = curl_multi_info_read(h->multi, &left)) != NULL) {
		struct io_https_request *r = NULL;
		CURLcode code = m->data.result;
		long status = 0;

		must(curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, &r) == CURLE_OK);
		if (code != CURLE_OK) {
			https_fail(r, code);
		} else {
			must(curl_easy_getinfo(r->easy, CURLINFO_RESPONSE_CODE, &status) ==
				CURLE_OK);
			r->rc = 0;
			r->status = (unsigned)status;
		}
		finish(r);
	}
}

/* ---- what came ---- */

/*
 * libcurl throws away without a word to us what is neither body nor header: extensions of chunks, trailers, a proxy's
 * answers. So what came is counted where nothing is left out. 0 where the kernel does not count: time ends it there.
 */
static uint64_t received(curl_socket_t fd)
{
	struct tcp_info info = { 0 };
	socklen_t len = sizeof(info);

	return getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len) == 0 ? info.tcpi_bytes_received
								       : 0;
}

bool https_has_too_much(const struct io_https_request *r)
{
	list_each (at, &r->h->sockets) {
		const struct https_socket *s = list_entry(at, struct https_socket, node);

		if (s->request == r)
			return received(s->fd) > s->before + 2 * r->answer_max + HTTPS_BESIDE_MAX;
	}
	return false;
}

/* ---- libcurl's sockets and timer ---- */

static struct https_socket *find_socket(struct io_https *h, curl_socket_t fd)
{
	list_each (at, &h->sockets) {
		struct https_socket *s = list_entry(at, struct https_socket, node);

		if (s->fd == fd)
			return s;
	}
	return NULL;
}

static void on_watch(void *arg, unsigned events)
{
	const struct https_socket *s = arg;
	struct io_https *h = s->h;
	curl_socket_t fd = s->fd;
	int running;

	must(curl_multi_socket_action(h->multi,
		     fd,
		     (events & IO_READABLE ? CURL_CSELECT_IN : 0) |
			     (events & IO_WRITABLE ? CURL_CSELECT_OUT : 0),
		     &running) == CURLM_OK);
	take_outcomes(h);
	/* An error has paused the watch, and libcurl may not have given the socket up. */
	s = find_socket(h, fd);
	if (s)
		io_watch_set(s->watch, s->events);
}

static struct https_socket *socket_new(struct io_https *h, curl_socket_t fd)
{
	struct https_socket *s = xcalloc(1, sizeof(*s));

	s->h = h;
	s->fd = fd;
	s->watch = io_watch_new(h->loop, fd, 0, on_watch, s);
	if (!s->watch) {
		free(s);
		return NULL;
	}
	list_append(&h->sockets, &s->node);
	return s;
}

static void socket_free(struct https_socket *s)
{
	io_watch_free(s->watch);
	list_remove(&s->node);
	free(s);
}

static int on_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *socket)
{
	struct io_https *h = arg;
	struct https_socket *s = socket;
	struct io_https_request *r = NULL;

	if (what == CURL_POLL_REMOVE) {
		if (s)
			socket_free(s);
		return 0;
	}
	if (!s) {
		/* One that was closed without a word would stand in the way of its successor. */
		s = find_socket(h, fd);
		if (s)
			socket_free(s);
		s = socket_new(h, fd);
		if (!s)
			return 0; /* the request ends by its timeout */
		must(curl_multi_assign(h->multi, fd, s) == CURLM_OK);
	}
	must(curl_easy_getinfo(easy, CURLINFO_PRIVATE, &r) == CURLE_OK);
	if (s->request != r) {
		s->request = r;
		s->before = received(fd);
	}
	s->events = (what & CURL_POLL_IN ? (unsigned)IO_READABLE : 0) |
		    (what & CURL_POLL_OUT ? (unsigned)IO_WRITABLE : 0);
	io_watch_set(s->watch, s->events);
	return 0;
}

static int on_timeout(CURLM *multi, long ms, void *arg)
{
	struct io_https *h = arg;

	(void)multi;
	if (ms < 0)
		io_timer_stop(&h->timer);
	else
		io_timer_start(&h->timer, mono_add(io_now(h->loop), (uint64_t)ms * US_PER_MS));
	return 0;
}

static void on_timer(void *arg)
{
	struct io_https *h = arg;
	int running;

	must(curl_multi_socket_action(h->multi, CURL_SOCKET_TIMEOUT, 0, &running) == CURLM_OK);
	take_outcomes(h);
}

/* ---- names ---- */

static void launch(struct io_https_request *r, const char *entry)
{
	if (entry) {
		r->resolve = curl_slist_append(NULL, entry);
		must(r->resolve != NULL);
		must(curl_easy_setopt(r->easy, CURLOPT_RESOLVE, r->resolve) == CURLE_OK);
	}
	must(curl_multi_add_handle(r->h->multi, r->easy) == CURLM_OK);
	r->added = true;
}

static const struct https_place *peer_of(const struct io_https_request *r)
{
	return r->by_proxy ? &r->proxy_at : &r->at;
}

static void name_free(struct https_name *n)
{
	must(list_empty(&n->waiters));
	io_resolve_cancel(n->query);
	list_remove(&n->node);
	n->h->name_count--;
	free(n->entry);
	free(n);
}

/* "host:port:address,[address]" */
static char *entry_of(
	const struct https_place *at, const struct io_address *addresses, size_t count)
{
	struct buf text = BUF_INIT(HTTPS_HOST_MAX + LIMIT_HOST_ADDRESSES * IO_ADDRESS_TEXT_MAX);
	char one[IO_ADDRESS_TEXT_MAX];
	char *entry;

	must(buf_printf(&text, "%s:%u:", at->host, at->port) == 0);
	for (size_t i = 0; i < count; i++) {
		struct sv address = sv_from(io_address_text(&addresses[i].any, one));

		address.len = (size_t)sv_rfind_char(address, ':');
		must(buf_printf(&text, "%s%.*s", i ? "," : "", SV_ARG(address)) == 0);
	}
	entry = sv_dup(buf_sv(&text));
	buf_deinit(&text);
	return entry;
}

static void on_addresses(void *arg, int rc, const struct io_address *addresses, size_t count)
{
	struct https_name *n = arg;
	struct io_https *h = n->h;

	n->query = NULL;
	if (rc == 0) {
		n->entry = entry_of(&n->at, addresses, count);
		n->good_until = mono_add(io_now(h->loop), HTTPS_NAME_S * US_PER_S);
	}
	while (!list_empty(&n->waiters)) {
		struct io_https_request *r =
			list_entry(n->waiters.next, struct io_https_request, waiting);

		list_remove(&r->waiting);
		if (rc == 0) {
			launch(r, n->entry);
			continue;
		}
		r->rc = rc;
		(void)snprintf(r->words,
			sizeof(r->words),
			rc == RC_NO_NAME ? "%s%s: the name does not exist"
					 : "%s%s: the name cannot be resolved now",
			r->by_proxy ? "the proxy " : "",
			n->at.host);
		finish(r);
	}
	if (rc != 0)
		name_free(n);
}

static struct https_name *find_name(struct io_https *h, const struct https_place *at)
{
	struct https_name *oldest = NULL;

	list_each_safe (node, after, &h->names) {
		struct https_name *n = list_entry(node, struct https_name, node);

		if (!n->query && !mono_before(io_now(h->loop), n->good_until))
			name_free(n);
		else if (n->at.port == at->port &&
			 sv_eq_nocase(sv_from(n->at.host), sv_from(at->host)))
			return n;
		else if (!n->query && !oldest)
			oldest = n;
	}
	if (h->name_count >= HTTPS_NAMES_MAX && oldest)
		name_free(oldest);
	return NULL;
}

static void resolve(struct io_https_request *r)
{
	struct io_https *h = r->h;
	const struct https_place *at = peer_of(r);
	struct https_name *n;

	if (at->numeric) {
		launch(r, NULL);
		return;
	}
	n = find_name(h, at);
	if (n && !n->query) {
		launch(r, n->entry);
		return;
	}
	if (!n) {
		n = xcalloc(1, sizeof(*n));
		n->h = h;
		n->at = *at;
		list_init(&n->waiters);
		list_append(&h->names, &n->node);
		h->name_count++;
		n->query = io_resolve_host(
			h->resolver, sv_from(at->host), (uint16_t)at->port, on_addresses, n);
	}
	list_append(&n->waiters, &r->waiting);
}

/* ---- requests ---- */

struct io_https_request *io_https_start(
	struct io_https *h, const struct io_https_call *call, io_https_fn *done, void *arg)
{
	struct io_https_request *r = xcalloc(1, sizeof(*r));

	r->h = h;
	r->done = done;
	r->arg = arg;
	r->answer_max = call->answer_max ? call->answer_max : HTTPS_ANSWER_DEFAULT;
	r->timeout_us = call->timeout_us ? call->timeout_us : US_PER_MIN;
	r->task = (struct io_task){ .run = deliver, .arg = r };
	list_init(&r->waiting);
	list_append(&h->requests, &r->node);
	io_timer_init(&r->timer, h->loop, too_late, r);
	io_timer_start(&r->timer, mono_add(io_now(h->loop), r->timeout_us));
	if (https_prepare(r, call) == 0)
		resolve(r);
	else
		finish(r);
	return r;
}

void io_https_cancel(struct io_https_request *r)
{
	if (!r || r->delivering)
		return;
	io_timer_stop(&r->timer);
	io_task_cancel(r->h->loop, &r->task);
	list_remove(&r->waiting);
	list_remove(&r->node);
	leave_multi(r);
	https_request_free(r);
}

/* ---- the whole ---- */

/* There may be a password in it. */
static void forget_proxy(struct io_https *h)
{
	if (h->proxy)
		secret_wipe(h->proxy, strlen(h->proxy));
	free(TAKE(h->proxy));
}

void io_https_set_proxy(struct io_https *h, struct sv proxy)
{
	forget_proxy(h);
	h->proxy_bad = false;
	if (proxy.len == 0)
		return;
	/* A bad one stops everything: to go around it is not ours to decide. */
	h->proxy_bad = https_place_parse(proxy, "http", &h->proxy_at) != 0;
	if (!h->proxy_bad)
		h->proxy = sv_dup(proxy);
}

struct io_https *io_https_new(const struct io_https_options *options, struct err *err)
{
	struct io_https *h;

	https_curl_init();
	h = xcalloc(1, sizeof(*h));
	h->loop = options->loop;
	h->resolver = options->resolver;
	list_init(&h->requests);
	list_init(&h->sockets);
	list_init(&h->names);
	io_timer_init(&h->timer, h->loop, on_timer, h);
	h->multi = curl_multi_init();
	must(h->multi != NULL);
	must(curl_multi_setopt(h->multi, CURLMOPT_SOCKETFUNCTION, on_socket) == CURLM_OK);
	must(curl_multi_setopt(h->multi, CURLMOPT_SOCKETDATA, h) == CURLM_OK);
	must(curl_multi_setopt(h->multi, CURLMOPT_TIMERFUNCTION, on_timeout) == CURLM_OK);
	must(curl_multi_setopt(h->multi, CURLMOPT_TIMERDATA, h) == CURLM_OK);
	/* Busy ones count, too: with less a connection would be closed instead of kept. */
	must(curl_multi_setopt(h->multi, CURLMOPT_MAXCONNECTS, (long)HTTPS_CONNECTIONS_MAX) ==
		CURLM_OK);
	must(curl_multi_setopt(h->multi, CURLMOPT_MAX_HOST_CONNECTIONS, (long)HTTPS_PER_HOST_MAX) ==
		CURLM_OK);
	must(curl_multi_setopt(h->multi,
		     CURLMOPT_MAX_TOTAL_CONNECTIONS,
		     (long)HTTPS_CONNECTIONS_MAX) == CURLM_OK);
	io_https_set_proxy(h, options->proxy);
	if (h->proxy_bad) {
		(void)err_set(err, RC_CONFIG, "the proxy must be like http://proxy.example:3128");
		io_https_free(h);
		return NULL;
	}
	return h;
}

void io_https_free(struct io_https *h)
{
	if (!h)
		return;
	list_each_safe (at, after, &h->requests)
		io_https_cancel(list_entry(at, struct io_https_request, node));
	list_each_safe (at, after, &h->names)
		name_free(list_entry(at, struct https_name, node));
	/* Watches go before their descriptors, and libcurl closes those without a word. */
	must(curl_multi_setopt(h->multi, CURLMOPT_SOCKETFUNCTION, NULL) == CURLM_OK);
	must(curl_multi_setopt(h->multi, CURLMOPT_TIMERFUNCTION, NULL) == CURLM_OK);
	list_each_safe (at, after, &h->sockets)
		socket_free(list_entry(at, struct https_socket, node));
	must(curl_multi_cleanup(h->multi) == CURLM_OK);
	io_timer_stop(&h->timer);
	forget_proxy(h);
	free(h);
}
