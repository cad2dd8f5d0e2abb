/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/err.h"
#include "base/sv.h"

#include <jansson.h>

/*
 * What an administrator sees of the tenant: Exchange's cmdlets behind InvokeCommand, and Graph's
 * applications and service principals. Only what is set here is known; mail does not ask it.
 */
struct sandbox_admin;

NODISCARD struct sandbox_admin *sandbox_admin_new(void);
void sandbox_admin_free(struct sandbox_admin *a);
/*
 * {"refuse": {"Set-CASMailbox": "text", "POST applications": "text"}, "dkim_ready": true,
 *  "mailboxes": {...}, ...}: each key of the state is replaced.
 */
NODISCARD int sandbox_admin_apply(struct sandbox_admin *a, const json_t *settings, struct err *err);
json_t *sandbox_admin_json(const struct sandbox_admin *a); /* the whole state; the caller's */

/* *out_status with the answer; NULL: an empty body. */
json_t *sandbox_admin_invoke(struct sandbox_admin *a, const json_t *input, unsigned *out_status);
/* `path` behind /v1.0/, `filter` of $filter. */
json_t *sandbox_admin_graph(struct sandbox_admin *a, const char *method, struct sv path,
	struct sv filter, const json_t *body, unsigned *out_status);
/* The list "signIns" of the state, as auditLogs/signIns gives it: the rows from `skip` on, so many. */
json_t *sandbox_admin_sign_ins(const struct sandbox_admin *a, const char *filter_app, size_t skip,
	size_t most, bool *out_more, unsigned *out_status);
