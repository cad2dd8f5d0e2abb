/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/buf.h"
#include "base/sv.h"
#include "smtp/server.h"

/*
 * SCRAM-SHA-256 verifiers: RFC 5802, RFC 7677. One verifier serves SCRAM, PLAIN and LOGIN. Deriving it
 * (PBKDF2) takes milliseconds by design: only in the worker pool.
 */
void smtp_scram_derive(struct sv password, uint32_t iterations, const unsigned char salt[16],
	struct smtp_scram_verifier *out_verifier);
/* Slow. True when `password` belongs to the verifier; constant-time comparison. */
NODISCARD bool smtp_scram_check(const struct smtp_scram_verifier *v, struct sv password);

/* "SCRAM-SHA-256$ITERATIONS:SALT$STORED:SERVER", all base64: the form PostgreSQL uses. */
NODISCARD int smtp_scram_render(const struct smtp_scram_verifier *v, struct buf *out);
NODISCARD int smtp_scram_parse(struct sv text, struct smtp_scram_verifier *out_verifier);
