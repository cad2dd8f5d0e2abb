/* SPDX-License-Identifier: Apache-2.0 */
#include "base/buf.h"
#include "base/limits.h"
#include "base/list.h"
#include "base/must.h"
#include "io/confine.h"
#include "io/log.h"
#include "io/net.h"

#include <ares.h>
#include <netdb.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

/*
 * c-ares on our loop: it names its sockets by a callback, each gets a watch, and one timer serves its
 * retries. A query cannot be taken back from c-ares, so a cancelled one is only forgotten.
 */
enum {
	QUERY_MS = 5000,
	QUERY_TRIES = 3,
	WATCHES_MAX = 32,
	CLASS_IN = 1,
	TYPE_MX = 15,
};

#define CONFIG "/etc/resolv.conf"

struct io_resolver {
	struct io_loop *loop;
	ares_channel channel;
	bool open;
	struct io_timer timer;
	struct timespec config_seen; /* mtime of resolv.conf at ares_init */
	size_t running;
	char *servers; /* NULL: what resolv.conf names */
	struct resolver_watch {
		struct io_resolver *resolver;
		struct io_watch *watch;
		ares_socket_t fd;
		unsigned events;
	} watches[WATCHES_MAX];
	struct list starting; /* queries whose first round has not come */
};

struct io_resolve {
	struct io_resolver *resolver;
	io_resolve_fn *fn; /* all NULL: cancelled */
	io_mx_fn *mx_fn;
	void *arg;
	uint16_t port;
	char *host; /* until it starts */
	struct io_task task;
	struct list node;
};

static void free_text(char **text)
{
	free(*text);
}

static pthread_once_t library_once = PTHREAD_ONCE_INIT;

static void library_init(void)
{
	must(ares_library_init(ARES_LIB_INIT_ALL) == ARES_SUCCESS);
}

static void set_timer(struct io_resolver *r)
{
	struct timeval tv;

	if (!r->running || !ares_timeout(r->channel, NULL, &tv)) {
		io_timer_stop(&r->timer);
		return;
	}
	io_timer_start(&r->timer,
		mono_add(io_now(r->loop), (uint64_t)tv.tv_sec * US_PER_S + (uint64_t)tv.tv_usec));
}

