/* SPDX-License-Identifier: Apache-2.0 */
#include "base/limits.h"
#include "base/must.h"
#include "store/store.h"
#include "tests/sim/acts.h"
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
 *   healthy   a host that works has its mail at once, while the relay is up
 *   in time   nothing waits past its time to live, or that of its class
 *   stale     nothing leaves after the end of its class
 * What leaves next, and the limits: order.c.
 */
#define HEALTHY_US (20 * US_PER_S)
#define CLASS_SLACK_US \
	(2 * US_PER_MIN)               /* a look comes soon after the end, and soon after a start */
#define DISK_SLACK_US (2 * US_PER_MIN) /* the longest pause before it is asked again */
#define BEGUN_SLACK_US US_PER_MIN      /* a host greets late */

struct mail {
	struct post post;
	uint64_t id, promised_at;
	unsigned received[RECIPIENTS_MAX];
	bool final[RECIPIENTS_MAX];
	bool late_is_fine; /* the relay died while it had this one */
	bool begun;
};

static struct mail mails[MAILS];
static uint64_t up_since, clock_us; /* by how much the clock was set, in all */
static uint64_t well_since, ill_us; /* the disk; how long it was not, in all */
static bool is_up, is_ill;

void check_begin(void)
{
	memset(mails, 0, sizeof(mails));
}

void check_failed(const char *fmt, ...)
{
	char text[WHY_MAX];
	va_list args;
	struct sv log;

	va_start(args, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	simio_note("FAILED: %s", text);
	(void)snprintf(acts_report()->why, WHY_MAX, "%s", text);
	acts_report()->hash = simio_hash();
	log = simio_log();
	(void)fwrite(log.ptr, 1, log.len, stdout);
	(void)fflush(stdout);
	_exit(1);
}

void check_promised(unsigned mail, uint64_t id, const struct post *p)
{
	struct mail *m = &mails[mail];

	m->id = id;
	m->post = *p;
	m->promised_at = simio_now();
	m->late_is_fine = !check_disk_is_well();
	order_promised(p);
}

void check_clock_was_set(int64_t by_us)
{
	clock_us += (uint64_t)(by_us < 0 ? -by_us : by_us);
}

/* What was under way may have become uncertain, or waits for the queue to answer again. */
static void let_be_late(void)
{
	for (unsigned i = 0; i < MAILS; i++)
		mails[i].late_is_fine = mails[i].id != 0;
}

void check_disk(bool well)
{
	uint64_t now = simio_now();

	simio_note("the disk %s", well ? "is well" : "fails");
	if (well && is_ill)
		ill_us += now - well_since;
	is_ill = !well;
	well_since = now + (well ? DISK_SLACK_US : 0);
	let_be_late();
	order_relay_up(well && is_up);
}

bool check_disk_is_well(void)
{
	return !is_ill && simio_now() >= well_since;
}

uint64_t check_id(unsigned mail)
{
	return mails[mail].id;
}

bool check_is_final(unsigned mail)
{
	const struct mail *m = &mails[mail];
	unsigned n = 0;

	for (unsigned i = 0; i < m->post.recipients; i++)
		n += m->final[i];
	return m->id != 0 && n == m->post.recipients;
}

unsigned check_recipients(unsigned mail)
{
	return mails[mail].post.recipients;
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
	order_relay_up(up);
	/* What it had under way has become uncertain, and waits for its pause. */
	if (!up)
		let_be_late();
}

bool check_next_recipient(struct sv *rest, unsigned *out_mail, unsigned *out_index)
{
	struct sv one;

	while (rest->len) {
		char text[64];

		(void)sv_cut_char(rest, ' ', &one);
		(void)snprintf(text, sizeof(text), "%.*s", SV_ARG(one));
		/* Bounces are none of ours. NOLINTNEXTLINE(cert-err34-c): our own text */
		if (sscanf(text, "m%ur%u@", out_mail, out_index) == 2 && *out_mail < MAILS &&
			*out_index < RECIPIENTS_MAX)
			return true;
	}
	return false;
}

static uint64_t time_to_live(const struct mail *m)
{
	return m->post.class == MAIL_CLASS_TRANSACTIONAL ? TRANSACTIONAL_US : EXPIRE_US;
}

void check_begun(unsigned host, const char *recipients, uint64_t since_us)
{
	struct sv rest = sv_from(recipients);
	unsigned mail, index;

	while (check_next_recipient(&rest, &mail, &index)) {
		struct mail *m = &mails[mail];

		m->begun = true;
		if (m->id && m->post.class == MAIL_CLASS_TRANSACTIONAL &&
			since_us > m->promised_at + TRANSACTIONAL_US + BEGUN_SLACK_US + clock_us)
			check_failed("stale: m%ur%u leaves for host %u after %llu s",
				mail,
				index,
				host,
				(unsigned long long)((since_us - m->promised_at) / US_PER_S));
	}
}

void check_received(unsigned host, const char *recipients, uint64_t at_us)
{
	struct sv rest = sv_from(recipients);
	unsigned mail, index, count = 0;

	while (check_next_recipient(&rest, &mail, &index)) {
		struct mail *m = &mails[mail];

		count++;
		m->received[index]++;
		if (m->received[index] == 1 && m->id && m->late_is_fine)
			order_received_late(host, &m->post);
		else if (m->received[index] == 1 && m->id)
			order_received(host, &m->post, at_us - m->promised_at);
	}
	order_counted(host, at_us, count);
}

bool check_waits(unsigned host, bool bulk, uint64_t *out_since_us)
{
	uint64_t now = simio_now();
	bool found = false;

	if (!check_disk_is_well())
		return false;
	for (unsigned i = 0; i < MAILS; i++) {
		const struct mail *m = &mails[i];
		uint64_t since = m->promised_at > up_since ? m->promised_at : up_since;

		if (m->id == 0 || m->post.host != host || m->begun || m->post.denied ||
			(m->post.class == MAIL_CLASS_BULK) != bulk || m->late_is_fine ||
			check_is_final(i) ||
			now + US_PER_MIN + clock_us > m->promised_at + time_to_live(m))
			continue;
		if (!found || since < *out_since_us)
			*out_since_us = since;
		found = true;
	}
	return found;
}

/* All recipients of mail that is old enough have it. */
static void check_healthy(void)
{
	for (unsigned i = 0; i < MAILS && is_up && check_disk_is_well(); i++) {
		const struct mail *m = &mails[i];
		uint64_t since = m->promised_at > up_since ? m->promised_at : up_since;

		if (m->id == 0 || m->post.host != HOST_GOOD || m->late_is_fine ||
			simio_now() < since + HEALTHY_US)
			continue;
		for (unsigned r = 0; r < m->post.recipients; r++)
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

	/* Nothing lengthens the life of a class. */
	if (m->post.class == MAIL_CLASS_TRANSACTIONAL) {
		ends = m->promised_at + TRANSACTIONAL_US;
		return (ends > up_since ? ends : up_since) + CLASS_SLACK_US - EXPIRE_SLACK_US;
	}
	if (ends <= up_since + US_PER_MIN + clock_us && ends < up_since + EXPIRE_US)
		ends = up_since + EXPIRE_US;
	return ends;
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
	if (waits && state != STORE_RCPT_OPEN &&
		simio_now() > ends_at(m) + EXPIRE_SLACK_US + clock_us + ill_us)
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
	for (unsigned i = 0; i < MAILS; i++)
		if (mails[i].id && !check_is_final(i))
			simio_note("m%u still waits", i);
}
