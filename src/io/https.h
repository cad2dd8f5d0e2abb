/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/err.h"
#include "base/secret.h"
#include "base/sv.h"
#include "io/loop.h"
#include "io/net.h"

/*
 * HTTPS requests on the loop (libcurl multi). Names are resolved by our resolver, certificates are
 * always verified, redirects are not followed, nothing but https:// is spoken. Connections are kept and
 * shared. One object for the daemon; one for a command of the CLI.
 */
struct io_https;
struct io_https_request;

struct io_https_options {
	struct io_loop *loop;
	struct io_resolver *resolver;
	struct sv proxy; /* "http://proxy:3128"; empty: none. The environment is not looked at */
};
/* The strings are copied. */
NODISCARD struct io_https *io_https_new(const struct io_https_options *options, struct err *err);
void io_https_free(struct io_https *h); /* running requests end without `done` */
void io_https_set_proxy(struct io_https *h, struct sv proxy);

struct io_https_answer {
	int rc; /* 0: `status` and `body` are valid; else RC_DNS, RC_TLS, RC_TIMEOUT, errno... */
	unsigned status; /* 200, 401, ... */
	struct sv body;  /* at most `answer_max`; more gives RC_LIMIT */
	uint64_t
		retry_after_us; /* of Retry-After in seconds or as a date; 0: none, at most an hour */
	struct sv location;     /* of Location; empty: none */
	struct sv request_id;   /* by which Microsoft finds it in its logs; empty: none */
	struct wall_time date; /* of Date, to the second: the server's clock; 0: none */
	struct sv error;       /* words for rc != 0; never a secret */
	/* rc != 0: whether a byte of the request may have left. False: nobody saw it (name, connect, TLS
	 * failed). True means that nobody knows what the server did. */
	bool began;
};
/* Views in `answer` are borrowed until the callback returns. It may start and cancel other requests. */
typedef void io_https_fn(void *arg, const struct io_https_answer *answer);

struct io_https_call {
	const char *method;               /* "GET", "POST", "PUT", "PATCH", "DELETE" */
	struct sv url;                    /* https://... */
	struct sv ca_file;                /* empty: the system's */
	const struct secret *bearer;      /* Authorization: Bearer; copied. NULL: none */
	struct sv content_type;           /* empty: no body is sent */
	const struct secret *secret_body; /* a body with a secret in it; copied. Or: */
	struct sv body;                   /* copied, at most IO_HTTPS_BODY_MAX */
	const char *const *headers;       /* "Name: value" ..., NULL-ended; NULL: none */
	size_t answer_max;                /* bytes of body kept; 0: 64 KiB */
	uint64_t timeout_us;              /* for the whole call; 0: a minute */
};
enum {
	IO_HTTPS_BODY_MAX = 8 << 20
};
/* `done` comes exactly once, later, unless cancelled. NULL never. Bad URLs are told through `done`. */
NODISCARD struct io_https_request *io_https_start(
	struct io_https *h, const struct io_https_call *call, io_https_fn *done, void *arg);
void io_https_cancel(struct io_https_request *r);
