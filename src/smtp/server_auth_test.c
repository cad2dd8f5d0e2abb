/* SPDX-License-Identifier: Apache-2.0 */
#include "smtp/server.h"

#include "base/limits.h"
#include "base/text.h"
#include "smtp/server_priv.h"

#include "smtp/server_testing.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/sha.h>

#define WELCOME "235 2.7.0 Welcome\r\n"
#define WRONG "535 5.7.8 Wrong\r\n"
#define MALFORMED "501 5.5.2 Authentication data cannot be read\r\n"
#define CANCELLED "501 5.7.0 Authentication cancelled\r\n"
#define NOT_OFFERED "504 5.5.4 Mechanism is not offered\r\n"
#define ENCRYPT "538 5.7.11 Encryption required: use STARTTLS first\r\n"
#define USERNAME "334 VXNlcm5hbWU6\r\n"
#define PASSWORD "334 UGFzc3dvcmQ6\r\n"
#define NOOP "250 2.0.0 Ok\r\n"

static struct smtp_server_options clear_options(void)
{
	struct smtp_server_options options = plain_options();

	options.auth_needs_tls = false;
	options.auth |= SMTP_SERVER_AUTH_XOAUTH2;
	options.bad_command_max = 100;
	return options;
}

static void make_verifier(struct owner *o)
{
	static const unsigned char salt[16] = "0123456789abcde";

	smtp_scram_derive(SV("secret"), 4096, salt, &o->verifier);
}

struct talk {
	const char *name, *client, *said, *events;
};

static void run_talks(
	const struct talk *talks, size_t count, const struct smtp_server_options *options)
{
	for (size_t i = 0; i < count; i++) {
		struct owner o;

		owner_hello(&o, options);
		make_verifier(&o);
		owner_say(&o, talks[i].client);
		expect(&o, talks[i].name, talks[i].said, talks[i].events);
		owner_end(&o);
	}
}

