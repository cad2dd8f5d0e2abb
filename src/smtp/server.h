/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/secret.h"
#include "base/sv.h"
#include "base/time.h"
#include "smtp/reply.h"

/*
 * SMTP server session (RFC 5321 and the extensions below), without I/O.
 *
 * Feed it bytes from the client, take events, answer each event that wants an answer, send what it
 * puts in the output. It never blocks, never calls out, never reads a clock. One session serves one
 * connection; it is not thread-safe.
 *
 * Extensions: PIPELINING 2920, SIZE 1870, 8BITMIME 6152, CHUNKING 3030 (BDAT), SMTPUTF8 6531,
 * DSN 3461, ENHANCEDSTATUSCODES 2034, STARTTLS 3207, AUTH 4954 (PLAIN 4616, LOGIN, SCRAM-SHA-256
 * 7677, XOAUTH2 for the sandbox).
 *
 * Lines: a command ends in LF, whatever CRs stand before it. Only CRLF "." CRLF ends DATA, and other line
 * ends in it are content, handed out as they came (mail/lines.h gives them one form). There is one exception:
 * a client whose own DATA command ended in a bare LF, or in CR CR LF, or (`lenient`) in a bare CR, ends its
 * lines so, and its message too. Smuggling needs a dot that the sender of the message took for content: who
 * sends CRLF gets no other end, and where CR CR LF stands before a dot the message is refused with 550 5.6.0 and
 * the session closes.
 * With `strict` a bare CR, a bare LF or a NUL anywhere in a message is refused with 550 5.6.0 (5.5.2 in a
 * command) after the message's end was found, and behind such a DATA the session closes.
 *
 * Order of a normal message: MAIL, RCPT (once or more), DATA, BODY (many), END. RESET may come at any
 * time after MAIL and before the answer to END was given; after END was answered there is none.
 */
struct smtp_server;

enum smtp_server_auth {
	SMTP_SERVER_AUTH_PLAIN = 1,
	SMTP_SERVER_AUTH_LOGIN = 2,
	SMTP_SERVER_AUTH_SCRAM_SHA_256 = 4,
	SMTP_SERVER_AUTH_XOAUTH2 = 8,
};

/* Another server's words for a complaint of the machine's own, which is known by its text. */
struct smtp_server_wording {
	struct sv instead_of;
	uint16_t code;
	const char *enhanced;
	struct sv text;
};

enum {
	SMTP_NONCE_KEY_LEN = 32
};

/* What one session offers. Copied by smtp_server_new(); views must outlive the session. */
struct smtp_server_options {
	struct sv hostname;       /* in the greeting and the EHLO answer */
	struct sv banner;         /* whole text after "220 "; empty: "HOST ESMTP postern" */
	struct sv ehlo_text;      /* whole first line after "250-"; empty: "HOST" */
	struct sv ready_tls_text; /* after "220 " for STARTTLS; empty: "2.0.0 Ready to start TLS" */
	uint64_t message_bytes_max; /* announced as SIZE and enforced with 552 5.3.4 */
	uint64_t size_announced;    /* 0: message_bytes_max (Exchange announces another) */
	uint32_t rcpt_max;          /* more get 452 4.5.3 */
	uint32_t bad_command_max;   /* then 421 4.7.0 and close */
	uint64_t idle_us_max;       /* between commands: then 421 4.4.2; RFC 5321 4.5.3.2.7 */
	uint64_t data_us_max;       /* without progress in the body */
	/* A client that trickles (a byte a second) is cut when one command, or 64 KiB of body, takes
	 * longer than this. */
	uint64_t slow_us_max;
	uint64_t session_us_max;
	unsigned auth;       /* mechanisms, bit set of enum smtp_server_auth; 0: none */
	bool auth_needs_tls; /* in the clear no mechanism is offered: 538 5.7.11 */
	bool auth_required;  /* MAIL before AUTH: 530 5.7.0 */
	bool starttls;       /* offered until TLS is on */
	bool tls_required;   /* MAIL or AUTH before STARTTLS: 530 5.7.0 */
	bool tls_on;         /* implicit TLS: the stream was secured before the greeting */
	/* For devices that know little SMTP and whose sender is replaced: paths as smtp_command_path() says,
	 * parameters that are not known, a sender that is no address (given as an empty one), commands that
	 * end in a bare CR. A recipient that could be read in two ways is refused. */
	bool lenient;
	/* To the letter of the RFC, as the servers of Exchange are (the sandbox): a name in EHLO, EHLO before MAIL,
	 * addresses as RFC 5321 writes them, and the lines that are described above. */
	bool strict;
	bool pipelining, eightbitmime, chunking, smtputf8, dsn; /* what EHLO lists */
	bool binarymime_listed; /* listed for looks only; BODY=BINARYMIME gets 501 (sandbox) */
	const struct smtp_server_wording *wordings; /* NULL: its own words */
	size_t wording_count;
	/* For the nonces of SCRAM: random, from the kernel; of two sessions with the same key each has another number. */
	unsigned char nonce_key[SMTP_NONCE_KEY_LEN];
	uint64_t nonce_session;
};