static void on_timer(void *arg)
{
	struct io_resolver *r = arg;

	ares_process_fd(r->channel, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
	set_timer(r);
}

static void on_watch(void *arg, unsigned events)
{
	struct resolver_watch *w = arg;
	struct io_resolver *r = w->resolver;
	ares_socket_t fd = w->fd;

	ares_process_fd(r->channel,
		events & IO_READABLE ? fd : ARES_SOCKET_BAD,
		events & IO_WRITABLE ? fd : ARES_SOCKET_BAD);
	/* An error has paused the watch, and c-ares may not have given the socket up. */
	if (w->watch && w->fd == fd)
		io_watch_set(w->watch, w->events);
	set_timer(r);
}

static void on_socket_state(void *arg, ares_socket_t fd, int readable, int writable)
{
	struct io_resolver *r = arg;
	unsigned events =
		(readable ? (unsigned)IO_READABLE : 0) | (writable ? (unsigned)IO_WRITABLE : 0);
	struct resolver_watch *empty = NULL;

	for (size_t i = 0; i < WATCHES_MAX; i++) {
		struct resolver_watch *w = &r->watches[i];

		if (!w->watch) {
			empty = empty ? empty : w;
			continue;
		}
		if (w->fd != fd)
			continue;
		if (events) {
			w->events = events;
			io_watch_set(w->watch, events);
			return;
		}
		io_watch_free(w->watch);
		w->watch = NULL;
		return;
	}
	/* Past the last place the query ends by its timeout. */
	if (!events || !empty)
		return;
	empty->resolver = r;
	empty->fd = fd;
	empty->events = events;
	empty->watch = io_watch_new(r->loop, fd, events, on_watch, empty);
}

static int open_channel(struct io_resolver *r)
{
	char lookups[] = "fb"; /* /etc/hosts first, then DNS */
	struct ares_options options = {
		.timeout = QUERY_MS,
		.tries = QUERY_TRIES,
		.sock_state_cb = on_socket_state,
		.sock_state_cb_data = r,
		.lookups = lookups,
	};
	struct stat st;

	if (stat(CONFIG, &st) == 0)
		r->config_seen = st.st_mtim;
	if (ares_init_options(&r->channel,
		    &options,
		    ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_SOCK_STATE_CB |
			    ARES_OPT_LOOKUPS) != ARES_SUCCESS)
		return RC_DNS;
	r->open = true;
	if (r->servers && ares_set_servers_ports_csv(r->channel, r->servers) != ARES_SUCCESS) {
		ares_destroy(r->channel);
		r->open = false;
		return RC_PARSE;
	}
	return 0;
}

/* The network may come up, or change, long after we did. */
static void follow_config(struct io_resolver *r)
{
	struct stat st;

	if (!r->open) {
		(void)open_channel(r);
		return;
	}
	if (r->running || stat(CONFIG, &st) != 0 ||
		(st.st_mtim.tv_sec == r->config_seen.tv_sec &&
			st.st_mtim.tv_nsec == r->config_seen.tv_nsec))
		return;
	/* Better those that we know than the library's own guess. */
	if (!io_confine_may_read(CONFIG)) {
		log_line(LOG_WARN,
			"dns",
			CONFIG " was replaced, and this daemon, which runs as root, may read only "
			       "the old one: the name servers stay as they are; restart it");
		r->config_seen = st.st_mtim;
		return;
	}
	ares_destroy(r->channel);
	r->open = false;
	(void)open_channel(r);
}

struct io_resolver *io_resolver_new(struct io_loop *l, struct err *err)
{
	struct io_resolver *r = xcalloc(1, sizeof(*r));

	must(pthread_once(&library_once, library_init) == 0);
	r->loop = l;
	list_init(&r->starting);
	io_timer_init(&r->timer, l, on_timer, r);
	if (open_channel(r) != 0) {
		(void)err_set(err, RC_DNS, "the DNS resolver cannot start (" CONFIG ")");
		free(r);
		return NULL;
	}
	return r;
}

int io_resolver_use(struct io_resolver *r, struct sv servers)
{
	must(r->running == 0);
	free(TAKE(r->servers));
	if (servers.len)
		r->servers = sv_dup(servers);
	if (r->open)
		ares_destroy(r->channel);
	r->open = false;
	return open_channel(r);
}

static void answer(struct io_resolve *q, int rc, const struct io_address *addresses, size_t count)
{
	io_resolve_fn *fn = q->fn;
	void *arg = q->arg;

	free(q);
	if (fn)
		fn(arg, rc, addresses, count);
}

void io_resolver_free(struct io_resolver *r)
{
	if (!r)
		return;
	list_each_safe (at, after, &r->starting) {
		struct io_resolve *q = list_entry(at, struct io_resolve, node);

		io_task_cancel(r->loop, &q->task);
		list_remove(&q->node);
		free(q->host);
		free(q);
	}
	if (r->open)
		ares_destroy(r->channel);
	io_timer_stop(&r->timer);
	for (size_t i = 0; i < WATCHES_MAX; i++)
		io_watch_free(r->watches[i].watch);
	free(r->servers);
	free(r);
}

static int rc_of(int status)
{
	if (status == ARES_SUCCESS)
		return 0;
	return status == ARES_ENOTFOUND || status == ARES_ENODATA || status == ARES_EBADNAME
		       ? RC_NO_NAME
		       : RC_DNS;
}

static size_t take_addresses(const struct ares_addrinfo *info, uint16_t port,
	struct io_address out[LIMIT_HOST_ADDRESSES])
{
	size_t count = 0;

	for (const struct ares_addrinfo_node *n = info->nodes; n && count < LIMIT_HOST_ADDRESSES;
		n = n->ai_next) {
		struct io_address *a = &out[count];

		if (n->ai_family != AF_INET && n->ai_family != AF_INET6)
			continue;
		*a = (struct io_address){ 0 };
		a->len = n->ai_family == AF_INET ? sizeof(a->v4) : sizeof(a->v6);
		memcpy(&a->any, n->ai_addr, a->len);
		/* sin_port and sin6_port stand at the same place. */
		a->v4.sin_port = htons(port);
		count++;
	}
	return count;
}

static void on_answer(void *arg, int status, int timeouts, struct ares_addrinfo *info)
{
	struct io_resolve *q = arg;
	struct io_address addresses[LIMIT_HOST_ADDRESSES];
	size_t count =
		status == ARES_SUCCESS && info ? take_addresses(info, q->port, addresses) : 0;
	int rc = rc_of(status);

	(void)timeouts;
	if (info)
		ares_freeaddrinfo(info);
	q->resolver->running--;
	if (status == ARES_EDESTRUCTION) {
		free(q);
		return;
	}
	if (rc == 0 && count == 0)
		rc = RC_NO_NAME;
	answer(q, rc, addresses, count);
}

/* ---- mail exchangers ---- */

static void answer_mx(struct io_resolve *q, int rc, const struct io_mx *mx, size_t count)
{
	io_mx_fn *fn = q->mx_fn;
	void *arg = q->arg;

	free(q);
	if (fn)
		fn(arg, rc, mx, count);
}

/* What can stand in a certificate and be asked for; "" is the root, a null MX (RFC 7505). */
static bool is_host(struct sv host)
{
	for (size_t i = 0; i < host.len; i++) {
		char c = ascii_lower(host.ptr[i]);

		if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '.' ||
			    c == '_'))
			return false;
	}
	return host.len > 0 && host.len < sizeof(((struct io_mx *)0)->host);
}

