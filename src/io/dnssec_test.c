/* SPDX-License-Identifier: Apache-2.0 */
#include "io/dnssec.h"

#include "base/buf.h"
#include "base/must.h"
#include "base/text.h"
#include "io/test_dns.h"

#include <errno.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <unistd.h>

#include "cmocka_all.h"

/*
 * A name server on the loop that signs what it says (ECDSA P-256, RFC 6605) with a key that is the
 * trust anchor of signed.test, and of nothing else.
 */
enum {
	GUARD_S = 60,
	TYPE_CNAME = 5,
	TYPE_SOA = 6,
	TYPE_AAAA = 28,
	TYPE_RRSIG = 46,
	TYPE_NSEC = 47,
	TYPE_DNSKEY = 48,
	TYPE_TLSA = 52,
	ALGORITHM = 13,
	TTL = 300,
	RDATA_MAX = 1024,
	SET_MAX = 16,
};

enum how {
	SIGNED,
	FORGED,   /* the signature is another's */
	STRIPPED, /* no signature */
	SICK      /* SERVFAIL */
};

struct tlsa_row {
	uint8_t usage, selector, matching;
	unsigned len;
};

struct row {
	const char *name;
	unsigned type;
	enum how how;
	const char *text; /* A, AAAA, CNAME */
	const struct tlsa_row *tlsa;
	unsigned tlsa_count;
};

static const struct tlsa_row one[] = { { 3, 1, 1, 32 } };
static const struct tlsa_row large[] = { { 3, 0, 0, 600 } };
static const struct tlsa_row many[] = { { 1, 1, 1, 32 },
	{ 0, 1, 1, 32 },
	{ 3, 1, 1, 32 },
	{ 1, 0, 1, 32 },
	{ 2, 1, 1, 32 },
	{ 3, 0, 1, 32 },
	{ 3, 1, 2, 64 },
	{ 3, 0, 2, 64 },
	{ 2, 0, 2, 64 },
	{ 2, 1, 2, 64 },
	{ 255, 1, 1, 32 } };

static const struct row rows[] = {
	{ "mx.signed.test", DNS_A, SIGNED, "192.0.2.1", NULL, 0 },
	{ "_25._tcp.mx.signed.test", TYPE_TLSA, SIGNED, NULL, one, 1 },
	{ "_587._tcp.mx.signed.test", TYPE_TLSA, SIGNED, NULL, large, 1 },
	{ "v6.signed.test", TYPE_AAAA, SIGNED, "2001:db8::1", NULL, 0 },
	{ "_25._tcp.v6.signed.test", TYPE_TLSA, SIGNED, NULL, one, 1 },
	{ "bare.signed.test", DNS_A, SIGNED, "192.0.2.2", NULL, 0 },
	{ "many.signed.test", DNS_A, SIGNED, "192.0.2.3", NULL, 0 },
	{ "_25._tcp.many.signed.test", TYPE_TLSA, SIGNED, NULL, many, COUNT_OF(many) },
	{ "alias.signed.test", TYPE_CNAME, SIGNED, "mx.signed.test", NULL, 0 },
	{ "alias2.signed.test", TYPE_CNAME, SIGNED, "bare.signed.test", NULL, 0 },
	{ "_25._tcp.alias2.signed.test", TYPE_TLSA, SIGNED, NULL, one, 1 },
	{ "leaving.signed.test", TYPE_CNAME, SIGNED, "mx.plain.test", NULL, 0 },
	{ "_25._tcp.leaving.signed.test", TYPE_TLSA, SIGNED, NULL, one, 1 },
	{ "forged.signed.test", DNS_A, FORGED, "192.0.2.4", NULL, 0 },
	{ "stripped.signed.test", DNS_A, STRIPPED, "192.0.2.5", NULL, 0 },
	{ "tampered.signed.test", DNS_A, SIGNED, "192.0.2.6", NULL, 0 },
	{ "_25._tcp.tampered.signed.test", TYPE_TLSA, FORGED, NULL, one, 1 },
	{ "hidden.signed.test", DNS_A, SIGNED, "192.0.2.7", NULL, 0 },
	{ "_25._tcp.hidden.signed.test", TYPE_TLSA, STRIPPED, NULL, one, 1 },
	{ "handed.signed.test", DNS_A, SIGNED, "192.0.2.9", NULL, 0 },
	{ "_25._tcp.handed.signed.test", TYPE_CNAME, SIGNED, "_25._tcp.mx.plain.test", NULL, 0 },
	{ "sick.signed.test", DNS_A, SICK, NULL, NULL, 0 },
	{ "mx.plain.test", DNS_A, STRIPPED, "192.0.2.8", NULL, 0 },
	{ "_25._tcp.mx.plain.test", TYPE_TLSA, STRIPPED, NULL, one, 1 },
};

