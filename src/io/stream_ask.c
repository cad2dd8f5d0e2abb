/* SPDX-License-Identifier: Apache-2.0 */
#include "base/err.h"
#include "io/stream_priv.h"

/* What the owner of a stream asks of it. */

struct sv io_stream_input(const struct io_stream *s)
{
	return buf_sv(&s->in);
}

size_t io_stream_output_len(const struct io_stream *s)
{
	return s->out.len;
}

bool io_stream_is_tls(const struct io_stream *s)
{
	return s->state == STREAM_TLS;
}

void io_stream_peer_names(
	const struct io_stream *s, void (*each)(void *arg, struct sv name), void *arg)
{
	if (s->ssl && s->state == STREAM_TLS)
		io_tls_peer_names(s->ssl, each, arg);
}

struct sv io_stream_tls_text(const struct io_stream *s)
{
	return sv_from(s->tls_text);
}

const struct err *io_stream_error(const struct io_stream *s)
{
	return &s->err;
}

struct sv io_stream_peer(const struct io_stream *s)
{
	return sv_from(s->peer_text);
}

size_t io_stream_memory(const struct io_stream *s)
{
	return s->in.cap + s->out.cap;
}

const struct sockaddr *io_stream_peer_addr(const struct io_stream *s)
{
	return &s->peer.any;
}

int io_stream_peer_uid(const struct io_stream *s, unsigned *out_uid, int *out_pid)
{
	struct ucred cred;
	socklen_t len = sizeof(cred);

	if (s->peer.any.sa_family != AF_UNIX ||
		getsockopt(s->fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) != 0)
		return RC_STATE;
	*out_uid = cred.uid;
	*out_pid = cred.pid;
	return 0;
}

bool io_stream_certificate(const struct io_stream *s, struct io_certificate *out)
{
	return s->ssl && s->host && io_tls_certificate(s->ssl, s->host, out);
}