static const struct talk simple_talks[] = {
	/* \0u\0secret */
	{ "PLAIN at once",
		"AUTH PLAIN AHUAc2VjcmV0\r\n",
		WELCOME,
		"PASSWORD user=u authzid= password=secret ok=0\n" },
	{ "PLAIN when asked",
		"auth plain\r\nAHUAc2VjcmV0\r\n",
		"334 \r\n" WELCOME,
		"PASSWORD user=u authzid= password=secret ok=0\n" },
	{ "authzid",
		"AUTH PLAIN YQB1AHNlY3JldA==\r\n",
		WELCOME,
		"PASSWORD user=u authzid=a password=secret ok=0\n" },
	{ "PLAIN, wrong, again",
		"AUTH PLAIN AHUAd3Jvbmc=\r\nAUTH PLAIN AHUAc2VjcmV0\r\n",
		WRONG WELCOME,
		"PASSWORD user=u authzid= password=wrong ok=0\n"
		"PASSWORD user=u authzid= password=secret ok=0\n" },
	{ "no password",
		"AUTH PLAIN AHUA\r\n",
		WRONG,
		"PASSWORD user=u authzid= password= ok=0\n" },
	{ "no user", "AUTH PLAIN AABz\r\nNOOP\r\n", MALFORMED NOOP, "" },
	{ "one NUL", "AUTH PLAIN AHU=\r\nNOOP\r\n", MALFORMED NOOP, "" },
	{ "three NULs", "AUTH PLAIN AHUAcwA=\r\nNOOP\r\n", MALFORMED NOOP, "" },
	{ "empty", "AUTH PLAIN =\r\nNOOP\r\n", MALFORMED NOOP, "" },
	{ "empty line", "AUTH PLAIN\r\n\r\nNOOP\r\n", "334 \r\n" MALFORMED NOOP, "" },
	{ "no base64", "AUTH PLAIN AHUAc2VjcmV\r\nNOOP\r\n", MALFORMED NOOP, "" },
	{ "two words", "AUTH PLAIN AHUA c2VjcmV0\r\nNOOP\r\n", MALFORMED NOOP, "" },
	{ "PLAIN, cancelled", "AUTH PLAIN\r\n*\r\nNOOP\r\n", "334 \r\n" CANCELLED NOOP, "" },
	{ "LOGIN",
		"AUTH LOGIN\r\ndQ==\r\nc2VjcmV0\r\n",
		USERNAME PASSWORD WELCOME,
		"PASSWORD user=u authzid= password=secret ok=0\n" },
	{ "LOGIN with user",
		"AUTH LOGIN dQ==\r\nc2VjcmV0\r\n",
		PASSWORD WELCOME,
		"PASSWORD user=u authzid= password=secret ok=0\n" },
	{ "LOGIN, wrong, again",
		"AUTH LOGIN dQ==\r\ncw==\r\nAUTH LOGIN dg==\r\nc2VjcmV0\r\n",
		PASSWORD WRONG PASSWORD WELCOME,
		"PASSWORD user=u authzid= password=s ok=0\nPASSWORD user=v authzid= "
		"password=secret ok=0\n" },
	{ "LOGIN, no user", "AUTH LOGIN\r\n\r\nNOOP\r\n", USERNAME MALFORMED NOOP, "" },
	{ "LOGIN, no password",
		"AUTH LOGIN dQ==\r\n\r\n",
		PASSWORD WRONG,
		"PASSWORD user=u authzid= password= ok=0\n" },
	{ "LOGIN, NUL", "AUTH LOGIN dQ==\r\ncwBz\r\nNOOP\r\n", PASSWORD MALFORMED NOOP, "" },
	{ "LOGIN, NUL in the user", "AUTH LOGIN dQB1\r\nNOOP\r\n", MALFORMED NOOP, "" },
	{ "LOGIN, cancelled",
		"AUTH LOGIN\r\n*\r\nAUTH LOGIN dQ==\r\n*\r\nNOOP\r\n",
		USERNAME CANCELLED PASSWORD CANCELLED NOOP,
		"" },
	/* user=u^Aauth=Bearer tok^A^A */
	{ "XOAUTH2",
		"AUTH XOAUTH2 dXNlcj11AWF1dGg9QmVhcmVyIHRvawEB\r\n",
		WRONG,
		"TOKEN user=u authzid= password=tok ok=0\n" },
	{ "XOAUTH2 without token", "AUTH XOAUTH2 dXNlcj11AQE=\r\nNOOP\r\n", MALFORMED NOOP, "" },
	{ "what there is not",
		"AUTH CRAM-MD5\r\nAUTH\r\nAUTH PLAINER x\r\n",
		NOT_OFFERED NOT_OFFERED NOT_OFFERED,
		"" },
	{ "twice",
		"AUTH PLAIN AHUAc2VjcmV0\r\nAUTH PLAIN AHUAc2VjcmV0\r\n",
		WELCOME "503 5.5.1 Authenticated already\r\n",
		"PASSWORD user=u authzid= password=secret ok=0\n" },
	{ "within a message",
		"MAIL FROM:<>\r\nAUTH PLAIN AHUAc2VjcmV0\r\n",
		"250 2.1.0 Ok\r\n503 5.5.1 Not within a message\r\n",
		"MAIL <>\n" },
	{ "bare LF in the exchange",
		"AUTH LOGIN\r\ndQ==\nc2VjcmV0\r\nNOOP\r\n",
		USERNAME "500 5.5.2 Lines must end in CR LF and hold no other CR, LF or "
			 "NUL\r\n" NOOP,
		"" },
};

static void plain_login_and_xoauth2(void **state)
{
	struct smtp_server_options options = clear_options();

	(void)state;
	run_talks(simple_talks, COUNT_OF(simple_talks), &options);
}

