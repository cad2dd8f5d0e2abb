/* SPDX-License-Identifier: Apache-2.0 */
#include "base/must.h"
#include "inbound/inbound_priv.h"
#include "io/file.h"
#include "io/log.h"
#include "io/notify.h"
#include "io/passed.h"

#include <stdlib.h>
#include <unistd.h>

/* Sockets, and who may speak at all. */

static const struct sv submit_name = SV_INIT("submit");

static void on_accept(void *arg, int fd)
{
	struct listener *n = arg;

	session_begin(n, fd);
}

/* ---- opening ---- */

static struct listener *listener_new(
	struct inbound *in, struct conf *conf, const struct conf_listener *c, struct sv name)
{
	struct listener *n = xcalloc(1, sizeof(*n));

	n->in = in;
	n->conf = conf_ref(conf);
	n->c = c;
	n->name = sv_from(sv_dup(name));
	list_init(&n->node);
	return n;
}

static void listener_free(struct listener *n)
{
	list_remove(&n->node);
	io_listener_close(n->socket);
	io_tls_unref(n->tls);
	conf_unref(n->conf);
	free((void *)(uintptr_t)n->name.ptr);
	free(n);
}

int listener_load_tls(const struct conf_listener *c, struct io_tls **out_tls, struct err *err)
{
	CLEANUP(buf_deinitp) struct buf certificate = BUF_INIT(4096), key = BUF_INIT(4096);
	struct io_tls *tls;

	if (c->tls == CONF_TLS_NONE)
		return 0;
	if (buf_printf(&certificate, "%.*s%c", SV_ARG(c->certificate), 0) != 0 ||
		buf_printf(&key, "%.*s%c", SV_ARG(c->key.name), 0) != 0)
		return err_set(err, RC_LIMIT, "a path is too long");
	tls = io_tls_server_new_profile(buf_sv(&certificate).ptr,
		buf_sv(&key).ptr,
		c->legacy_tls ? IO_TLS_LEGACY : IO_TLS_MODERN,
		err);
	if (!tls)
		return err_wrap(err, "listener %.*s", SV_ARG(c->name));
	*out_tls = tls;
	return 0;
}

static int open_systemd(struct listener *n, struct err *err)
{
	int fd = io_passed_take(n->in->passed, n->c->name);

	if (fd < 0)
		return err_set(err,
			RC_CONFIG,
			"systemd passed no socket called '%.*s': set FileDescriptorName= "
			"in the socket unit",
			SV_ARG(n->c->name));
	n->socket = io_listener_adopt(n->in->loop, fd, on_accept, n);
	return 0;
}

/* The name under which the manager keeps a socket over a restart. Empty: it cannot. */
static void stored_name(const struct conf *conf, const struct conf_listener *c, struct buf *out)
{
	CLEANUP(buf_deinitp) struct buf text = BUF_INIT(1024);

	out->len = 0;
	if (c && c->systemd)
		return;
	if ((c ? buf_append(&text, c->name)
	       : buf_printf(&text, "unix:%.*s", SV_ARG(conf_general(conf)->submit_socket))) != 0 ||
		io_passed_store_name(buf_sv(&text), out) != 0)
		out->len = 0;
}

/* That of the process before us, if it left one with the manager; else a new one, which is left there. */
static int open_at(
	struct listener *n, const struct io_address *address, unsigned mode, struct err *err)
{
	CLEANUP(buf_deinitp) struct buf name = BUF_INIT(4096);
	int fd;

	stored_name(n->conf, n->c, &name);
	fd = io_passed_take(n->in->passed, buf_sv(&name));
	if (fd >= 0) {
		n->socket = io_listener_inherit(n->in->loop, fd, address, mode, on_accept, n);
		if (n->socket)
			return 0;
		io_notify_forget(buf_sv(&name));
		io_notify_barrier();
	}
	n->socket = io_listener_open(n->in->loop, address, mode, on_accept, n, err);
	if (n->socket && name.len)
		io_notify_store(io_listener_fd(n->socket), buf_sv(&name));
	return n->socket ? 0 : RC_CONFIG;
}

static int open_socket(struct listener *n, struct err *err)
{
	CLEANUP(buf_deinitp) struct buf text = BUF_INIT(1024);
	struct io_address submit;

	if (n->c && n->c->systemd)
		return open_systemd(n, err);
	if (n->c)
		return open_at(n, &n->c->address, n->c->unix_mode, err);
	if (buf_printf(&text, "unix:%.*s", SV_ARG(conf_general(n->conf)->submit_socket)) != 0 ||
		io_address_parse(buf_sv(&text), &submit) != 0)
		return err_set(err, RC_CONFIG, "submit_socket is no path for a socket");
	/* Everybody may connect: they are known by their uid, as with sendmail(8). */
	return open_at(n, &submit, 0666, err);
}

static struct listener *find_open(struct inbound *in, struct sv name)
{
	list_each (at, &in->listeners) {
		struct listener *n = list_entry(at, struct listener, node);

		if (!n->closed && sv_eq(n->name, name))
			return n;
	}
	return NULL;
}

/* The new listener takes the socket of the old one of the same name, if there is one. */
static int open_one(struct inbound *in, struct conf *conf, const struct conf_listener *c,
	struct io_tls *tls, struct list *fresh, struct err *err)
{
	struct listener *n = listener_new(in, conf, c, c ? c->name : submit_name);
	int rc = 0;

	n->tls = tls ? io_tls_ref(tls) : NULL;
	if (!find_open(in, n->name))
		rc = open_socket(n, err);
	if (rc != 0)
		listener_free(n);
	else
		list_append(fresh, &n->node);
	return rc;
}

