/* SPDX-License-Identifier: Apache-2.0 */
#include "io/https_priv.h"

#include "base/must.h"
#include "io/net.h"
#include "io/stream_priv.h"

#include <errno.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <pthread.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* One request of libcurl: its memory, its options, its callbacks, its errors. */

/* ---- memory ----
 * libcurl copies headers and bodies into buffers of its own, and tokens are among them: so every block
 * is wiped when it is given back. Its size stands before it. */

union block {
	size_t len;
	max_align_t align;
};

static void *block_new(size_t len)
{
	union block *b = xmalloc(sizeof(*b) + len);

	b->len = len;
	return b + 1;
}

static void block_free(void *ptr)
{
	union block *b = ptr;

	if (!ptr)
		return;
	b--;
	secret_wipe(b, sizeof(*b) + b->len);
	free(b);
}

static void *block_grow(void *ptr, size_t len)
{
	const union block *b = ptr;
	void *grown = block_new(len);

	if (ptr) {
		size_t old = b[-1].len;

		memcpy(grown, ptr, old < len ? old : len);
		block_free(ptr);
	}
	return grown;
}

static char *block_text(const char *text)
{
	size_t len = strlen(text) + 1;

	return memcpy(block_new(len), text, len);
}

static void *block_zeroes(size_t count, size_t size)
{
	size_t len;

	must(!__builtin_mul_overflow(count, size, &len));
	return memset(block_new(len), 0, len);
}

static pthread_once_t curl_once = PTHREAD_ONCE_INIT;

static void curl_init(void)
{
	must(curl_global_init_mem(CURL_GLOBAL_DEFAULT,
		     block_new,
		     block_free,
		     block_grow,
		     block_text,
		     block_zeroes) == CURLE_OK);
}

void https_curl_init(void)
{
	must(pthread_once(&curl_once, curl_init) == 0);
}

/* ---- URLs ---- */

static void free_url(CURLU **url)
{
	curl_url_cleanup(*url);
}

static void free_curl_text(char **text)
{
	curl_free(*text);
}

/* URLs may be as good as a password: those of Graph's upload sessions. */
static void free_text(char **text)
{
	if (*text)
		secret_wipe(*text, strlen(*text));
	free(*text);
}

static bool is_host(struct sv host)
{
	for (size_t i = 0; i < host.len; i++) {
		char c = ascii_lower(host.ptr[i]);

		if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '.' ||
			    c == '_'))
			return false;
	}
	return host.len > 0 && host.len < HTTPS_HOST_MAX;
}

/* Nothing that could end a header line or begin another request. */
static bool is_printable(struct sv text, bool space)
{
	for (size_t i = 0; i < text.len; i++) {
		if (text.ptr[i] <= ' ' && !(space && text.ptr[i] == ' '))
			return false;
		if (text.ptr[i] == 0x7f)
			return false;
	}
	return true;
}

int https_place_parse(struct sv url, const char *scheme, struct https_place *out_place)
{
	CLEANUP(free_url) CURLU *parts = curl_url();
	CLEANUP(free_text) char *text = NULL;
	CLEANUP(free_curl_text) char *got = NULL, *host = NULL, *port = NULL;
	char numbers[HTTPS_HOST_MAX + 8];
	struct io_address address;
	struct https_place at = { .numeric = true };
	/* A user and a password are for the proxy only. */
	unsigned flags = strcmp(scheme, "https") == 0 ? CURLU_DISALLOW_USER : 0;
	uint32_t number;

	must(parts != NULL);
	/* libcurl would take "https:///host", too. */
	if (url.len > HTTPS_URL_MAX || !is_printable(url, false) ||
		!sv_starts_nocase(url, sv_from(scheme)) ||
		!sv_starts(sv_skip(url, strlen(scheme)), SV("://")) ||
		sv_starts(sv_skip(url, strlen(scheme) + 3), SV("/")))
		return RC_PARSE;
	text = sv_dup(url);
	if (curl_url_set(parts, CURLUPART_URL, text, flags) != CURLUE_OK ||
		curl_url_get(parts, CURLUPART_SCHEME, &got, 0) != CURLUE_OK ||
		strcmp(got, scheme) != 0 ||
		curl_url_get(parts, CURLUPART_HOST, &host, 0) != CURLUE_OK ||
		curl_url_get(parts, CURLUPART_PORT, &port, CURLU_DEFAULT_PORT) != CURLUE_OK ||
		sv_parse_u32(sv_from(port), UINT16_MAX, &number) != 0 || number == 0 ||
		strlen(host) >= sizeof(at.host))
		return RC_PARSE;
	at.port = number;
	memcpy(at.host, host, strlen(host) + 1);
	(void)snprintf(numbers, sizeof(numbers), "%s:%u", host, at.port);
	if (io_address_parse(sv_from(numbers), &address) != 0 || address.any.sa_family == AF_UNIX) {
		if (!is_host(sv_from(host)))
			return RC_PARSE;
		at.numeric = false;
	}
	*out_place = at;
	return 0;
}

