/* SPDX-License-Identifier: Apache-2.0 */
#include "store/salvage_priv.h"

#include "base/must.h"
#include "io/fs.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

enum {
	WAL_HEADER = 32,
	WAL_FRAME = 24,
	DB_HEADER = 100,
	LEAF_TABLE = 0x0d,
	LEAF_INDEX = 0x0a,
	INNER_TABLE = 0x05,
	INNER_INDEX = 0x02,
	LOCAL_MAX_TABLE = SALVAGE_PAGE - 35,
	LOCAL_MAX_INDEX = (SALVAGE_PAGE - 12) * 64 / 255 - 23,
	LOCAL_MIN = (SALVAGE_PAGE - 12) * 32 / 255 - 23,
	OVERFLOW_BYTES = SALVAGE_PAGE - 4,
	/* Pointer map: five bytes a page, one such page in front of those that it tells of (auto_vacuum). */
	MAP_ENTRY = 5,
	MAP_SPAN = SALVAGE_PAGE / MAP_ENTRY + 1,
	MAP_ROOT = 1,
	MAP_FREE = 2,
	MAP_OVERFLOW_FIRST = 3,
	MAP_OVERFLOW = 4,
	MAP_TREE = 5,
};

struct salvage_pages {
	int fd, wal_fd;
	uint32_t count;
	uint32_t *frames; /* of each page: 1 + its newest frame in the WAL; 0: none */
	uint32_t frames_cap;
	bool *reached; /* by a page of a tree that can be read */
	uint64_t wal_lost;
	char *row; /* what did not fit one page */
	size_t row_cap;
};

