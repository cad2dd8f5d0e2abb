/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/sv.h"
#include "base/time.h"

#include <jansson.h>

/* Helpers over jansson for what we print: every string that came from outside may be invalid UTF-8. */

/* A string of it; \xNN shows what is no UTF-8. */
json_t *observe_json_text(struct sv value);
void observe_json_sv(json_t *object, const char *key, struct sv value); /* empty: left out */
void observe_json_int(json_t *object, const char *key, uint64_t value);
void observe_json_wall(
	json_t *object, const char *key, struct wall_time at);        /* .us == 0: left out */
struct sv observe_json_get_sv(const json_t *object, const char *key); /* empty when absent */
/* [{"ms":12,"from":"us"|"server"|"note","text":"..."}]: of a text of smtp/transcript.h. */
json_t *observe_transcript_json(struct sv text);
