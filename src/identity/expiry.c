/* SPDX-License-Identifier: Apache-2.0 */
#include "identity/expiry.h"

#include "base/buf.h"
#include "base/must.h"
#include "identity/app.h"
#include "identity/logins.h"
#include "io/file.h"
#include "provider/defaults.h"
#include "provider/reply.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <stdlib.h>

/* https://learn.microsoft.com/entra/identity-platform/refresh-tokens: 90 days without use. */
#define LOGIN_LIFE_US (90 * (int64_t)US_PER_DAY)

enum {
	FILE_MAX = 262144 /* as an app may have it (app.c) */
};

static const char *const kind_names[] = {
	[IDENTITY_EXPIRY_SECRET] = "client-secret",
	[IDENTITY_EXPIRY_CERTIFICATE] = "certificate",
	[IDENTITY_EXPIRY_LOGIN] = "login",
	[IDENTITY_EXPIRY_PASSWORD] = "basic-authentication",
};
static_assert(COUNT_OF(kind_names) == IDENTITY_EXPIRY_KIND_COUNT, "name every kind");

const char *identity_expiry_kind_name(enum identity_expiry_kind kind)
{
	return kind_names[kind];
}

int identity_expiry_stage(struct wall_time now, struct wall_time ends)
{
	static const int days[] = { 7, 30, 60 };
	int64_t left = ends.us - now.us;

	if (left <= 0)
		return 0;
	for (size_t i = 0; i < COUNT_OF(days); i++)
		if (left <= days[i] * (int64_t)US_PER_DAY)
			return days[i];
	return -1;
}

int identity_expiry_text(const struct identity_expiry *e, struct wall_time now, struct buf *out)
{
	int64_t left = (e->ends.us - now.us) / (int64_t)US_PER_DAY;
	char at[WALL_RFC3339_MAX];

	(void)wall_rfc3339(e->ends, at);
	if (e->ends.us <= now.us)
		return buf_printf(out,
			"%s of %.*s: it ended on %.10s: %s",
			kind_names[e->kind],
			SV_ARG(e->name),
			at,
			e->remedy);
	return buf_printf(out,
		"%s of %.*s: it ends on %.10s, in %lld day%s: %s",
		kind_names[e->kind],
		SV_ARG(e->name),
		at,
		(long long)left,
		left == 1 ? "" : "s",
		e->remedy);
}

/* ---- where ends are found ---- */

static struct wall_time wall_of(const ASN1_TIME *t)
{
	ASN1_TIME *epoch = ASN1_TIME_set(NULL, 0);
	struct wall_time at = { 0 };
	int days = 0, seconds = 0;

	if (epoch && ASN1_TIME_diff(&days, &seconds, epoch, t) == 1)
		at.us = ((int64_t)days * 86400 + seconds) * (int64_t)US_PER_S;
	ASN1_TIME_free(epoch);
	return at;
}

/* The first certificate of a PEM file; 0: none. */
static struct wall_time end_of_file(struct sv path)
{
	CLEANUP(buf_deinitp) struct buf text = BUF_INIT(FILE_MAX);
	struct wall_time end = { 0 };
	char *name = sv_dup(path);
	BIO *bio = io_file_read(name, FILE_MAX, &text, NULL) == 0 && text.len
			   ? BIO_new_mem_buf(text.ptr, (int)text.len)
			   : NULL;
	X509 *x = bio ? PEM_read_bio_X509(bio, NULL, NULL, NULL) : NULL;

	if (x)
		end = wall_of(X509_get0_notAfter(x));
	X509_free(x);
	BIO_free(bio);
	ERR_clear_error();
	free(name);
	return end;
}

static void certificate(
	struct sv path, struct sv name, const char *remedy, identity_expiry_fn *each, void *arg)
{
	struct identity_expiry e = {
		.kind = IDENTITY_EXPIRY_CERTIFICATE, .name = name, .remedy = remedy
	};

	if (path.len == 0)
		return;
	e.ends = end_of_file(path);
	if (e.ends.us)
		each(arg, &e);
}

