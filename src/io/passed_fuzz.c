/* SPDX-License-Identifier: Apache-2.0 */
#include "base/must.h"
#include "io/passed.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Three lines: LISTEN_PID, LISTEN_FDS, LISTEN_FDNAMES. The last is an address to be stored, too. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct io_passed p;
	CLEANUP(buf_deinitp) struct buf name = BUF_INIT(4096);
	struct sv names = sv_make((const char *)data, size), pid, count;
	size_t taken = 0;

	(void)sv_cut_char(&names, '\n', &pid);
	(void)sv_cut_char(&names, '\n', &count);
	io_passed_parse(&p, pid, count, names, 1);
	must(p.count <= IO_PASSED_MAX);
	for (size_t i = 0; i < p.count; i++) {
		int fd;

		must(sv_find_char(p.sockets[i].name, ':') < 0);
		/* Each is given once, and none but these. */
		fd = io_passed_take(&p, p.sockets[i].name);
		must(fd >= IO_PASSED_FIRST && fd < IO_PASSED_FIRST + (int)p.count);
		taken++;
	}
	for (size_t i = 0; i < p.count; i++)
		must(io_passed_take(&p, p.sockets[i].name) < 0);
	must(taken == p.count);
	if (io_passed_store_name(names, &name) == 0) {
		must(name.len <= IO_PASSED_NAME_MAX && io_passed_is_stored(buf_sv(&name)));
		must(sv_find_char(buf_sv(&name), ':') < 0 && sv_find_char(buf_sv(&name), '\n') < 0);
		/* systemd gives it back as it was. */
		io_passed_parse(&p, SV("1"), SV("1"), buf_sv(&name), 1);
		must(io_passed_take(&p, buf_sv(&name)) == IO_PASSED_FIRST);
	} else {
		must(name.len == 0);
	}
	return 0;
}
