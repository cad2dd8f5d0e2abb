/* SPDX-License-Identifier: Apache-2.0 */
#include "base/limits.h"
#include "base/must.h"
#include "store/store.h"
#include "tests/sim/sim.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/*
 * What must hold whatever the hosts do and whenever the relay dies:
 *   kept      what was promised is in the queue, or delivered, or bounced, or expired
 *   once      nobody has a message more often than 1 + its uncertain attempts
 *   limit     no minute has more messages than the host allows, by its own count
 *   healthy   a host that works has its mail at once, while the relay is up
 *   in time   nothing waits past its time to live
 */
enum {
	COUNTED_MAX = 4096
};
#define HEALTHY_US (20 * US_PER_S)

struct mail {
	uint64_t id, promised_at;
	unsigned host, recipients;
	unsigned received[RECIPIENTS_MAX];
	bool final[RECIPIENTS_MAX];
	bool late_is_fine; /* the relay died while it had this one */
	bool tried_uncertain;
};

static struct mail mails[MAILS];
static uint64_t counted[COUNTED_MAX]; /* by HOST_LIMIT */
static size_t counted_count;
static uint64_t up_since;
static bool is_up;

void check_begin(void)
{
	memset(mails, 0, sizeof(mails));
}

void check_failed(const char *fmt, ...)
{
	char text[600];
	va_list args;
	struct sv log;

	va_start(args, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	simio_note("FAILED: %s", text);
	log = simio_log();
	(void)fwrite(log.ptr, 1, log.len, stdout);
	(void)fflush(stdout);
	_exit(1);
}

void check_promised(unsigned mail, uint64_t id, unsigned host, unsigned recipients)
{
	struct mail *m = &mails[mail];

	m->id = id;
	m->host = host;
	m->recipients = recipients;
	m->promised_at = simio_now();
}

uint64_t check_id(unsigned mail)
{
	return mails[mail].id;
}

bool check_is_final(unsigned mail)
{
	const struct mail *m = &mails[mail];
	unsigned n = 0;

	for (unsigned i = 0; i < m->recipients; i++)
		n += m->final[i];
	return m->id != 0 && n == m->recipients;
}

unsigned check_recipients(unsigned mail)
{
	return mails[mail].recipients;
}

unsigned check_promises(void)
{
	unsigned n = 0;

	for (unsigned i = 0; i < MAILS; i++)
		n += mails[i].id != 0;
	return n;
}

void check_relay_up(bool up)
{
	is_up = up;
	up_since = simio_now();
	/* What it had under way has become uncertain, and waits for its pause. */
	for (unsigned i = 0; i < MAILS && !up; i++)
		mails[i].late_is_fine = mails[i].id != 0;
}

static int by_time(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

void check_received(unsigned host, const char *recipients, uint64_t at_us)
{
	struct sv rest = sv_from(recipients), one;
	bool more = rest.len > 0;

	if (host == HOST_LIMIT) {
		must(counted_count < COUNTED_MAX);
		counted[counted_count++] = at_us;
	}
	while (more) {
		unsigned mail, index;
		char text[64];

		more = sv_cut_char(&rest, ' ', &one);
		(void)snprintf(text, sizeof(text), "%.*s", SV_ARG(one));
		/* Bounces are none of ours. NOLINTNEXTLINE(cert-err34-c): our own text */
		if (sscanf(text, "m%ur%u@", &mail, &index) == 2 && mail < MAILS &&
			index < RECIPIENTS_MAX)
			mails[mail].received[index]++;
	}
}

/* All recipients of mail that is old enough have it. */
static void check_healthy(void)
{
	for (unsigned i = 0; i < MAILS && is_up; i++) {
		const struct mail *m = &mails[i];
		uint64_t since = m->promised_at > up_since ? m->promised_at : up_since;

		if (m->id == 0 || m->host != HOST_GOOD || m->late_is_fine ||
			simio_now() < since + HEALTHY_US)
			continue;
		for (unsigned r = 0; r < m->recipients; r++)
			if (m->received[r] == 0)
				check_failed("healthy: m%ur%u waits since %llu s for a host that "
					     "works",
					i,
					r,
					(unsigned long long)((simio_now() - m->promised_at) /
							     US_PER_S));
	}
}

/* What was over before the start has its try (decision 0102); it was accepted a little before it was promised. */
static uint64_t ends_at(const struct mail *m)
{
	uint64_t ends = m->promised_at + EXPIRE_US;

	return ends > up_since + US_PER_MIN ? ends : up_since + EXPIRE_US;
}

void check_recipient(
	unsigned mail, unsigned index, int state, unsigned uncertain, struct sv cause, bool at_end)
{
	struct mail *m = &mails[mail];
	bool waits =
		state == STORE_RCPT_QUEUED || state == STORE_RCPT_HELD || state == STORE_RCPT_OPEN;
	uint64_t age = simio_now() - m->promised_at;

	m->final[index] = !waits;
	if (at_end)
		simio_note("end: m%ur%u is %s (%.*s), received %u times, %u uncertain",
			mail,
			index,
			store_recipient_state_name((enum store_recipient_state)state),
			SV_ARG(cause),
			m->received[index],
			uncertain);
	if (m->received[index] > 1 + uncertain)
		check_failed("once: m%ur%u was received %u times, with %u uncertain attempts",
			mail,
			index,
			m->received[index],
			uncertain);
	if (state == STORE_RCPT_DELIVERED && m->received[index] == 0)
		check_failed("kept: m%ur%u counts as delivered, and nobody has it", mail, index);
	if (waits && state != STORE_RCPT_OPEN && simio_now() > ends_at(m) + EXPIRE_SLACK_US)
		check_failed("in time: m%ur%u is %s for %llu min (%.*s)",
			mail,
			index,
			store_recipient_state_name((enum store_recipient_state)state),
			(unsigned long long)(age / US_PER_MIN),
			SV_ARG(cause));
	if (waits && at_end && cause.len == 0 && m->received[index] == 0)
		check_failed("kept: m%ur%u waits without a cause", mail, index);
	check_healthy();
}

void check_end(void)
{
	qsort(counted, counted_count, sizeof(counted[0]), by_time);
	for (size_t i = LIMIT_A_MINUTE; i < counted_count; i++)
		if (counted[i] - counted[i - LIMIT_A_MINUTE] < US_PER_MIN)
			check_failed("limit: %u messages between %llu s and %llu s of the run",
				LIMIT_A_MINUTE + 1,
				(unsigned long long)(counted[i - LIMIT_A_MINUTE] / US_PER_S),
				(unsigned long long)(counted[i] / US_PER_S));
}
