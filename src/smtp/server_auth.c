/* SPDX-License-Identifier: Apache-2.0 */
#include "base/err.h"
#include "base/must.h"
#include "base/text.h"
#include "smtp/server_priv.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/sha.h>
#include <stdio.h>

/* AUTH (RFC 4954): PLAIN (4616), LOGIN, SCRAM-SHA-256 (5802, 7677), and XOAUTH2 for the sandbox. */

bool server_auth_offered(const struct smtp_server *s, unsigned mechanism)
{
	/* SCRAM keeps the password, but what is sent after it would cross the network in the clear. */
	return (s->o.auth & mechanism) && (s->tls || !(s->o.auth_needs_tls || s->o.tls_required));
}

void server_auth_wipe(struct smtp_server *s)
{
	struct buf *const secrets[] = { &s->sasl_text, &s->scram };

	for (size_t i = 0; i < COUNT_OF(secrets); i++) {
		if (secrets[i]->ptr)
			secret_wipe(secrets[i]->ptr, secrets[i]->cap);
		buf_deinit(secrets[i]);
	}
	secret_wipe(&s->scram_verifier, sizeof(s->scram_verifier));
	buf_deinit(&s->sasl_user);
	s->scram_gs2_len = 0;
	s->sasl = SASL_NONE;
}

static void challenge(struct smtp_server *s, struct sv text, enum server_sasl next)
{
	CLEANUP(buf_deinitp) struct buf encoded = BUF_INIT((size_t)2 * LIMIT_AUTH_LINE);

	must(text_base64_encode(&encoded, text) == 0);
	s->sasl = next;
	s->state = SERVER_AUTH_LINE;
	server_reply(s, 334, NULL, buf_sv(&encoded));
}

static struct smtp_server_event *ask(struct smtp_server *s, enum smtp_server_event_kind kind)
{
	struct smtp_server_event *e = server_ask(s, kind);

	e->mechanism = s->mechanism;
	return e;
}

static void refuse(struct smtp_server *s, uint16_t code, const char *enhanced, struct sv text)
{
	server_auth_wipe(s);
	s->state = SERVER_COMMAND;
	server_complain(s, code, enhanced, text);
}

static void malformed(struct smtp_server *s)
{
	refuse(s, 501, "5.5.2", SV("Authentication data cannot be read"));
}

/* ---- PLAIN, LOGIN, XOAUTH2 ---- */

static void got_plain(struct smtp_server *s, struct sv data)
{
	struct sv authzid, user;
	struct smtp_server_event *e;

	if (!sv_cut_char(&data, '\0', &authzid) || !sv_cut_char(&data, '\0', &user) ||
		user.len == 0 || sv_find_char(data, '\0') >= 0) {
		malformed(s);
		return;
	}
	e = ask(s, SMTP_SERVER_EV_AUTH_PASSWORD);
	e->authzid = authzid;
	e->user = user;
	e->password = data;
}

static void got_login_user(struct smtp_server *s, struct sv user)
{
	buf_reset(&s->sasl_user);
	if (user.len == 0 || sv_find_char(user, '\0') >= 0 ||
		buf_append(&s->sasl_user, user) != 0) {
		malformed(s);
		return;
	}
	challenge(s, SV("Password:"), SASL_LOGIN_PASSWORD);
}

static void got_login_password(struct smtp_server *s, struct sv password)
{
	struct smtp_server_event *e;

	if (sv_find_char(password, '\0') >= 0) {
		malformed(s);
		return;
	}
	e = ask(s, SMTP_SERVER_EV_AUTH_PASSWORD);
	e->user = buf_sv(&s->sasl_user);
	e->password = password;
}

/* "user=U^Aauth=Bearer T^A^A" (Microsoft, Google: XOAUTH2). */
static void got_xoauth2(struct smtp_server *s, struct sv data)
{
	struct sv user = SV(""), token = SV(""), part;
	struct smtp_server_event *e;

	while (sv_cut_char(&data, '\x01', &part)) {
		if (sv_starts_nocase(part, SV("user=")))
			user = sv_skip(part, 5);
		else if (sv_starts_nocase(part, SV("auth=Bearer ")))
			token = sv_skip(part, 12);
	}
	if (user.len == 0 || token.len == 0) {
		malformed(s);
		return;
	}
	e = ask(s, SMTP_SERVER_EV_AUTH_TOKEN);
	e->user = user;
	e->password = token;
}