struct rdata {
	unsigned char bytes[RDATA_MAX];
	size_t len;
};

struct ask {
	struct io_loop *loop;
	struct io_timer guard, later;
	bool hung;
	int fd;
	unsigned port;
	struct io_watch *watch;
	EVP_PKEY *key, *other;
	char anchor[64];
	struct io_dnssec *dnssec;
	unsigned tlsa_asked;
	unsigned answers;
	int rc;
	size_t count;
	struct io_tlsa records[IO_TLSA_MAX];
	bool frees;
};

/* ---- signing ---- */

static void put32(struct dns_text *t, uint64_t value)
{
	dns_put16(t, (unsigned)(value >> 16 & 0xffff));
	dns_put16(t, (unsigned)(value & 0xffff));
}

static void dnskey(const struct ask *a, struct dns_text *t)
{
	unsigned char point[80];
	size_t len = 0;

	must(EVP_PKEY_get_octet_string_param(
		     a->key, OSSL_PKEY_PARAM_PUB_KEY, point, sizeof(point), &len) == 1);
	must(len == 65 && point[0] == 4);
	dns_put16(t, 257);
	dns_put(t, "\x03\x0d", 2);
	dns_put(t, point + 1, 64);
}

/* RFC 4034, appendix B. */
static unsigned key_tag(const struct ask *a)
{
	struct dns_text t = { .len = 0 };
	uint32_t sum = 0;

	dnskey(a, &t);
	for (size_t i = 0; i < t.len; i++)
		sum += i % 2 ? t.bytes[i] : (uint32_t)t.bytes[i] << 8;
	return (sum + (sum >> 16)) & 0xffff;
}

static void sign(EVP_PKEY *key, const struct dns_text *t, unsigned char out[64])
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	unsigned char der[128];
	const unsigned char *at = der;
	size_t len = sizeof(der);
	ECDSA_SIG *sig;

	must(EVP_DigestSignInit(ctx, NULL, EVP_sha256(), NULL, key) == 1);
	must(EVP_DigestSign(ctx, der, &len, t->bytes, t->len) == 1);
	sig = d2i_ECDSA_SIG(NULL, &at, (long)len);
	must(sig != NULL);
	must(BN_bn2binpad(ECDSA_SIG_get0_r(sig), out, 32) == 32);
	must(BN_bn2binpad(ECDSA_SIG_get0_s(sig), out + 32, 32) == 32);
	ECDSA_SIG_free(sig);
	EVP_MD_CTX_free(ctx);
}

static void put_record(struct dns_text *t, const char *owner, unsigned type, const struct rdata *r)
{
	dns_put_name(t, sv_from(owner));
	dns_put16(t, type);
	dns_put16(t, 1);
	put32(t, TTL);
	dns_put16(t, (unsigned)r->len);
	dns_put(t, r->bytes, r->len);
}

static int by_bytes(const void *a, const void *b)
{
	const struct rdata *x = a, *y = b;
	int order = memcmp(x->bytes, y->bytes, x->len < y->len ? x->len : y->len);

	return order ? order : (x->len > y->len) - (x->len < y->len);
}

/* The set and, unless it is stripped, its signature. Gives the number of records. */
static unsigned put_set(const struct ask *a, struct dns_text *t, const char *owner, unsigned type,
	struct rdata *set, size_t count, enum how how)
{
	uint64_t now_s = (uint64_t)io_clock_wall().us / US_PER_S;
	unsigned char labels = 1, signature[64];
	struct dns_text head = { .len = 0 }, whole;
	struct rdata rrsig = { .len = 0 };

