/* SPDX-License-Identifier: Apache-2.0 */
#include "setup/report.h"

#include "base/must.h"
#include "base/text.h"
#include "mail/address.h"

#include <csv.h>
#include <stdlib.h>

enum {
	COLUMNS_MAX = 64,
	HEADER_MAX = 48,
	UTF16_UNIT = 2,
};

enum column {
	COLUMN_OTHER,
	COLUMN_ADDRESS,
	COLUMN_PROTOCOL,
	COLUMN_TLS,
	COLUMN_FROM,
	COLUMN_MESSAGES,
	COLUMN_APP,
	COLUMN_AGENT,
	COLUMN_DATE,
};

/* Letters and digits of the header, in lower case. The report has changed its names before. */
static const struct {
	struct sv name;
	enum column column;
} names[] = {
	{ SV_INIT("senderaddress"), COLUMN_ADDRESS },
	{ SV_INIT("sender"), COLUMN_ADDRESS },
	{ SV_INIT("sendersmtpaddress"), COLUMN_ADDRESS },
	{ SV_INIT("mailfrom"), COLUMN_ADDRESS },
	{ SV_INIT("user"), COLUMN_ADDRESS },
	{ SV_INIT("username"), COLUMN_ADDRESS },
	{ SV_INIT("userprincipalname"), COLUMN_ADDRESS },
	{ SV_INIT("mailbox"), COLUMN_ADDRESS },
	{ SV_INIT("emailaddress"), COLUMN_ADDRESS },
	{ SV_INIT("authenticationprotocol"), COLUMN_PROTOCOL },
	{ SV_INIT("authprotocol"), COLUMN_PROTOCOL },
	{ SV_INIT("authenticationmethod"), COLUMN_PROTOCOL },
	{ SV_INIT("protocol"), COLUMN_PROTOCOL },
	{ SV_INIT("tlsversion"), COLUMN_TLS },
	{ SV_INIT("tlsprotocol"), COLUMN_TLS },
	{ SV_INIT("tls"), COLUMN_TLS },
	{ SV_INIT("clientip"), COLUMN_FROM },
	{ SV_INIT("clientipaddress"), COLUMN_FROM },
	{ SV_INIT("ipaddress"), COLUMN_FROM },
	{ SV_INIT("sourceip"), COLUMN_FROM },
	{ SV_INIT("originalclientip"), COLUMN_FROM },
	{ SV_INIT("messagecount"), COLUMN_MESSAGES },
	{ SV_INIT("messages"), COLUMN_MESSAGES },
	{ SV_INIT("numberofmessages"), COLUMN_MESSAGES },
	{ SV_INIT("totalmessages"), COLUMN_MESSAGES },
	{ SV_INIT("count"), COLUMN_MESSAGES },
	{ SV_INIT("clientapp"), COLUMN_APP },
	{ SV_INIT("clientappused"), COLUMN_APP },
	{ SV_INIT("useragent"), COLUMN_AGENT },
	{ SV_INIT("date"), COLUMN_DATE },
	{ SV_INIT("dateutc"), COLUMN_DATE },
	{ SV_INIT("createddatetime"), COLUMN_DATE },
};

struct reader {
	int (*fn)(void *arg, const struct setup_row *row);
	void *arg;
	enum column columns[COLUMNS_MAX];
	struct sv cells[COLUMNS_MAX];
	size_t column_count, cell_count;
	bool has_header;
	int rc;
	struct arena row;
};

/* ---- bytes ---- */

static int from_utf16(struct buf *out, struct sv bytes, bool big)
{
	uint32_t high = 0;
	int rc = 0;

	for (size_t i = 0; i + 1 < bytes.len && rc == 0; i += UTF16_UNIT) {
		unsigned char a = (unsigned char)bytes.ptr[i];
		unsigned char b = (unsigned char)bytes.ptr[i + 1];
		uint32_t c = big ? (uint32_t)a << 8 | b : (uint32_t)b << 8 | a;

		if (c >= 0xd800 && c < 0xdc00) {
			high = c;
			continue;
		}
		if (c >= 0xdc00 && c < 0xe000)
			c = high ? 0x10000 + ((high - 0xd800) << 10) + (c - 0xdc00) : 0xfffd;
		high = 0;
		rc = text_put_character(out, c);
	}
	return rc;
}