static void in_the_clear_no_password_is_taken(void **state)
{
	static const struct talk talks[] = {
		{ "PLAIN", "AUTH PLAIN AHUAc2VjcmV0\r\nNOOP\r\n", ENCRYPT NOOP, "" },
		{ "LOGIN", "AUTH LOGIN\r\nNOOP\r\n", ENCRYPT NOOP, "" },
		{ "XOAUTH2", "AUTH XOAUTH2\r\nNOOP\r\n", ENCRYPT NOOP, "" },
		{ "SCRAM", "AUTH SCRAM-SHA-256\r\nNOOP\r\n", ENCRYPT NOOP, "" },
	};
	struct smtp_server_options options = clear_options();

	(void)state;
	options.auth_needs_tls = true;
	run_talks(talks, COUNT_OF(talks), &options);
}

static void long_lines_are_for_auth_alone(void **state)
{
	struct smtp_server_options options = clear_options();
	static char text[LIMIT_AUTH_LINE + 8];
	struct sv plain = SV("AUTH PLAIN ");
	struct owner o;

	(void)state;
	memset(text, 'A', sizeof(text));
	owner_hello(&o, &options);
	owner_say(&o, "AUTH LOGIN\r\ndQ==\r\n");
	buf_reset(&o.said);
	/* Zero bytes are no password; the line itself was taken. */
	(void)owner_give(&o, sv_make(text, LIMIT_AUTH_LINE - 4));
	owner_say(&o, "\r\n");
	expect(&o, "long", MALFORMED, "");
	owner_say(&o, "AUTH LOGIN\r\ndQ==\r\n");
	buf_reset(&o.said);
	(void)owner_give(&o, sv_make(text, LIMIT_AUTH_LINE));
	owner_say(&o, "\r\nNOOP\r\n");
	expect(&o, "too long", "500 5.5.6 Line too long\r\n" NOOP, "");
	memcpy(text, plain.ptr, plain.len);
	(void)owner_give(&o, sv_make(text, LIMIT_AUTH_LINE - 5));
	owner_say(&o, "\r\n");
	expect(&o, "long at once", MALFORMED, "");
	(void)owner_give(&o, sv_make(text, LIMIT_AUTH_LINE));
	owner_say(&o, "\r\nNOOP\r\n");
	expect(&o, "too long at once", "500 5.5.2 Line too long\r\n" NOOP, "");
	owner_end(&o);
}

/* ---- SCRAM, with a client of our own ---- */

static void hmac(const unsigned char key[32], struct sv text, unsigned char out[32])
{
	unsigned len;

	assert_non_null(
		HMAC(EVP_sha256(), key, 32, (const unsigned char *)text.ptr, text.len, out, &len));
}

/* RFC 5802 3, from the password, as a client does it. */
static void client_sums(const char *password, const unsigned char *salt, size_t salt_len,
	struct sv message, struct buf *out_proof, struct buf *out_signature)
{
	unsigned char salted[32], sum[32], stored[32], signature[32];

	assert_int_equal(PKCS5_PBKDF2_HMAC(password,
				 (int)strlen(password),
				 salt,
				 (int)salt_len,
				 4096,
				 EVP_sha256(),
				 32,
				 salted),
		1);
	hmac(salted, SV("Client Key"), sum);
	assert_non_null(SHA256(sum, 32, stored));
	hmac(stored, message, signature);
	for (size_t i = 0; i < 32; i++)
		sum[i] ^= signature[i];
	assert_int_equal(text_base64_encode(out_proof, sv_make((const char *)sum, 32)), 0);
	hmac(salted, SV("Server Key"), sum);
	hmac(sum, message, signature);
	assert_int_equal(
		text_base64_encode(out_signature, sv_make((const char *)signature, 32)), 0);
}

static void the_client_of_this_test_is_right(void **state)
{
	/* RFC 7677 3. */
	CLEANUP(buf_deinitp)
	struct buf salt = BUF_INIT(64), proof = BUF_INIT(64), signature = BUF_INIT(64);

	(void)state;
	assert_int_equal(text_base64_decode(&salt, SV("W22ZaJ0SNY7soEsUEjb6gQ==")), 0);
	client_sums("pencil",
		(const unsigned char *)buf_sv(&salt).ptr,
		salt.len,
		SV("n=user,r=rOprNGfwEbeRWgbNEkqO,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)"
		   "hNlF$k0,"
		   "s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096,"
		   "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"),
		&proof,
		&signature);
	assert_true(sv_eq(buf_sv(&proof), SV("dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=")));
	assert_true(sv_eq(buf_sv(&signature), SV("6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=")));
}