	for (const char *c = owner; *c; c++)
		labels = (unsigned char)(labels + (*c == '.'));
	qsort(set, count, sizeof(*set), by_bytes);
	dns_put16(&head, type);
	dns_put(&head, "\x0d", 1);
	dns_put(&head, &labels, 1);
	put32(&head, TTL);
	put32(&head, now_s + 86400);
	put32(&head, now_s - 3600);
	dns_put16(&head, key_tag(a));
	dns_put_name(&head, SV("signed.test"));
	whole = head;
	for (size_t i = 0; i < count; i++) {
		put_record(&whole, owner, type, &set[i]);
		put_record(t, owner, type, &set[i]);
	}
	if (how == STRIPPED)
		return (unsigned)count;
	sign(how == FORGED ? a->other : a->key, &whole, signature);
	dns_put(&head, signature, sizeof(signature));
	memcpy(rrsig.bytes, head.bytes, head.len);
	rrsig.len = head.len;
	put_record(t, owner, TYPE_RRSIG, &rrsig);
	return (unsigned)count + 1;
}

/* ---- the server ---- */

static size_t fill(const struct row *row, struct rdata set[SET_MAX])
{
	struct dns_text t = { .len = 0 };

	memset(set, 0, SET_MAX * sizeof(*set));
	for (unsigned i = 0; i < row->tlsa_count; i++) {
		const struct tlsa_row *r = &row->tlsa[i];

		memset(set[i].bytes, (int)i + 1, sizeof(set[i].bytes));
		set[i].bytes[0] = r->usage;
		set[i].bytes[1] = r->selector;
		set[i].bytes[2] = r->matching;
		set[i].len = r->len + 3;
	}
	if (row->tlsa_count)
		return row->tlsa_count;
	if (row->type == TYPE_CNAME) {
		dns_put_name(&t, sv_from(row->text));
		memcpy(set[0].bytes, t.bytes, t.len);
		set[0].len = t.len;
	} else {
		bool v6 = row->type == TYPE_AAAA;

		must(inet_pton(v6 ? AF_INET6 : AF_INET, row->text, set[0].bytes) == 1);
		set[0].len = v6 ? 16 : 4;
	}
	return 1;
}

/* There is such a name, but not with this type: NSEC at the name itself (RFC 4470). */
static unsigned put_denial(const struct ask *a, struct dns_text *t, const char *name)
{
	struct rdata set[1] = { { .len = 0 } };
	struct dns_text r = { .len = 0 };
	unsigned char types[7] = { 0 };
	unsigned count;

	dns_put(&r, "\1\0", 2);
	dns_put_name(&r, sv_from(name));
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		if (sv_eq_nocase(sv_from(rows[i].name), sv_from(name)))
			types[rows[i].type / 8] |= (unsigned char)(0x80u >> rows[i].type % 8);
	}
	types[TYPE_NSEC / 8] |= 3; /* RRSIG and NSEC */
	dns_put(&r, "\0\7", 2);
	dns_put(&r, types, sizeof(types));
	memcpy(set[0].bytes, r.bytes, r.len);
	set[0].len = r.len;
	count = put_set(a, t, name, TYPE_NSEC, set, 1, SIGNED);
	r.len = 0;
	dns_put_name(&r, SV("ns.signed.test"));
	dns_put_name(&r, SV("root.signed.test"));
	for (unsigned i = 0; i < 5; i++)
		put32(&r, TTL);
	memcpy(set[0].bytes, r.bytes, r.len);
	set[0].len = r.len;
	return count + put_set(a, t, "signed.test", TYPE_SOA, set, 1, SIGNED);
}

static const struct row *find_row(const char *name, unsigned type)
{
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		if (sv_eq_nocase(sv_from(rows[i].name), sv_from(name)) &&
			(rows[i].type == type || rows[i].type == TYPE_CNAME))
			return &rows[i];
	}
	return NULL;
}

