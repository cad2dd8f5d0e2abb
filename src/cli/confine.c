/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/confine.h"

#include "base/must.h"
#include "io/confine.h"
#include "io/log.h"
#include "io/runner.h"

#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	PORT_SMTP = 25,
	PORT_DNS = 53,
	PORT_HTTPS = 443,
	PORT_SMTPS = 465,
	PORT_SUBMISSION = 587,
	PORT_HTTP = 80,
};

/* ---- ports ---- */

struct ports {
	uint16_t items[UINT8_MAX + 1];
	size_t count;
};

/* More than these nobody has; what does not fit is refused by the kernel, and said by the log. */
static void add_port(struct ports *p, uint16_t port)
{
	for (size_t i = 0; i < p->count; i++)
		if (p->items[i] == port)
			return;
	if (p->count < COUNT_OF(p->items))
		p->items[p->count++] = port;
}

static uint16_t port_of(struct sv url)
{
	bool secure = sv_starts(url, SV("https://"));
	ptrdiff_t at = sv_find(url, SV("://")), slash, colon;
	struct sv host = sv_skip(url, at < 0 ? 0 : (size_t)at + 3);
	uint32_t port;

	slash = sv_find_char(host, '/');
	if (slash >= 0)
		host = sv_head(host, (size_t)slash);
	colon = sv_rfind_char(host, ':');
	if (colon >= 0 && sv_find_char(sv_skip(host, (size_t)colon), ']') < 0 &&
		sv_parse_u32(sv_skip(host, (size_t)colon + 1), UINT16_MAX, &port) == 0)
		return (uint16_t)port;
	return secure ? PORT_HTTPS : PORT_HTTP;
}

static void add_url(struct ports *p, struct sv url)
{
	if (url.len)
		add_port(p, port_of(url));
}

/* Those of mail and the web are always there, so that another mailbox needs no restart. */
static void find_ports(const struct conf *c, struct ports *out)
{
	static const uint16_t usual[] = {
		PORT_SMTP, PORT_DNS, PORT_HTTPS, PORT_SMTPS, PORT_SUBMISSION
	};
	const struct conf_general *g = conf_general(c);
	const struct conf_tenant *const *tenants;
	const struct conf_lane *lanes;
	size_t count;

	for (size_t i = 0; i < COUNT_OF(usual); i++)
		add_port(out, usual[i]);
	lanes = conf_lanes(c, &count);
	for (size_t i = 0; i < count; i++)
		add_port(out, lanes[i].port);
	tenants = conf_tenants(c, &count);
	for (size_t i = 0; i < count; i++) {
		add_url(out, tenants[i]->login_url);
		add_url(out, tenants[i]->graph_url);
		add_url(out, tenants[i]->exchange_url);
	}
	add_url(out, g->proxy);
	add_url(out, g->alerts.webhook_url);
	add_url(out, g->domains.dns);
}

/* ---- folders ---- */

struct paths {
	struct io_confine_path *items;
	size_t count;
};

static void add_path(struct paths *p, struct sv path, bool write, bool make)
{
	if (path.len == 0)
		return;
	p->items = xrealloc(p->items, (p->count + 1) * sizeof(*p->items));
	p->items[p->count++] = (struct io_confine_path){ sv_dup(path), write, make };
}

static struct sv folder_of(struct sv path)
{
	ptrdiff_t slash = sv_rfind_char(path, '/');

	return slash > 0 ? sv_head(path, (size_t)slash) : SV("/");
}

/* Where the daemon makes files: the queue, the maildrop, its sockets and its health beside them. */
static void find_own(const struct conf *c, struct paths *out)
{
	const struct conf_general *g = conf_general(c);
	size_t count;
	const struct conf_listener *listeners = conf_listeners(c, &count);

	add_path(out, g->data_dir, true, true);
	add_path(out, g->maildrop, true, true);
	if (g->submit_socket.len)
		add_path(out, folder_of(g->submit_socket), true, false);
	if (g->control_socket.len)
		add_path(out, folder_of(g->control_socket), true, false);
	for (size_t i = 0; i < count; i++)
		if (!listeners[i].systemd && listeners[i].address.any.sa_family == AF_UNIX)
			add_path(out,
				folder_of(sv_from(listeners[i].address.un.sun_path)),
				true,
				false);
}

static void find_paths(const struct conf *c, struct paths *out)
{
	size_t count;
	const struct conf_outside *outsides = conf_outsides(c, &count);

	find_own(c, out);
	for (size_t i = 0; i < count; i++)
		if (outsides[i].kind == CONF_OUTSIDE_FILE)
			add_path(out, outsides[i].name, false, false);
}

static void forget_paths(struct paths *p)
{
	for (size_t i = 0; i < p->count; i++)
		free((void *)(uintptr_t)p->items[i].path);
	free(p->items);
}

