/* SPDX-License-Identifier: Apache-2.0 */
#include "base/must.h"
#include "io/net.h"
#include "setup/import_priv.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum {
	INPUT_MAX = 4000
};

/* Do they share an address? */
static bool meet(const struct io_network *a, const struct io_network *b)
{
	unsigned bits = a->bits < b->bits ? a->bits : b->bits;

	if (a->family != b->family)
		return false;
	for (unsigned i = 0; i < bits; i++)
		if ((a->bytes[i / 8] ^ b->bytes[i / 8]) & (0x80u >> i % 8))
			return false;
	return true;
}

static bool is_mapped(const struct io_network *n)
{
	static const unsigned char mapped[12] = { [10] = 0xff, [11] = 0xff };

	return n->family == AF_INET6 && memcmp(n->bytes, mapped, sizeof(mapped)) == 0;
}

/* "10.0.0.0/8 !10.1.0.0/16 ...": no address of an excluded network is open. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct setup_import *im = xcalloc(1, sizeof(*im));
	struct import_networks *n = xcalloc(1, sizeof(*n));
	struct sv text = sv_make((const char *)data, size), word;
	const struct sv *open;
	size_t count;

	while (size <= INPUT_MAX && (word = import_word(&text)).len) {
		bool closed = sv_starts(word, SV("!"));

		(void)import_network(im, n, sv_skip(word, closed ? 1 : 0), closed);
	}
	open = import_networks_open(im, n, (struct import_place){ 0 }, &count);
	for (size_t i = 0; i < count; i++) {
		struct io_network a, b;

		must(io_network_parse(open[i], &a) == 0);
		for (size_t k = 0; k < n->closed_count; k++)
			/* With brackets it is read by the reader only. */
			must(io_network_parse(n->closed[k], &b) != 0 || is_mapped(&b) ||
				!meet(&a, &b));
	}
	setup_import_deinit(im);
	free(im);
	free(n);
	return 0;
}