/* ---- what libcurl calls ---- */

static bool grow_answer(struct io_https_request *r, size_t room)
{
	size_t cap = r->answer_cap ? r->answer_cap : 4096;
	char *grown;

	if (room > r->answer_max - r->answer_len)
		return false;
	if (room <= r->answer_cap - r->answer_len)
		return true;
	while (cap < r->answer_len + room)
		cap *= 2;
	grown = xmalloc(cap);
	if (r->answer) {
		memcpy(grown, r->answer, r->answer_len);
		secret_wipe(r->answer, r->answer_len);
		free(r->answer);
	}
	r->answer = grown;
	r->answer_cap = cap;
	return true;
}

static size_t on_body(char *bytes, size_t size, size_t count, void *arg)
{
	struct io_https_request *r = arg;
	size_t len = size * count;

	if (!grow_answer(r, len)) {
		r->too_large = true;
		return 0;
	}
	if (len)
		memcpy(r->answer + r->answer_len, bytes, len);
	r->answer_len += len;
	return len;
}

static void keep(struct sv value, char *out, size_t size)
{
	if (value.len >= size || !is_printable(value, false))
		return;
	memcpy(out, value.ptr, value.len);
	out[value.len] = '\0';
}

static size_t on_header(char *bytes, size_t size, size_t count, void *arg)
{
	struct io_https_request *r = arg;
	size_t len = size * count;
	struct sv value = sv_make(bytes, len), name;

	r->header_len += len;
	if (r->header_len > HTTPS_HEADERS_MAX) {
		r->too_large = true;
		return 0;
	}
	while (value.len && (value.ptr[value.len - 1] == '\n' || value.ptr[value.len - 1] == '\r'))
		value.len--;
	if (sv_starts(value, SV("HTTP/"))) {
		/* 100 Continue has a head of its own. */
		r->location[0] = r->request_id[0] = '\0';
		r->retry_after_us = 0;
		r->date = (struct wall_time){ 0 };
	} else if (sv_cut_char(&value, ':', &name)) {
		value = sv_trim(value);
		if (sv_eq_nocase(name, SV("Retry-After"))) {
			r->retry_after_us = https_retry_after(value, io_wall(r->h->loop));
		} else if (sv_eq_nocase(name, SV("Date"))) {
			r->date = https_date(value);
		} else if (sv_eq_nocase(name, SV("Location"))) {
			keep(value, r->location, sizeof(r->location));
		} else if (sv_eq_nocase(name, SV("request-id")) ||
			   sv_eq_nocase(name, SV("x-ms-request-id"))) {
			keep(value, r->request_id, sizeof(r->request_id));
		}
	}
	return len;
}

/* After each read, also between the bytes of a proxy's answer, which libcurl reads without coming back to the loop. */
static int on_progress(
	void *arg, curl_off_t down_all, curl_off_t down, curl_off_t up_all, curl_off_t up)
{
	struct io_https_request *r = arg;

	(void)down_all;
	(void)down;
	(void)up_all;
	(void)up;
	r->too_large |= https_has_too_much(r);
	return r->too_large;
}

/*
 * libcurl sends a request again on its own when a kept connection died under it. For a POST that may
 * be a second message: its owner decides.
 */