enum smtp_server_event_kind {
	SMTP_SERVER_EV_GREET, /* client connected: answer() with 220 to go on, 4xx/5xx to close */
	SMTP_SERVER_EV_STARTTLS, /* the 220 is in the output: start TLS once it left, then tls_started() */
	SMTP_SERVER_EV_AUTH_PASSWORD, /* answer_auth() */
	SMTP_SERVER_EV_AUTH_TOKEN,    /* XOAUTH2: answer_auth() */
	SMTP_SERVER_EV_AUTH_SCRAM,    /* answer_scram() with the verifier of that user */
	SMTP_SERVER_EV_AUTH_DONE,     /* SCRAM proof checked: `auth_ok`; answer_auth() ends it */
	SMTP_SERVER_EV_MAIL,          /* answer() */
	SMTP_SERVER_EV_RCPT,          /* answer() */
	SMTP_SERVER_EV_DATA, /* DATA or the first BDAT: answer() with 354 to take the body */
	SMTP_SERVER_EV_BODY, /* body bytes, dots unstuffed; no answer */
	SMTP_SERVER_EV_END,  /* whole and well formed: answer() with the final reply */
	SMTP_SERVER_EV_RESET, /* the open transaction is gone (RSET, EHLO, bad body, QUIT); no answer */
	SMTP_SERVER_EV_CLOSE, /* send the output, then close; nothing follows; `reason` says why */
	SMTP_SERVER_EV_COUNT,
};

struct smtp_server_event {
	enum smtp_server_event_kind kind;
	/* MAIL and RCPT: the path without angle brackets; empty for the null sender. Syntax is checked. */
	struct sv address;
	uint64_t size; /* MAIL SIZE=, 0 when absent */
	bool smtputf8, body_8bit;
	uint8_t dsn_ret;     /* enum dsn_ret (mail/dsn.h) */
	struct sv envid;     /* decoded */
	uint8_t dsn_notify;  /* DSN_NOTIFY_* bits */
	struct sv orcpt;     /* as given: "rfc822;a@b"; checked */
	struct sv mechanism; /* AUTH_*: "PLAIN" */
	/* AUTH_*: user as given (no SASLprep: RFC 4013 names are compared as bytes); borrowed */
	struct sv user;
	struct sv authzid;
	struct sv
		password; /* AUTH_PASSWORD: password; AUTH_TOKEN: bearer token. Wiped by the machine */
	bool auth_ok;
	struct sv bytes; /* BODY */
	struct sv
		reason; /* CLOSE: "quit", "timeout", "too-many-errors", "slow", "auth-failures", ... */
};

NODISCARD struct smtp_server *smtp_server_new(
	const struct smtp_server_options *options, struct mono_time now);
void smtp_server_free(struct smtp_server *s);
DEFINE_CLEANUP(struct smtp_server, smtp_server_free);

/*
 * Offers bytes received from the client and returns how many were consumed. It stops early while an
 * event waits to be taken or answered, and right after STARTTLS: bytes behind it arrived in the clear
 * and must not be trusted. Call again with the rest after the answer. BODY events point into `bytes`: take
 * them before those bytes are given up.
 */
NODISCARD size_t smtp_server_feed(struct smtp_server *s, struct mono_time now, struct sv bytes);
/* The client closed its side. */
void smtp_server_eof(struct smtp_server *s);

/* Takes the next event; false if there is none. Views are borrowed until the next call on `s`. */
NODISCARD bool smtp_server_next(struct smtp_server *s, struct smtp_server_event *out_event);

/* Answers GREET, MAIL, RCPT, DATA, END. `enhanced` NULL or "" only for 354 and 220. */
void smtp_server_answer(struct smtp_server *s, struct mono_time now, uint16_t code,
	const char *enhanced, struct sv text);
/* 235 when `code` is 235, else a 4xx or 5xx. */
void smtp_server_answer_auth(struct smtp_server *s, struct mono_time now, uint16_t code,
	const char *enhanced, struct sv text);

/* SCRAM-SHA-256 verifier (RFC 5802 3). For an unknown user give a made-up one, so that nothing shows. */
struct smtp_scram_verifier {
	uint32_t iterations;
	unsigned char salt[16];
	unsigned char stored_key[32];
	unsigned char server_key[32];
};
void smtp_server_answer_scram(
	struct smtp_server *s, struct mono_time now, const struct smtp_scram_verifier *verifier);
/* The stream is secured: the session starts again as if new, without a greeting (RFC 3207 4.2). */
void smtp_server_tls_started(struct smtp_server *s, struct mono_time now);

/* Says 421 with this text and closes after it (shutdown, overload, memory budget). */
void smtp_server_shut(struct smtp_server *s, const char *enhanced, struct sv text);

/* Bytes to send; smtp_server_sent() removes them. */
struct sv smtp_server_output(const struct smtp_server *s);
void smtp_server_sent(struct smtp_server *s, size_t n);

/* The one timer: arm it, and call tick() when it is past. MONO_NEVER: none. */
struct mono_time smtp_server_deadline(const struct smtp_server *s);
void smtp_server_tick(struct smtp_server *s, struct mono_time now);

/* What it holds on the heap for its client: lines, replies, what was said so far. */
size_t smtp_server_memory(const struct smtp_server *s);

/* What comes next is of a message, not a command. */
bool smtp_server_in_body(const struct smtp_server *s);
bool smtp_server_waits_for_answer(const struct smtp_server *s);
bool smtp_server_in_transaction(const struct smtp_server *s);
struct sv smtp_server_helo(const struct smtp_server *s);     /* as said; empty before */
struct sv smtp_server_protocol(const struct smtp_server *s); /* RFC 3848: "ESMTPSA" */
