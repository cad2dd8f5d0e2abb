/* SPDX-License-Identifier: Apache-2.0 */
#include "authn/origin.h"

#include "authn/tags.h"

#include <arpa/inet.h>
#include <string.h>

bool authn_address_parse(struct sv text, unsigned char out_address[16], bool *out_is_ipv6)
{
	static const unsigned char mapped[12] = { [10] = 0xff, [11] = 0xff };
	char copy[INET6_ADDRSTRLEN];

	if (sv_starts_nocase(text, SV("IPv6:")))
		text = sv_skip(text, 5);
	if (text.len == 0 || text.len >= sizeof(copy) || memchr(text.ptr, 0, text.len))
		return false;
	memcpy(copy, text.ptr, text.len);
	copy[text.len] = 0;
	memset(out_address, 0, 16);
	*out_is_ipv6 = strchr(copy, ':') != NULL;
	if (inet_pton(*out_is_ipv6 ? AF_INET6 : AF_INET, copy, out_address) != 1)
		return false;
	if (*out_is_ipv6 && memcmp(out_address, mapped, sizeof(mapped)) == 0) {
		memmove(out_address, out_address + 12, 4);
		memset(out_address + 4, 0, 12);
		*out_is_ipv6 = false;
	}
	return true;
}

bool authn_address_is_private(const unsigned char address[16], bool is_ipv6)
{
	static const unsigned char loopback[16] = { [15] = 1 }, any[16] = { 0 };
	const unsigned char *a = address;

	if (is_ipv6)
		return (a[0] & 0xfe) == 0xfc || (a[0] == 0xfe && (a[1] & 0xc0) == 0x80) ||
		       memcmp(a, loopback, 16) == 0 || memcmp(a, any, 16) == 0;
	return a[0] == 10 || a[0] == 127 || a[0] == 0 || (a[0] == 172 && (a[1] & 0xf0) == 16) ||
	       (a[0] == 192 && a[1] == 168) || (a[0] == 169 && a[1] == 254) ||
	       (a[0] == 100 && (a[1] & 0xc0) == 64);
}

const char *authn_origin_name(enum authn_origin_from from)
{
	static const char *const names[] = {
		[AUTHN_ORIGIN_NOWHERE] = "nothing",
		[AUTHN_ORIGIN_RECEIVED_SPF] = "Received-SPF",
		[AUTHN_ORIGIN_RESULTS] = "Authentication-Results",
		[AUTHN_ORIGIN_RECEIVED] = "Received",
		[AUTHN_ORIGIN_RETURN_PATH] = "Return-Path",
		[AUTHN_ORIGIN_GIVEN] = "option",
	};

	return names[from];
}

/* ---- the pieces of a field ---- */

/* What stands behind `name` ("client-ip="), up to a blank, ';', ')' or ','. */
static struct sv value_behind(struct sv text, struct sv name)
{
	ptrdiff_t at = sv_find_nocase(text, name);
	struct sv value;
	size_t n = 0;

	if (at < 0)
		return (struct sv){ 0 };
	value = sv_skip(text, (size_t)at + name.len);
	while (value.len && authn_is_blank(value.ptr[0]))
		value = sv_skip(value, 1);
	while (n < value.len && !authn_is_blank(value.ptr[n]) && value.ptr[n] != ';' &&
		value.ptr[n] != ')' && value.ptr[n] != ',')
		n++;
	value = sv_head(value, n);
	if (value.len >= 2 && value.ptr[0] == '"' && value.ptr[value.len - 1] == '"')
		value = sv_make(value.ptr + 1, value.len - 2);
	if (value.len >= 2 && value.ptr[0] == '<' && value.ptr[value.len - 1] == '>')
		value = sv_make(value.ptr + 1, value.len - 2);
	return value;
}

/* A better source than the one so far; the HELO name of another host goes. */
static void take_address(struct authn_origin *out, struct sv text, enum authn_origin_from from)
{
	unsigned char address[16];
	bool is_ipv6;

	if ((out->address_from != AUTHN_ORIGIN_NOWHERE && out->address_from <= from) ||
		!authn_address_parse(text, address, &is_ipv6))
		return;
	if (is_ipv6 != out->is_ipv6 || memcmp(address, out->address, sizeof(address)) != 0)
		out->helo = (struct sv){ 0 };
	memcpy(out->address, address, sizeof(address));
	out->is_ipv6 = is_ipv6;
	out->address_text = text;
	out->address_from = from;
}