/* The type is libcurl's. NOLINTNEXTLINE(readability-non-const-parameter) */
static int on_send(void *arg, char *peer, char *own, int peer_port, int own_port)
{
	struct io_https_request *r = arg;

	(void)peer;
	(void)own;
	(void)peer_port;
	(void)own_port;
	return r->sent++ > 0 && r->once ? CURL_PREREQFUNC_ABORT : CURL_PREREQFUNC_OK;
}

static int on_socket(void *request, curl_socket_t fd, curlsocktype purpose)
{
	(void)request;
	(void)purpose;
	io_watch_peer(fd);
	return CURL_SOCKOPT_OK;
}

/* ---- options ---- */

#define SET(r, option, value) must(curl_easy_setopt((r)->easy, (option), (value)) == CURLE_OK)

static void add_header(struct io_https_request *r, const char *begin, struct sv value)
{
	size_t len = strlen(begin) + value.len;
	char *line = xmalloc(len + 1);
	struct curl_slist *grown;

	(void)snprintf(line, len + 1, "%s%.*s", begin, SV_ARG(value));
	grown = curl_slist_append(r->headers, line);
	must(grown != NULL);
	r->headers = grown;
	secret_wipe(line, len + 1);
	free(line);
}

static int set_headers(struct io_https_request *r, const struct io_https_call *call)
{
	static const char *const plain[] = { "Expect:", NULL };
	struct curl_slist *grown;
	const char *const *lists[] = { plain, call->headers };

	for (size_t k = 0; k < COUNT_OF(lists); k++) {
		for (const char *const *h = lists[k]; h && *h; h++) {
			if (!is_printable(sv_from(*h), true))
				return RC_PARSE;
			grown = curl_slist_append(r->headers, *h);
			must(grown != NULL);
			r->headers = grown;
		}
	}
	if (call->bearer) {
		struct sv token = secret_reveal(call->bearer);

		if (token.len == 0 || token.len > HTTPS_URL_MAX || !is_printable(token, false))
			return RC_PARSE;
		add_header(r, "Authorization: Bearer ", token);
	}
	SET(r, CURLOPT_HTTPHEADER, r->headers);
	return 0;
}

static int set_body(struct io_https_request *r, const struct io_https_call *call)
{
	const char *method = call->method;
	bool get = strcmp(method, "GET") == 0, erase = strcmp(method, "DELETE") == 0;
	struct sv body = call->secret_body ? secret_reveal(call->secret_body) : call->body;

	must(get || erase || strcmp(method, "POST") == 0 || strcmp(method, "PUT") == 0 ||
		strcmp(method, "PATCH") == 0);
	r->once = strcmp(method, "POST") == 0 || strcmp(method, "PATCH") == 0;
	if (!get && strcmp(method, "POST") != 0)
		SET(r, CURLOPT_CUSTOMREQUEST, method);
	if (get || erase) {
		SET(r, CURLOPT_HTTPGET, 1L);
		return 0;
	}
	if (call->content_type.len == 0)
		body = sv_make(NULL, 0);
	if (body.len > IO_HTTPS_BODY_MAX)
		return RC_LIMIT;
	if (!is_printable(call->content_type, true))
		return RC_PARSE;
	/* Only what is secret goes into locked pages: a message may have megabytes. */
	if (call->secret_body)
		r->secret_body = secret_new(body);
	else
		r->body = xmalloc(body.len);
	if (!call->secret_body && body.len)
		memcpy(r->body, body.ptr, body.len);
	add_header(r, "Content-Type: ", call->content_type);
	SET(r, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)body.len);
	SET(r, CURLOPT_POSTFIELDS, r->body ? r->body : secret_reveal(r->secret_body).ptr);
	return 0;
}

/* libcurl's own look at the name takes the subject where there is no other (RFC 9525 6.2 does not). */
static CURLcode on_tls(CURL *easy, void *ctx, void *arg)
{
	const struct io_https_request *r = arg;
	struct sv host = sv_from(r->at.host);
	X509_VERIFY_PARAM *param = SSL_CTX_get0_param(ctx);
	char name[HTTPS_HOST_MAX];

	(void)easy;
	if (r->at.numeric && sv_starts(host, SV("[")))
		host = sv_head(sv_skip(host, 1), host.len - 2);
	(void)snprintf(name, sizeof(name), "%.*s", SV_ARG(host));
	X509_VERIFY_PARAM_set_hostflags(param, IO_TLS_HOST_FLAGS);
	return (r->at.numeric ? X509_VERIFY_PARAM_set1_ip_asc(param, name)
			      : X509_VERIFY_PARAM_set1_host(param, name, 0)) == 1
		       ? CURLE_OK
		       : CURLE_PEER_FAILED_VERIFICATION;
}

