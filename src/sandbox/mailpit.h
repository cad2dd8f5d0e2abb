/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "sandbox/messages.h"
#include "sandbox/web.h"

/*
 * Mailpit's API v1 (https://mailpit.axllent.org/docs/api-v1/, 2026-11), so that its client libraries and the modules of
 * testcontainers find here what they ask for:
 *
 *   GET    /livez  /readyz  /api/v1/info  /api/v1/webui  /api/v1/tags
 *   GET    /api/v1/messages?start=&limit=    PUT (read or not)    DELETE {"IDs": [...]} (none named: all)
 *   GET    /api/v1/search?query=&start=&limit=    DELETE
 *   GET    /api/v1/message/ID    .../headers    .../raw    .../part/K        ID may be "latest"
 *   GET    /view/ID.html    /view/ID.txt
 *
 * Not here: sending, releasing, tags that are set, chaos (`/faults` of our own does more), HTML and spam checks: 404 with
 * a list of what there is.
 */
struct sandbox_mailpit {
	struct sandbox_messages *messages;
	uint64_t accepted, refused; /* since the last reset */
	int64_t uptime_s;
};

bool sandbox_mailpit_knows(struct sv path);
enum MHD_Result sandbox_mailpit_serve(
	const struct sandbox_mailpit *s, struct sandbox_web_request *r);
