/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/buf.h"
#include "base/list.h"
#include "sandbox/entra.h"
#include "sandbox/model.h"

#include <jansson.h>

/*
 * Microsoft Graph's mail, as far as sending needs it, without its sockets: drafts with attachments,
 * upload sessions, and the throttling of an app on a mailbox. Sources: user-sendmail,
 * outlook-large-attachments, throttling-limits (microsoftgraph/microsoft-graph-docs-contrib, 2026-11).
 */
struct sandbox_graph;

enum {
	SANDBOX_GRAPH_REQUEST_MAX = 4 << 20,
	SANDBOX_GRAPH_ATTACHMENT_MAX = 3
				       << 20, /* in one request; from there on by upload session */
	SANDBOX_GRAPH_UPLOAD_MAX = 150 << 20,
	SANDBOX_GRAPH_MESSAGE_MAX = 220 << 20, /* 150 MB of attachments in base64 */
};

struct sandbox_attachment {
	char *name, *type, *content_id; /* content_id NULL: none */
	bool is_inline;
	struct buf bytes;
};
void sandbox_attachment_deinit(struct sandbox_attachment *a);
/* Name, type, id of "fileAttachment" or of "AttachmentItem". False: a text is missing or bad. */
NODISCARD bool sandbox_attachment_read(const json_t *spec, struct sandbox_attachment *out);

struct sandbox_draft {
	struct list node;
	char id[48];
	char *mailbox;
	char *message_id; /* "": none yet */
	struct buf mime;  /* as given, or made of JSON; without the attachments below */
	struct sandbox_attachment *attachments;
	size_t attachment_count;
};

struct sandbox_upload {
	struct list node;
	char id[48];
	struct sandbox_draft *draft;
	struct sandbox_attachment attachment;
	uint64_t size;
};

NODISCARD struct sandbox_graph *sandbox_graph_new(void);
void sandbox_graph_free(struct sandbox_graph *g);

/* NULL: there are too many. */
struct sandbox_draft *sandbox_draft_add(struct sandbox_graph *g, struct sv mailbox);
struct sandbox_draft *sandbox_draft_next(
	struct sandbox_graph *g, const struct sandbox_draft *after); /* after NULL: the first */
struct sandbox_draft *sandbox_draft_find(struct sandbox_graph *g, struct sv mailbox, struct sv id);
void sandbox_draft_remove(struct sandbox_graph *g, struct sandbox_draft *d); /* and its uploads */
void sandbox_draft_attach(struct sandbox_draft *d, struct sandbox_attachment *a); /* takes it */
struct sandbox_upload *sandbox_upload_add(struct sandbox_graph *g, struct sandbox_draft *d,
	struct sandbox_attachment *a, uint64_t size);
struct sandbox_upload *sandbox_upload_find(struct sandbox_graph *g, struct sv id);
void sandbox_upload_remove(struct sandbox_graph *g, struct sandbox_upload *u);
/* "bytes 0-99/1000" with 100 bytes: 0; RC_PARSE or RC_STATE (not the range that is expected). */
NODISCARD int sandbox_upload_put(struct sandbox_upload *u, struct sv range, struct sv bytes);

/* One request of an app for a mailbox: 0, or the seconds that Retry-After says. */
uint32_t sandbox_graph_admit(struct sandbox_graph *g, struct sandbox_model *m, struct sv who,
	struct sv mailbox, uint64_t now_us, uint64_t bytes);
void sandbox_graph_leave(struct sandbox_graph *g, struct sv who);

/* ---- messages ---- */

/*
 * Appends the MIME form of a JSON message (without its attachments, which go to *d). NULL, or what is
 * wrong with it; *out_code is Graph's name of the error.
 */
const char *sandbox_graph_compose(const json_t *message, struct sv mailbox, struct wall_time now,
	struct sandbox_draft *d, const char **out_code);
/* The message with its attachments: into its multipart/mixed, or around it. RC_LIMIT. */
NODISCARD int sandbox_draft_render(const struct sandbox_draft *d, struct buf *out);
