/* SPDX-License-Identifier: Apache-2.0 */
#include "mail/envelope_header.h"

#include "base/err.h"
#include "base/limits.h"
#include "base/must.h"
#include "mail/address.h"
#include "mail/address_list.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum {
	RECIPIENTS_MAX = 8
};

struct seen {
	const struct sv *to;
	size_t count;
	size_t times[RECIPIENTS_MAX];
	struct header_block *original; /* not NULL: each must stand in its To or Cc */
};

static void in_original(void *arg, struct sv address)
{
	struct sv *wanted = arg;

	if (address_eq(address, *wanted))
		*wanted = SV("");
}

static void note(void *arg, struct sv address)
{
	struct seen *s = arg;
	bool known = false;

	for (size_t i = 0; i < s->count && !known; i++) {
		known = sv_eq(s->to[i], address);
		s->times[i] += known;
	}
	/* Never an address that the envelope did not name. */
	must(known);
	if (s->original) {
		struct sv wanted = address;

		(void)!header_block_addresses(s->original, SV("To"), in_original, NULL, &wanted);
		(void)!header_block_addresses(s->original, SV("Cc"), in_original, NULL, &wanted);
		must(wanted.len == 0);
	}
}

/* The form in which recipients are accepted. */
static bool is_clean(struct sv address)
{
	CLEANUP(buf_deinitp) struct buf clean = BUF_INIT(LIMIT_ADDRESS);

	return address_clean(&clean, address, ADDRESS_UTF8 | ADDRESS_NO_DOMAIN) == 0 &&
	       sv_eq(buf_sv(&clean), address);
}

static struct header_block *read_block(struct sv text)
{
	struct header_block *h = header_block_new(100000, 500);
	size_t used = 0;
	int rc = header_block_feed(h, text, &used);

	if (rc == 0)
		rc = header_block_end(h);
	if (rc < 0) {
		header_block_free(h);
		return NULL;
	}
	return h;
}

static void check(struct header_block *original, struct sv copy, const struct sv *to, size_t count,
	bool alone)
{
	struct header_block *h = read_block(copy);
	struct seen seen = { .to = to, .count = count, .original = alone ? NULL : original };

	must(h != NULL);
	must(header_block_addresses(h, SV("To"), note, NULL, &seen) == 0);
	must(header_block_addresses(h, SV("Cc"), note, NULL, &seen) == 0);
	seen.original = NULL;
	must(header_block_addresses(h, SV("Bcc"), note, NULL, &seen) == 0);
	must(header_block_count(h, SV("To")) <= 1);
	must(header_block_count(h, SV("Cc")) <= 1);
	must(header_block_count(h, SV("Bcc")) <= 1);
	for (size_t i = 0; i < count; i++)
		must(seen.times[i] == 1);
	header_block_free(h);
}

/* The first line names the recipients, the rest is the header. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct sv text = sv_make((const char *)data, size), line, one;
	struct sv to[RECIPIENTS_MAX];
	size_t count = 0;
	struct buf out = BUF_INIT(size * 4 + 10000);
	struct header_block *h;
	int rc;

	if (size > 50000)
		return 0;
	(void)sv_cut_char(&text, '\n', &line);
	while (line.len && count < RECIPIENTS_MAX) {
		(void)sv_cut_char(&line, ' ', &one);
		if (!is_clean(one))
			continue;
		to[count] = one;
		for (size_t i = 0; i < count; i++)
			if (sv_eq(to[i], one))
				count--;
		count++;
	}
	h = count ? read_block(text) : NULL;
	if (!h)
		return 0;
	rc = envelope_header_render(h, to, count, &out);
	must(rc == 0 || out.len == 0);
	if (rc == 0)
		check(h, buf_sv(&out), to, count, count == 1);
	for (size_t i = 0; i < count && rc == RC_STATE; i++) {
		buf_reset(&out);
		must(envelope_header_render(h, &to[i], 1, &out) == 0);
		check(h, buf_sv(&out), &to[i], 1, true);
	}
	buf_deinit(&out);
	header_block_free(h);
	return 0;
}