/* What a client may do wrong, or in its own way. */
struct scram {
	const char *name, *gs2, *bare; /* client-first-message in two parts */
	const char *password;
	const char *binding;   /* instead of base64 of gs2 */
	const char *extension; /* behind the nonce of client-final */
	bool other_nonce;
	const char *last;  /* the line after the server's signature */
	const char *reply; /* to the proof: NULL: the signature; else the end */
	const char *events;
};

static void put_base64_line(struct buf *b, struct sv text)
{
	must(text_base64_encode(b, text) == 0);
	must(buf_append(b, SV("\r\n")) == 0);
}

/* The one line "334 base64", decoded. */
static void take_challenge(struct owner *o, struct buf *out)
{
	struct sv said = buf_sv(&o->said), line;

	assert_true(sv_cut_line(&said, &line));
	assert_int_equal(said.len, 0);
	assert_true(sv_starts(line, SV("334 ")));
	assert_int_equal(text_base64_decode(out, sv_skip(line, 4)), 0);
	buf_reset(&o->said);
}

static void first_message(struct owner *o, const struct scram *t, bool at_once)
{
	CLEANUP(buf_deinitp) struct buf line = BUF_INIT(4096), text = BUF_INIT(4096);

	must(buf_printf(&text, "%s%s", t->gs2, t->bare) == 0);
	if (at_once) {
		must(buf_append(&line, SV("AUTH SCRAM-SHA-256 ")) == 0);
	} else {
		owner_say(o, "AUTH SCRAM-SHA-256\r\n");
		expect(o, "asks", "334 \r\n", "");
	}
	put_base64_line(&line, buf_sv(&text));
	(void)owner_give(o, buf_sv(&line));
}

static void final_message(struct owner *o, const struct scram *t, struct buf *out_signature)
{
	CLEANUP(buf_deinitp)
	struct buf first = BUF_INIT(4096), bare = BUF_INIT(4096), proof = BUF_INIT(64),
		   message = BUF_INIT(4096), line = BUF_INIT(8192);
	struct sv rest, nonce;

	take_challenge(o, &first);
	rest = buf_sv(&first);
	(void)sv_cut_char(&rest, ',', &nonce);
	/* The server's part is long, and new; salt and iterations are those of the verifier. */
	assert_true(sv_starts(nonce, SV("r=abc")) && nonce.len == 5 + SERVER_NONCE_LEN);
	assert_true(sv_eq(rest, SV("s=MDEyMzQ1Njc4OWFiY2RlAA==,i=4096")));
	must(buf_append(&bare, SV("c=")) == 0);
	if (t->binding)
		must(buf_append(&bare, sv_from(t->binding)) == 0);
	else
		must(text_base64_encode(&bare, sv_from(t->gs2)) == 0);
	must(buf_printf(&bare,
		     ",%.*s%s%s",
		     SV_ARG(nonce),
		     t->other_nonce ? "x" : "",
		     t->extension ? t->extension : "") == 0);
	must(buf_printf(&message,
		     "%s,%.*s,%.*s",
		     t->bare,
		     SV_ARG(buf_sv(&first)),
		     SV_ARG(buf_sv(&bare))) == 0);
	client_sums(t->password, o->verifier.salt, 16, buf_sv(&message), &proof, out_signature);
	must(buf_printf(&bare, ",p=%.*s", SV_ARG(buf_sv(&proof))) == 0);
	put_base64_line(&line, buf_sv(&bare));
	(void)owner_give(o, buf_sv(&line));
}

