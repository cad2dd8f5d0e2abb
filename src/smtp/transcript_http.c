/* SPDX-License-Identifier: Apache-2.0 */
#include "base/limits.h"
#include "base/must.h"
#include "smtp/transcript.h"

#include <stdio.h>

/* What is told of a request of Graph: its line, the status, the few fields that help. */
enum {
	BODY_LINES = 6,
	FIELD_MAX = 128
};

void smtp_transcript_add_request(struct smtp_transcript *t, struct mono_time now,
	const char *method, struct sv url, bool has_token, uint64_t body_bytes)
{
	CLEANUP(buf_deinitp) struct buf line = BUF_INIT(4 * (size_t)LIMIT_TRANSCRIPT_LINE);
	ptrdiff_t query = has_token ? -1 : sv_find_char(url, '?');

	if (query >= 0)
		url = sv_head(url, (size_t)query);
	must(buf_printf(&line,
		     "%s %.*s%s",
		     method,
		     SV_ARG(sv_head(url, 2 * (size_t)LIMIT_TRANSCRIPT_LINE)),
		     query >= 0 ? "?[secret]" : "") == 0);
	smtp_transcript_add(t, now, SMTP_TRANSCRIPT_OURS, buf_sv(&line));
	if (has_token)
		smtp_transcript_add(
			t, now, SMTP_TRANSCRIPT_OURS, SV("Authorization: Bearer [secret]"));
	if (body_bytes)
		smtp_transcript_add_body(t, now, body_bytes);
}

static void add_field(
	struct smtp_transcript *t, struct mono_time now, const char *name, struct sv value)
{
	char line[FIELD_MAX];

	(void)snprintf(line, sizeof(line), "%s%.*s", name, SV_ARG(value));
	smtp_transcript_add(t, now, SMTP_TRANSCRIPT_THEIRS, sv_from(line));
}

void smtp_transcript_add_answer(struct smtp_transcript *t, struct mono_time now,
	const struct smtp_transcript_answer *a, const struct smtp_mask *m)
{
	CLEANUP(buf_deinitp) struct buf masked = BUF_INIT(SMTP_MASK_GROWTH * LIMIT_REPLY_KEPT);
	char number[24];
	struct sv body, line;

	(void)snprintf(number, sizeof(number), "%u", a->status);
	add_field(t, now, "HTTP ", sv_from(number));
	if (a->request_id.len)
		add_field(t, now, "request-id: ", a->request_id);
	(void)snprintf(
		number, sizeof(number), "%llu", (unsigned long long)(a->retry_after_us / US_PER_S));
	if (a->retry_after_us)
		add_field(t, now, "Retry-After: ", sv_from(number));
	if (a->status / 100 == 2)
		return;
	must(smtp_mask_text(m, sv_head(a->body, LIMIT_REPLY_KEPT), &masked) == 0);
	body = buf_sv(&masked);
	for (int i = 0; i < BODY_LINES && body.len; i++) {
		(void)sv_cut_char(&body, '\n', &line);
		smtp_transcript_add(t, now, SMTP_TRANSCRIPT_THEIRS, line);
	}
}