static uint32_t be32(const unsigned char *at)
{
	return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

static uint32_t be16(const unsigned char *at)
{
	return (uint32_t)at[0] << 8 | at[1];
}

/* ---- the WAL ---- */

static void note_frame(struct salvage_pages *p, uint32_t page, uint32_t frame)
{
	if (page == 0 || page > SALVAGE_PAGES_MAX)
		return;
	if (page >= p->frames_cap) {
		uint32_t cap = p->frames_cap ? p->frames_cap : 1024;

		while (cap <= page)
			cap *= 2;
		p->frames = xrealloc(p->frames, cap * sizeof(*p->frames));
		memset(p->frames + p->frames_cap, 0, (cap - p->frames_cap) * sizeof(*p->frames));
		p->frames_cap = cap;
	}
	p->frames[page] = frame + 1;
}

struct wal {
	unsigned char salts[8];
	bool big_endian;
	uint32_t sum[2];
};

static uint32_t wal_word(const struct wal *w, const unsigned char *at)
{
	return w->big_endian ? be32(at) : __builtin_bswap32(be32(at));
}

static void wal_sum(struct wal *w, const unsigned char *bytes, size_t len)
{
	for (size_t i = 0; i + 8 <= len; i += 8) {
		w->sum[0] += wal_word(w, bytes + i) + w->sum[1];
		w->sum[1] += wal_word(w, bytes + i + 4) + w->sum[0];
	}
}

static bool wal_begin(struct salvage_pages *p, struct wal *w)
{
	unsigned char head[WAL_HEADER];

	if (p->wal_fd < 0 || io_fs_read_at(p->wal_fd, 0, head, sizeof(head)) != sizeof(head) ||
		(be32(head) & ~1U) != 0x377f0682 || be32(head + 8) != SALVAGE_PAGE)
		return false;
	*w = (struct wal){ .big_endian = be32(head) & 1 };
	memcpy(w->salts, head + 16, sizeof(w->salts));
	wal_sum(w, head, 24);
	return w->sum[0] == be32(head + 24) && w->sum[1] == be32(head + 28);
}

/*
 * SQLite reads until the first frame whose running checksum is wrong. Frames of the same generation (salts) that
 * follow one that a disk has damaged are read here all the same, up to the last that commits: rows have sums of their
 * own. (A frame of an older generation is where the writer stopped.)
 */
static void read_wal(struct salvage_pages *p)
{
	unsigned char frame[WAL_FRAME + SALVAGE_PAGE];
	uint32_t last = 0, count = 0, broken = UINT32_MAX, pages = 0;
	struct wal w;

	if (!wal_begin(p, &w))
		return;
	for (uint32_t i = 0; i < UINT32_MAX - 1; i++) {
		uint64_t at = WAL_HEADER + (uint64_t)i * sizeof(frame);

		if (io_fs_read_at(p->wal_fd, at, frame, sizeof(frame)) != sizeof(frame))
			break;
		if (memcmp(frame + 8, w.salts, sizeof(w.salts)) != 0)
			continue; /* its header is damaged, or the old generation begins */
		wal_sum(&w, frame, 8);
		wal_sum(&w, frame + WAL_FRAME, SALVAGE_PAGE);
		if ((w.sum[0] != be32(frame + 16) || w.sum[1] != be32(frame + 20)) &&
			broken == UINT32_MAX)
			broken = i;
		if (be32(frame + 4) != 0) {
			last = i + 1;
			pages = be32(frame + 4);
		}
	}
	count = last;
	for (uint32_t i = 0; i < count; i++) {
		uint64_t at = WAL_HEADER + (uint64_t)i * sizeof(frame);

		if (io_fs_read_at(p->wal_fd, at, frame, WAL_FRAME) == WAL_FRAME &&
			memcmp(frame + 8, w.salts, sizeof(w.salts)) == 0)
			note_frame(p, be32(frame), i);
	}
	if (broken < last)
		p->wal_lost = (uint64_t)(last - broken) * sizeof(frame);
	if (pages && pages <= SALVAGE_PAGES_MAX)
		p->count = pages;
}

/* ---- pages ---- */

static bool read_page(const struct salvage_pages *p, uint32_t page, unsigned char out[SALVAGE_PAGE])
{
	uint32_t frame = page < p->frames_cap ? p->frames[page] : 0;
	int fd = frame ? p->wal_fd : p->fd;
	uint64_t at =
		frame ? WAL_HEADER + (uint64_t)(frame - 1) * (WAL_FRAME + SALVAGE_PAGE) + WAL_FRAME
		      : (uint64_t)(page - 1) * SALVAGE_PAGE;

	return page >= 1 && page <= p->count &&
	       io_fs_read_at(fd, at, out, SALVAGE_PAGE) == SALVAGE_PAGE;
}

static bool is_map(uint32_t page)
{
	return page >= 2 && (page - 2) % MAP_SPAN == 0;
}

/* What the pointer map says of a page; 0: it cannot be read there, or is damaged. */
static unsigned map_of(const struct salvage_pages *p, uint32_t page)
{
	unsigned char bytes[SALVAGE_PAGE];
	uint32_t map = page < 2 ? 0 : page - (page - 2) % MAP_SPAN;
	const unsigned char *entry;

	if (map == 0 || map == page || !read_page(p, map, bytes))
		return 0;
	/* One entry out of order makes the page one that nobody should believe. */
	for (uint32_t i = 0; i < MAP_SPAN - 1 && map + 1 + i <= p->count; i++) {
		entry = bytes + (size_t)i * MAP_ENTRY;
		if (entry[0] > MAP_TREE || be32(entry + 1) > p->count)
			return 0;
	}
	return bytes[(size_t)(page - map - 1) * MAP_ENTRY];
}

/* ---- cells ---- */

static size_t varint(const unsigned char *at, const unsigned char *end, uint64_t *out)
{
	uint64_t value = 0;

	for (size_t i = 0; i < 9 && at + i < end; i++) {
		if (i == 8) {
			*out = value << 8 | at[i];
			return 9;
		}
		value = value << 7 | (at[i] & 0x7f);
		if (!(at[i] & 0x80)) {
			*out = value;
			return i + 1;
		}
	}
	return 0;
}

static size_t local_bytes(uint64_t payload, size_t max)
{
	size_t local;

	if (payload <= max)
		return (size_t)payload;
	local = LOCAL_MIN + (size_t)((payload - LOCAL_MIN) % OVERFLOW_BYTES);
	return local <= max ? local : LOCAL_MIN;
}

/* The rest of a payload, from its chain of overflow pages: exactly as many as it needs. */
static bool read_overflow(struct salvage_pages *p, uint32_t page, size_t have, size_t payload)
{
	unsigned char bytes[SALVAGE_PAGE];

	while (have < payload) {
		size_t step = payload - have < OVERFLOW_BYTES ? payload - have : OVERFLOW_BYTES;

		if (page < 2 || is_map(page) || !read_page(p, page, bytes))
			return false;
		memcpy(p->row + have, bytes + 4, step);
		have += step;
		page = be32(bytes);
	}
	return page == 0;
}

static bool read_payload(struct salvage_pages *p, const unsigned char *at, const unsigned char *end,
	uint64_t payload, size_t max)
{
	size_t local = local_bytes(payload, max);

	/* Every record has a header of at least one byte. */
	if (payload == 0 || payload > SALVAGE_ROW_MAX ||
		local + (local < payload ? 4 : 0) > (size_t)(end - at))
		return false;
	if (p->row_cap < payload) {
		p->row_cap = (size_t)payload + SALVAGE_PAGE;
		free(p->row);
		p->row = xmalloc(p->row_cap);
	}
	memcpy(p->row, at, local);
	return local == payload || read_overflow(p, be32(at + local), local, (size_t)payload);
}

/* ---- records ---- */

static bool value_of(uint64_t serial, const unsigned char *at, size_t left, size_t *out_len,
	struct salvage_value *v)
{
	static const size_t lengths[] = { 0, 1, 2, 3, 4, 6, 8, 8, 0, 0 };
	uint64_t number = 0;

	*v = (struct salvage_value){ .type = SALVAGE_NULL };
	if (serial == 10 || serial == 11)
		return false;
	if (serial >= 12) {
		if ((serial - 12) / 2 > left)
			return false;
		*out_len = (size_t)(serial - 12) / 2;
		v->type = serial % 2 ? SALVAGE_TEXT : SALVAGE_BLOB;
		v->bytes = sv_make((const char *)at, *out_len);
		return true;
	}
	*out_len = lengths[serial];
	if (*out_len > left)
		return false;
	if (serial == 0)
		return true;
	v->type = serial == 7 ? SALVAGE_REAL : SALVAGE_INT;
	if (*out_len && at[0] & 0x80 && serial != 7)
		number = UINT64_MAX;
	for (size_t i = 0; i < *out_len; i++)
		number = number << 8 | at[i];
	v->number = serial == 9 ? 1 : (int64_t)number;
	return true;
}

static bool read_record(const struct salvage_pages *p, size_t payload, struct salvage_row *row)
{
	const unsigned char *bytes = (const unsigned char *)p->row;
	uint64_t header = 0, serial = 0;
	size_t at = varint(bytes, bytes + payload, &header), body = (size_t)header;

	if (at == 0 || header > payload || header < at)
		return false;
	row->count = 0;
	while (at < header) {
		size_t step = varint(bytes + at, bytes + header, &serial), len = 0;

		if (step == 0 || row->count == SALVAGE_COLUMNS_MAX ||
			!value_of(serial,
				bytes + body,
				payload - body,
				&len,
				&row->columns[row->count]))
			return false;
		row->count++;
		at += step;
		body += len;
	}
	return body == payload;
}

/* One cell of a page of rows. */
static bool read_cell(struct salvage_pages *p, unsigned kind, const unsigned char *at,
	const unsigned char *end, struct salvage_row *row)
{
	size_t max = kind == LEAF_TABLE ? LOCAL_MAX_TABLE : LOCAL_MAX_INDEX, step;
	uint64_t payload = 0, id = 0;

	if (kind == INNER_INDEX) {
		if (end - at < 4)
			return false;
		at += 4;
	}
	step = varint(at, end, &payload);
	at += step;
	row->is_table = kind == LEAF_TABLE;
	if (step && row->is_table) {
		step = varint(at, end, &id);
		at += step;
	}
	row->id = (int64_t)id;
	return step && read_payload(p, at, end, payload, max) &&
	       read_record(p, (size_t)payload, row);
}

/* ---- trees ---- */

struct tree_page {
	unsigned kind;
	const unsigned char *start, *cells, *end;
	size_t count;
};

static bool open_tree_page(uint32_t page, const unsigned char *bytes, struct tree_page *out)
{
	const unsigned char *at = bytes + (page == 1 ? DB_HEADER : 0);
	bool inner = at[0] == INNER_TABLE || at[0] == INNER_INDEX;

	if (!inner && at[0] != LEAF_TABLE && at[0] != LEAF_INDEX)
		return false;
	*out = (struct tree_page){ .kind = at[0],
		.start = bytes,
		.cells = at + (inner ? 12 : 8),
		.end = bytes + SALVAGE_PAGE,
		.count = be16(at + 3) };
	return out->cells + 2 * out->count <= out->end;
}

static const unsigned char *cell_at(const struct tree_page *t, size_t i)
{
	const unsigned char *at = t->start + be16(t->cells + 2 * i);

	return at >= t->cells + 2 * t->count && at + 4 <= t->end ? at : NULL;
}

/* Which pages the inner pages name. One that is damaged names at worst a page that is free. */
static void mark_children(struct salvage_pages *p)
{
	unsigned char bytes[SALVAGE_PAGE];
	struct tree_page t;

	for (uint32_t page = 1; page <= p->count; page++) {
		if (is_map(page) || !read_page(p, page, bytes) ||
			!open_tree_page(page, bytes, &t) ||
			(t.kind != INNER_TABLE && t.kind != INNER_INDEX) ||
			map_of(p, page) == MAP_FREE)
			continue;
		for (size_t i = 0; i <= t.count; i++) {
			const unsigned char *at = i < t.count ? cell_at(&t, i) : t.cells - 4;
			uint32_t child = at ? be32(at) : 0;

			if (child && child <= p->count)
				p->reached[child] = true;
		}
	}
}

bool salvage_page_rows(struct salvage_pages *p, uint32_t page, salvage_row_fn *each, void *arg)
{
	unsigned map = map_of(p, page);
	unsigned char bytes[SALVAGE_PAGE];
	struct tree_page t;
	bool whole = true;

	if (is_map(page))
		return page == p->count || map_of(p, page + 1) != 0;
	if (map == MAP_FREE || map == MAP_OVERFLOW || map == MAP_OVERFLOW_FIRST)
		return true;
	if (!read_page(p, page, bytes))
		return false;
	if (!open_tree_page(page, bytes, &t))
		return map == 0 && !p->reached[page] && page != 1;
	if (t.kind == INNER_TABLE)
		return true;
	for (size_t i = 0; i < t.count; i++) {
		const unsigned char *at = cell_at(&t, i);
		struct salvage_row row;

		row.doubtful = map == 0 && page != 1 && !p->reached[page];
		if (at && read_cell(p, t.kind, at, t.end, &row))
			each(arg, &row);
		else
			whole = false;
	}
	return whole;
}

/* ---- life ---- */

int salvage_open(const char *path, struct salvage_pages **out_pages, struct err *err)
{
	CLEANUP(salvage_closep) struct salvage_pages *p = xcalloc(1, sizeof(*p));
	char wal[PATH_MAX];
	struct stat st;
	int n = snprintf(wal, sizeof(wal), "%s-wal", path), rc;

	p->fd = p->wal_fd = -1;
	if (n < 0 || (size_t)n >= sizeof(wal))
		return err_set(err, -ENAMETOOLONG, "data_dir is too long");
	p->fd = io_fs_open(path, O_RDONLY);
	if (p->fd == -ENOENT)
		return err_set(err, RC_NOT_FOUND, "there is no %s", path);
	rc = p->fd < 0 ? p->fd : io_fs_stat_open(p->fd, &st);
	if (rc < 0)
		return err_set(err, rc, "cannot read %s: %s", path, rc_text(rc));
	p->wal_fd = io_fs_open(wal, O_RDONLY);
	if (p->wal_fd < 0 && p->wal_fd != -ENOENT)
		return err_set(err, p->wal_fd, "cannot read %s: %s", wal, rc_text(p->wal_fd));
	if (st.st_size / SALVAGE_PAGE > SALVAGE_PAGES_MAX)
		return err_set(err, RC_LIMIT, "%s is too large", path);
	p->count = (uint32_t)(st.st_size / SALVAGE_PAGE);
	read_wal(p);
	p->reached = xcalloc((size_t)p->count + 1, sizeof(*p->reached));
	mark_children(p);
	*out_pages = TAKE(p);
	return 0;
}

void salvage_close(struct salvage_pages *p)
{
	if (!p)
		return;
	io_closep(&p->fd);
	io_closep(&p->wal_fd);
	free(p->frames);
	free(p->reached);
	free(p->row);
	free(p);
}

uint32_t salvage_page_count(const struct salvage_pages *p)
{
	return p->count;
}

uint64_t salvage_wal_lost(const struct salvage_pages *p)
{
	return p->wal_lost;
}