static int set_trust(struct io_https_request *r, struct sv ca_file)
{
	CLEANUP(free_text) char *file = NULL;

	SET(r, CURLOPT_SSL_VERIFYPEER, 1L);
	SET(r, CURLOPT_SSL_VERIFYHOST, 2L);
	SET(r, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
	SET(r, CURLOPT_SSL_CTX_FUNCTION, on_tls);
	SET(r, CURLOPT_SSL_CTX_DATA, r);
	SET(r, CURLOPT_CA_CACHE_TIMEOUT, (long)HTTPS_CA_CACHE_S);
	if (ca_file.len == 0)
		return 0;
	if (!is_printable(ca_file, true))
		return RC_PARSE;
	file = sv_dup(ca_file);
	SET(r, CURLOPT_CAINFO, file);
	SET(r, CURLOPT_CAPATH, NULL); /* or the system's would be good, too */
	return 0;
}

static void set_manners(struct io_https_request *r)
{
	SET(r, CURLOPT_PRIVATE, r);
	SET(r, CURLOPT_ERRORBUFFER, r->curl_words);
	SET(r, CURLOPT_NOSIGNAL, 1L);
	SET(r, CURLOPT_PROTOCOLS_STR, "https");
	SET(r, CURLOPT_FOLLOWLOCATION, 0L);
	SET(r, CURLOPT_NETRC, (long)CURL_NETRC_IGNORED);
	/* Connections are kept; docs/decisions/0013 says why not HTTP/2. */
	SET(r, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
	SET(r, CURLOPT_HTTP09_ALLOWED, 0L);
	SET(r, CURLOPT_TCP_NODELAY, 1L);
	SET(r, CURLOPT_SOCKOPTFUNCTION, on_socket);
	SET(r, CURLOPT_TIMEOUT_MS, 0L); /* ours counts from the first instant */
	SET(r, CURLOPT_USERAGENT, "postern/" POSTERN_VERSION);
	SET(r, CURLOPT_HEADEROPT, (long)CURLHEADER_SEPARATE); /* the proxy sees no token */
	SET(r, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
	SET(r, CURLOPT_WRITEFUNCTION, on_body);
	SET(r, CURLOPT_WRITEDATA, r);
	SET(r, CURLOPT_HEADERFUNCTION, on_header);
	SET(r, CURLOPT_HEADERDATA, r);
	SET(r, CURLOPT_NOPROGRESS, 0L);
	SET(r, CURLOPT_XFERINFOFUNCTION, on_progress);
	SET(r, CURLOPT_XFERINFODATA, r);
	SET(r, CURLOPT_PREREQFUNCTION, on_send);
	SET(r, CURLOPT_PREREQDATA, r);
}

static void set_proxy(struct io_https_request *r)
{
	const struct io_https *h = r->h;

	SET(r, CURLOPT_NOPROXY, "");
	/* Empty, not NULL: NULL would ask the environment. */
	SET(r, CURLOPT_PROXY, h->proxy ? h->proxy : "");
	if (!h->proxy)
		return;
	r->by_proxy = true;
	r->proxy_at = h->proxy_at;
	SET(r, CURLOPT_PROXYTYPE, (long)CURLPROXY_HTTP);
	SET(r, CURLOPT_PROXYPORT, (long)h->proxy_at.port);
	SET(r, CURLOPT_HTTPPROXYTUNNEL, 1L);
}

static int refuse(struct io_https_request *r, int rc, const char *words)
{
	r->rc = rc;
	(void)snprintf(r->words, sizeof(r->words), "%s", words);
	return rc;
}

int https_prepare(struct io_https_request *r, const struct io_https_call *call)
{
	CLEANUP(free_text) char *url = NULL;
	int rc;

	if (https_place_parse(call->url, "https", &r->at) != 0)
		return refuse(r, RC_PARSE, "the address is no https:// URL");
	if (r->h->proxy_bad)
		return refuse(r,
			RC_CONFIG,
			"the proxy of the configuration is not like http://proxy.example:3128");
	r->easy = curl_easy_init();
	must(r->easy != NULL);
	set_manners(r);
	set_proxy(r);
	url = sv_dup(call->url);
	SET(r, CURLOPT_URL, url);
	if (set_trust(r, call->ca_file) != 0)
		return refuse(
			r, RC_PARSE, "the name of the CA file has a character that no file has");
	rc = set_body(r, call);
	if (rc != 0)
		return refuse(r,
			rc,
			rc == RC_LIMIT
				? "what is to be sent is too large"
				: "the content type has a character that no header may have");
	if (set_headers(r, call) != 0)
		return refuse(r,
			RC_PARSE,
			"the token or a header has a character that no header may have");
	return 0;
}

/* ---- errors ---- */

static int connect_rc(const struct io_https_request *r)
{
	long error = 0;

	if (curl_easy_getinfo(r->easy, CURLINFO_OS_ERRNO, &error) != CURLE_OK || error <= 0 ||
		error >= 1000)
		return -ECONNREFUSED;
	return (int)-error;
}

static int rc_of(const struct io_https_request *r, CURLcode code)
{
	/* libcurl has a hundred codes; what is not here is an end of the connection. */
	/* NOLINTNEXTLINE */
	switch ((int)code) {
	case CURLE_COULDNT_RESOLVE_HOST:
	case CURLE_COULDNT_RESOLVE_PROXY:
		return RC_DNS;
	case CURLE_COULDNT_CONNECT:
		return connect_rc(r);
	case CURLE_SSL_CONNECT_ERROR:
	case CURLE_PEER_FAILED_VERIFICATION:
	case CURLE_SSL_CERTPROBLEM:
	case CURLE_SSL_CIPHER:
	case CURLE_SSL_CACERT_BADFILE:
	case CURLE_SSL_ISSUER_ERROR:
	case CURLE_SSL_ENGINE_INITFAILED:
		return RC_TLS;
	case CURLE_OPERATION_TIMEDOUT:
		return RC_TIMEOUT;
	case CURLE_WRITE_ERROR:
		return RC_LIMIT;
	case CURLE_URL_MALFORMAT:
	case CURLE_UNSUPPORTED_PROTOCOL:
		return RC_PARSE;
	default:
		return RC_CLOSED;
	}
}

void https_fail(struct io_https_request *r, CURLcode code)
{
	const char *why = r->curl_words[0] ? r->curl_words : curl_easy_strerror(code);
	const char *host = r->at.host, *proxy = r->proxy_at.host;
	long by_proxy = 0;

	(void)curl_easy_getinfo(r->easy, CURLINFO_HTTP_CONNECTCODE, &by_proxy);
	r->rc = r->too_large ? RC_LIMIT : rc_of(r, code);
	if (r->by_proxy && by_proxy >= 300) {
		r->rc = by_proxy == 407 ? RC_CONFIG : -ECONNREFUSED;
		(void)snprintf(r->words,
			sizeof(r->words),
			by_proxy == 407 ? "the proxy %s needs a user and a password (407)"
					: "the proxy %s does not connect to %s (%ld)",
			proxy,
			host,
			by_proxy);
		return;
	}
	if (r->too_large)
		why = "the answer is larger than postern takes";
	else if (code == CURLE_ABORTED_BY_CALLBACK)
		why = "the connection closed before an answer came";
	else if (code == CURLE_COULDNT_CONNECT)
		why = rc_text(r->rc);
	if (r->by_proxy && code == CURLE_COULDNT_CONNECT)
		host = proxy;
	(void)snprintf(r->words,
		sizeof(r->words),
		"%s%s: %s",
		host == proxy ? "the proxy " : "",
		host,
		why);
}

void https_request_free(struct io_https_request *r)
{
	if (r->easy)
		curl_easy_cleanup(r->easy);
	curl_slist_free_all(r->headers);
	curl_slist_free_all(r->resolve);
	secret_free(r->secret_body);
	free(r->body);
	if (r->answer) {
		secret_wipe(r->answer, r->answer_len);
		free(r->answer);
	}
	secret_wipe(r, sizeof(*r));
	free(r);
}
