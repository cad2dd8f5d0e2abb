/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/err.h"
#include "base/sv.h"

#include <jansson.h>

/* The event log: one JSON object a line, flushed at each line so that `tail -f` and tests see it. */
struct sandbox_events;

/* "-": standard output; empty: a log that swallows. */
NODISCARD struct sandbox_events *sandbox_events_open(struct sv path, struct err *err);
void sandbox_events_close(struct sandbox_events *e);
/* Takes the object; adds "event" and "at" (the sandbox's own time, microseconds since its start). */
void sandbox_events_write(
	struct sandbox_events *e, const char *event, uint64_t at_us, json_t *object);

/* jansson takes UTF-8 only: other bytes are shown as \xNN. */
json_t *sandbox_json_text(struct sv text);
