/* SPDX-License-Identifier: Apache-2.0 */
#include "sandbox/events.h"

#include "base/buf.h"
#include "base/must.h"
#include "base/text.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

enum {
	TEXT_MAX = 1 << 20
};

struct sandbox_events {
	FILE *file; /* NULL: swallows */
};

json_t *sandbox_json_text(struct sv text)
{
	CLEANUP(buf_deinitp) struct buf quoted = BUF_INIT(TEXT_MAX);

	if (text_is_utf8(text))
		return json_stringn(text.len ? text.ptr : "", text.len);
	if (text_log_quote(&quoted, text) != 0)
		buf_reset(&quoted);
	return json_stringn(quoted.len ? buf_sv(&quoted).ptr : "", quoted.len);
}

struct sandbox_events *sandbox_events_open(struct sv path, struct err *err)
{
	struct sandbox_events *e = xcalloc(1, sizeof(*e));
	char name[4096];

	if (path.len == 0)
		return e;
	(void)snprintf(name, sizeof(name), "%.*s", SV_ARG(path));
	e->file = sv_eq(path, SV("-")) ? stdout : fopen(name, "ae");
	if (!e->file) {
		(void)err_set(err, -errno, "event log %s: %s", name, rc_text(-errno));
		free(e);
		return NULL;
	}
	return e;
}

void sandbox_events_close(struct sandbox_events *e)
{
	if (!e)
		return;
	if (e->file && e->file != stdout)
		(void)fclose(e->file);
	free(e);
}

void sandbox_events_write(
	struct sandbox_events *e, const char *event, uint64_t at_us, json_t *object)
{
	char *text;

	if (e->file) {
		must(json_object_set_new(object, "event", json_string(event)) == 0);
		must(json_object_set_new(object, "at", json_integer((json_int_t)at_us)) == 0);
		text = json_dumps(object, JSON_COMPACT | JSON_SORT_KEYS);
		must(text != NULL);
		(void)fprintf(e->file, "%s\n", text);
		(void)fflush(e->file);
		free(text);
	}
	json_decref(object);
}
