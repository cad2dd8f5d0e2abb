/* SPDX-License-Identifier: Apache-2.0 */
#include "base/must.h"
#include "store/salvage_priv.h"

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

/*
 * Any bytes as the queue's file: whatever rows come out lie within what was read, and a page gives the same twice.
 */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct seen {
	uint64_t rows, bytes;
};

static void on_row(void *arg, const struct salvage_row *row)
{
	struct seen *s = arg;

	must(row->count <= SALVAGE_COLUMNS_MAX);
	s->rows++;
	for (size_t i = 0; i < row->count; i++) {
		must(row->columns[i].bytes.len <= SALVAGE_ROW_MAX);
		for (size_t at = 0; at < row->columns[i].bytes.len; at++)
			s->bytes += (unsigned char)row->columns[i].bytes.ptr[at];
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static int fd = -1;
	struct salvage_pages *p = NULL;
	char path[40];

	if (fd < 0)
		fd = memfd_create("queue", MFD_CLOEXEC);
	must(fd >= 0 && ftruncate(fd, 0) == 0);
	must(size == 0 || pwrite(fd, data, size, 0) == (ssize_t)size);
	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	must(salvage_open(path, &p, NULL) == 0);
	for (uint32_t page = 1; page <= salvage_page_count(p); page++) {
		struct seen once = { 0 }, twice = { 0 };
		bool whole = salvage_page_rows(p, page, on_row, &once);

		must(salvage_page_rows(p, page, on_row, &twice) == whole);
		must(once.rows == twice.rows && once.bytes == twice.bytes);
	}
	salvage_close(p);
	return 0;
}
