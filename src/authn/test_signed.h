/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Messages that others have signed, for tests of verifiers. */

/* RFC 8463 A.3, the signature by Ed25519 alone, and its key. */
#define RFC8463_SIGNATURE                                                 \
	"DKIM-Signature: v=1; a=ed25519-sha256; c=relaxed/relaxed;\r\n"   \
	" d=football.example.com; i=@football.example.com;\r\n"           \
	" q=dns/txt; s=brisbane; t=1528637909; h=from : to :\r\n"         \
	" subject : date : message-id : from : subject : date;\r\n"       \
	" bh=2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=;\r\n"           \
	" b=/gCrinpcQOoIfuHNQIbq4pgh9kyIK3AQUdt9OdqQehSwhEIug4D11Bus\r\n" \
	" Fa3bT3FY5OsU7ZbnKELq+eXdp1Q1Dw==\r\n"
#define RFC8463_HEADER                                     \
	"From: Joe SixPack <joe@football.example.com>\r\n" \
	"To: Suzie Q <suzie@shopping.example.net>\r\n"     \
	"Subject: Is dinner ready?\r\n"                    \
	"Date: Fri, 11 Jul 2003 21:00:37 -0700 (PDT)\r\n"  \
	"Message-ID: <20030712040037.46341.5F8J@football.example.com>\r\n"
#define RFC8463_BODY                                 \
	"Hi.\r\n"                                    \
	"\r\n"                                       \
	"We lost the game.  Are you hungry yet?\r\n" \
	"\r\n"                                       \
	"Joe.\r\n"
#define RFC8463_NAME "brisbane._domainkey.football.example.com"
#define RFC8463_KEY "v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="

/*
 * A chain of two sets that dkimpy 1.1.4 made with one RSA key of 1024 bits. The second hop added to Subject and body, as
 * lists do, so that the first set's message signature is that of another message.
 */
#define ARC_SECOND                                                                     \
	"ARC-Seal: i=2; cv=pass; a=rsa-sha256; d=two.test; s=s; t=1796032900;\r\n"     \
	" b=BhcX5o9Dyt5xVT2HsofY+cFvCxHmI+JQBMoGqvHFdDKnFR5vf9x4sHWa0+ZYDDkX5L4XW\r\n" \
	" Z2qcdMJHO84SIMw+6r6p+ENQBQBncYn3177IrRd3CUdVGz0tWUg3KRJYvCpRmSWQWzDBT1m\r\n" \
	" J6G/nblwigEscZUPUZLwRvca71Q/Jqo=\r\n"                                        \
	"ARC-Message-Signature: i=2; a=rsa-sha256; c=relaxed/relaxed; d=two.test;\r\n" \
	" s=s; t=1796032900; h=from : to : subject : date : message-id;\r\n"           \
	" bh=MpImL00NNKA1hOkrDRJ0ZYx8yxbs//3VP707aWEj5uo=;\r\n"                        \
	" b=GOj63WMutc85SsqS3h2bEYEP/DPhy+wYnj+SHf2r9BdiHqQ1LTbPoAHtO22k91pw0zEcW\r\n" \
	" ZvTEn/NrnEfF0H6nGGistL+p4ChEVWFrlqF2GtVNKi3nkHwFjFxA35NJFH/rAFhtzN1B3UE\r\n" \
	" slCtlfRQGPbz4XFWqtAPd5te3zbUP+o=\r\n"                                        \
	"ARC-Authentication-Results: i=2; two.test; arc=pass\r\n"
#define ARC_FIRST                                                                      \
	"ARC-Seal: i=1; cv=none; a=rsa-sha256; d=one.test; s=s; t=1796032800;\r\n"     \
	" b=FkeealeVkz3izNDNXe3MQ6Ws7gzOVTvi2kZgdES2kTZbn4zaZRO/h8hFXAHQbQSvRbaD2\r\n" \
	" MFjhU86HR0EqCUiTwt4KX7qVjt7x8iND9jnCRHoEaZlGS8IB60lp03SZ8OoWgF7Knhhl/mm\r\n" \
	" PJt583c0nTnURAHK8ZmE9SLWxJv35ew=\r\n"                                        \
	"ARC-Message-Signature: i=1; a=rsa-sha256; c=relaxed/relaxed; d=one.test;\r\n" \
	" s=s; t=1796032800; h=from : to : subject : date : message-id;\r\n"           \
	" bh=yZQq1c8wjBl0fZ4Wc/oraMCAG1mZJv5v/hlvyFy+t6A=;\r\n"                        \
	" b=qxjtl5n5GAWjA6hGh7NfDeWt/PWmP5nd3jLWnkq0djVWCDC0dtG/eDCdhcfExK79oQdia\r\n" \
	" 7B3b99xx2CbBbaxNMFj2kgxth5O+eLW8sCl4C8/sm3I2IBWa0gPnsbgJ5RM3GgZ5ALya8n7\r\n" \
	" GaG/EpTPD8UIO9NaY7iw0GZUQfZwaso=\r\n"                                        \
	"ARC-Authentication-Results: i=1; one.test; arc=none\r\n"
#define ARC_MESSAGE                                 \
	"From: a@author.test\r\n"                   \
	"To: list@list.test\r\n"                    \
	"Subject: [list] Hello\r\n"                 \
	"Date: Mon, 30 Nov 2026 10:00:00 +0000\r\n" \
	"Message-ID: <1@author.test>\r\n"           \
	"\r\n"                                      \
	"Hello.\r\n"                                \
	"-- \r\n"                                   \
	"footer\r\n"
#define ARC_KEY                                                                            \
	"v=DKIM1; p=MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQC1kIlmDSLW1IFZf0jbXYf2jCCRY3uUD" \
	"uhfo0qHh6aoYmnTMFjSyCWkhRUFVAJO4gnlKJzAT/TLSmXoLlChxtS9wfkBGp5/XrQtWPeOsFpYieYgy" \
	"YekA0GgCjMCLMpVyThbiDW2eLPl+lWkSVTmo/ODEFSQXbdkZfgmCyfevJ9EpwIDAQAB"