/* ---- entering ---- */

static struct sv *find_names(const struct conf *c, enum conf_outside_kind kind, size_t *out_count)
{
	size_t count;
	const struct conf_outside *outsides = conf_outsides(c, &count);
	struct sv *names = xcalloc(count + 1, sizeof(*names));

	*out_count = 0;
	for (size_t i = 0; i < count; i++)
		if (outsides[i].kind == kind)
			names[(*out_count)++] = outsides[i].name;
	return names;
}

static int start_runner(const struct conf *c, struct err *err)
{
	size_t line_count, hidden_count;
	struct sv *lines = find_names(c, CONF_OUTSIDE_COMMAND, &line_count);
	struct sv *hidden = find_names(c, CONF_OUTSIDE_VARIABLE, &hidden_count);
	int rc = io_runner_start(lines, line_count, hidden, hidden_count, err);

	free(lines);
	free(hidden);
	return rc;
}

int cli_confine(const struct conf *c, struct err *err)
{
	struct paths paths = { 0 };
	struct ports ports = { .count = 0 };
	int rc;

	if (!conf_general(c)->confine)
		return 0;
	rc = start_runner(c, err);
	if (rc != 0)
		return rc;
	find_paths(c, &paths);
	find_ports(c, &ports);
	io_confine_enter(&(struct io_confine_plan){ .paths = paths.items,
		.path_count = paths.count,
		.ports = ports.items,
		.port_count = ports.count });
	forget_paths(&paths);
	return 0;
}

void cli_confine_settled(const struct conf *c)
{
	const struct io_confine_state *s;
	char text[IO_CONFINE_TEXT_MAX];

	if (!conf_general(c)->confine) {
		log_line(LOG_WARN,
			"serve",
			"not confined: `confine: false` leaves this process every right of its "
			"user; "
			"remove the line when the support case is closed");
		return;
	}
	io_confine_settle();
	s = io_confine_state();
	log_line(LOG_INFO, "serve", "confined: %s", io_confine_text(s, text));
	if (s->lacks[0])
		log_line(LOG_INFO, "serve", "not confined: %s", s->lacks);
}

/* ---- a reload ---- */

static void PRINTF_LIKE(3, 4)
	say(struct buf *out, const struct conf_place *place, const char *fmt, ...)
{
	va_list ap;
	char text[PATH_MAX + 200];

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	(void)!buf_printf(out,
		"%s:%u:%u: error: %s; restart needed: systemctl restart postern\n",
		place->file,
		place->line,
		place->column,
		text);
}

static bool allows_outsides(const struct conf *c, struct buf *out)
{
	size_t count;
	const struct conf_outside *o = conf_outsides(c, &count);
	bool all = true;

	for (size_t i = 0; i < count; i++) {
		char name[PATH_MAX];
		bool ok = true;

		(void)snprintf(name, sizeof(name), "%.*s", SV_ARG(o[i].name));
		if (o[i].kind == CONF_OUTSIDE_COMMAND && !io_runner_takes(o[i].name)) {
			say(out,
				&o[i].place,
				"this program is new, and the daemon starts only those that it "
				"knew at its start");
			ok = false;
		} else if (o[i].kind == CONF_OUTSIDE_FILE && !io_confine_may_read(name)) {
			say(out,
				&o[i].place,
				"%s is outside of the folders that the daemon reads since its "
				"start",
				name);
			ok = false;
		}
		all = all && ok;
	}
	return all;
}

static bool allows_own(const struct conf *c, struct buf *out)
{
	size_t count;
	const struct conf_outside *o = conf_outsides(c, &count);
	struct paths own = { 0 };
	bool all = true;

	find_own(c, &own);
	for (size_t i = 0; i < own.count; i++) {
		if (io_confine_may_write(own.items[i].path))
			continue;
		say(out,
			&o[0].place,
			"%s is outside of the folders that the daemon writes to since its start",
			own.items[i].path);
		all = false;
	}
	forget_paths(&own);
	return all;
}

static bool allows_ports(const struct conf *c, struct buf *out)
{
	size_t count;
	const struct conf_outside *o = conf_outsides(c, &count);
	struct ports ports = { .count = 0 };
	bool all = true;

	find_ports(c, &ports);
	for (size_t i = 0; i < ports.count; i++) {
		if (io_confine_may_connect(ports.items[i]))
			continue;
		say(out,
			&o[0].place,
			"port %u is new, and the daemon connects only to those that it knew at its "
			"start",
			(unsigned)ports.items[i]);
		all = false;
	}
	return all;
}

bool cli_confine_allows(const struct conf *fresh, struct buf *out)
{
	bool outsides = allows_outsides(fresh, out);
	bool own = allows_own(fresh, out);

	return allows_ports(fresh, out) && outsides && own;
}
