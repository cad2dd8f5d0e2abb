/* SPDX-License-Identifier: Apache-2.0 */
#include "sandbox/form.h"

#include "base/err.h"
#include "base/must.h"

#include <stdlib.h>

static int hex(char c)
{
	c = ascii_lower(c);
	if (c >= '0' && c <= '9')
		return c - '0';
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* NULL: a bad escape. */
static char *decode(struct sv text)
{
	char *out = xmalloc(text.len + 1);
	size_t n = 0;

	for (size_t i = 0; i < text.len; i++) {
		int high, low;

		if (text.ptr[i] != '%') {
			out[n++] = text.ptr[i] == '+' ? ' ' : text.ptr[i];
			continue;
		}
		high = i + 1 < text.len ? hex(text.ptr[i + 1]) : -1;
		low = i + 2 < text.len ? hex(text.ptr[i + 2]) : -1;
		if (high < 0 || low < 0) {
			free(out);
			return NULL;
		}
		out[n++] = (char)(high * 16 + low);
		i += 2;
	}
	out[n] = '\0';
	return out;
}

int sandbox_form_parse(struct sv text, struct sandbox_form *out_form)
{
	struct sandbox_form f = { .count = 0 };
	int rc = 0;

	while (text.len && rc == 0) {
		struct sv name, value;

		(void)sv_cut_char(&text, '&', &value);
		if (value.len == 0)
			continue;
		(void)sv_cut_char(&value, '=', &name);
		if (f.count == SANDBOX_FORM_FIELDS_MAX) {
			rc = RC_LIMIT;
			break;
		}
		f.fields[f.count].name = decode(name);
		f.fields[f.count].value = decode(value);
		if (!f.fields[f.count].name || !f.fields[f.count].value)
			rc = RC_PARSE;
		f.count++;
	}
	if (rc != 0) {
		sandbox_form_deinit(&f);
		return rc;
	}
	*out_form = f;
	return 0;
}

void sandbox_form_deinit(struct sandbox_form *f)
{
	for (size_t i = 0; i < f->count; i++) {
		free(f->fields[i].name);
		free(f->fields[i].value);
	}
	f->count = 0;
}

struct sv sandbox_form_get(const struct sandbox_form *f, const char *name)
{
	for (size_t i = 0; i < f->count; i++) {
		if (strcmp(f->fields[i].name, name) == 0)
			return sv_from(f->fields[i].value);
	}
	return SV("");
}