/* ---- SCRAM-SHA-256 ---- */

/* The value of "x=value" at the front of a comma list. */
static bool cut_attribute(struct sv *v, char name, struct sv *out_value)
{
	struct sv part;

	(void)sv_cut_char(v, ',', &part);
	if (part.len < 2 || part.ptr[0] != name || part.ptr[1] != '=')
		return false;
	*out_value = sv_skip(part, 2);
	return true;
}

/* RFC 5802 5.1: "=2C" is a comma, "=3D" an equals sign, and no other "=" may stand there. */
static bool unescape_name(struct sv name, struct buf *out)
{
	for (size_t i = 0; i < name.len; i++) {
		char c = name.ptr[i];

		if (c == '=') {
			struct sv code = sv_head(sv_skip(name, i), 3);

			if (sv_eq(code, SV("=2C")))
				c = ',';
			else if (!sv_eq(code, SV("=3D")))
				return false;
			i += 2;
		}
		if (c == '\0' || buf_append_char(out, c) != 0)
			return false;
	}
	return out->len > 0;
}

/* RFC 5802 7: "printable", and no comma. */
static bool nonce_form_ok(struct sv nonce)
{
	for (size_t i = 0; i < nonce.len; i++)
		if (nonce.ptr[i] < 0x21 || nonce.ptr[i] > 0x7e)
			return false;
	return nonce.len > 0 && nonce.len <= 256;
}

static void hmac(const unsigned char key[32], struct sv text, unsigned char out[32])
{
	unsigned len = 0;

	must(HMAC(EVP_sha256(), key, 32, (const unsigned char *)text.ptr, text.len, out, &len) !=
		NULL);
	must(len == 32);
}

