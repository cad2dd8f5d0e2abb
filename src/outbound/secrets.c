/* SPDX-License-Identifier: Apache-2.0 */
#include "identity/secrets.h"
#include "base/must.h"
#include "io/log.h"
#include "outbound/outbound_priv.h"
#include "provider/defaults.h"

#include <stdlib.h>

/*
 * What a lane signs in with. Secrets of the configuration are read when it is configured, and again
 * right before a probe; those that a command prints, in a worker, and until then no connection is opened. An
 * access token is asked for by each connection, which keeps its own copy.
 */
#define TOKEN_LEFT_US_MIN US_PER_MIN

enum {
	PASSWORD,
	KEY,
	PASSPHRASE,
	SECRETS
};

struct secrets_job {
	struct lane *lane; /* NULL: nobody waits for it any more */
	struct conf *conf;
	const struct conf_secret *where[SECRETS];
	struct secret *got[SECRETS];
	const char *warning;
	int rc;
	struct err err;
};

static void job_free(struct secrets_job *j)
{
	for (size_t i = 0; i < SECRETS; i++)
		secret_free(j->got[i]);
	conf_unref(j->conf);
	free(j);
}

/* App passwords are shown in groups of four and pasted with the spaces. */
static void unspace(struct lane *l)
{
	char plain[17];

	if (!l->password || provider_defaults(l->c->provider)->is_any_server ||
		!provider_app_password_unspace(secret_reveal(l->password), plain))
		return;
	secret_free(l->password);
	l->password = secret_new(sv_from(plain));
	secret_wipe(plain, sizeof(plain));
	log_event(LOG_INFO,
		"smtp",
		SV(""),
		"the password looks like an app password with spaces in it: they are left out",
		(const struct log_field[]){ LOG_F("mailbox", l->c->name) },
		1);
}

static void finish(struct secrets_job *j)
{
	const struct verdict v =
		cause_verdict(identity_secret_cause(j->rc, CAUSE_PASSWORD_UNREADABLE));
	struct lane *l = j->lane;

	if (!l)
		return;
	l->secrets_job = NULL;
	l->secrets_failed = j->rc != 0;
	if (j->rc != 0) {
		lane_hold(l, &v, sv_from(j->err.text), SV(""));
		return;
	}
	if (j->warning)
		log_event(LOG_WARN,
			"smtp",
			SV(""),
			j->warning,
			(const struct log_field[]){ LOG_F("mailbox", l->c->name) },
			1);
	l->password = TAKE(j->got[PASSWORD]);
	l->certificate_key = TAKE(j->got[KEY]);
	l->passphrase = TAKE(j->got[PASSPHRASE]);
	unspace(l);
	lane_poke(l);
}

/* From what a reload has read, or from where it is. */
static int load_one(struct secrets_job *j, size_t at, struct identity_vault *vault,
	const struct outbound_fresh *fresh, const char **out_warning)
{
	const struct secret *read = outbound_fresh_secret(fresh, j->where[at], out_warning);

	if (!read)
		return identity_secret_load(j->where[at], vault, &j->got[at], out_warning, &j->err);
	j->got[at] = secret_new(secret_reveal(read));
	return 0;
}

static void load(struct secrets_job *j, struct identity_vault *vault,
	const struct outbound_fresh *fresh, bool commands)
{
	for (size_t i = 0; i < SECRETS && j->rc == 0; i++) {
		bool command = j->where[i]->kind == CONF_SECRET_COMMAND;
		const char *warning = NULL;

		if (j->where[i]->kind == CONF_SECRET_NONE || command != commands)
			continue;
		j->rc = load_one(j, i, vault, fresh, &warning);
		if (warning)
			j->warning = warning;
	}
}

static void run_commands(void *arg)
{
	load(arg, NULL, NULL, true);
}

static void commands_ran(void *arg)
{
	finish(arg);
	job_free(arg);
}

void lane_forget_secrets(struct lane *l)
{
	/* A worker may have it: it finds nobody. */
	if (l->secrets_job)
		l->secrets_job->lane = NULL;
	l->secrets_job = NULL;
	secret_free(l->password);
	secret_free(l->certificate_key);
	secret_free(l->passphrase);
	l->password = l->certificate_key = l->passphrase = NULL;
}

void lane_load_secrets(struct lane *l)
{
	struct outbound *o = l->o;
	struct secrets_job *j;
	bool commands = false;

	lane_forget_secrets(l);
	l->secrets_failed = l->secrets_stale = false;
	if (!l->c)
		return;
	j = xcalloc(1, sizeof(*j));
	j->lane = l;
	j->conf = conf_ref(l->conf);
	j->where[PASSWORD] = &l->c->password;
	j->where[KEY] = &l->c->certificate_key;
	j->where[PASSPHRASE] = &l->c->passphrase;
	for (size_t i = 0; i < SECRETS; i++)
		commands |= j->where[i]->kind == CONF_SECRET_COMMAND;
	load(j, o->vault, o->reload.fresh, false);
	if (commands && j->rc == 0) {
		int rc;

		must(o->workers != NULL);
		rc = io_workers_run(o->workers, run_commands, commands_ran, j);
		/* It is the worker's now: whether the command failed is told later. */
		if (rc == 0) {
			l->secrets_job = j;
			return;
		}
		j->rc = rc;
		(void)err_set(&j->err, rc, "too many commands for secrets run at once");
	}
	commands_ran(j);
}

static bool is_same(const struct conf_secret *a, const struct conf_secret *b)
{
	return a->kind == b->kind && sv_eq(a->name, b->name);
}

/* A command runs before the next connection, not for ten thousand lanes at a reload. */
static bool may_wait(const struct lane *l, const struct conf_lane *before)
{
	const struct conf_lane *now = l->c;

	return before && now && !l->secrets_failed && !l->secrets_job &&
	       (now->password.kind == CONF_SECRET_COMMAND ||
		       now->certificate_key.kind == CONF_SECRET_COMMAND ||
		       now->passphrase.kind == CONF_SECRET_COMMAND) &&
	       is_same(&now->password, &before->password) &&
	       is_same(&now->certificate_key, &before->certificate_key) &&
	       is_same(&now->passphrase, &before->passphrase);
}

/* What has not changed stays where it is. */
static void keep_same(struct secret **now, struct secret *before)
{
	struct secret *read = *now;

	if (!read || !before || !secret_eq(before, secret_reveal(read))) {
		secret_free(before);
		return;
	}
	*now = before;
	secret_free(read);
}

void lane_reload_secrets(struct lane *l, const struct conf_lane *before)
{
	struct secret *password, *key, *passphrase;

	if (may_wait(l, before)) {
		l->secrets_stale = true;
		return;
	}
	password = TAKE(l->password);
	key = TAKE(l->certificate_key);
	passphrase = TAKE(l->passphrase);
	lane_load_secrets(l);
	keep_same(&l->password, password);
	keep_same(&l->certificate_key, key);
	keep_same(&l->passphrase, passphrase);
}
