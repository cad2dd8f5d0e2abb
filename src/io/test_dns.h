/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/must.h"
#include "io/file.h"
#include "io/loop.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/socket.h>

#include "cmocka_all.h"

/* A name server on the loop of the test: it says what its table says, and else that there is no such name. */

enum {
	DNS_A = 1,
	DNS_MX = 15,
	DNS_TXT = 16,
	DNS_NOERROR = 0,
	DNS_SERVFAIL = 2,
	DNS_NXDOMAIN = 3,
	DNS_BYTES_MAX = 4096,
};

struct dns_row {
	const char *name;
	unsigned type;
	unsigned rcode;
	const char *const *
		answers; /* MX: "10 host"; TXT: "one|string more"; A: "192.0.2.1"; "!" gives broken data */
};

struct dns {
	int fd;
	unsigned port;
	struct io_watch *watch;
	const struct dns_row *rows;
	size_t row_count;
	unsigned asked;
};

struct dns_text {
	unsigned char bytes[DNS_BYTES_MAX];
	size_t len;
};

static inline void dns_put(struct dns_text *t, const void *bytes, size_t n)
{
	must(t->len + n <= sizeof(t->bytes));
	memcpy(t->bytes + t->len, bytes, n);
	t->len += n;
}

static inline void dns_put16(struct dns_text *t, unsigned value)
{
	const unsigned char b[2] = { (unsigned char)(value >> 8), (unsigned char)value };

	dns_put(t, b, sizeof(b));
}

static inline void dns_put_name(struct dns_text *t, struct sv name)
{
	struct sv label;
	bool more = name.len > 0;

	while (more) {
		unsigned char n;

		more = sv_cut_char(&name, '.', &label);
		n = (unsigned char)label.len;
		dns_put(t, &n, 1);
		dns_put(t, label.ptr, label.len);
	}
	dns_put(t, "", 1);
}

static inline void dns_put_answer(struct dns_text *t, unsigned type, const char *answer)
{
	struct sv host = sv_from(answer), number;
	uint32_t preference = 0;
	unsigned char address[4];
	size_t at;

	dns_put16(t, 0xc00c); /* the name that was asked for */
	dns_put16(t, type);
	dns_put16(t, 1);
	dns_put(t, "\0\0\0\x3c", 4);
	at = t->len;
	dns_put16(t, 0);
	if (answer[0] == '!') {
		dns_put(t, "\0", 1);
	} else if (type == DNS_MX) {
		must(sv_cut_char(&host, ' ', &number));
		must(sv_parse_u32(number, UINT16_MAX, &preference) == 0);
		dns_put16(t, preference);
		dns_put_name(t, host);
	} else if (type == DNS_TXT) {
		while (host.len) {
			unsigned char n;

			(void)sv_cut_char(&host, '|', &number);
			n = (unsigned char)number.len;
			dns_put(t, &n, 1);
			dns_put(t, number.ptr, number.len);
		}
	} else {
		must(inet_pton(AF_INET, answer, address) == 1);
		dns_put(t, address, sizeof(address));
	}
	t->bytes[at] = (unsigned char)((t->len - at - 2) >> 8);
	t->bytes[at + 1] = (unsigned char)(t->len - at - 2);
}

/* The question's name as text, and where its type stands. */
static inline size_t dns_question(const unsigned char *q, size_t len, char name[256])
{
	size_t at = 12, out = 0;

	while (at < len && q[at]) {
		must(at + q[at] + 5 < len && out + q[at] + 1 < 256);
		memcpy(name + out, q + at + 1, q[at]);
		out += q[at];
		name[out++] = '.';
		at += q[at] + 1u;
	}
	name[out ? out - 1 : 0] = '\0';
	return at + 1;
}

static inline void dns_answer(void *arg, unsigned events)
{
	struct dns *d = arg;
	struct sockaddr_in from;
	socklen_t from_len = sizeof(from);
	unsigned char q[512];
	struct dns_text t = { .len = 0 };
	const struct dns_row *row = NULL;
	char name[256];
	size_t type_at, count = 0;
	unsigned type, rcode;
	ssize_t n =
		recvfrom(d->fd, q, sizeof(q), MSG_DONTWAIT, (struct sockaddr *)&from, &from_len);

	(void)events;
	if (n < 17)
		return;
	d->asked++;
	type_at = dns_question(q, (size_t)n, name);
	type = (unsigned)q[type_at] << 8 | q[type_at + 1];
	rcode = DNS_NXDOMAIN;
	for (size_t i = 0; i < d->row_count; i++) {
		if (!sv_eq_nocase(sv_from(d->rows[i].name), sv_from(name)))
			continue;
		rcode = DNS_NOERROR;
		if (d->rows[i].type == type)
			row = &d->rows[i];
	}
	if (row)
		rcode = row->rcode;
	while (row && row->answers && row->answers[count])
		count++;
	dns_put(&t, q, 2);
	dns_put16(&t, 0x8180 | rcode);
	dns_put16(&t, 1);
	dns_put16(&t, (unsigned)count);
	dns_put(&t, "\0\0\0\0", 4);
	dns_put(&t, q + 12, type_at + 4 - 12);
	for (size_t i = 0; i < count; i++)
		dns_put_answer(&t, type, row->answers[i]);
	(void)sendto(d->fd, t.bytes, t.len, 0, (const struct sockaddr *)&from, from_len);
}

static inline void dns_open(
	struct dns *d, struct io_loop *l, const struct dns_row *rows, size_t row_count)
{
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) } };
	socklen_t len = sizeof(at);

	*d = (struct dns){ .rows = rows, .row_count = row_count };
	d->fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	assert_int_equal(bind(d->fd, (const struct sockaddr *)&at, len), 0);
	assert_int_equal(getsockname(d->fd, (struct sockaddr *)&at, &len), 0);
	d->port = ntohs(at.sin_port);
	d->watch = io_watch_new(l, d->fd, IO_READABLE, dns_answer, d);
	assert_non_null(d->watch);
}

static inline void dns_close(struct dns *d)
{
	io_watch_free(d->watch);
	io_closep(&d->fd);
}
