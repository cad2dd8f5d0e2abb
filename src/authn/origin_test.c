/* SPDX-License-Identifier: Apache-2.0 */
#include "authn/origin.h"

#include "cmocka_all.h"

struct row {
	const char *name;
	struct sv header;
	enum authn_origin_from address_from, sender_from;
	const char *address, *helo, *sender;
	int64_t at_s; /* 0: none */
};

static const struct row rows[] = {
	{ "Exchange Online",
		SV_INIT("Received: from A.prod.outlook.com (2603:10a6:20b:1::1) by\r\n"
			" B.prod.outlook.com with HTTPS; Mon, 30 Nov 2026 03:12:05 +0000\r\n"
			"Authentication-Results: spf=pass (sender IP is 192.0.2.1)\r\n"
			" smtp.mailfrom=shop.test; dkim=none header.d=none;\r\n"
			"Received-SPF: Pass (protection.outlook.com: domain of shop.test "
			"designates\r\n"
			" 192.0.2.1 as permitted sender) receiver=protection.outlook.com;\r\n"
			" client-ip=192.0.2.1; helo=mail.shop.test; pr=C\r\n"
			"Received: from mail.shop.test (192.0.2.1) by C; Mon, 30 Nov 2026 03:12:04 "
			"+0000\r\n"),
		AUTHN_ORIGIN_RECEIVED_SPF,
		AUTHN_ORIGIN_RESULTS,
		"192.0.2.1",
		"mail.shop.test",
		"shop.test",
		1796008325 },
	{ "Gmail",
		SV_INIT("Received: by 2002:a05:6000:1 with SMTP id x; Mon, 30 Nov 2026 03:12:05 "
			"+0000\r\n"
			"Return-Path: <bounce@shop.test>\r\n"
			"Received: from mail.shop.test (mail.shop.test. [2001:db8::9])\r\n"
			"        by mx.google.com with ESMTPS; Sun, 29 Nov 2026 19:12:04 -0800 "
			"(PST)\r\n"
			"Received-SPF: pass (google.com: domain of x) client-ip=2001:db8::9;\r\n"),
		AUTHN_ORIGIN_RECEIVED_SPF,
		AUTHN_ORIGIN_RETURN_PATH,
		"2001:db8::9",
		"mail.shop.test",
		"bounce@shop.test",
		1796008325 },
	{ "Postfix with policyd-spf",
		SV_INIT("Return-Path: <>\r\n"
			"Received-SPF: Softfail (mailfrom) identity=mailfrom; "
			"client-ip=::ffff:192.0.2.7;\r\n"
			" helo=h.test; envelope-from=\"a@b.test\"; receiver=<UNKNOWN>\r\n"),
		AUTHN_ORIGIN_RECEIVED_SPF,
		AUTHN_ORIGIN_RETURN_PATH,
		"::ffff:192.0.2.7",
		"h.test",
		"",
		0 },
	{ "Received alone, inside hops first",
		SV_INIT("Received: from in.test (in.test [10.0.0.1]) by box.test; 30 Nov 2026 "
			"03:12 GMT\r\n"
			"Received: from [192.168.1.2] (unknown [192.168.1.2])\r\n\tby in.test; "
			"x\r\n"
			"Received: from ho.test (rdns.test [IPv6:2001:db8::1])\r\n\tby "
			"198.51.100.9; x\r\n"
			"Received: from far.test (far.test [192.0.2.99]) by ho.test; x\r\n"),
		AUTHN_ORIGIN_RECEIVED,
		AUTHN_ORIGIN_NOWHERE,
		"IPv6:2001:db8::1",
		"ho.test",
		"",
		1796008320 },
	{ "an address in the results alone",
		SV_INIT("Received: from in.test (in.test [198.51.100.1]) by box.test; x\r\n"
			"Authentication-Results: spf=fail (sender IP is 192.0.2.5)\r\n"),
		AUTHN_ORIGIN_RESULTS,
		AUTHN_ORIGIN_NOWHERE,
		"192.0.2.5",
		"",
		"",
		0 },
	{ "nothing of use",
		SV_INIT("Received: by 192.0.2.1; never\r\nReturn-Path: odd\r\n"
			"Received-SPF: none\r\nAuthentication-Results: h; spf=none\r\n"),
		AUTHN_ORIGIN_NOWHERE,
		AUTHN_ORIGIN_NOWHERE,
		"",
		"",
		"",
		0 },
};

static void what_receivers_write(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		const struct row *row = &rows[i];
		CLEANUP(authn_fields_freep) struct authn_fields *f = authn_fields_new();
		struct authn_origin o;
		size_t used;

		assert_int_equal(authn_fields_feed(f, row->header, &used), 0);
		assert_int_equal(authn_fields_end(f), 0);
		authn_origin_find(f, &o);
		if (o.address_from != row->address_from || o.sender_from != row->sender_from ||
			!sv_eq(o.address_text, sv_from(row->address)) ||
			!sv_eq(o.helo, sv_from(row->helo)) ||
			!sv_eq(o.sender, sv_from(row->sender)))
			fail_msg("%s: %s %.*s, %.*s, %s %.*s",
				row->name,
				authn_origin_name(o.address_from),
				SV_ARG(o.address_text),
				SV_ARG(o.helo),
				authn_origin_name(o.sender_from),
				SV_ARG(o.sender));
		assert_int_equal(o.has_time ? o.received.us / (int64_t)US_PER_S : 0, row->at_s);
	}
}

static void addresses(void **state)
{
	static const struct {
		const char *text;
		int kind; /* 0: none; else 4 or 6 */
		bool is_private;
	} texts[] = {
		{ "192.0.2.1", 4, false },
		{ "10.1.2.3", 4, true },
		{ "172.31.0.1", 4, true },
		{ "172.32.0.1", 4, false },
		{ "100.64.0.1", 4, true },
		{ "::ffff:127.0.0.1", 4, true },
		{ "IPv6:fe80::1", 6, true },
		{ "fd00::1", 6, true },
		{ "::1", 6, true },
		{ "2001:db8::1", 6, false },
		{ "1.2.3", 0, false },
		{ "1.2.3.4.5", 0, false },
		{ "a:b", 0, false },
		{ "", 0, false },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(texts); i++) {
		unsigned char a[16];
		bool six;
		bool good = authn_address_parse(sv_from(texts[i].text), a, &six);

		if (good != (texts[i].kind != 0) || (good && six != (texts[i].kind == 6)) ||
			(good && authn_address_is_private(a, six) != texts[i].is_private))
			fail_msg("%s", texts[i].text);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_receivers_write),
		cmocka_unit_test(addresses),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