static void run_scram(const struct scram *t, bool at_once)
{
	struct smtp_server_options options = clear_options();
	CLEANUP(buf_deinitp) struct buf signature = BUF_INIT(64), last = BUF_INIT(128);
	struct owner o;

	owner_hello(&o, &options);
	make_verifier(&o);
	first_message(&o, t, at_once);
	final_message(&o, t, &signature);
	if (t->reply) {
		expect(&o, t->name, t->reply, t->events);
		owner_say(&o, "NOOP\r\n");
		expect(&o, t->name, NOOP, "");
		assert_true(sv_eq(smtp_server_protocol(o.s), SV("ESMTP")));
		owner_end(&o);
		return;
	}
	take_challenge(&o, &last);
	assert_true(sv_starts(buf_sv(&last), SV("v=")) &&
		    sv_eq(sv_skip(buf_sv(&last), 2), buf_sv(&signature)));
	expect(&o, t->name, "", t->events);
	/* Not before the client has seen that we know its password as well. */
	assert_true(sv_eq(smtp_server_protocol(o.s), SV("ESMTP")));
	owner_say(&o, t->last ? t->last : "\r\n");
	if (t->last) {
		expect_reply(&o, t->name, "501 5", "");
		assert_true(sv_eq(smtp_server_protocol(o.s), SV("ESMTP")));
	} else {
		expect(&o, t->name, "235 2.7.0 Authentication successful\r\n", "");
		assert_true(sv_eq(smtp_server_protocol(o.s), SV("ESMTPA")));
	}
	owner_end(&o);
}

/* The server's first message, whose nonce no session may have had before. */
static void ask_for_nonce(uint64_t session, struct buf *out)
{
	static const struct scram first = {
		.gs2 = "n,,", .bare = "n=u,r=abc", .password = "secret"
	};
	struct smtp_server_options options = clear_options();
	struct owner o;

	options.nonce_session = session;
	owner_hello(&o, &options);
	make_verifier(&o);
	first_message(&o, &first, true);
	take_challenge(&o, out);
	owner_say(&o, "*\r\n");
	owner_end(&o);
}

static void sessions_with_one_key_have_other_nonces(void **state)
{
	CLEANUP(buf_deinitp)
	struct buf a = BUF_INIT(4096), again = BUF_INIT(4096), b = BUF_INIT(4096);

	(void)state;
	ask_for_nonce(1, &a);
	ask_for_nonce(1, &again);
	ask_for_nonce(2, &b);
	assert_true(sv_eq(buf_sv(&a), buf_sv(&again)));
	assert_false(sv_eq(buf_sv(&a), buf_sv(&b)));
}

#define FINE "SCRAM user=u authzid= password= ok=0\nDONE user=u authzid= password= ok=1\n"
#define BAD_PROOF "SCRAM user=u authzid= password= ok=0\nDONE user=u authzid= password= ok=0\n"
#define NO_PROOF "SCRAM user=u authzid= password= ok=0\n"