static void on_question(void *arg, unsigned events)
{
	static const unsigned char opt[] = { 0, 0, 41, 4, 208, 0, 0, 128, 0, 0, 0 };
	struct ask *a = arg;
	struct sockaddr_in from;
	socklen_t from_len = sizeof(from);
	unsigned char q[512];
	char name[256];
	struct dns_text t = { .len = 0 }, key = { .len = 0 };
	struct rdata set[SET_MAX];
	const struct row *row;
	unsigned type, answers = 0, denials = 0;
	size_t type_at;
	ssize_t n =
		recvfrom(a->fd, q, sizeof(q), MSG_DONTWAIT, (struct sockaddr *)&from, &from_len);

	(void)events;
	if (n < 17)
		return;
	type_at = dns_question(q, (size_t)n, name);
	type = (unsigned)q[type_at] << 8 | q[type_at + 1];
	a->tlsa_asked += type == TYPE_TLSA;
	row = find_row(name, type);
	dns_put(&t, q, 2);
	dns_put16(&t, row && row->how == SICK ? 0x8182 : 0x8180);
	dns_put16(&t, 1);
	dns_put(&t, "\0\0\0\0\0\1", 6);
	dns_put(&t, q + 12, type_at + 4 - 12);
	if (type == TYPE_DNSKEY && sv_eq_nocase(sv_from(name), SV("signed.test"))) {
		dnskey(a, &key);
		memcpy(set[0].bytes, key.bytes, key.len);
		set[0].len = key.len;
		answers = put_set(a, &t, "signed.test", TYPE_DNSKEY, set, 1, SIGNED);
	} else if (row && row->how != SICK) {
		size_t count = fill(row, set);

		answers = put_set(a, &t, row->name, row->type, set, count, row->how);
	} else if (!row && sv_ends_nocase(sv_from(name), SV("signed.test"))) {
		denials = put_denial(a, &t, name);
	}
	t.bytes[7] = (unsigned char)answers;
	t.bytes[9] = (unsigned char)denials;
	dns_put(&t, opt, sizeof(opt));
	(void)sendto(a->fd, t.bytes, t.len, 0, (const struct sockaddr *)&from, from_len);
}

/* ---- asking ---- */

static void on_guard(void *arg)
{
	struct ask *a = arg;

	a->hung = true;
	io_loop_stop(a->loop);
}

static void on_later(void *arg)
{
	struct ask *a = arg;

	io_loop_stop(a->loop);
}

static void write_anchor(struct ask *a)
{
	struct dns_text key = { .len = 0 };
	struct buf text = BUF_INIT(1024);
	int fd;

	dnskey(a, &key);
	assert_int_equal(buf_printf(&text, "signed.test. IN DNSKEY 257 3 13 "), 0);
	/* Flags, protocol and algorithm stand before the key. */
	assert_int_equal(
		text_base64_encode(&text, sv_make((const char *)key.bytes + 4, key.len - 4)), 0);
	assert_int_equal(buf_append_char(&text, '\n'), 0);
	(void)snprintf(a->anchor, sizeof(a->anchor), "/tmp/postern-test-XXXXXX");
	fd = mkstemp(a->anchor);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, buf_sv(&text).ptr, text.len), text.len);
	assert_int_equal(close(fd), 0);
	buf_deinit(&text);
}

static void open_ask(struct ask *a)
{
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) } };
	socklen_t len = sizeof(at);
	struct err err = { 0 };
	char forward[64];

	*a = (struct ask){ .loop = io_loop_new() };
	io_timer_init(&a->guard, a->loop, on_guard, a);
	io_timer_start(&a->guard, mono_add(io_now(a->loop), GUARD_S * US_PER_S));
	io_timer_init(&a->later, a->loop, on_later, a);
	a->key = EVP_EC_gen("P-256");
	a->other = EVP_EC_gen("P-256");
	assert_true(a->key && a->other);
	write_anchor(a);
	a->fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	assert_int_equal(bind(a->fd, (const struct sockaddr *)&at, len), 0);
	assert_int_equal(getsockname(a->fd, (struct sockaddr *)&at, &len), 0);
	a->watch = io_watch_new(a->loop, a->fd, IO_READABLE, on_question, a);
	assert_non_null(a->watch);
	(void)snprintf(forward, sizeof(forward), "127.0.0.1@%u", ntohs(at.sin_port));
	a->dnssec = io_dnssec_new(a->loop, sv_from(a->anchor), sv_from(forward), &err);
	assert_string_equal(err.text, "");
	assert_non_null(a->dnssec);
}

