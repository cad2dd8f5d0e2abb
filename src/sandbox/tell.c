/* SPDX-License-Identifier: Apache-2.0 */
#include "base/text.h"
#include "mail/mime.h"
#include "sandbox/sandbox_priv.h"

#include <stdarg.h>
#include <stdio.h>

/* The person at the terminal sees each mail as it comes. What strangers wrote is made safe to show. */
enum {
	LINE_MAX_LEN = 1000,
	SUBJECT_MAX = 400,
};

void sandbox_tell(struct sandbox *s, const char *format, ...)
{
	CLEANUP(buf_deinitp) struct buf safe = BUF_INIT(4 * LINE_MAX_LEN + 1);
	char line[LINE_MAX_LEN];
	va_list args;

	if (!s->options.tell)
		return;
	va_start(args, format);
	(void)vsnprintf(line, sizeof(line), format, args);
	va_end(args);
	if (text_log_quote(&safe, sv_from(line)) == 0 && buf_append_char(&safe, '\0') == 0)
		s->options.tell(s->options.tell_arg, buf_sv(&safe).ptr);
}

void sandbox_tell_message(struct sandbox *s, const char *what, const struct sandbox_message *m)
{
	CLEANUP(buf_deinitp) struct buf subject = BUF_INIT(SUBJECT_MAX);
	char size[TEXT_DURATION_MAX], more[32] = "";

	if (!s->options.tell)
		return;
	mime_words(sv_from(m->subject), &subject);
	if (m->recipient_count > 1)
		(void)snprintf(more, sizeof(more), " and %zu more", m->recipient_count - 1);
	sandbox_tell(s,
		"%-9s  %s  <%s> -> <%s>%s  '%.*s'  %s",
		what,
		m->door,
		m->sender,
		m->recipient_count ? m->recipients[0] : "",
		more,
		SV_ARG(buf_sv(&subject)),
		text_size(m->raw_len, size));
}