static void scram_good_and_bad(void **state)
{
	static const struct scram rows[] = {
		{ .name = "right",
			.gs2 = "n,,",
			.bare = "n=u,r=abc",
			.password = "secret",
			.events = FINE },
		{ .name = "y flag",
			.gs2 = "y,,",
			.bare = "n=u,r=abc",
			.password = "secret",
			.events = FINE },
		{ .name = "authzid",
			.gs2 = "n,a=z,",
			.bare = "n=u,r=abc",
			.password = "secret",
			.events = "SCRAM user=u authzid=z password= ok=0\nDONE user=u authzid= "
				  "password= ok=1\n" },
		{ .name = "escapes and extensions",
			.gs2 = "n,,",
			.bare = "n=a=2Cb=3Dc,r=abc,x=1",
			.password = "secret",
			.extension = ",x=2",
			.events = "SCRAM user=a,b=c authzid= password= ok=0\nDONE user=a,b=c "
				  "authzid= password= ok=1\n" },
		{ .name = "wrong password",
			.gs2 = "n,,",
			.bare = "n=u,r=abc",
			.password = "Secret",
			.reply = WRONG,
			.events = BAD_PROOF },
		{ .name = "other nonce",
			.gs2 = "n,,",
			.bare = "n=u,r=abc",
			.password = "secret",
			.other_nonce = true,
			.reply = WRONG,
			.events = BAD_PROOF },
		{ .name = "binding of another header: y",
			.gs2 = "n,,",
			.bare = "n=u,r=abc",
			.password = "secret",
			.binding = "eSws",
			.reply = MALFORMED,
			.events = NO_PROOF },
		{ .name = "binding of another header: authzid",
			.gs2 = "n,,",
			.bare = "n=u,r=abc",
			.password = "secret",
			.binding = "bixhPXos",
			.reply = MALFORMED,
			.events = NO_PROOF },
		{ .name = "binding is no base64",
			.gs2 = "n,,",
			.bare = "n=u,r=abc",
			.password = "secret",
			.binding = "biw",
			.reply = MALFORMED,
			.events = NO_PROOF },
		{ .name = "cancelled at the end",
			.gs2 = "n,,",
			.bare = "n=u,r=abc",
			.password = "secret",
			.last = "*\r\n",
			.events = FINE },
		{ .name = "more at the end",
			.gs2 = "n,,",
			.bare = "n=u,r=abc",
			.password = "secret",
			.last = "eHh4\r\n",
			.events = FINE },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		run_scram(&rows[i], false);
		run_scram(&rows[i], true);
	}
}

static void scram_first_messages_that_are_none(void **state)
{
	static const char *const firsts[] = { "",
		"n",
		"n,",
		"n,,",
		"n,,n=u",
		"n,,n=u,",
		"n,,n=u,r=",
		"n,,n=,r=abc",
		"n,,r=abc,n=u",
		"n,,m=x,n=u,r=abc",
		"p=tls-unique,,n=u,r=abc",
		"x,,n=u,r=abc",
		"n,z,n=u,r=abc",
		"n,,n=a=2cb,r=abc",
		"n,,n=a=,r=abc",
		"n,,n=a=3,r=abc",
		"n,,n=u,r=a\x01",
		"n,,n=u,r=a b",
		"n,,n=u,r=\xc3\xa4" };
	struct smtp_server_options options = clear_options();
	struct owner o;

	(void)state;
	for (size_t i = 0; i < COUNT_OF(firsts); i++) {
		struct scram t = { .gs2 = firsts[i], .bare = "" };

		owner_hello(&o, &options);
		first_message(&o, &t, false);
		expect(&o, firsts[i], MALFORMED, "");
		owner_say(&o, "NOOP\r\n");
		expect(&o, firsts[i], NOOP, "");
		owner_end(&o);
	}
}

static void scram_final_messages_that_are_none(void **state)
{
	static const char *const finals[] = { "",
		"c=biws",
		"c=biws,r=abc",
		"c=biws,r=abc,p=",
		"c=biws,r=abc,p=AAAA",
		"r=abc,c=biws,p=AAAA",
		",p=AAAA",
		"c=biws,r=abc,p=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA" };
	struct smtp_server_options options = clear_options();
	struct scram t = { .gs2 = "n,,", .bare = "n=u,r=abc" };
	struct owner o;

	(void)state;
	for (size_t i = 0; i < COUNT_OF(finals); i++) {
		CLEANUP(buf_deinitp) struct buf line = BUF_INIT(4096);

		owner_hello(&o, &options);
		make_verifier(&o);
		first_message(&o, &t, true);
		buf_reset(&o.said);
		put_base64_line(&line, sv_from(finals[i]));
		(void)owner_give(&o, buf_sv(&line));
		expect(&o, finals[i], MALFORMED, NO_PROOF);
		owner_end(&o);
	}
}

static void the_owner_has_no_verifier_now(void **state)
{
	struct smtp_server_options options = clear_options();
	struct scram t = { .gs2 = "n,,", .bare = "n=u,r=abc" };
	struct owner o;

	(void)state;
	owner_hello(&o, &options);
	o.held = SMTP_SERVER_EV_AUTH_SCRAM;
	first_message(&o, &t, true);
	smtp_server_answer_auth(o.s, o.now, 454, "4.7.0", SV("Later"));
	owner_run(&o);
	expect(&o, "454", "454 4.7.0 Later\r\n", NO_PROOF);
	owner_say(&o, "NOOP\r\n");
	expect(&o, "goes on", NOOP, "");
	owner_end(&o);
}

