/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Every size that a peer, a file or an operator's message can influence, in one place, each with its
 * reason. Past one of these the answer is RC_LIMIT (or the SMTP reply named beside it), never work.
 */
enum {
	/* RFC 5321 4.5.3.1: a command line is 512 octets, more with extensions. AUTH carries tokens of
	 * several KB (Microsoft's reach about 2.5 KB in base64; RFC 4954 4.9 asks for 12,288). */
	LIMIT_COMMAND_LINE = 2048,
	LIMIT_AUTH_LINE = 12288,
	/* RFC 5321 4.5.3.1.4 and RFC 4954 4: an initial response that would make the AUTH command longer
	 * goes behind 334. Dovecot refuses longer ones. */
	LIMIT_AUTH_COMMAND = 512,
	/* The JSON that tells why a token was refused has some 100 bytes. */
	LIMIT_CHALLENGE = 4096,
	/* An access token. Those of Microsoft have 2 to 4 KB; past LIMIT_AUTH_LINE few servers take one. */
	LIMIT_TOKEN = 16384,
	/* RFC 5321 4.5.3.1.6 says 998 + CRLF; real senders break it, receivers do not mind, and nothing
	 * here holds a body line in memory. Header lines are held: see LIMIT_HEADER. */
	/* RFC 5321 4.5.3.1 gives 64 + @ + 255 as what everybody must take, and asks for no limits where that
	 * is possible. VERP and SRS write a whole address into a local part; 512 is the command line of old
	 * servers. */
	LIMIT_ADDRESS = 512,
	LIMIT_DOMAIN = 255,
	/* The whole header block is held while it is edited. Exchange refuses larger ones anyway. */
	LIMIT_HEADER = 262144,
	LIMIT_HEADER_FIELDS = 2000,
	/* RFC 5321 6.3: a loop is assumed at 100 Received fields; real chains stay below 30. */
	LIMIT_RECEIVED_HOPS = 100,
	LIMIT_RCPT =
		4000, /* recipients of one message (store: 12 bits); the listener may set fewer */
	LIMIT_MESSAGE = 157286400, /* 150 MB: what smtp.office365.com announces */
	/* Replies: Exchange sends several KB in one (EHLO25 in the facts); 64 KiB is past any honest one. */
	LIMIT_REPLY = 65536,
	LIMIT_REPLY_LINE = 16384,
	/* Bytes of one reply that are read at all: a server that never ends it would hold its mailbox. */
	LIMIT_REPLY_READ = 1 << 20,
	/* A client that sends more than it may is read on to its end, so that it hears why: but no further. */
	LIMIT_OVERRUN = 16 << 20,
	LIMIT_REPLY_KEPT = 4096, /* of a reply, in the store and in a bounce */
	/* Of what was said in a session that failed: 20 lines, each cut. Addresses and most replies fit. */
	LIMIT_TRANSCRIPT_LINE = 256,
	LIMIT_TRANSCRIPT = 20 * (LIMIT_TRANSCRIPT_LINE + 32),
	LIMIT_CHUNK = 65536,      /* one body row in the store */
	LIMIT_ENVID = 100,        /* RFC 3461 4.4 */
	LIMIT_SUBJECT_KEPT = 200, /* bytes of the Subject kept in the history */
	LIMIT_BAD_COMMANDS = 20,  /* then 421 */
	LIMIT_LOG_LINE = 8192,
	LIMIT_LOG_WAITING = 1 << 20, /* bytes of lines that wait for whoever reads the log */
	LIMIT_CONTROL_LINE = 65536,  /* one request on the control socket */
	LIMIT_PAGE = 1000,           /* rows in one read of the store */
	LIMIT_HOST_ADDRESSES = 16,   /* of one name; more are not tried */
	LIMIT_TLS_SESSIONS = 256,    /* hosts whose TLS session is kept for resumption */
	/* Records that others publish of themselves (authn/). RFC 1035 2.3.4: 255 octets on the wire are 253 as text. */
	LIMIT_DNS_NAME = 253,
	LIMIT_DNS_RECORDS = 64, /* of one answer; honest TXT sets at a domain's top reach some 40 */
	LIMIT_DNS_TEXT =
		16384, /* of one TXT record; the longest honest one, an RSA key of 4096 bits, has 800 */
	LIMIT_DNS_ANSWER =
		1
		<< 18, /* all records of one answer as text: 64 KiB on the wire, bytes of names escaped */
	LIMIT_DNS_MEMO = 1 << 20, /* bytes of all the answers that one evaluation keeps */
};
