/* SPDX-License-Identifier: Apache-2.0 */
#include "identity/oauth.h"

#include "base/must.h"
#include "base/text.h"
#include "base/time.h"
#include "identity/encode.h"
#include "identity/logins.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* An input: 't' tokens, 'd' device code, 'r' redirect, 'l' a login of the vault; the status as a letter of
 * "24105"; then the bytes of the other side. */
static unsigned status_of(uint8_t letter)
{
	static const unsigned all[] = { 200, 400, 401, 503, 302 };

	return all[letter % COUNT_OF(all)];
}

static void check_secret(const struct secret *s)
{
	struct sv v = secret_reveal(s);

	must(!s || v.len > 0);
	for (size_t i = 0; i < v.len; i++)
		must(v.ptr[i] > ' ' && v.ptr[i] < 0x7f);
}

static void check_line(const char *text, size_t size)
{
	size_t len = strnlen(text, size);

	must(len < size);
	must(text_is_utf8(sv_make(text, len)));
	for (size_t i = 0; i < len; i++) {
		must((unsigned char)text[i] >= ' ' && text[i] != 0x7f);
		/* U+0080 to U+009F */
		must((unsigned char)text[i] != 0xc2 || (unsigned char)text[i + 1] >= 0xa0);
	}
}

static void check_refusal(const struct identity_oauth_refusal *r, bool must_say)
{
	check_line(r->error, sizeof(r->error));
	check_line(r->description, sizeof(r->description));
	must(!must_say || r->description[0]);
}

static void tokens(unsigned status, struct sv body)
{
	struct identity_oauth_tokens t;

	identity_oauth_read_tokens(status, body, &t);
	check_secret(t.access_token);
	check_secret(t.refresh_token);
	check_secret(t.id_token);
	if (t.access_token) {
		must(status == 200);
		must(secret_reveal(t.access_token).len <= IDENTITY_OAUTH_TOKEN_MAX);
		must(t.life_us >= 2 * US_PER_S);
		must(t.life_us <= 28 * US_PER_HOUR);
	} else {
		must(!t.refresh_token);
		check_refusal(&t.refusal, true);
	}
	identity_oauth_tokens_deinit(&t);
}

static void device(unsigned status, struct sv body)
{
	struct identity_oauth_device d;

	identity_oauth_read_device(status, body, &d);
	check_secret(d.device_code);
	check_line(d.user_code, sizeof(d.user_code));
	check_line(d.address, sizeof(d.address));
	check_line(d.message, sizeof(d.message));
	if (d.device_code) {
		must(status == 200);
		must(d.user_code[0] && d.address[0]);
		must(d.interval_us >= US_PER_S && d.interval_us <= 5 * US_PER_MIN);
		must(d.life_us >= US_PER_MIN && d.life_us <= 2 * US_PER_HOUR);
	} else {
		check_refusal(&d.refusal, true);
	}
	identity_oauth_device_deinit(&d);
}

static void redirect(struct sv request)
{
	struct identity_oauth_refusal why = { 0 };
	struct secret *code = NULL;
	int rc = identity_oauth_read_redirect(request, SV("st8"), &code, &why);

	must(rc == 0 || !code);
	/* Without our state nothing is taken. */
	must(rc != 0 || sv_find(request, SV("state=")) >= 0);
	check_secret(code);
	check_refusal(&why, false);
	secret_free(code);
}

static void login(struct sv text)
{
	struct identity_login *l = NULL;

	if (identity_login_parse(text, &l) != 0)
		return;
	must(secret_reveal(l->refresh_token).len > 0);
	must(l->signed_in_at.us >= 0 && l->obtained_at.us >= 0);
	identity_login_free(l);
}

/* What a form holds comes back as it was. */
static void form(struct sv value)
{
	CLEANUP(buf_deinitp) struct buf plain = BUF_INIT(65536), again = BUF_INIT(65536);
	const struct identity_pair pair = { "a", { 0 } };
	struct identity_pair one = pair;
	struct secret *s;

	if (identity_form_decode(&plain, value) != 0 || plain.len == 0)
		return;
	one.value = buf_sv(&plain);
	s = identity_form(&one, 1);
	must(identity_form_decode(&again, sv_skip(secret_reveal(s), 2)) == 0);
	must(sv_eq(buf_sv(&again), buf_sv(&plain)));
	secret_free(s);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct sv rest;

	if (size < 2)
		return 0;
	rest = sv_make((const char *)data + 2, size - 2);
	switch (data[0]) {
	case 't':
		tokens(status_of(data[1]), rest);
		break;
	case 'd':
		device(status_of(data[1]), rest);
		break;
	case 'r':
		redirect(rest);
		break;
	case 'l':
		login(rest);
		break;
	default:
		form(rest);
		break;
	}
	return 0;
}