/* The time that an answer takes is not the client's. */
static void a_slow_owner_does_not_time_the_client_out(void **state)
{
	struct smtp_server_options options = clear_options();
	struct scram t = { .gs2 = "n,,", .bare = "n=u,r=abc" };
	struct owner o;

	(void)state;
	owner_hello(&o, &options);
	make_verifier(&o);
	o.held = SMTP_SERVER_EV_AUTH_SCRAM;
	first_message(&o, &t, true);
	o.now = mono_add(o.now, 1000 * US_PER_S);
	smtp_server_tick(o.s, o.now);
	smtp_server_answer_scram(o.s, o.now, &o.verifier);
	smtp_server_tick(o.s, o.now);
	owner_run(&o);
	expect_reply(&o, "challenge", "334 ", NO_PROOF);
	owner_end(&o);
}

static void shut_while_an_answer_to_auth_is_due(void **state)
{
	static const enum smtp_server_event_kind kinds[] = {
		SMTP_SERVER_EV_AUTH_SCRAM, SMTP_SERVER_EV_AUTH_DONE, SMTP_SERVER_EV_AUTH_PASSWORD
	};
	struct smtp_server_options options = clear_options();
	struct scram t = { .gs2 = "n,,", .bare = "n=u,r=abc", .password = "secret" };

	(void)state;
	for (size_t i = 0; i < COUNT_OF(kinds); i++) {
		CLEANUP(buf_deinitp) struct buf signature = BUF_INIT(64);
		struct owner o;

		owner_hello(&o, &options);
		make_verifier(&o);
		o.held = kinds[i];
		if (kinds[i] == SMTP_SERVER_EV_AUTH_PASSWORD)
			owner_say(&o, "AUTH PLAIN AHUAc2VjcmV0\r\n");
		else
			first_message(&o, &t, true);
		if (kinds[i] == SMTP_SERVER_EV_AUTH_DONE)
			final_message(&o, &t, &signature);
		assert_true(o.holding);
		buf_reset(&o.log);
		smtp_server_shut(o.s, "4.3.2", SV("Going down"));
		owner_run(&o);
		expect(&o, "waits", "", "");
		if (kinds[i] == SMTP_SERVER_EV_AUTH_SCRAM)
			smtp_server_answer_scram(o.s, o.now, &o.verifier);
		else
			smtp_server_answer_auth(o.s, o.now, 235, "2.7.0", SV("Welcome"));
		owner_run(&o);
		assert_true(sv_ends_nocase(buf_sv(&o.said), SV("\r\n421 4.3.2 Going down\r\n")));
		expect_reply(&o, "shut", "", "CLOSE shut\n");
		owner_end(&o);
	}
}

static void the_owner_cuts_a_guesser(void **state)
{
	struct smtp_server_options options = clear_options();
	struct owner o;

	(void)state;
	owner_hello(&o, &options);
	o.codes[SMTP_SERVER_EV_AUTH_PASSWORD] = 421;
	owner_say(&o, "AUTH PLAIN AHUAd3Jvbmc=\r\nNOOP\r\n");
	expect(&o,
		"421",
		"421 4.3.0 As told\r\n",
		"PASSWORD user=u authzid= password=wrong ok=0\nCLOSE auth-failures\n");
	owner_end(&o);
}

/* ---- what stays in memory ---- */

static bool holds(const void *bytes, size_t len, const char *needle)
{
	return bytes && memmem(bytes, len, needle, strlen(needle)) != NULL;
}

static bool session_holds(const struct smtp_server *s, const char *needle)
{
	const struct buf *const bufs[] = {
		&s->line, &s->out, &s->helo, &s->sasl_text, &s->sasl_user, &s->scram
	};

	for (size_t i = 0; i < COUNT_OF(bufs); i++)
		if (holds(bufs[i]->ptr, bufs[i]->ptr ? bufs[i]->cap : 0, needle))
			return true;
	return holds(s, sizeof(*s), needle);
}