/* The best so far, in order; among equals dice decide (RFC 5321 5.1). */
struct best {
	struct io_mx mx[IO_MX_MAX];
	uint64_t keys[IO_MX_MAX];
	size_t count;
};

static void offer(struct best *b, uint16_t preference, struct sv host, struct prng *dice)
{
	uint64_t key = (uint64_t)preference << 48 | prng_next(dice) >> 16;
	size_t at = b->count;

	while (at > 0 && b->keys[at - 1] > key)
		at--;
	if (at == IO_MX_MAX)
		return;
	if (b->count < IO_MX_MAX)
		b->count++;
	for (size_t i = b->count - 1; i > at; i--) {
		b->mx[i] = b->mx[i - 1];
		b->keys[i] = b->keys[i - 1];
	}
	b->keys[at] = key;
	b->mx[at] = (struct io_mx){ .preference = preference };
	memcpy(b->mx[at].host, host.ptr, host.len);
}

static void on_mx(void *arg, int status, int timeouts, unsigned char *bytes, int len)
{
	struct io_resolve *q = arg;
	struct ares_mx_reply *list = NULL;
	struct best best = { .count = 0 };
	int rc;

	(void)timeouts;
	q->resolver->running--;
	if (status == ARES_EDESTRUCTION) {
		free(q);
		return;
	}
	if (status == ARES_SUCCESS)
		status = ares_parse_mx_reply(bytes, len, &list);
	for (const struct ares_mx_reply *m = list; m; m = m->next) {
		if (is_host(sv_from(m->host)))
			offer(&best, m->priority, sv_from(m->host), io_prng(q->resolver->loop));
	}
	if (list)
		ares_free_data(list);
	rc = rc_of(status);
	if (rc == 0 && best.count == 0)
		rc = RC_NO_NAME;
	answer_mx(q, rc, best.mx, rc == 0 ? best.count : 0);
}

static void start_mx(void *arg)
{
	struct io_resolve *q = arg;
	struct io_resolver *r = q->resolver;
	CLEANUP(free_text) char *domain = TAKE(q->host);

	list_remove(&q->node);
	if (!q->mx_fn) {
		free(q);
		return;
	}
	follow_config(r);
	if (!r->open) {
		answer_mx(q, RC_DNS, NULL, 0);
		return;
	}
	r->running++;
	ares_query(r->channel, domain, CLASS_IN, TYPE_MX, on_mx, q);
	set_timer(r);
}

/* ---- hosts ---- */

static bool parse_numeric(struct sv host, uint16_t port, struct io_address *out)
{
	char text[IO_ADDRESS_TEXT_MAX];
	bool v6 = sv_find_char(host, ':') >= 0;
	int n;

	if (host.len > INET6_ADDRSTRLEN || sv_eq(host, SV("*")))
		return false;
	n = snprintf(
		text, sizeof(text), v6 ? "[%.*s]:%u" : "%.*s:%u", SV_ARG(host), (unsigned)port);
	return n > 0 && io_address_parse(sv_make(text, (size_t)n), out) == 0 &&
	       out->any.sa_family != AF_UNIX;
}

/* On a round of its own, so that no answer can come before io_resolve_host() has returned. */
static void start(void *arg)
{
	struct io_resolve *q = arg;
	struct io_resolver *r = q->resolver;
	struct ares_addrinfo_hints hints = { .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM };
	struct io_address address;
	CLEANUP(free_text) char *host = TAKE(q->host);

	list_remove(&q->node);
	if (!q->fn || parse_numeric(sv_from(host), q->port, &address)) {
		answer(q, 0, &address, 1);
		return;
	}
	follow_config(r);
	if (!r->open) {
		answer(q, RC_DNS, NULL, 0);
		return;
	}
	r->running++;
	ares_getaddrinfo(r->channel, host, NULL, &hints, on_answer, q);
	set_timer(r);
}

static struct io_resolve *ask(
	struct io_resolver *r, struct sv name, void (*run)(void *arg), void *arg)
{
	struct io_resolve *q = xcalloc(1, sizeof(*q));

	*q = (struct io_resolve){ .resolver = r, .arg = arg };
	q->host = sv_dup(name);
	q->task = (struct io_task){ .run = run, .arg = q };
	list_append(&r->starting, &q->node);
	io_task_post(r->loop, &q->task);
	return q;
}

struct io_resolve *io_resolve_host(
	struct io_resolver *r, struct sv host, uint16_t port, io_resolve_fn *fn, void *arg)
{
	struct io_resolve *q = ask(r, host, start, arg);

	q->fn = fn;
	q->port = port;
	return q;
}

struct io_resolve *io_resolve_mx(struct io_resolver *r, struct sv domain, io_mx_fn *fn, void *arg)
{
	struct io_resolve *q = ask(r, domain, start_mx, arg);

	q->mx_fn = fn;
	return q;
}

void io_resolve_cancel(struct io_resolve *q)
{
	if (!q)
		return;
	q->fn = NULL;
	q->mx_fn = NULL;
}
