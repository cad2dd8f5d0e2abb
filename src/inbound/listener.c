/* SPDX-License-Identifier: Apache-2.0 */
#include "base/must.h"
#include "inbound/inbound_priv.h"
#include "io/log.h"
#include "io/notify.h"

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

static int load_tls(struct listener *n, struct err *err)
{
	CLEANUP(buf_deinitp) struct buf certificate = BUF_INIT(4096), key = BUF_INIT(4096);

	if (!n->c || n->c->tls == CONF_TLS_NONE)
		return 0;
	if (buf_printf(&certificate, "%.*s%c", SV_ARG(n->c->certificate), 0) != 0 ||
		buf_printf(&key, "%.*s%c", SV_ARG(n->c->key.name), 0) != 0)
		return err_set(err, RC_LIMIT, "a path is too long");
	n->tls = io_tls_server_new_profile(buf_sv(&certificate).ptr,
		buf_sv(&key).ptr,
		n->c->legacy_tls ? IO_TLS_LEGACY : IO_TLS_MODERN,
		err);
	if (!n->tls)
		return err_wrap(err, "listener %.*s", SV_ARG(n->name));
	return 0;
}

static int find_systemd_fd(struct sv name)
{
	unsigned count = io_notify_listen_fds();

	for (unsigned i = 0; i < count; i++)
		if (sv_eq(io_notify_listen_name(i), name))
			return 3 + (int)i;
	return -1;
}

static int open_socket(struct listener *n, struct err *err)
{
	struct io_address submit;

	if (!n->c) {
		CLEANUP(buf_deinitp) struct buf text = BUF_INIT(1024);

		if (buf_printf(&text, "unix:%.*s", SV_ARG(conf_general(n->conf)->submit_socket)) !=
				0 ||
			io_address_parse(buf_sv(&text), &submit) != 0)
			return err_set(err, RC_CONFIG, "submit_socket is no path for a socket");
		/* Everybody may connect: they are known by their uid, as with sendmail(8). */
		n->socket = io_listener_open(n->in->loop, &submit, 0666, on_accept, n, err);
	} else if (n->c->systemd) {
		int fd = find_systemd_fd(n->c->name);

		if (fd < 0)
			return err_set(err,
				RC_CONFIG,
				"systemd passed no socket called '%.*s': set FileDescriptorName= "
				"in the socket unit",
				SV_ARG(n->c->name));
		n->socket = io_listener_adopt(n->in->loop, fd, on_accept, n);
	} else {
		n->socket = io_listener_open(
			n->in->loop, &n->c->address, n->c->unix_mode, on_accept, n, err);
	}
	return n->socket ? 0 : RC_CONFIG;
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
	struct sv name, struct list *fresh, struct err *err)
{
	struct listener *n = listener_new(in, conf, c, name);
	int rc = load_tls(n, err);

	if (rc == 0 && !find_open(in, name))
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

/* Same socket, new rules: what is open goes on under the old ones. */
static void take_over(struct listener *fresh, struct listener *old)
{
	struct conf *conf = old->conf;
	struct io_tls *tls = old->tls;

	old->conf = fresh->conf;
	old->c = fresh->c;
	old->tls = fresh->tls;
	fresh->conf = conf;
	fresh->tls = tls;
	listener_free(fresh);
}

int listeners_open(struct inbound *in, struct conf *conf, struct err *err)
{
	size_t count;
	const struct conf_listener *all = conf_listeners(conf, &count);
	struct list fresh;
	int rc = 0;

	list_init(&fresh);
	if (conf_general(conf)->submit_socket.len)
		rc = open_one(in, conf, NULL, submit_name, &fresh, err);
	for (size_t i = 0; i < count && rc == 0; i++)
		rc = open_one(in, conf, &all[i], all[i].name, &fresh, err);
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
		if (!old->closed && !stays)
			retire(old);
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
	list_each_safe (at, after, &in->listeners) {
		struct listener *n = list_entry(at, struct listener, node);

		if (!n->closed)
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

bool listener_peer_allowed(const struct listener *n, const struct sockaddr *peer,
	const struct conf_device *device, struct answer *out)
{
	if (n->c && n->c->legacy_tls && !(device && device->legacy_tls)) {
		answer_set(out,
			554,
			"5.7.1",
			"This address is for devices with `tls: legacy`; use another listener");
		return false;
	}
	if (!n->c || n->c->auth != CONF_AUTH_OFF || !listener_needs_password(n, peer, device))
		return true;
	answer_set(out,
		554,
		"5.7.1",
		"Your address may not send here; see no_password_from and devices");
	return false;
}

bool listener_needs_password(
	const struct listener *n, const struct sockaddr *peer, const struct conf_device *device)
{
	if (!n->c)
		return false;
	if (n->c->auth == CONF_AUTH_REQUIRED)
		return true;
	/* Local by nature: who may use a unix socket, its folder and mode say. */
	if (peer->sa_family == AF_UNIX || device)
		return false;
	for (size_t i = 0; i < n->c->no_password_count; i++)
		if (io_network_holds(&n->c->no_password_from[i], peer))
			return false;
	return true;
}