static void passwords_do_not_stay(void **state)
{
	static const char *const talks[] = {
		"AUTH PLAIN AHUAaHVudGVyMg==\r\n",
		"AUTH PLAIN\r\nAHUAaHVudGVyMg==\r\n",
		"  auth plain AHUAaHVudGVyMg==\r\n",
		"AUTH LOGIN\r\ndQ==\r\naHVudGVyMg==\r\n",
		"AUTH LOGIN dQ==\r\naHVudGVyMg==\r\n",
		"AUTH XOAUTH2 dXNlcj11AWF1dGg9QmVhcmVyIGh1bnRlcjIBAQ==\r\n",
		/* malformed, with it inside */
		"AUTH PLAIN AABodW50ZXIy\r\n",
		"AUTH LOGIN dQ==\r\naHVudGVyMg==!\r\n",
		"AUTH LOGIN dQ==\r\naHVudGVyMg==\n",
		"AUTH LOGIN dQ==\r\naHVudGVyMg==\n\r\n",
		"AUTH CRAM-MD5 AHUAaHVudGVyMg==\r\n",
	};
	static const char *const needles[] = {
		"hunter2", "aHVudGVyMg", "AHUAaHVu", "bodW50ZXIy", "h1bnRlcjI"
	};
	struct smtp_server_options options = clear_options();

	(void)state;
	for (size_t i = 0; i < COUNT_OF(talks); i++)
		for (int step = 0; step < 2; step++) {
			struct sv talk = sv_from(talks[i]);
			struct owner o;

			owner_hello(&o, &options);
			for (size_t used = 0; used < talk.len;)
				used += owner_give(
					&o, sv_head(sv_skip(talk, used), step ? 1 : talk.len));
			for (size_t k = 0; k < COUNT_OF(needles); k++)
				if (session_holds(o.s, needles[k]))
					fail_msg("%s left by %s", needles[k], talks[i]);
			owner_end(&o);
		}
}

/* A client that leaves in the middle takes its password with it. */
static void half_a_password_does_not_stay_either(void **state)
{
	struct smtp_server_options options = clear_options();
	struct owner o;

	(void)state;
	owner_hello(&o, &options);
	owner_say(&o, "AUTH PLAIN AHUAaHVudGVyMg==");
	assert_true(session_holds(o.s, "AHUAaHVu"));
	smtp_server_eof(o.s);
	assert_false(session_holds(o.s, "AHUAaHVu"));
	owner_end(&o);
	owner_hello(&o, &options);
	o.held = SMTP_SERVER_EV_AUTH_PASSWORD;
	owner_say(&o, "AUTH PLAIN AHUAaHVudGVyMg==\r\n");
	assert_true(session_holds(o.s, "hunter2"));
	smtp_server_eof(o.s);
	assert_false(session_holds(o.s, "hunter2"));
	owner_end(&o);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(plain_login_and_xoauth2),
		cmocka_unit_test(in_the_clear_no_password_is_taken),
		cmocka_unit_test(long_lines_are_for_auth_alone),
		cmocka_unit_test(the_client_of_this_test_is_right),
		cmocka_unit_test(scram_good_and_bad),
		cmocka_unit_test(scram_first_messages_that_are_none),
		cmocka_unit_test(scram_final_messages_that_are_none),
		cmocka_unit_test(sessions_with_one_key_have_other_nonces),
		cmocka_unit_test(the_owner_has_no_verifier_now),
		cmocka_unit_test(a_slow_owner_does_not_time_the_client_out),
		cmocka_unit_test(shut_while_an_answer_to_auth_is_due),
		cmocka_unit_test(the_owner_cuts_a_guesser),
		cmocka_unit_test(passwords_do_not_stay),
		cmocka_unit_test(half_a_password_does_not_stay_either),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
