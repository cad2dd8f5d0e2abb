/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "io/loop.h"
#include "simio/simio.h"

#include <setjmp.h>
#include <stddef.h>

/*
 * One relay and a few hosts, in a world of its own (src/simio).
 *   main.c    a process a seed; what is thrown: mail, crashes
 *   relay.c   the relay: store and outbound, killed and started again on the same disk
 *   peer.c    the hosts, and how each of them misbehaves
 *   check.c   what was promised to whom, and whether it was kept
 *   faults.c  faults of the past, put back into this binary, so that the checks can be checked
 */
enum {
	HOST_GOOD,   /* does everything right: its mail must never wait for others */
	HOST_SILENT, /* accepts, and says nothing */
	HOST_MOODY,  /* refuses, is slow, closes at any point */
	HOST_LIMIT,  /* counts messages a minute; answers get lost now and then */
	HOST_SLOW,   /* every answer takes its time */
	HOST_COUNT,
};
enum {
	LIMIT_A_MINUTE = 1,
	MAILS = 80,
	RECIPIENTS_MAX = 3,
};
#define MAIL_SPAN_US (15 * US_PER_MIN)
#define NOTICE_US (8 * US_PER_MIN)
#define EXPIRE_US (20 * US_PER_MIN)
/* A look comes at the latest a while after the time is over; an attempt ends first. */
#define EXPIRE_SLACK_US (8 * US_PER_MIN)
#define WORLD_END_US (75 * US_PER_MIN)

/* ---- check.c ---- */
void check_begin(void);
/* The store said 0: it is ours now. */
void check_promised(unsigned mail, uint64_t id, unsigned host, unsigned recipients);
/* The host has taken the message; `at`: when it counts it. */
void check_received(unsigned host, const char *recipients, uint64_t at_us);
void check_relay_up(bool up);
/* Nothing of the run can be trusted any more: says why, and ends with 1. */
void check_failed(const char *fmt, ...) PRINTF_LIKE(1, 2);
/* Of each recipient, by the store of the living relay. */
void check_recipient(
	unsigned mail, unsigned index, int state, unsigned uncertain, struct sv cause, bool at_end);
void check_end(void);
unsigned check_promises(void);
bool check_is_final(unsigned mail);
unsigned check_recipients(unsigned mail);
uint64_t check_id(unsigned mail); /* 0: was not promised */

/* ---- peer.c ---- */
void peers_open(struct io_loop *l);
const char *peer_address(unsigned host);

/* ---- relay.c ---- */
void relay_begin(const char *folder);
void relay_start(void);
bool relay_is_up(void);
void relay_kill(bool power_cut);
extern jmp_buf relay_death;
/* Dies at the nth write or sync from now on, by longjmp() to relay_death. */
void relay_die_at(uint64_t nth, bool power_cut);
void relay_put(unsigned mail, unsigned host, unsigned recipients, bool quick);
void relay_look(bool at_end); /* asks the store for every mail; answers go to check_recipient() */
bool relay_looks(void);

/* ---- faults.c ---- */
/* "" for none. False: there is no such fault. */
bool faults_put_back(const char *name);
bool faults_forget_uncertain(void);