static int to_utf8(struct buf *out, struct sv bytes)
{
	if (sv_starts(bytes, SV("\xff\xfe")))
		return from_utf16(out, sv_skip(bytes, 2), false);
	if (sv_starts(bytes, SV("\xfe\xff")))
		return from_utf16(out, sv_skip(bytes, 2), true);
	/* PowerShell's Export-Csv -Encoding Unicode through tools that drop the mark. */
	if (bytes.len > 3 && bytes.ptr[1] == '\0' && bytes.ptr[3] == '\0')
		return from_utf16(out, bytes, false);
	if (sv_starts(bytes, SV("\xef\xbb\xbf")))
		bytes = sv_skip(bytes, 3);
	return buf_append(out, bytes);
}

/* Decided by the first line that has one of them: "#TYPE ..." may stand before the header. */
static char separator_of(struct sv text)
{
	static const char known[] = { ',', ';', '\t' };
	char best = ',';
	size_t most = 0, count[COUNT_OF(known)] = { 0 };

	for (size_t i = 0; i < text.len; i++) {
		if (text.ptr[i] == '\n' && (count[0] || count[1] || count[2]))
			break;
		for (size_t k = 0; k < COUNT_OF(known); k++)
			count[k] += text.ptr[i] == known[k];
	}
	for (size_t k = 0; k < COUNT_OF(known); k++) {
		if (count[k] <= most)
			continue;
		most = count[k];
		best = known[k];
	}
	return best;
}

/* ---- rows ---- */

static enum column column_of(struct sv header)
{
	char low[HEADER_MAX];
	size_t n = 0;