static void close_ask(struct ask *a)
{
	io_dnssec_free(a->dnssec);
	io_watch_free(a->watch);
	io_closep(&a->fd);
	io_loop_free(a->loop);
	EVP_PKEY_free(a->key);
	EVP_PKEY_free(a->other);
	assert_int_equal(unlink(a->anchor), 0);
}

static void on_tlsa(void *arg, int rc, const struct io_tlsa *records, size_t count)
{
	struct ask *a = arg;

	must(count <= IO_TLSA_MAX);
	a->answers++;
	a->rc = rc;
	a->count = count;
	if (count)
		memcpy(a->records, records, count * sizeof(*records));
	if (a->frees)
		io_dnssec_free(TAKE(a->dnssec));
	io_loop_stop(a->loop);
}

static void ask_tlsa(struct ask *a, const char *host, uint16_t port)
{
	unsigned before = a->answers;

	assert_non_null(io_dnssec_tlsa(a->dnssec, sv_from(host), port, on_tlsa, a));
	assert_int_equal(a->answers, before);
	io_loop_run(a->loop);
	assert_false(a->hung);
	assert_int_equal(a->answers, before + 1);
}

static const struct {
	const char *host;
	int rc;
	size_t count;
	bool tlsa_is_asked;
} expected[] = {
	{ "mx.signed.test", 0, 1, true },
	{ "MX.signed.test.", 0, 1, false /* remembered */ },
	{ "v6.signed.test", 0, 1, true },
	{ "bare.signed.test", 0, 0, true },
	{ "gone.signed.test", 0, 0, false },
	/* Of an alias: where it leads to, or itself; and nothing once it leaves what is signed. */
	{ "alias.signed.test", 0, 1, false /* remembered */ },
	{ "alias2.signed.test", 0, 1, true },
	{ "leaving.signed.test", 0, 0, false },
	/* Unsigned: the records count for nothing, and are not asked for. */
	{ "mx.plain.test", 0, 0, false },
	{ "handed.signed.test", 0, 0, true },
	{ "forged.signed.test", RC_DNS, 0, false },
	{ "stripped.signed.test", RC_DNS, 0, false },
	{ "tampered.signed.test", RC_DNS, 0, true },
	{ "hidden.signed.test", RC_DNS, 0, true },
	{ "sick.signed.test", RC_DNS, 0, false },
	{ "", RC_DNS, 0, false },
	{ "a..b", RC_DNS, 0, false },
};

static void only_what_is_signed_counts(void **state)
{
	struct ask a;

	(void)state;
	open_ask(&a);
	for (size_t i = 0; i < COUNT_OF(expected); i++) {
		a.tlsa_asked = 0;
		ask_tlsa(&a, expected[i].host, 25);
		if (a.rc != expected[i].rc || a.count != expected[i].count ||
			(a.tlsa_asked > 0) != expected[i].tlsa_is_asked)
			fail_msg("'%s': %d, %zu records, %u questions for TLSA",
				expected[i].host,
				a.rc,
				a.count,
				a.tlsa_asked);
		if (a.count)
			assert_int_equal(a.records[0].usage, 3);
	}
	close_ask(&a);
}

