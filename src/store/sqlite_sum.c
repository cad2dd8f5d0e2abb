/* SPDX-License-Identifier: Apache-2.0 */
#include "store/sqlite_priv.h"

#include <endian.h>

/*
 * 64 bits, eight bytes at a time. It finds what a disk does to bytes; it proves nothing against a person. It stands
 * in files: another function is another format.
 */
#define SUM_SEED UINT64_C(0x9e3779b97f4a7c15)
#define SUM_FACTOR UINT64_C(0xff51afd7ed558ccd)

static uint64_t mix(uint64_t sum, uint64_t word)
{
	sum = (sum ^ word) * SUM_FACTOR;
	return sum ^ sum >> 32;
}

static uint64_t add_number(uint64_t sum, int64_t number)
{
	return mix(sum, (uint64_t)number);
}

/* With its length, so that two texts side by side are not one. */
static uint64_t add_bytes(uint64_t sum, struct sv bytes)
{
	uint64_t word = 0;
	size_t at = 0;

	for (; at + sizeof(word) <= bytes.len; at += sizeof(word)) {
		memcpy(&word, bytes.ptr + at, sizeof(word));
		sum = mix(sum, le64toh(word));
	}
	word = 0;
	if (bytes.len > at)
		memcpy(&word, bytes.ptr + at, bytes.len - at);
	return mix(mix(sum, le64toh(word)), bytes.len);
}

int64_t store_sum_chunk(int64_t row, struct sv bytes)
{
	return (int64_t)add_bytes(add_number(SUM_SEED, row), bytes);
}

int64_t store_sum_message(const struct store_message *m)
{
	const int64_t numbers[] = { (int64_t)m->id,
		m->accepted_at.us,
		m->expires_at.us,
		/* But what is found out later. */
		m->flags & ~(uint32_t)(STORE_MSG_DELAY_NOTICED | STORE_MSG_APART),
		(int64_t)m->size,
		m->header_size,
		(int64_t)m->bounce_of,
		m->dsn_ret };
	const struct sv texts[] = { m->sender,
		m->envid,
		m->message_id,
		m->subject,
		m->user,
		m->client,
		m->listener,
		m->device };
	uint64_t sum = SUM_SEED;

	for (size_t i = 0; i < COUNT_OF(numbers); i++)
		sum = add_number(sum, numbers[i]);
	for (size_t i = 0; i < COUNT_OF(texts); i++)
		sum = add_bytes(sum, texts[i]);
	return (int64_t)sum;
}

int64_t store_sum_recipient(uint64_t message_id, const struct store_recipient *r)
{
	uint64_t sum = add_number(SUM_SEED, row_id(message_id, r->index));

	sum = add_number(sum, r->dsn_notify);
	return (int64_t)add_bytes(add_bytes(sum, r->address), r->orcpt);
}

bool store_sum_fits(sqlite3_stmt *q, int at, int64_t sum)
{
	return sqlite3_column_type(q, at) == SQLITE_NULL || sqlite3_column_int64(q, at) == sum;
}
