/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "inbound/inbound_priv.h"
#include "mail/lines.h"

/* Shared by accept.c and accept_end.c. */
#define MIN_FREE_DEFAULT (UINT64_C(256) << 20)

struct accept {
	struct inbound *in;
	struct io_timer late; /* the queue does not answer */
	struct conf *conf;
	struct accept_origin origin;
	struct arena arena;
	uint64_t id;
	struct sv sender, envid;
	struct sv
		principal; /* whom its mail is counted to: its user, else its device, else the listener */
	/* What its user or device prescribes: From becomes this, whatever it says. Empty: kept. */
	struct sv from;
	struct sv original; /* sender as given, before that */
	enum conf_sender from_mode;
	bool one_from;            /* further From fields go */
	struct quota_taken quota; /* of its device or user */
	uint8_t dsn_ret;
	bool smtputf8;
	struct store_recipient *recipients; /* heap, while it grows */
	bool *undecided;                    /* of each: its route hangs on what comes after DATA */
	size_t recipient_count, recipient_cap, undecided_count;
	struct htable known; /* its recipients by address_key(): the same one twice is one */
	struct limit_payer payer;
	uint64_t body_cost; /* of what the payer holds: header and body */
	uint64_t came;      /* bytes, as the client counts them */

	struct mail_lines lines;
	struct header_block *header;
	bool header_done, header_8bit, has_8bit;
	uint32_t header_size;
	struct sv message_id, subject;
	struct answer refusal; /* code 0: none; said at the end */
	struct buf body;       /* what is not written yet */
	uint64_t size;
	uint32_t chunk_count, chunks_under_way;
	int failed; /* a piece could not be written */
	bool ended, aborted;
	accept_room_fn *room;
	void *room_arg;

	accept_done_fn *done;
	void *done_arg;
	struct store_message message;
	struct store_put put;
	void *claim;
};

void accept_free(struct accept *a);
/* As the client goes on; what lies in a file pays at once (accept_pay_whole()). */
NODISCARD bool accept_pays(struct accept *a, enum quota_kind kind, uint64_t n, struct answer *out);
/* What header and body hold now is charged; without memory for it the message is refused at its end. */
void accept_charge(struct accept *a);
/* With a domain where it has none and `qualify:` gives one; else empty. */
struct sv accept_complete(struct accept *a, struct sv address, bool by_alias);
void accept_append(struct accept *a, struct sv bytes);
/* The end of the body: what its last line owes. */
void accept_body_end(struct accept *a);
void accept_render_header(struct accept *a); /* may set a->refusal */
/* May From, Sender and their Resent- forms say what they say? Sets a->refusal, or a->from. */
void accept_check_authors(struct accept *a);
/* Recipients whose route or queue hung on size or header get it; may set a->refusal. */
void accept_choose(struct accept *a);
void accept_put(struct accept *a); /* when no piece is under way any more */
void accept_take_back(struct accept *a);
void accept_late(void *arg); /* the client has waited long enough for the queue */