/* No client can tell the next one from those it saw. */
static void make_nonce(struct smtp_server *s)
{
	static const char letters[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	const uint64_t which[] = { s->o.nonce_session, ++s->scram_count };
	unsigned char bytes[32];

	static_assert(SERVER_NONCE_LEN <= sizeof(bytes), "a letter a byte");
	hmac(s->o.nonce_key, sv_make((const char *)which, sizeof(which)), bytes);
	for (size_t i = 0; i < SERVER_NONCE_LEN; i++)
		s->scram_nonce[i] = letters[bytes[i] % 64];
	s->scram_nonce[SERVER_NONCE_LEN] = '\0';
}

static void got_scram_first(struct smtp_server *s, struct sv data)
{
	struct sv rest = data, flag, authzid, bare, user, nonce;
	struct smtp_server_event *e;

	(void)sv_cut_char(&rest, ',', &flag);
	(void)sv_cut_char(&rest, ',', &authzid);
	bare = rest;
	buf_reset(&s->sasl_user);
	buf_reset(&s->scram);
	/* "p=" asks for channel binding, which is not offered. */
	if ((!sv_eq(flag, SV("n")) && !sv_eq(flag, SV("y"))) ||
		(authzid.len && !sv_starts(authzid, SV("a="))) ||
		!cut_attribute(&rest, 'n', &user) || !cut_attribute(&rest, 'r', &nonce) ||
		!nonce_form_ok(nonce) || !unescape_name(user, &s->sasl_user) ||
		buf_append(&s->scram, data) != 0 || buf_append_char(&s->scram, ',') != 0) {
		malformed(s);
		return;
	}
	s->scram_gs2_len = data.len - bare.len;
	make_nonce(s);
	e = ask(s, SMTP_SERVER_EV_AUTH_SCRAM);
	e->user = buf_sv(&s->sasl_user);
	e->authzid = sv_skip(authzid, 2);
}

static struct sv auth_message(const struct smtp_server *s)
{
	return sv_skip(buf_sv(&s->scram), s->scram_gs2_len);
}

/* The client's nonce stands in client-first-bare behind ",r=". */
static struct sv client_nonce(const struct smtp_server *s)
{
	struct sv bare = auth_message(s), skipped, nonce = SV("");

	(void)sv_cut_char(&bare, ',', &skipped);
	(void)cut_attribute(&bare, 'r', &nonce);
	return nonce;
}

void smtp_server_answer_scram(
	struct smtp_server *s, struct mono_time now, const struct smtp_scram_verifier *verifier)
{
	CLEANUP(buf_deinitp) struct buf first = BUF_INIT(1024);
	CLEANUP(buf_deinitp) struct buf salt = BUF_INIT(64);
	struct sv nonce = client_nonce(s);

	s->now = now;
	if (s->state == SERVER_CLOSED)
		return;
	must(s->awaits == SMTP_SERVER_EV_AUTH_SCRAM);
	s->awaits = SMTP_SERVER_EV_COUNT;
	s->idle_end = mono_add(now, s->o.idle_us_max);
	s->scram_verifier = *verifier;
	must(text_base64_encode(
		     &salt, sv_make((const char *)verifier->salt, sizeof(verifier->salt))) == 0);
	must(buf_printf(&first,
		     "r=%.*s%s,s=%.*s,i=%u",
		     SV_ARG(nonce),
		     s->scram_nonce,
		     SV_ARG(buf_sv(&salt)),
		     verifier->iterations) == 0);
	if (buf_append(&s->scram, buf_sv(&first)) == 0)
		challenge(s, buf_sv(&first), SASL_SCRAM_PROOF);
	else
		malformed(s);
	server_finish_shut(s);
}

/* RFC 5802 3: ClientKey = proof XOR HMAC(StoredKey, AuthMessage); right when H(ClientKey) = StoredKey. */
static bool proof_ok(struct smtp_server *s, struct sv proof)
{
	const struct smtp_scram_verifier *v = &s->scram_verifier;
	unsigned char signature[32], key[32], hash[32];
	bool ok;

	hmac(v->stored_key, auth_message(s), signature);
	for (size_t i = 0; i < sizeof(key); i++)
		key[i] = (unsigned char)(signature[i] ^ (unsigned char)proof.ptr[i]);
	must(SHA256(key, sizeof(key), hash) != NULL);
	ok = CRYPTO_memcmp(hash, v->stored_key, sizeof(hash)) == 0;
	hmac(v->server_key, auth_message(s), s->scram_signature);
	secret_wipe(key, sizeof(key));
	return ok;
}

static bool nonce_ok(const struct smtp_server *s, struct sv nonce)
{
	struct sv ours = client_nonce(s);

	return nonce.len == ours.len + SERVER_NONCE_LEN && sv_starts(nonce, ours) &&
	       sv_eq(sv_skip(nonce, ours.len), sv_from(s->scram_nonce));
}

/* RFC 5802 5.1: "c=" repeats the gs2-header; nothing else vouches for the authzid in it. */
static bool binding_ok(const struct smtp_server *s, struct sv binding)
{
	CLEANUP(buf_deinitp) struct buf header = BUF_INIT(LIMIT_AUTH_LINE);

	return text_base64_decode(&header, binding) == 0 &&
	       sv_eq(buf_sv(&header), sv_head(buf_sv(&s->scram), s->scram_gs2_len));
}

static void got_scram_proof(struct smtp_server *s, struct sv data)
{
	CLEANUP(buf_deinitp) struct buf proof = BUF_INIT(64);
	ptrdiff_t at = sv_find(data, SV(",p="));
	struct sv bare, rest, binding, nonce;
	struct smtp_server_event *e;
	bool ok;

	if (at < 0) {
		malformed(s);
		return;
	}
	bare = rest = sv_head(data, (size_t)at);
	if (!cut_attribute(&rest, 'c', &binding) || !cut_attribute(&rest, 'r', &nonce) ||
		!binding_ok(s, binding) ||
		text_base64_decode(&proof, sv_skip(data, (size_t)at + 3)) != 0 || proof.len != 32 ||
		buf_append_char(&s->scram, ',') != 0 || buf_append(&s->scram, bare) != 0) {
		malformed(s);
		return;
	}
	ok = proof_ok(s, buf_sv(&proof)) && nonce_ok(s, nonce);
	e = ask(s, SMTP_SERVER_EV_AUTH_DONE);
	e->user = buf_sv(&s->sasl_user);
	e->auth_ok = ok;
}

static void scram_sign(struct smtp_server *s)
{
	CLEANUP(buf_deinitp) struct buf last = BUF_INIT(128);

	must(buf_append(&last, SV("v=")) == 0);
	must(text_base64_encode(&last,
		     sv_make((const char *)s->scram_signature, sizeof(s->scram_signature))) == 0);
	challenge(s, buf_sv(&last), SASL_SCRAM_END);
}

/* ---- the exchange ---- */

static void data_line(struct smtp_server *s, struct sv data)
{
	switch (s->sasl) {
	case SASL_PLAIN:
		got_plain(s, data);
		return;
	case SASL_LOGIN_USER:
		got_login_user(s, data);
		return;
	case SASL_LOGIN_PASSWORD:
		got_login_password(s, data);
		return;
	case SASL_SCRAM_FIRST:
		got_scram_first(s, data);
		return;
	case SASL_SCRAM_PROOF:
		got_scram_proof(s, data);
		return;
	case SASL_XOAUTH2:
		got_xoauth2(s, data);
		return;
	case SASL_SCRAM_END:
		if (data.len)
			break;
		s->authenticated = true;
		server_auth_wipe(s);
		server_reply(s, 235, "2.7.0", SV("Authentication successful"));
		return;
	case SASL_NONE:
		break;
	}
	malformed(s);
}

void server_auth_line(struct smtp_server *s, struct sv line)
{
	s->state = SERVER_COMMAND;
	if (s->sasl_text.ptr)
		secret_wipe(s->sasl_text.ptr, s->sasl_text.cap);
	buf_reset(&s->sasl_text);
	/* In one go: growing would leave pieces of a password in freed memory. */
	must(buf_reserve(&s->sasl_text, line.len) == 0);
	if (sv_eq(line, SV("*")))
		refuse(s, 501, "5.7.0", SV("Authentication cancelled"));
	else if (text_base64_decode(&s->sasl_text, line) != 0)
		malformed(s);
	else
		data_line(s, buf_sv(&s->sasl_text));
}

static void begin(struct smtp_server *s, enum server_sasl sasl, struct sv initial, bool has_initial,
	struct sv prompt)
{
	s->sasl = sasl;
	if (!has_initial)
		challenge(s, prompt, sasl);
	else if (sv_eq(initial, SV("=")))
		server_auth_line(s, SV("")); /* RFC 4954 4: an empty initial response */
	else
		server_auth_line(s, initial);
}

void server_auth_command(struct smtp_server *s, struct sv rest)
{
	static const struct {
		struct sv name;
		unsigned bit;
		enum server_sasl sasl;
		struct sv prompt;
	} mechanisms[] = {
		{ SV_INIT("PLAIN"), SMTP_SERVER_AUTH_PLAIN, SASL_PLAIN, SV_INIT("") },
		{ SV_INIT("LOGIN"), SMTP_SERVER_AUTH_LOGIN, SASL_LOGIN_USER, SV_INIT("Username:") },
		{ SV_INIT("SCRAM-SHA-256"),
			SMTP_SERVER_AUTH_SCRAM_SHA_256,
			SASL_SCRAM_FIRST,
			SV_INIT("") },
		{ SV_INIT("XOAUTH2"), SMTP_SERVER_AUTH_XOAUTH2, SASL_XOAUTH2, SV_INIT("") },
	};
	struct sv name;
	bool has_initial = sv_cut_char(&rest, ' ', &name);

	if (s->helo.len == 0 || !s->o.auth || s->authenticated || s->mail) {
		server_complain(s,
			503,
			"5.5.1",
			s->authenticated ? SV("Authenticated already")
			: s->mail        ? SV("Not within a message")
			: !s->o.auth     ? SV("Authentication is not offered")
					 : SV("Say EHLO first"));
		return;
	}
	if (s->o.tls_required && !s->tls) {
		server_complain(s, 530, "5.7.0", SV("Use STARTTLS first"));
		return;
	}
	for (size_t i = 0; i < COUNT_OF(mechanisms); i++) {
		if (!sv_eq_nocase(name, mechanisms[i].name) || !(s->o.auth & mechanisms[i].bit))
			continue;
		if (!server_auth_offered(s, mechanisms[i].bit)) {
			server_complain(
				s, 538, "5.7.11", SV("Encryption required: use STARTTLS first"));
			return;
		}
		s->mechanism = mechanisms[i].name;
		begin(s, mechanisms[i].sasl, sv_trim(rest), has_initial, mechanisms[i].prompt);
		return;
	}
	server_complain(s, 504, "5.5.4", SV("Mechanism is not offered"));
}

void server_auth_answered(
	struct smtp_server *s, uint16_t code, const char *enhanced, struct sv text)
{
	if (code == 235 && s->sasl == SASL_SCRAM_PROOF) {
		scram_sign(s);
		return;
	}
	s->authenticated = code == 235;
	server_auth_wipe(s);
	server_reply(s, code, enhanced, text);
}
