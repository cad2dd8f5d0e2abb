/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "smtp/transcript.h"

#include <jansson.h>

/*
 * What client and server said in a session of the sandbox, for who looks at a message and asks what its sender did: the
 * newest lines of both, no bodies, and nothing that somebody signs in with. "Ours" is the client's side.
 */
struct sandbox_dialogue {
	struct smtp_transcript said;
	struct buf line; /* of the client's, as far as it came */
	bool in_data;    /* behind 354: what comes is no command */
	bool signing_in; /* behind AUTH: what comes is secret until the server has decided */
};

void sandbox_dialogue_init(struct sandbox_dialogue *d);
void sandbox_dialogue_deinit(struct sandbox_dialogue *d);
/* Bytes that the machine took; what of them is body is left out by the caller. */
void sandbox_dialogue_heard(struct sandbox_dialogue *d, struct mono_time now, struct sv bytes);
void sandbox_dialogue_body(struct sandbox_dialogue *d, struct mono_time now, uint64_t bytes);
/* Whole lines of the server's. */
void sandbox_dialogue_said(struct sandbox_dialogue *d, struct mono_time now, struct sv lines);

/* All of it as text, with the answer to a message that is about to be given. The caller's; NULL: too long. */
struct sandbox_reply;
char *sandbox_dialogue_text(
	const struct sandbox_dialogue *d, struct mono_time now, const struct sandbox_reply *reply);

/* A text as smtp/transcript.h has it: [{"ms":12, "who":"client", "line":"EHLO x"}]; NULL: none was kept. The caller's. */
json_t *sandbox_dialogue_json(const char *text);
