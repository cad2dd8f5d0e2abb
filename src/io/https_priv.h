/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/buf.h"
#include "base/list.h"
#include "io/https.h"

#include <curl/curl.h>

enum {
	HTTPS_ANSWER_DEFAULT = 65536,
	HTTPS_HEADERS_MAX = 65536, /* bytes of header lines of one answer */
	/* Bytes of a connection beside twice the body: handshake, headers, frames of chunks and of TLS. */
	HTTPS_BESIDE_MAX = 262144,
	HTTPS_LOCATION_MAX = 4096, /* upload sessions of Graph have URLs of about 1 KB */
	HTTPS_REQUEST_ID_MAX = 64, /* a UUID */
	HTTPS_PER_HOST_MAX = 64,   /* connections; further requests wait for one of them */
	HTTPS_CONNECTIONS_MAX = 128,
	HTTPS_NAMES_MAX = 64,   /* hosts whose addresses are remembered */
	HTTPS_NAME_S = 60,      /* for so long */
	HTTPS_CA_CACHE_S = 300, /* a changed CA file is seen after so long */
	HTTPS_HOST_MAX = 256,
	HTTPS_URL_MAX = 16384,
};

/* Where a request, or the proxy, is connected to. */
struct https_place {
	char host[HTTPS_HOST_MAX]; /* "[::1]" with brackets */
	unsigned port;
	bool numeric;
};

struct io_https {
	struct io_loop *loop;
	struct io_resolver *resolver;
	CURLM *multi;
	struct io_timer timer;
	struct list requests, sockets, names;
	size_t name_count;
	char *proxy; /* NULL: none */
	struct https_place proxy_at;
	bool proxy_bad;
};

/* The addresses of one host; requests wait in it while they are asked for. */
struct https_name {
	struct io_https *h;
	struct list node, waiters;
	struct https_place at;
	struct io_resolve *query; /* NULL: answered */
	char *entry;              /* for CURLOPT_RESOLVE */
	struct mono_time good_until;
};

struct io_https_request {
	struct io_https *h;
	struct list node, waiting;
	io_https_fn *done;
	void *arg;
	bool delivering;
	struct io_timer timer;
	struct io_task task; /* queued: the outcome is known, `done` comes next */
	uint64_t timeout_us;

	CURL *easy;
	bool added; /* to the multi handle */
	struct curl_slist *headers, *resolve;
	struct https_place at, proxy_at;
	bool by_proxy;
	struct secret *secret_body;
	char *body; /* or this */
	bool once;  /* not to be sent a second time on its own */
	unsigned sent;
	char curl_words[CURL_ERROR_SIZE];

	int rc;
	char words[CURL_ERROR_SIZE + 2 * HTTPS_HOST_MAX];
	unsigned status;
	char *answer; /* wiped: it may be a token */
	size_t answer_len, answer_cap, answer_max;
	size_t header_len;
	bool too_large;
	uint64_t retry_after_us;
	char location[HTTPS_LOCATION_MAX];
	char request_id[HTTPS_REQUEST_ID_MAX];
	struct wall_time date;
};

/* Once in a process. libcurl's memory is wiped when it is given back. */
void https_curl_init(void);

/* Reads host and port of a URL; `scheme` is "https" or "http". RC_PARSE. */
NODISCARD int https_place_parse(struct sv url, const char *scheme, struct https_place *out_place);
/* Makes r->easy for the call; sets r->rc and r->words when it cannot be made. */
NODISCARD int https_prepare(struct io_https_request *r, const struct io_https_call *call);
/* Whether more has come for it than its answer can have. */
NODISCARD bool https_has_too_much(const struct io_https_request *r);
/* Words and code of what libcurl said. */
void https_fail(struct io_https_request *r, CURLcode code);
void https_request_free(struct io_https_request *r);

/*
 * Retry-After (RFC 9110 10.2.3): seconds, or a date of any of the three forms, seen from `now`.
 * Microseconds, at most an hour; 0 for what is past or unreadable.
 */
uint64_t https_retry_after(struct sv value, struct wall_time now);
/* A date of any of the three forms (RFC 9110 5.6.7); 0 for what is none. */
struct wall_time https_date(struct sv value);