static void records_come_as_they_are(void **state)
{
	struct ask a;

	(void)state;
	open_ask(&a);
	ask_tlsa(&a, "mx.signed.test", 25);
	assert_int_equal(a.rc, 0);
	assert_int_equal(a.count, 1);
	assert_int_equal(a.records[0].usage, 3);
	assert_int_equal(a.records[0].selector, 1);
	assert_int_equal(a.records[0].matching, 1);
	assert_int_equal(a.records[0].len, 32);
	assert_int_equal(a.records[0].data[0], 1);
	assert_int_equal(a.records[0].data[31], 1);
	/* Another port has others. One that is too long is there, and of no use. */
	ask_tlsa(&a, "mx.signed.test", 587);
	assert_int_equal(a.count, 1);
	assert_int_equal(a.records[0].len, 0);
	ask_tlsa(&a, "mx.signed.test", 465);
	assert_int_equal(a.rc, 0);
	assert_int_equal(a.count, 0);
	/* Those that mail can use go first. */
	ask_tlsa(&a, "many.signed.test", 25);
	assert_int_equal(a.rc, 0);
	assert_int_equal(a.count, IO_TLSA_MAX);
	for (unsigned i = 0; i < 7; i++)
		assert_in_range(a.records[i].usage, 2, 3);
	assert_not_in_range(a.records[7].usage, 2, 3);
	close_ask(&a);
}

static void run_a_moment(struct ask *a)
{
	io_timer_start(&a->later, mono_add(io_now(a->loop), 50 * US_PER_MS));
	io_loop_run(a->loop);
	assert_false(a->hung);
}

static void cancelled_queries_are_not_answered(void **state)
{
	struct io_dnssec_query *q[2];
	struct ask a;

	(void)state;
	open_ask(&a);
	/* Before it starts, and while it runs. */
	io_dnssec_cancel(io_dnssec_tlsa(a.dnssec, SV("mx.signed.test"), 25, on_tlsa, &a));
	q[0] = io_dnssec_tlsa(a.dnssec, SV("mx.signed.test"), 25, on_tlsa, &a);
	q[1] = io_dnssec_tlsa(a.dnssec, SV("bare.signed.test"), 25, on_tlsa, &a);
	io_loop_stop(a.loop);
	io_loop_run(a.loop);
	io_dnssec_cancel(q[0]);
	io_dnssec_cancel(q[1]);
	io_dnssec_cancel(NULL);
	run_a_moment(&a);
	assert_int_equal(a.answers, 0);
	ask_tlsa(&a, "mx.signed.test", 25);
	assert_int_equal(a.count, 1);
	/* It goes with those that run, that wait, and that are cancelled. */
	for (unsigned i = 0; i < 4; i++) {
		q[0] = io_dnssec_tlsa(a.dnssec, SV("many.signed.test"), 25, on_tlsa, &a);
		if (i == 1)
			io_dnssec_cancel(q[0]);
		if (i == 2) {
			io_loop_stop(a.loop);
			io_loop_run(a.loop);
		}
	}
	close_ask(&a);
	assert_int_equal(a.answers, 1);
}

static void it_may_go_in_the_callback(void **state)
{
	struct ask a;

	(void)state;
	open_ask(&a);
	a.frees = true;
	assert_non_null(io_dnssec_tlsa(a.dnssec, SV("many.signed.test"), 25, on_tlsa, &a));
	ask_tlsa(&a, "mx.signed.test", 25);
	assert_null(a.dnssec);
	run_a_moment(&a);
	assert_int_equal(a.answers, 1);
	close_ask(&a);
}

static void bad_anchors_are_named(void **state)
{
	char file[] = "/tmp/postern-test-XXXXXX";
	struct io_loop *loop = io_loop_new();
	struct err err = { 0 };
	int fd = mkstemp(file);

	(void)state;
	assert_int_equal(write(fd, "no anchor at all\n", 17), 17);
	assert_int_equal(close(fd), 0);
	assert_null(io_dnssec_new(loop, SV("/nonexistent/root.key"), SV(""), &err));
	assert_int_equal(err.code, -ENOENT);
	assert_non_null(strstr(err.text, "DNSSEC trust anchors /nonexistent/root.key: "));
	assert_null(io_dnssec_new(loop, sv_from(file), SV(""), &err));
	assert_int_equal(err.code, RC_CONFIG);
	assert_non_null(strstr(err.text, file));
	assert_int_equal(unlink(file), 0);
	io_dnssec_free(NULL);
	io_loop_free(loop);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(only_what_is_signed_counts),
		cmocka_unit_test(records_come_as_they_are),
		cmocka_unit_test(cancelled_queries_are_not_answered),
		cmocka_unit_test(it_may_go_in_the_callback),
		cmocka_unit_test(bad_anchors_are_named),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