static void retire(struct listener *n)
{
	n->closed = true;
	io_listener_close(n->socket);
	n->socket = NULL;
	if (n->sessions == 0)
		listener_free(n);
}

/* Nobody listens there any more: the manager must not hold it open. */
static void forget_stored(struct listener *n)
{
	CLEANUP(buf_deinitp) struct buf name = BUF_INIT(4096);

	stored_name(n->conf, n->c, &name);
	if (name.len)
		io_notify_forget(buf_sv(&name));
}

static bool is_wanted(const struct conf *conf, struct sv stored)
{
	CLEANUP(buf_deinitp) struct buf name = BUF_INIT(4096);
	size_t count;
	const struct conf_listener *all = conf_listeners(conf, &count);
	bool wanted = false;

	if (conf_general(conf)->submit_socket.len) {
		stored_name(conf, NULL, &name);
		wanted = sv_eq(buf_sv(&name), stored);
	}
	for (size_t i = 0; i < count && !wanted; i++) {
		stored_name(conf, &all[i], &name);
		wanted = sv_eq(buf_sv(&name), stored);
	}
	return wanted;
}

void listeners_drop_unwanted(struct inbound *in, const struct conf *conf)
{
	bool any = false;

	for (size_t i = 0; i < in->passed->count; i++) {
		struct sv name = in->passed->sockets[i].name;
		int fd;

		if (!io_passed_is_stored(name) || is_wanted(conf, name))
			continue;
		fd = io_passed_take(in->passed, name);
		io_closep(&fd);
		io_notify_forget(name);
		any = true;
	}
	if (any)
		io_notify_barrier();
}

/*
 * Same socket, new rules: what is open goes on under the old ones. A certificate that is the same stays, too, so that
 * clients resume their sessions.
 */
static void take_over(struct listener *fresh, struct listener *old)
{
	struct conf *conf = old->conf;
	struct io_tls *tls = old->tls;

	old->conf = fresh->conf;
	old->c = fresh->c;
	fresh->conf = conf;
	if (!tls || !fresh->tls || !io_tls_same(tls, fresh->tls)) {
		old->tls = fresh->tls;
		fresh->tls = tls;
	}
	listener_free(fresh);
}

int listeners_open(
	struct inbound *in, struct conf *conf, const struct inbound_fresh *read, struct err *err)
{
	size_t count;
	const struct conf_listener *all = conf_listeners(conf, &count);
	struct list fresh;
	int rc = 0;

	must(read->tls_count == count);
	list_init(&fresh);
	if (conf_general(conf)->submit_socket.len)
		rc = open_one(in, conf, NULL, NULL, &fresh, err);
	for (size_t i = 0; i < count && rc == 0; i++)
		rc = open_one(in, conf, &all[i], read->tls[i], &fresh, err);
	if (rc != 0) {
		list_each_safe (at, after, &fresh)
			listener_free(list_entry(at, struct listener, node));
		return rc;
	}
	/* From here on nothing fails: old ones that are not in the new list go, the others change. */
	list_each_safe (at, after, &in->listeners) {
		struct listener *old = list_entry(at, struct listener, node);
		bool stays = false;

		list_each (f, &fresh)
			stays |= sv_eq(list_entry(f, struct listener, node)->name, old->name);
		if (!old->closed && !stays) {
			forget_stored(old);
			retire(old);
		}
	}
	list_each_safe (at, after, &fresh) {
		struct listener *n = list_entry(at, struct listener, node);
		struct listener *old = find_open(in, n->name);

		list_remove(&n->node);
		if (old)
			take_over(n, old);
		else
			list_append(&in->listeners, &n->node);
	}
	return 0;
}

void listeners_close_all(struct inbound *in)
{
	bool stays = io_notify_has_manager();

	list_each_safe (at, after, &in->listeners) {
		struct listener *n = list_entry(at, struct listener, node);

		if (n->closed)
			continue;
		/* The manager holds it, too: who connects now waits for the next process. */
		if (stays) {
			io_listener_leave(n->socket);
			n->socket = NULL;
		}
		retire(n);
	}
}

void listener_release(struct listener *n)
{
	n->sessions--;
	if (n->closed && n->sessions == 0)
		listener_free(n);
}

void listeners_pause(struct inbound *in, bool paused)
{
	list_each (at, &in->listeners) {
		struct listener *n = list_entry(at, struct listener, node);

		if (n->socket)
			io_listener_pause(n->socket, paused);
	}
}

/* ---- who may speak ---- */

bool listener_peer_allowed(const struct conf_listener *rules, const struct sockaddr *peer,
	const struct conf_device *device, struct answer *out)
{
	if (rules && rules->legacy_tls && !(device && device->legacy_tls)) {
		answer_set(out,
			554,
			"5.7.1",
			"This address is for devices with `tls: legacy`; use another listener");
		return false;
	}
	if (!rules || rules->auth != CONF_AUTH_OFF || !listener_needs_password(rules, peer, device))
		return true;
	answer_set(out,
		554,
		"5.7.1",
		"Your address may not send here; see no_password_from and devices");
	return false;
}

bool listener_needs_password(const struct conf_listener *rules, const struct sockaddr *peer,
	const struct conf_device *device)
{
	if (!rules)
		return false;
	if (rules->auth == CONF_AUTH_REQUIRED)
		return true;
	/* Local by nature: who may use a unix socket, its folder and mode say. */
	if (peer->sa_family == AF_UNIX || device)
		return false;
	for (size_t i = 0; i < rules->no_password_count; i++)
		if (io_network_holds(&rules->no_password_from[i], peer))
			return false;
	return true;
}
