/* SPDX-License-Identifier: Apache-2.0 */
#include "io/passed.h"

#include "base/err.h"

#include <stdlib.h>
#include <unistd.h>

#define STORED_PREFIX SV("listen@")

void io_passed_parse(
	struct io_passed *out, struct sv pid, struct sv count, struct sv names, uint32_t own_pid)
{
	uint32_t for_pid = 0;
	uint32_t all = 0;

	out->count = 0;
	if (sv_parse_u32(pid, INT32_MAX, &for_pid) != 0 || for_pid != own_pid ||
		sv_parse_u32(count, INT32_MAX - IO_PASSED_FIRST, &all) != 0)
		return;
	for (; out->count < all && out->count < IO_PASSED_MAX; out->count++) {
		struct io_passed_socket *s = &out->sockets[out->count];

		*s = (struct io_passed_socket){ 0 };
		(void)sv_cut_char(&names, ':', &s->name);
	}
}

void io_passed_from_environment(struct io_passed *out)
{
	io_passed_parse(out,
		sv_from(getenv("LISTEN_PID")),
		sv_from(getenv("LISTEN_FDS")),
		sv_from(getenv("LISTEN_FDNAMES")),
		(uint32_t)getpid());
}

int io_passed_take(struct io_passed *p, struct sv name)
{
	for (size_t i = 0; i < p->count; i++) {
		if (p->sockets[i].taken || !sv_eq(p->sockets[i].name, name))
			continue;
		p->sockets[i].taken = true;
		return IO_PASSED_FIRST + (int)i;
	}
	return -1;
}

int io_passed_store_name(struct sv address, struct buf *out)
{
	size_t before = out->len;
	int rc = buf_append(out, STORED_PREFIX);

	for (size_t i = 0; i < address.len && rc == 0; i++) {
		unsigned char c = (unsigned char)address.ptr[i];

		if (c == ':' || c == '%' || c <= ' ' || c >= 0x7f)
			rc = buf_printf(out, "%%%02x", c);
		else
			rc = buf_append_char(out, (char)c);
	}
	if (rc == 0 && out->len - before > IO_PASSED_NAME_MAX)
		rc = RC_LIMIT;
	if (rc != 0)
		out->len = before;
	return rc;
}

bool io_passed_is_stored(struct sv name)
{
	return sv_starts(name, STORED_PREFIX);
}