static void tenants(
	const struct conf *conf, struct identity_vault *vault, identity_expiry_fn *each, void *arg)
{
	static const char upload[] = "make a new one, and give it to the app registration in Entra "
				     "before";
	size_t count;
	const struct conf_tenant *const *t = conf_tenants(conf, &count);

	for (size_t i = 0; i < count; i++) {
		struct identity_expiry e = {
			.kind = IDENTITY_EXPIRY_CERTIFICATE, .name = t[i]->name, .remedy = upload
		};
		struct err err = { 0 };

		certificate(t[i]->app.certificate, t[i]->name, upload, each, arg);
		if (t[i]->app.pkcs12.len && identity_app_check(t[i], vault, &e.ends, &err) == 0 &&
			e.ends.us)
			each(arg, &e);
		if (t[i]->app.secret_expires.us == 0)
			continue;
		e.kind = IDENTITY_EXPIRY_SECRET;
		e.place = &t[i]->app.place;
		e.ends = t[i]->app.secret_expires;
		e.remedy = "add a new one to the app registration in Entra (Certificates & "
			   "secrets), put it into place, and write its end into secret_expires";
		each(arg, &e);
	}
}

static void login(const struct conf_lane *lane, struct identity_vault *vault,
	identity_expiry_fn *each, void *arg)
{
	CLEANUP(identity_login_freep) struct identity_login *found = NULL;
	CLEANUP(buf_deinitp) struct buf name = BUF_INIT(1024);
	char user[IDENTITY_USER_MAX];
	struct err err = { 0 };

	/* Google's refresh tokens have another life, which nobody states. */
	if (!vault || conf_person_door(lane->member) != lane || !lane->tenant ||
		lane->tenant->cloud == PROVIDER_CLOUD_GOOGLE ||
		identity_login_name(lane->tenant, identity_login_user(lane, user), &name) != 0 ||
		identity_login_load(vault, buf_sv(&name), &found, &err) != 0)
		return;
	each(arg,
		&(struct identity_expiry){ .kind = IDENTITY_EXPIRY_LOGIN,
			.name = lane->name,
			.ends = wall_add(found->obtained_at, LOGIN_LIFE_US),
			.place = &lane->place,
			.remedy =
				"it ends when it is not used for 90 days: send a message by it, or "
				"sign in again with `postern login`" });
}

static void passwords(const struct conf *conf, identity_expiry_fn *each, void *arg)
{
	size_t count;
	const struct conf_lane *lanes = conf_lanes(conf, &count);
	bool said[PROVIDER_COUNT] = { false };

	for (size_t i = 0; i < count; i++) {
		enum provider_kind p = lanes[i].provider;
		int64_t end = provider_defaults(p)->password_end_s;

		if (lanes[i].sign_in != CONF_SIGN_IN_PASSWORD || end == 0 || said[p])
			continue;
		said[p] = true;
		each(arg,
			&(struct identity_expiry){ .kind = IDENTITY_EXPIRY_PASSWORD,
				.name = sv_from(provider_name(p)),
				.ends = { end * (int64_t)US_PER_S },
				.remedy = provider_defaults(p)->password_ends });
	}
}

void identity_expiry_each(
	const struct conf *conf, struct identity_vault *vault, identity_expiry_fn *each, void *arg)
{
	size_t count;
	const struct conf_lane *lanes = conf_lanes(conf, &count);
	const struct conf_listener *listeners;

	tenants(conf, vault, each, arg);
	for (size_t i = 0; i < count; i++) {
		certificate(lanes[i].certificate,
			lanes[i].name,
			"renew it before, and see that the connector in Exchange accepts it",
			each,
			arg);
		login(&lanes[i], vault, each, arg);
	}
	listeners = conf_listeners(conf, &count);
	for (size_t i = 0; i < count; i++)
		certificate(listeners[i].certificate,
			listeners[i].name,
			"renew it before: clients refuse one that is over",
			each,
			arg);
	passwords(conf, each, arg);
}