	for (size_t i = 0; i < header.len && n < sizeof(low); i++) {
		char c = ascii_lower(header.ptr[i]);

		if ((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'))
			low[n++] = c;
	}
	for (size_t i = 0; i < COUNT_OF(names); i++)
		if (sv_eq(names[i].name, sv_make(low, n)))
			return names[i].column;
	return COLUMN_OTHER;
}

/* A row that names no address is not the header yet. */
static void take_header(struct reader *r)
{
	for (size_t i = 0; i < r->cell_count; i++) {
		r->columns[i] = column_of(r->cells[i]);
		r->has_header = r->has_header || r->columns[i] == COLUMN_ADDRESS;
	}
	r->column_count = r->cell_count;
}

static struct sv cell(const struct reader *r, enum column column)
{
	for (size_t i = 0; i < r->cell_count && i < r->column_count; i++)
		if (r->columns[i] == column && r->cells[i].len)
			return r->cells[i];
	return SV("");
}

bool setup_address(struct sv text, char out[LIMIT_ADDRESS], struct sv *out_address)
{
	ptrdiff_t at = sv_rfind_char(text, '@');

	if (at <= 0 || (size_t)at + 1 >= text.len || text.len > LIMIT_ADDRESS)
		return false;
	for (size_t i = 0; i < text.len; i++) {
		char c = ascii_lower(text.ptr[i]);

		if (c <= ' ' || c > '~' || c == '*' || c == '"' || c == '\\' || c == '<' ||
			c == '>')
			return false;
		out[i] = c;
	}
	*out_address = sv_make(out, text.len);
	return address_pattern_check(*out_address) == 0;
}

void setup_note(struct arena *arena, struct sv *list, struct sv what)
{
	char text[SETUP_CELL_MAX + 4];
	struct sv rest = *list, item;
	size_t n = 0;

	what = sv_head(what, SETUP_CELL_MAX);
	for (size_t i = 0; i < what.len; i++)
		text[n++] = what.ptr[i] >= ' ' && what.ptr[i] <= '~' && what.ptr[i] != ','
				    ? what.ptr[i]
				    : ' ';
	what = sv_trim(sv_make(text, n));
	if (!what.len || list->len + what.len + 2 > SETUP_CELL_MAX)
		return;
	while (rest.len) {
		(void)sv_cut_char(&rest, ',', &item);
		if (sv_eq_nocase(sv_trim(item), what))
			return;
	}
	if (list->len) {
		struct buf joined = BUF_INIT(SETUP_CELL_MAX);

		if (buf_printf(&joined, "%.*s, %.*s", SV_ARG(*list), SV_ARG(what)) == 0)
			*list = arena_sv(arena, buf_sv(&joined));
		buf_deinit(&joined);
	} else {
		*list = arena_sv(arena, what);
	}
}

static void take_row(struct reader *r)
{
	char text[LIMIT_ADDRESS];
	struct setup_row row = {
		.protocol = cell(r, COLUMN_PROTOCOL),
		.tls = cell(r, COLUMN_TLS),
		.from = cell(r, COLUMN_FROM),
		.app = cell(r, COLUMN_APP),
		.agent = cell(r, COLUMN_AGENT),
		.date = cell(r, COLUMN_DATE),
	};

	if (!setup_address(cell(r, COLUMN_ADDRESS), text, &row.address))
		row.address = SV("");
	(void)!sv_parse_u64(cell(r, COLUMN_MESSAGES), UINT32_MAX, &row.messages);
	if (r->rc == 0)
		r->rc = r->fn(r->arg, &row);
}

static void on_cell(void *text, size_t len, void *arg)
{
	struct reader *r = arg;

	if (r->cell_count < COLUMNS_MAX)
		r->cells[r->cell_count++] = arena_sv(&r->row, sv_trim(sv_make(text, len)));
}

static void on_row(int end, void *arg)
{
	struct reader *r = arg;
	bool empty = true;

	(void)end;
	for (size_t i = 0; i < r->cell_count; i++)
		empty = empty && !r->cells[i].len;
	if (!empty && !r->has_header)
		take_header(r);
	else if (!empty)
		take_row(r);
	r->cell_count = 0;
	arena_reset(&r->row);
}

static int parse(struct reader *r, struct sv text, struct err *err)
{
	struct csv_parser p;

	must(csv_init(&p, 0) == 0);
	csv_set_delim(&p, (unsigned char)separator_of(text));
	if (csv_parse(&p, text.ptr, text.len, on_cell, on_row, r) != text.len)
		r->rc = RC_PARSE;
	else
		(void)csv_fini(&p, on_cell, on_row, r);
	csv_free(&p);
	arena_reset(&r->row);
	if (r->rc == RC_PARSE)
		return err_set(err, RC_PARSE, "it is no CSV file");
	if (r->rc != 0)
		return r->rc;
	if (!r->has_header)
		return err_set(err,
			RC_PARSE,
			"no column is called Sender address: export the report of SMTP AUTH "
			"clients "
			"again");
	return 0;
}

int setup_report_each(struct sv bytes, int (*fn)(void *arg, const struct setup_row *row), void *arg,
	struct err *err)
{
	struct buf text = BUF_INIT(SETUP_REPORT_MAX * 2);
	struct reader r = { .fn = fn, .arg = arg };
	int rc;

	if (bytes.len > SETUP_REPORT_MAX)
		return err_set(err, RC_LIMIT, "it is larger than 16 MB");
	rc = to_utf8(&text, bytes);
	must(rc == 0);
	rc = parse(&r, buf_sv(&text), err);
	buf_deinit(&text);
	return rc;
}

/* ---- senders ---- */

static struct setup_client *client_of(struct setup_report *to, struct sv address)
{
	for (size_t i = 0; i < to->count; i++)
		if (sv_eq(to->clients[i].address, address))
			return &to->clients[i];
	if (to->count == SETUP_CLIENTS_MAX)
		return NULL;
	if (to->count == to->room) {
		to->room = to->room ? to->room * 2 : 64;
		to->clients = xrealloc(to->clients, to->room * sizeof(to->clients[0]));
	}
	to->clients[to->count] = (struct setup_client){ .address = arena_sv(&to->arena, address) };
	return &to->clients[to->count++];
}

static int take_client(void *arg, const struct setup_row *row)
{
	struct setup_report *report = arg;
	struct setup_client *c;

	if (!row->address.len) {
		report->skipped++;
		return 0;
	}
	c = client_of(report, row->address);
	if (!c)
		return RC_LIMIT;
	setup_note(&report->arena, &c->protocols, row->protocol);
	setup_note(&report->arena, &c->tls, row->tls);
	setup_note(&report->arena, &c->from, row->from);
	c->messages += row->messages;
	return 0;
}

int setup_report_read(struct sv bytes, struct setup_report *out_report, struct err *err)
{
	struct setup_report report = { 0 };
	int rc = setup_report_each(bytes, take_client, &report, err);

	if (rc == RC_LIMIT && report.count == SETUP_CLIENTS_MAX)
		(void)err_set(err, RC_LIMIT, "it has more than %d senders", (int)SETUP_CLIENTS_MAX);
	if (rc == 0 && !report.count)
		rc = err_set(err, RC_PARSE, "it has no sender");
	if (rc != 0)
		setup_report_deinit(&report);
	else
		*out_report = report;
	return rc;
}

void setup_report_deinit(struct setup_report *r)
{
	free(r->clients);
	arena_reset(&r->arena);
	*r = (struct setup_report){ 0 };
}
