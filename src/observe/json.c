/* SPDX-License-Identifier: Apache-2.0 */
#include "observe/json.h"

#include "smtp/transcript.h"

#include "base/buf.h"
#include "base/must.h"
#include "base/text.h"

/* jansson refuses strings that are not UTF-8; a subject may hold any bytes, and \xNN shows them. */
enum {
	QUOTED_MAX = 1 << 20
};

json_t *observe_json_text(struct sv value)
{
	CLEANUP(buf_deinitp) struct buf shown = BUF_INIT(QUOTED_MAX);

	if (!text_is_utf8(value)) {
		if (text_show(&shown, value) != 0)
			buf_reset(&shown);
		value = buf_sv(&shown);
	}
	return json_stringn(value.ptr ? value.ptr : "", value.len);
}

void observe_json_sv(json_t *object, const char *key, struct sv value)
{
	if (value.len)
		must(json_object_set_new(object, key, observe_json_text(value)) == 0);
}

void observe_json_int(json_t *object, const char *key, uint64_t value)
{
	must(json_object_set_new(object, key, json_integer((json_int_t)value)) == 0);
}

void observe_json_wall(json_t *object, const char *key, struct wall_time at)
{
	char text[WALL_RFC3339_MAX];

	if (at.us != 0)
		observe_json_sv(object, key, sv_from(wall_rfc3339(at, text)));
}

struct sv observe_json_get_sv(const json_t *object, const char *key)
{
	const json_t *value = json_object_get(object, key);

	return json_is_string(value) ? sv_make(json_string_value(value), json_string_length(value))
				     : sv_make(NULL, 0);
}

json_t *observe_transcript_json(struct sv text)
{
	json_t *lines = json_array();
	struct smtp_transcript_line line;

	while (smtp_transcript_next(&text, &line)) {
		json_t *o = json_object();

		observe_json_int(o, "ms", line.ms);
		observe_json_sv(o, "from", sv_from(smtp_transcript_side_name(line.side)));
		observe_json_sv(o, "text", line.text);
		must(json_array_append_new(lines, o) == 0);
	}
	return lines;
}
