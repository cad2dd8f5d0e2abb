/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/limits.h"
#include "sandbox/sandbox_priv.h"

/* graph_web.c: addresses, tokens, limits. graph_send.c: what a message goes through. */
struct graph_call {
	struct sandbox *s;
	struct sandbox_web_request *r;
	struct sandbox_bearer bearer;
	char mailbox[LIMIT_ADDRESS + 1];
	struct sv rest; /* behind the mailbox, without slashes around */
};

enum MHD_Result graph_say_error(struct graph_call *c, unsigned status, const char *code,
	const char *fmt, ...) PRINTF_LIKE(4, 5);
enum MHD_Result graph_say_empty(struct graph_call *c, unsigned status);

/* Fills a new draft from the body; NULL with *out_result otherwise. `key`: of the message in JSON. */
struct sandbox_draft *graph_read_message(
	struct graph_call *c, const char *key, enum MHD_Result *out_result);
enum MHD_Result graph_send_draft(struct graph_call *c, const struct sandbox_draft *d);
