/* SPDX-License-Identifier: Apache-2.0 */
#include "drop/message.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/must.h"

enum {
	READ_BYTES = 65536,
	/* Longer pieces of a line are judged without waiting for its end; a field's name is shorter. */
	LINE_HELD = 4096,
};

void drop_message_init(struct drop_message *m, bool ignore_dots)
{
	*m = (struct drop_message){
		.header = header_block_new(LIMIT_HEADER, LIMIT_HEADER_FIELDS),
		.fd = -1,
		.ignore_dots = ignore_dots,
	};
	buf_init(&m->line, LINE_HELD + READ_BYTES + 2);
	/* What edits may add: a date, a From with an encoded name. */
	buf_init(&m->head, LIMIT_HEADER + READ_BYTES);
	buf_init(&m->body, DROP_MEMORY_MAX);
}

void drop_message_deinit(struct drop_message *m)
{
	header_block_free(m->header);
	m->header = NULL;
	buf_deinit(&m->line);
	buf_deinit(&m->head);
	buf_deinit(&m->body);
	if (m->fd >= 0)
		(void)close(m->fd);
	m->fd = -1;
}

/* ---- the body ---- */

static int open_unnamed(void)
{
	const char *folder = secure_getenv("TMPDIR");
	const char *const folders[] = { folder && folder[0] == '/' ? folder : "/tmp", "/var/tmp" };

	for (size_t i = 0; i < COUNT_OF(folders); i++) {
		int fd = open(folders[i], O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

		if (fd >= 0)
			return fd;
	}
	/* Containers with a read-only root have no other place. */
	return memfd_create("postern-drop", MFD_CLOEXEC);
}

static int spill(struct drop_message *m, struct err *err)
{
	if (m->fd < 0)
		m->fd = open_unnamed();
	if (m->fd < 0)
		return err_set(err, -errno, "no place for a large message: %s", rc_text(-errno));
	while (m->body.len) {
		struct sv rest = buf_sv(&m->body);
		ssize_t n = write(m->fd, rest.ptr, rest.len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_set(err,
				-errno,
				"cannot keep the message while it is read: %s",
				rc_text(-errno));
		buf_consume(&m->body, (size_t)n);
	}
	return 0;
}

static int put_body(struct drop_message *m, struct sv bytes, struct err *err)
{
	if (bytes.len > LIMIT_MESSAGE - m->body_bytes)
		return err_set(err, RC_LIMIT, "the message is larger than %d bytes", LIMIT_MESSAGE);
	m->body_bytes += bytes.len;
	while (bytes.len) {
		struct sv piece = sv_head(bytes, buf_room(&m->body));
		int rc = piece.len ? buf_append(&m->body, piece) : spill(m, err);

		if (rc != 0)
			return rc;
		bytes = sv_skip(bytes, piece.len);
	}
	return 0;
}

/* ---- the header ---- */

/* Gives what is held of a line to the header block, and to the body what that does not take. */
static int flush_line(struct drop_message *m, struct err *err)
{
	struct sv held = buf_sv(&m->line);
	size_t used = 0;
	int rc;

	if (held.len == 0)
		return 0;
	rc = header_block_feed(m->header, held, &used);
	if (rc < 0)
		return err_set(err,
			RC_PARSE,
			"the header is larger than %d bytes or %d fields",
			LIMIT_HEADER,
			LIMIT_HEADER_FIELDS);
	if (rc == 1) {
		m->in_body = true;
		rc = put_body(m, sv_skip(held, used), err);
	}
	buf_reset(&m->line);
	return rc;
}

static int put(struct drop_message *m, struct sv bytes, struct err *err)
{
	while (bytes.len && !m->in_body) {
		struct sv piece = sv_head(bytes, READ_BYTES);
		int rc = buf_append(&m->line, piece);

		if (rc == 0 && m->line.len > LINE_HELD)
			rc = flush_line(m, err);
		if (rc != 0)
			return rc;
		bytes = sv_skip(bytes, piece.len);
	}
	return put_body(m, bytes, err);
}

/* ---- lines ---- */

static int put_line_end(struct drop_message *m, struct err *err)
{
	int rc;

	m->cr = false;
	m->inside_line = false;
	if (m->held_dot) {
		m->held_dot = false;
		m->ended = true;
		return 0;
	}
	rc = put(m, SV("\r\n"), err);
	return rc == 0 && !m->in_body ? flush_line(m, err) : rc;
}

static int release_dot(struct drop_message *m, struct err *err)
{
	if (!m->held_dot)
		return 0;
	m->held_dot = false;
	return put(m, SV("."), err);
}

/* The input's line goes on, so a dot behind this is not alone on it. */
static int put_bare_cr(struct drop_message *m, struct err *err)
{
	int rc = release_dot(m, err);

	m->cr = false;
	m->inside_line = true;
	/* In a header a line end would let whoever chose a Subject add fields of his own. */
	return rc == 0 ? put(m, m->in_body ? SV("\r\n") : SV(" "), err) : rc;
}

static int put_text(struct drop_message *m, struct sv text, struct err *err)
{
	int rc = m->cr ? put_bare_cr(m, err) : 0;

	if (rc == 0 && !m->inside_line && !m->ignore_dots && text.ptr[0] == '.') {
		m->held_dot = true;
		text = sv_skip(text, 1);
	}
	m->inside_line = true;
	if (rc == 0 && text.len)
		rc = release_dot(m, err);
	return rc == 0 ? put(m, text, err) : rc;
}

/* The bytes at the front that need no thought. */
static size_t plain_len(struct drop_message *m, struct sv v)
{
	unsigned char seen = 0;
	size_t n = 0;

	while (n < v.len && v.ptr[n] != '\r' && v.ptr[n] != '\n' && v.ptr[n] != '\0')
		seen |= (unsigned char)v.ptr[n++];
	m->has_8bit = m->has_8bit || seen > 0x7f;
	return n;
}

int drop_message_feed(struct drop_message *m, struct sv bytes, struct err *err)
{
	int rc = 0;

	while (rc == 0 && bytes.len && !m->ended) {
		size_t plain = plain_len(m, bytes);

		if (plain) {
			rc = put_text(m, sv_head(bytes, plain), err);
		} else if (bytes.ptr[0] == '\n') {
			rc = put_line_end(m, err);
		} else if (bytes.ptr[0] == '\r') {
			m->cr = true;
		} else {
			rc = put_text(m, SV("?"), err);
		}
		bytes = sv_skip(bytes, plain ? plain : 1);
	}
	if (rc != 0)
		return rc;
	return m->ended ? 1 : 0;
}

int drop_message_end(struct drop_message *m, struct err *err)
{
	int rc = 0;

	if (!m->ended && (m->inside_line || m->cr))
		rc = put_line_end(m, err);
	m->ended = true;
	if (rc == 0 && m->fd >= 0)
		rc = spill(m, err);
	if (rc == 0 && !m->in_body && header_block_end(m->header) != 0)
		rc = err_set(err, RC_PARSE, "the header is larger than %d bytes", LIMIT_HEADER);
	return rc;
}

int drop_message_read(struct drop_message *m, int fd, struct err *err)
{
	char *bytes = xmalloc(READ_BYTES);
	int rc = 0;

	while (rc == 0) {
		ssize_t n = read(fd, bytes, READ_BYTES);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			rc = err_set(err, -EIO, "cannot read the message: %s", rc_text(-errno));
		if (n <= 0)
			break;
		rc = drop_message_feed(m, sv_make(bytes, (size_t)n), err);
	}
	free(bytes);
	return rc < 0 ? rc : drop_message_end(m, err);
}

/* ---- out ---- */

int drop_message_render(struct drop_message *m, const struct header_edits *edits, struct err *err)
{
	must(m->head.len == 0);
	if (header_block_render(m->header, edits, &m->head) != 0)
		return err_set(err, RC_PARSE, "the header is larger than %d bytes", LIMIT_HEADER);
	if (drop_message_size(m) > LIMIT_MESSAGE)
		return err_set(err, RC_LIMIT, "the message is larger than %d bytes", LIMIT_MESSAGE);
	return 0;
}

uint64_t drop_message_size(const struct drop_message *m)
{
	return m->head.len + m->body_bytes;
}

static int each_of_file(
	const struct drop_message *m, int (*each)(void *arg, struct sv bytes), void *arg)
{
	char *bytes = xmalloc(READ_BYTES);
	uint64_t at = 0;
	int rc = 0;

	while (rc == 0 && at < m->body_bytes) {
		ssize_t n = pread(m->fd, bytes, READ_BYTES, (off_t)at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			rc = n < 0 ? -errno : -EIO;
			break;
		}
		at += (uint64_t)n;
		rc = each(arg, sv_make(bytes, (size_t)n));
	}
	free(bytes);
	return rc;
}

int drop_message_each(
	const struct drop_message *m, int (*each)(void *arg, struct sv bytes), void *arg)
{
	int rc = each(arg, buf_sv(&m->head));

	if (rc != 0)
		return rc;
	if (m->fd >= 0)
		return each_of_file(m, each, arg);
	return m->body.len ? each(arg, buf_sv(&m->body)) : 0;
}
