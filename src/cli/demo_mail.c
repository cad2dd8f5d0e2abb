/* SPDX-License-Identifier: Apache-2.0 */
#include "base/must.h"
#include "base/rng.h"
#include "base/text.h"
#include "cli/demo_priv.h"

#include <stdio.h>

static void put(struct buf *text, struct sv bytes)
{
	must(buf_append(text, bytes) == 0);
}

static void put_base64_lines(struct buf *text, unsigned n, size_t bytes)
{
	struct prng r;
	unsigned char line[57];

	prng_seed(&r, n);
	for (size_t done = 0; done < bytes; done += sizeof(line)) {
		for (size_t i = 0; i < sizeof(line); i++)
			line[i] = (unsigned char)prng_next(&r);
		must(text_base64_encode(text, sv_make((const char *)line, sizeof(line))) == 0);
		put(text, SV("\r\n"));
	}
}

static void plain(struct buf *text, unsigned n)
{
	put(text, SV("Content-Type: text/plain; charset=us-ascii\r\n\r\n"));
	for (unsigned i = 0; i < 5 + n % 40; i++)
		put(text,
			SV("Invoice 4711 is due on Friday. Lines that begin with a "
			   "dot:\r\n.\r\n..dots\r\n"));
}

static void eight_bit(struct buf *text)
{
	put(text,
		SV("MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n"
		   "Content-Transfer-Encoding: 8bit\r\n\r\n"
		   "Gr\xc3\xbc\xc3\x9f"
		   "e aus M\xc3\xbcnchen \xe2\x80\x93 Betrag: 1.234,56 \xe2\x82\xac\r\n"));
}

static void html(struct buf *text)
{
	put(text,
		SV("MIME-Version: 1.0\r\nContent-Type: multipart/alternative; "
		   "boundary=\"b1\"\r\n\r\n"
		   "--b1\r\nContent-Type: text/plain\r\n\r\nYour order has shipped.\r\n"
		   "--b1\r\nContent-Type: text/html\r\n\r\n<p>Your order has "
		   "<b>shipped</b>.</p>\r\n--b1--\r\n"));
}

static void attachment(struct buf *text, unsigned n, size_t bytes)
{
	put(text,
		SV("MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=\"b2\"\r\n\r\n"
		   "--b2\r\nContent-Type: text/plain\r\n\r\nScan attached.\r\n"
		   "--b2\r\nContent-Type: application/pdf; name=\"scan.pdf\"\r\n"
		   "Content-Transfer-Encoding: base64\r\n\r\n"));
	put_base64_lines(text, n, bytes);
	put(text, SV("--b2--\r\n"));
}

static void by_door(unsigned n, struct demo_mail *out, struct buf *text)
{
	static const struct {
		const char *sender, *domain, *from_address, *door;
	} doors[DEMO_DOOR_COUNT] = {
		[DEMO_TOKEN] = { "token@contoso.com", "example.org", NULL, "submission" },
		[DEMO_HVE] = { "alerts@contoso.com", "contoso.com", NULL, "hve" },
		[DEMO_SCANNER] = { "scanner@contoso.com",
			"contoso.com",
			DEMO_SCANNER_ADDRESS,
			"connector" },
		[DEMO_GRAPH] = { "graph@contoso.com", "example.org", NULL, "graph" },
	};
	enum demo_door door = (n - DEMO_BY_PASSWORD) / DEMO_EACH_DOOR;

	*out = (struct demo_mail){ .from_address = doors[door].from_address,
		.door = doors[door].door };
	(void)snprintf(out->sender, sizeof(out->sender), "%s", doors[door].sender);
	(void)snprintf(
		out->recipient, sizeof(out->recipient), "reader%u@%s", n, doors[door].domain);
	must(buf_printf(text,
		     "From: <%s>\r\nTo: <%s>\r\nSubject: demo %u\r\nMessage-ID: "
		     "<demo-%u@postern>\r\n",
		     out->sender,
		     out->recipient,
		     n,
		     n) == 0);
	if (n == DEMO_ALL - 1)
		attachment(text, n, DEMO_SCAN_BYTES);
	else if (door == DEMO_SCANNER)
		attachment(text, n, 40000);
	else
		plain(text, n);
}

void demo_mail_make(unsigned n, struct demo_mail *out, struct buf *text)
{
	bool burst = n >= DEMO_MESSAGES && n < DEMO_MESSAGES + DEMO_BURST;
	bool down = n >= DEMO_MESSAGES + DEMO_BURST;

	if (n >= DEMO_BY_PASSWORD) {
		by_door(n, out, text);
		return;
	}
	*out = (struct demo_mail){ .by_sendmail = down || (!burst && n % 10 == 9),
		.door = "submission" };
	if (burst)
		(void)snprintf(out->sender, sizeof(out->sender), "newsletter@contoso.com");
	else
		(void)snprintf(
			out->sender, sizeof(out->sender), "app%u@contoso.com", n % DEMO_MAILBOXES);
	(void)snprintf(out->recipient, sizeof(out->recipient), "customer%u@example.org", n);
	if (n % 25 == 7) {
		out->utf8 = true;
		(void)snprintf(
			out->recipient, sizeof(out->recipient), "j\xc3\xb6rg%u@example.org", n);
	}
	must(buf_printf(text,
		     "From: <%s>\r\nTo: <%s>\r\nSubject: demo %u\r\nMessage-ID: "
		     "<demo-%u@postern>\r\n",
		     out->sender,
		     out->recipient,
		     n,
		     n) == 0);
	if (n == 42)
		attachment(text, n, DEMO_LARGE_BYTES);
	else if (n % 5 == 1)
		html(text);
	else if (n % 5 == 2)
		attachment(text, n, 20000 + n * 100);
	else if (n % 5 == 3)
		eight_bit(text);
	else
		plain(text, n);
	out->has_8bit = out->utf8 || n % 5 == 3;
}
