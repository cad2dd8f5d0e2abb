/* SPDX-License-Identifier: Apache-2.0 */
#include "setup/import.h"

#include "base/must.h"
#include "base/text.h"
#include "conf/conf.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum {
	INPUT_MAX = 20000
};

static struct sv input;

/* Every file that is named is the same text. */
static int read_again(void *arg, struct sv path, struct buf *out)
{
	(void)arg;
	(void)path;
	return buf_append(out, input);
}

static void check_printable(struct sv text)
{
	for (size_t i = 0; i < text.len; i++)
		must(text.ptr[i] >= ' ' && text.ptr[i] <= '~');
}

/* Of a comment: letters of any language, one line. */
static void check_line(struct sv text)
{
	while (text.len) {
		bool safe;

		text = sv_skip(text, text_next(text, &safe));
		must(safe);
	}
}

static void check_text(const struct setup_import *im)
{
	struct buf out = BUF_INIT(SETUP_IMPORT_TEXT_MAX);
	struct conf_findings f;
	struct conf *c;

	/* Nothing is dropped without a word. */
	must(im->rule_count || im->note_count);
	must(setup_import_config(im, SV("a text"), SV("/etc/postern"), &out) == 0);
	/* JSON's strings are YAML's: whatever stands in them, the text stays YAML with our keys. */
	c = conf_load_text(buf_sv(&out), &f);
	for (size_t i = 0; i < f.count; i++)
		must(!strstr(f.items[i].text, "is not YAML") &&
			!strstr(f.items[i].text, "unknown key"));
	conf_findings_free(&f);
	conf_unref(c);
	buf_deinit(&out);
}

/* What is read stays within its bounds, names of files are plain, and no value leaves its quotes. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static setup_import_fn *const readers[] = {
		setup_import_postfix, setup_import_smtp2graph, setup_import_msmtp
	};
	struct setup_import *im;
	struct setup_import_source from = { .read = read_again, .base = SV("/tmp") };

	if (!size || size > INPUT_MAX)
		return 0;
	input = sv_make((const char *)data + 1, size - 1);
	from.text = input;
	im = xcalloc(1, sizeof(*im));
	if (readers[data[0] % COUNT_OF(readers)](im, &from, NULL) == 0) {
		for (size_t i = 0; i < im->note_count; i++)
			check_line(im->notes[i].text);
		for (size_t i = 0; i < im->secret_count; i++) {
			check_printable(im->secrets[i].file);
			must(sv_find_char(im->secrets[i].file, '/') < 0);
			must(im->secrets[i].file.ptr[0] != '.');
			for (size_t k = 0; k < i; k++)
				must(!sv_eq(im->secrets[i].file, im->secrets[k].file));
		}
		check_text(im);
	}
	setup_import_deinit(im);
	free(im);
	return 0;
}
