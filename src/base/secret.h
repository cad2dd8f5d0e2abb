/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/attr.h"
#include "base/sv.h"

/*
 * The only home of a password, token or key. There is no printf helper on purpose; the bytes are
 * wiped on free and compared in constant time. Their memory is locked where the system allows it,
 * stays out of core files, and is empty in a forked child. Any thread may use these functions.
 */
struct secret;

NODISCARD struct secret *secret_new(struct sv bytes); /* copies; the caller wipes its own copy */
/* `len` zero bytes at *out_bytes, to be filled before anybody looks: no other copy ever exists. */
NODISCARD struct secret *secret_alloc(size_t len, char **out_bytes);
void secret_free(struct secret *s);
DEFINE_CLEANUP(struct secret, secret_free);

/* The bytes, borrowed; for handing to a protocol, never to a log or an error text. */
struct sv secret_reveal(const struct secret *s);
NODISCARD bool secret_eq(const struct secret *s, struct sv bytes);

/* False once some of it could not be locked (RLIMIT_MEMLOCK): it may be swapped out. */
NODISCARD bool secret_memory_is_locked(void);

/* Overwrites memory that held a secret; the compiler may not drop it. */
void secret_wipe(void *ptr, size_t len);

/* What copying has left in the calling thread's registers: for a thread that goes to sleep. Costs some nanoseconds. */
void secret_forget_registers(void);
