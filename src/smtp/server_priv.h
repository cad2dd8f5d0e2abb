/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/arena.h"
#include "base/buf.h"
#include "base/limits.h"
#include "smtp/server.h"

/*
 * The server session in four files: server.c (life, lines, answers, time), server_command.c (commands),
 * server_auth.c (SASL), server_body.c (DATA and BDAT).
 */
enum server_state {
	SERVER_GREETING, /* EV_GREET is not answered yet */
	SERVER_COMMAND,
	SERVER_AUTH_LINE, /* a line of a SASL exchange is due */
	SERVER_DATA,      /* body, until the dot */
	SERVER_BDAT,      /* `chunk_left` bytes of a chunk */
	SERVER_STARTTLS,  /* 220 was said: nothing is read until tls_started() */
	SERVER_CLOSED,
};

/* Why a body is read to its end but not kept. */
enum server_body_fault {
	BODY_OK,
	BODY_BARE_CR_LF,
	BODY_NUL,
	BODY_TOO_LARGE,
	BODY_REFUSED, /* BDAT: the owner, or the order of commands, said no; `refusal` has the reply */
};

/* How a client ends its lines (not `strict`). */
enum server_ends {
	ENDS_CRLF,
	ENDS_LF, /* a bare LF, or CR CR LF */
	ENDS_CR,
};

enum server_sasl {
	SASL_NONE,
	SASL_PLAIN,
	SASL_LOGIN_USER,
	SASL_LOGIN_PASSWORD,
	SASL_SCRAM_FIRST,
	SASL_SCRAM_PROOF,
	SASL_SCRAM_END, /* our signature was sent: an empty line is due */
	SASL_XOAUTH2,
};

enum {
	SERVER_EVENTS_MAX = 4,
	SERVER_OUTPUT_MAX = 131072,
	/* Past this nothing is read: a client that does not read its replies cannot make us hold them. */
	SERVER_OUTPUT_FULL = 16384,
	SERVER_SLOW_STEP = 65536,
	SERVER_NONCE_LEN = 24,
	SERVER_SHUT_TEXT = 160,
};

struct smtp_server {
	struct smtp_server_options o;
	enum server_state state;
	struct smtp_server_event events[SERVER_EVENTS_MAX];
	unsigned event_first, event_count;
	enum smtp_server_event_kind awaits; /* COUNT: no answer is due */
	struct buf line;                    /* command in the making, then under way */
	bool line_done;                     /* `line` is whole: the next byte begins a new one */
	bool line_too_long;
	size_t line_bytes;     /* of the line under way, with those that are not kept */
	bool line_refused;     /* answered already, at a bare LF: the rest up to CR LF is dropped */
	bool line_cr;          /* the last byte was a CR */
	bool after_cr;         /* a bare CR ended the line: a CR and an LF behind it belong to it */
	enum server_ends ends; /* of the client's lines, by its last command */
	struct buf out;
	struct arena arena; /* views of the event under way */

	bool tls, extended, authenticated;
	struct buf helo;
	uint32_t bad_commands; /* since the last message that was taken */

	bool mail, bdat; /* a transaction is open; its body comes by BDAT */
	bool smtputf8;
	uint32_t rcpts;

	enum server_body_fault fault;
	struct smtp_reply refusal;
	char refusal_text[256];
	uint64_t body_bytes, chunk_left, chunk_size;
	bool chunk_last;
	unsigned char eol; /* DATA: how much of CRLF "." CR was seen, see server_body.c */
	bool crcr;         /* DATA: the line before ended in CR CR LF */
	bool last_cr;      /* BDAT: a CR ended the last piece */

	enum server_sasl sasl;
	struct buf sasl_text; /* decoded line; wiped */
	struct sv mechanism;  /* its name: a constant of ours */
	struct buf sasl_user;
	struct buf
		scram; /* gs2-header client-first-bare "," server-first "," client-final-without-proof */
	size_t scram_gs2_len; /* of the gs2-header at the front, which is no part of the AuthMessage */
	struct smtp_scram_verifier scram_verifier;
	unsigned char scram_signature[32];
	char scram_nonce[SERVER_NONCE_LEN + 1];
	uint64_t scram_count; /* of nonces that were made */

	struct mono_time now; /* of the running call */
	struct mono_time session_end, idle_end, slow_end;
	uint64_t slow_bytes;
	bool shut_planned;
	char shut_enhanced[12], shut_text[SERVER_SHUT_TEXT];
};

/* server.c */
struct smtp_server_event *server_push(struct smtp_server *s, enum smtp_server_event_kind kind);
/* An event that the owner must answer. */
struct smtp_server_event *server_ask(struct smtp_server *s, enum smtp_server_event_kind kind);
void server_reply(struct smtp_server *s, uint16_t code, const char *enhanced, struct sv text);
/* A reply to what the client did wrong; past the limit 421 and the end. */
void server_complain(struct smtp_server *s, uint16_t code, const char *enhanced, struct sv text);
/* A reply in the words of another server, if it has such. */
void server_say(struct smtp_server *s, uint16_t code, const char *enhanced, struct sv text);
void server_close(struct smtp_server *s, struct sv reason);
/* The end that smtp_server_shut() asked for while an answer was due. */
void server_finish_shut(struct smtp_server *s);
/* Ends the open transaction with EV_RESET; nothing when there is none. */
void server_reset(struct smtp_server *s);
void server_forget(struct smtp_server *s); /* the same without the event */
/* How many bytes at the front belong to the line before (a bare CR ended it). */
size_t server_skip_line_end(struct smtp_server *s, struct sv bytes);

/* server_command.c */
void server_command(struct smtp_server *s, struct sv line);

/* server_auth.c */
bool server_auth_offered(const struct smtp_server *s, unsigned mechanism);
void server_auth_command(struct smtp_server *s, struct sv rest);
void server_auth_line(struct smtp_server *s, struct sv line);
void server_auth_answered(
	struct smtp_server *s, uint16_t code, const char *enhanced, struct sv text);
void server_auth_wipe(struct smtp_server *s);

/* server_body.c */
void server_data_begin(struct smtp_server *s);
void server_bdat_command(struct smtp_server *s, struct sv rest);
/* The owner's answer to the first BDAT: 354 takes it. */
void server_bdat_answered(
	struct smtp_server *s, uint16_t code, const char *enhanced, struct sv text);
NODISCARD size_t server_data(struct smtp_server *s, struct sv bytes);
NODISCARD size_t server_bdat(struct smtp_server *s, struct sv bytes);