static void take_sender(struct authn_origin *out, struct sv text, enum authn_origin_from from)
{
	if (out->sender_from != AUTHN_ORIGIN_NOWHERE || text.len > LIMIT_ADDRESS)
		return;
	out->sender = text;
	out->sender_from = from;
}

/* "from HELO (NAME [ADDRESS]) by ...": the first thing in it that is an address of the world. */
static void read_received(const struct authn_field *field, struct authn_origin *out)
{
	struct sv from = authn_trim(field->value), helo, rest;
	ptrdiff_t by;

	if (!sv_starts_nocase(from, SV("from ")) || out->address_from != AUTHN_ORIGIN_NOWHERE)
		return;
	helo = value_behind(from, SV("from "));
	by = sv_find_nocase(from, SV(" by "));
	if (by < 0)
		by = sv_find_nocase(from, SV("\tby "));
	rest = sv_skip(sv_head(from, by < 0 ? from.len : (size_t)by), 5);
	while (rest.len && out->address_from == AUTHN_ORIGIN_NOWHERE) {
		unsigned char address[16];
		bool is_ipv6;
		size_t n = 0;

		while (n < rest.len && !authn_is_blank(rest.ptr[n]) &&
			!strchr("()[];,=", rest.ptr[n]))
			n++;
		if (authn_address_parse(sv_head(rest, n), address, &is_ipv6) &&
			!authn_address_is_private(address, is_ipv6)) {
			take_address(out, sv_head(rest, n), AUTHN_ORIGIN_RECEIVED);
			if (helo.len && helo.ptr[0] != '[')
				out->helo = helo;
		}
		rest = sv_skip(rest, n + 1);
	}
}

static void read_time(const struct authn_field *field, struct authn_origin *out)
{
	ptrdiff_t at = sv_rfind_char(field->value, ';');

	out->has_time =
		at >= 0 && wall_parse_rfc5322(authn_trim(sv_skip(field->value, (size_t)at + 1)),
				   &out->received) == 0;
}

/* ---- all of them ---- */

static void read_spf(struct sv value, struct authn_origin *out)
{
	struct sv helo = value_behind(value, SV("helo="));
	bool first = out->address_from != AUTHN_ORIGIN_RECEIVED_SPF;

	take_address(out, value_behind(value, SV("client-ip=")), AUTHN_ORIGIN_RECEIVED_SPF);
	if (!first || out->address_from != AUTHN_ORIGIN_RECEIVED_SPF)
		return;
	if (helo.len)
		out->helo = helo;
	if (sv_find_nocase(value, SV("envelope-from=")) >= 0)
		take_sender(
			out, value_behind(value, SV("envelope-from=")), AUTHN_ORIGIN_RECEIVED_SPF);
}

static void read_results(struct sv value, struct authn_origin *out)
{
	struct sv sender = value_behind(value, SV("smtp.mailfrom="));

	take_address(out, value_behind(value, SV("sender IP is ")), AUTHN_ORIGIN_RESULTS);
	if (sender.len)
		take_sender(out, sender, AUTHN_ORIGIN_RESULTS);
}

static void read_path(struct sv value, struct authn_origin *out)
{
	struct sv path = authn_trim(value);

	if (path.len >= 2 && path.ptr[0] == '<' && path.ptr[path.len - 1] == '>')
		take_sender(out, sv_make(path.ptr + 1, path.len - 2), AUTHN_ORIGIN_RETURN_PATH);
}

void authn_origin_find(const struct authn_fields *f, struct authn_origin *out)
{
	size_t count;
	const struct authn_field *list = authn_fields_list(f, &count);
	bool received = false;

	*out = (struct authn_origin){ 0 };
	for (size_t i = 0; i < count; i++) {
		if (sv_eq_nocase(list[i].name, SV("Return-Path"))) {
			read_path(list[i].value, out);
		} else if (sv_eq_nocase(list[i].name, SV("Received"))) {
			if (!received)
				read_time(&list[i], out);
			received = true;
			read_received(&list[i], out);
		} else if (sv_eq_nocase(list[i].name, SV("Received-SPF"))) {
			read_spf(list[i].value, out);
		} else if (sv_eq_nocase(list[i].name, SV("Authentication-Results"))) {
			read_results(list[i].value, out);
		}
	}
}
