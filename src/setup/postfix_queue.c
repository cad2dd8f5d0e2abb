/* SPDX-License-Identifier: Apache-2.0 */
#include "setup/postfix_queue.h"

#include "base/limits.h"
#include "base/must.h"
#include "mail/address.h"
#include "setup/import_priv.h"

enum {
	/* Postfix's dsn_mask.h */
	POSTFIX_RET_FULL = 1,
	POSTFIX_RET_HDRS = 2,
	POSTFIX_NOTIFY_NEVER = 1,
	POSTFIX_NOTIFY_SUCCESS = 2,
	POSTFIX_NOTIFY_FAILURE = 4,
	POSTFIX_NOTIFY_DELAY = 8,
};

static uint8_t notify_of(uint32_t flags)
{
	unsigned bits = 0;

	bits |= flags & POSTFIX_NOTIFY_NEVER ? DSN_NOTIFY_NEVER : 0;
	bits |= flags & POSTFIX_NOTIFY_SUCCESS ? DSN_NOTIFY_SUCCESS : 0;
	bits |= flags & POSTFIX_NOTIFY_FAILURE ? DSN_NOTIFY_FAILURE : 0;
	bits |= flags & POSTFIX_NOTIFY_DELAY ? DSN_NOTIFY_DELAY : 0;
	/* NEVER excludes the others (RFC 3461 4.1). */
	return (uint8_t)(bits & DSN_NOTIFY_NEVER ? DSN_NOTIFY_NEVER : bits);
}

static int add_recipient(
	struct arena *arena, struct setup_queued *q, struct sv address, uint8_t notify)
{
	struct address parsed;

	if (address_parse(address, ADDRESS_UTF8 | ADDRESS_NO_DOMAIN, &parsed) != 0) {
		q->skipped++;
		return 0;
	}
	if (q->recipient_count == SETUP_QUEUE_RECIPIENTS_MAX)
		return RC_LIMIT;
	if (q->recipient_count == q->room) {
		struct setup_queued_recipient *more;

		q->room = q->room ? q->room * 2 : 16;
		more = arena_alloc(arena, q->room * sizeof(*more));
		if (q->recipient_count)
			memcpy(more, q->recipients, q->recipient_count * sizeof(*more));
		q->recipients = more;
	}
	q->utf8 = q->utf8 || address_needs_utf8(address);
	q->recipients[q->recipient_count++] =
		(struct setup_queued_recipient){ arena_sv(arena, address), notify };
	return 0;
}

/* "notify_flags=10" */
static void take_attribute(
	struct arena *arena, struct setup_queued *q, struct sv value, uint8_t *notify)
{
	struct sv name;
	uint32_t n;

	(void)sv_cut_char(&value, '=', &name);
	if (sv_eq(name, SV("notify_flags")) && sv_parse_u32(value, 15, &n) == 0)
		*notify = notify_of(n);
	else if (sv_eq(name, SV("ret_flags")) && sv_parse_u32(value, 3, &n) == 0)
		q->ret = n == POSTFIX_RET_FULL   ? DSN_RET_FULL
			 : n == POSTFIX_RET_HDRS ? DSN_RET_HDRS
						 : DSN_RET_NONE;
	else if (sv_eq(name, SV("envelope_id")) && value.len <= LIMIT_ENVID)
		q->envid = arena_sv(arena, value);
}

int setup_queue_parse(
	struct arena *arena, struct sv text, struct setup_queued *out, struct err *err)
{
	struct setup_queued q = { 0 };
	struct address parsed;
	struct sv line;
	uint8_t notify = 0;
	bool has_sender = false;
	int rc = 0;

	while (rc == 0 && import_line(&text, &line)) {
		struct sv value = line, name;

		if (!sv_cut_char(&value, ':', &name))
			continue;
		value = sv_trim(value);
		if (sv_eq(name, SV("sender"))) {
			has_sender = true;
			q.sender = arena_sv(arena, value);
		} else if (sv_eq(name, SV("recipient"))) {
			rc = add_recipient(arena, &q, value, notify);
			notify = 0;
		} else if (sv_eq(name, SV("named_attribute"))) {
			take_attribute(arena, &q, value, &notify);
		} else if (sv_eq(name, SV("message_arrival_time"))) {
			q.arrived = arena_sv(arena, value);
		}
	}
	if (rc != 0)
		return err_set(
			err, rc, "it has more than %d recipients", SETUP_QUEUE_RECIPIENTS_MAX);
	if (!has_sender)
		return err_set(err, RC_PARSE, "it has no sender: it is not whole");
	if (q.sender.len && address_parse(q.sender, ADDRESS_UTF8 | ADDRESS_NO_DOMAIN, &parsed) != 0)
		return err_set(err, RC_PARSE, "its sender is not an address");
	q.utf8 = q.utf8 || address_needs_utf8(q.sender);
	*out = q;
	return 0;
}
