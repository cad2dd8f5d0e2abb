/* SPDX-License-Identifier: Apache-2.0 */
#include "base/buf.h"
#include "base/must.h"
#include "io/confine.h"
#include "io/dnssec.h"
#include "io/log.h"
#include "io/spawn.h"
#include "simio/simio_priv.h"

#include <stdarg.h>
#include <stdio.h>

/*
 * What no world has yet. The relay of a world is put together without DNSSEC and programs, so nothing of it
 * can be called; whoever gives a world such a thing writes it here. And the log, which goes into that of the run.
 */
#define ABSENT(what) must_fail("the simulated io has no " what, __FILE__, __LINE__)

struct io_dnssec_query *io_dnssec_tlsa(
	struct io_dnssec *d, struct sv host, uint16_t port, io_tlsa_fn *fn, void *arg)
{
	(void)d;
	(void)host;
	(void)port;
	(void)fn;
	(void)arg;
	ABSENT("DNSSEC");
}

void io_dnssec_cancel(struct io_dnssec_query *q)
{
	must(q == NULL);
}

int io_command_run(const struct io_command *c, struct io_command_end *out_end)
{
	(void)c;
	(void)out_end;
	ABSENT("programs");
}

int io_tls_client_identity(struct io_tls *t, const char *certificate_file, struct sv key_pem,
	const struct secret *passphrase, struct err *err)
{
	(void)t;
	(void)certificate_file;
	(void)key_pem;
	(void)passphrase;
	(void)err;
	ABSENT("client certificates");
}

const char *io_confine_rc_text(int rc, const char *path)
{
	(void)path;
	return rc_text(rc);
}

/* ---- the log ---- */

void log_record(enum log_level level, const char *part, struct sv id, const char *event,
	struct sv text, const struct log_field *fields, size_t field_count)
{
	struct buf line = BUF_INIT(4096);
	int rc = 0;

	(void)level;
	for (size_t i = 0; i < field_count && rc == 0; i++)
		rc = buf_printf(&line, " %s=%.*s", fields[i].key, SV_ARG(fields[i].value));
	simio_note("%s %.*s: %s %.*s%.*s",
		part,
		SV_ARG(id),
		event,
		SV_ARG(text),
		SV_ARG(buf_sv(&line)));
	buf_deinit(&line);
}

void log_event(enum log_level level, const char *part, struct sv id, const char *event,
	const struct log_field *fields, size_t field_count)
{
	log_record(level, part, id, event, SV(""), fields, field_count);
}

void log_line(enum log_level level, const char *part, const char *fmt, ...)
{
	char text[600];
	va_list args;

	(void)level;
	va_start(args, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	simio_note("%s: %s", part, text);
}
