/* SPDX-License-Identifier: Apache-2.0 */
#include "observe/control.h"

#include "base/limits.h"
#include "base/list.h"
#include "base/must.h"
#include "io/fs.h"
#include "io/net.h"
#include "io/stream.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

enum {
	/* Operators are few; more than this is a script gone wild. */
	CONTROL_PEERS_MAX = 32,
	/* An answer that the reader takes slowly, or one with a line for each of many mailboxes. */
	CONTROL_ANSWER_MAX = 64 << 20,
};

struct control_peer {
	struct list node;
	struct observe_control *control;
	struct io_stream *stream;
	struct observe_query *query; /* NULL: none runs */
	struct io_task next;         /* the query ended: free it, then read on */
	struct buf answer;           /* what the stream does not take yet */
	bool broken;                 /* a line was lost: the answer is worth nothing */
};

struct observe_control {
	const struct observe_sources *sources;
	struct io_listener *listener;
	struct list peers;
	size_t peer_count;
	bool monitors, has_group;
};

static void peer_free(struct control_peer *peer)
{
	observe_query_free(peer->query);
	io_stream_free(peer->stream);
	list_remove(&peer->node);
	peer->control->peer_count--;
	/* The task may still be queued: it then frees the rest. */
	peer->stream = NULL;
	peer->query = NULL;
	buf_deinit(&peer->answer);
	if (!io_task_is_queued(&peer->next))
		free(peer);
}

static bool peer_has_room(void *arg)
{
	const struct control_peer *peer = arg;

	return peer->answer.len == 0;
}

static void peer_flush(struct control_peer *peer)
{
	size_t room = IO_STREAM_OUTPUT_MAX - io_stream_output_len(peer->stream);
	struct sv part = sv_head(buf_sv(&peer->answer), room);

	if (part.len == 0)
		return;
	must(io_stream_write(peer->stream, part) == 0);
	buf_consume(&peer->answer, part.len);
	if (peer->answer.len == 0)
		buf_deinit(&peer->answer);
}

static void peer_line(void *arg, struct sv line)
{
	struct control_peer *peer = arg;

	if (peer->broken)
		return;
	if (buf_append(&peer->answer, line) != 0 || buf_append_char(&peer->answer, '\n') != 0) {
		peer->broken = true;
		io_task_post(peer->control->sources->loop, &peer->next);
		return;
	}
	peer_flush(peer);
}

static void peer_query_done(void *arg)
{
	struct control_peer *peer = arg;

	io_task_post(peer->control->sources->loop, &peer->next);
}

static void peer_read(struct control_peer *peer)
{
	const struct observe_query_sink sink = {
		.line = peer_line,
		.done = peer_query_done,
		.has_room = peer_has_room,
		.monitors = peer->control->monitors,
		.arg = peer,
	};
	struct sv input = io_stream_input(peer->stream);
	ptrdiff_t end = sv_find_char(input, '\n');

	if (peer->query || end < 0) {
		if (!peer->query && input.len >= LIMIT_CONTROL_LINE)
			peer_free(peer);
		return;
	}
	peer->query = observe_query_new(peer->control->sources, sv_head(input, (size_t)end), &sink);
	io_stream_consume(peer->stream, (size_t)end + 1);
}

static void peer_next(void *arg)
{
	struct control_peer *peer = arg;

	if (!peer->stream) {
		free(peer);
		return;
	}
	if (peer->broken) {
		peer_free(peer);
		return;
	}
	observe_query_free(peer->query);
	peer->query = NULL;
	peer_read(peer);
}

static void peer_event(void *arg, enum io_stream_event event)
{
	struct control_peer *peer = arg;

	switch (event) {
	case IO_STREAM_INPUT:
		peer_read(peer);
		break;
	case IO_STREAM_DRAINED:
		peer_flush(peer);
		if (peer->query && peer_has_room(peer))
			observe_query_resume(peer->query);
		break;
	case IO_STREAM_EOF:
	case IO_STREAM_FAILED:
		peer_free(peer);
		break;
	case IO_STREAM_CONNECTED:
	case IO_STREAM_SECURED:
		break;
	}
}

static void control_accept(void *arg, int fd)
{
	struct observe_control *c = arg;
	struct control_peer *peer = xcalloc(1, sizeof(*peer));

	peer->control = c;
	buf_init(&peer->answer, CONTROL_ANSWER_MAX);
	peer->next = (struct io_task){ .run = peer_next, .arg = peer };
	peer->stream = io_stream_accepted(c->sources->loop, fd, peer_event, peer);
	list_append(&c->peers, &peer->node);
	if (++c->peer_count > CONTROL_PEERS_MAX)
		peer_free(peer);
}

struct observe_control *observe_control_open(
	const struct observe_control_options *options, struct err *err)
{
	struct observe_control *c = xcalloc(1, sizeof(*c));
	struct sv path = options->path;
	struct io_address address;
	char text[IO_ADDRESS_TEXT_MAX];
	int rc;

	c->sources = options->sources;
	c->monitors = options->monitors;
	list_init(&c->peers);
	(void)snprintf(text, sizeof(text), "unix:%.*s", SV_ARG(path));
	if (io_address_parse(sv_from(text), &address) != 0) {
		(void)err_set(
			err, RC_CONFIG, "control_socket: '%.*s' is no socket path", SV_ARG(path));
		free(c);
		return NULL;
	}
	/* Nobody but us, until it has its group. */
	c->listener = io_listener_open(c->sources->loop, &address, 0600, control_accept, c, err);
	if (!c->listener) {
		free(c);
		return NULL;
	}
	c->has_group = options->group == (gid_t)-1 ||
		       io_fs_give_to_group(address.un.sun_path, options->group) == 0;
	rc = io_fs_chmod(address.un.sun_path, 0660);
	if (rc != 0) {
		(void)err_set(err, rc, "chmod %.*s: %s", SV_ARG(path), rc_text(rc));
		observe_control_close(c);
		return NULL;
	}
	return c;
}

bool observe_control_has_group(const struct observe_control *c)
{
	return c->has_group;
}

void observe_control_close(struct observe_control *c)
{
	if (!c)
		return;
	list_each_safe (node, after, &c->peers)
		peer_free(list_entry(node, struct control_peer, node));
	io_listener_close(c->listener);
	free(c);
}
