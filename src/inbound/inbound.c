/* SPDX-License-Identifier: Apache-2.0 */
#include "inbound/inbound.h"

#include "base/must.h"
#include "base/secret.h"
#include "inbound/inbound_priv.h"
#include "io/log.h"
#include "io/passed.h"

#include <stdlib.h>

static void drain_check(void *arg)
{
	struct inbound *in = arg;
	void (*drained)(void *arg) = in->drained;

	if (!drained || in->session_count || in->accepts)
		return;
	in->drained = NULL;
	drained(in->drained_arg);
}

/* ---- what comes from files ---- */

struct inbound_fresh *inbound_fresh_read(const struct conf *conf, struct io_workers *workers,
	const char *salt_key_file, struct err *err)
{
	struct inbound_fresh *f = xcalloc(1, sizeof(*f));
	const struct conf_listener *all = conf_listeners(conf, &f->tls_count);
	int rc;

	f->tls = xcalloc(f->tls_count + 1, sizeof(struct io_tls *));
	f->users = identity_users_new(conf, workers, salt_key_file, err);
	rc = f->users ? 0 : RC_CONFIG;
	for (size_t i = 0; i < f->tls_count && rc == 0; i++)
		rc = listener_load_tls(&all[i], &f->tls[i], err);
	if (rc == 0)
		return f;
	inbound_fresh_free(f);
	return NULL;
}

void inbound_fresh_free(struct inbound_fresh *f)
{
	if (!f)
		return;
	identity_users_unref(f->users);
	for (size_t i = 0; i < f->tls_count; i++)
		io_tls_unref(f->tls[i]);
	free(f->tls);
	free(f);
}

/* ---- life ---- */

struct inbound *inbound_new(const struct inbound_options *options, struct err *err)
{
	struct inbound *in = xcalloc(1, sizeof(*in));
	struct inbound_fresh *fresh;
	int rc;

	in->loop = options->loop;
	in->store = options->store;
	in->workers = options->workers;
	in->conf = conf_ref(options->conf);
	in->dispatch = options->dispatch;
	in->salt_key_file = options->salt_key_file ? sv_dup(sv_from(options->salt_key_file)) : NULL;
	list_init(&in->listeners);
	list_init(&in->sessions);
	in->turn = (struct io_task){ .run = session_turn, .arg = in };
	in->drain_check = (struct io_task){ .run = drain_check, .arg = in };
	in->accounts = limit_accounts_new(io_random_u64());
	in->names_seed = io_random_u64();
	io_random(in->nonce_key, sizeof(in->nonce_key));
	in->names = io_names_new(in->loop);
	accounts_set(in, in->conf);
	io_timer_init(&in->memory_look, in->loop, accounts_look_at_memory, in);
	in->passed = xcalloc(1, sizeof(*in->passed));
	io_passed_from_environment(in->passed);
	listeners_drop_unwanted(in, in->conf);
	fresh = inbound_fresh_read(in->conf, in->workers, in->salt_key_file, err);
	rc = fresh ? listeners_open(in, in->conf, fresh, err) : RC_CONFIG;
	if (rc == 0)
		in->users = TAKE(fresh->users);
	inbound_fresh_free(fresh);
	if (rc != 0) {
		inbound_free(in);
		return NULL;
	}
	in->drop = drop_open(in);
	quotas_start(in);
	return in;
}

void inbound_begin(struct inbound *in)
{
	listeners_pause(in, false);
	/* It has waited for that, too. */
	drop_reload(in->drop);
}

void inbound_free(struct inbound *in)
{
	if (!in)
		return;
	io_task_cancel(in->loop, &in->drain_check);
	io_task_cancel(in->loop, &in->turn);
	io_timer_stop(&in->memory_look);
	drop_close(in->drop);
	listeners_close_all(in);
	must(in->session_count == 0);
	heap_deinit(&in->turns);
	io_names_free(in->names);
	if (in->users)
		identity_users_unref(in->users);
	limit_accounts_free(in->accounts);
	quotas_free(in);
	conf_unref(in->conf);
	free(in->passed);
	free(in->salt_key_file);
	secret_wipe(in->nonce_key, sizeof(in->nonce_key));
	free(in);
}

int inbound_reload(
	struct inbound *in, struct conf *conf, struct inbound_fresh *fresh, struct err *err)
{
	struct identity_users *before = in->users;
	int rc = listeners_open(in, conf, fresh, err);

	if (rc != 0)
		return rc;
	in->users = TAKE(fresh->users);
	if (!in->ledger_is_read)
		listeners_pause(in, true);
	(void)conf_ref(conf);
	conf_unref(in->conf);
	in->conf = conf;
	accounts_set(in, conf);
	sessions_review(in, before);
	identity_users_unref(before);
	drop_reload(in->drop);
	return 0;
}

void inbound_drain(struct inbound *in, void (*done)(void *arg), void *arg)
{
	in->draining = true;
	in->drained = done;
	in->drained_arg = arg;
	drop_close(in->drop);
	in->drop = NULL;
	listeners_close_all(in);
	list_each_safe (at, after, &in->sessions) {
		session_shut(list_entry(at, struct session, node),
			"4.3.2",
			SV("postern is going down, try again"));
	}
	inbound_check_drained(in);
}

void inbound_check_drained(struct inbound *in)
{
	if (in->draining)
		io_task_post(in->loop, &in->drain_check);
}

struct inbound_status inbound_status(const struct inbound *in)
{
	struct inbound_status status = { .sessions = limit_accounts_used(
						 in->accounts, LIMIT_RESOURCE_SESSIONS),
		.sessions_max = limit_accounts_capacity(in->accounts, LIMIT_RESOURCE_SESSIONS),
		.memory_bytes = limit_accounts_used(in->accounts, LIMIT_RESOURCE_BYTES),
		.memory_max_bytes = limit_accounts_capacity(in->accounts, LIMIT_RESOURCE_BYTES),
		.refused = in->refused,
		.sign_ins_failed = in->sign_ins_failed,
		.sign_ins_blocked = in->sign_ins_blocked };

	htable_each (&in->quotas, slot)
		status.quota_refused += ((const struct quota_use *)slot->value)->quota_refused;
	return status;
}

void inbound_each_listener(struct inbound *in,
	void (*each)(void *arg, const struct inbound_listener_status *status), void *arg)
{
	list_each (at, &in->listeners) {
		const struct listener *n = list_entry(at, struct listener, node);
		const struct inbound_listener_status status = { .name = n->name,
			.sessions = n->sessions,
			.accepted = n->accepted,
			.refused = n->refused,
			.legacy_tls = n->c && n->c->legacy_tls,
			.legacy_sessions = n->legacy_sessions,
			.legacy_messages = n->legacy_messages };

		if (!n->closed)
			each(arg, &status);
	}
}
