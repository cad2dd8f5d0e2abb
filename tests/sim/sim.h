/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/sv.h"
#include "io/loop.h"
#include "mail/flow.h"
#include "simio/simio.h"

#include <setjmp.h>
#include <stddef.h>

/*
 * One relay and a few hosts, in a world of its own (src/simio).
 *   main.c    a process a seed
 *   script.c  what is thrown: mail, crashes, floods, refusals, the clock
 *   relay.c   the relay: store and outbound, killed and started again on the same disk
 *   peer.c    the hosts, and how each of them misbehaves
 *   graph.c   the second door of a mailbox, by HTTPS
 *   check.c   what was promised to whom, and whether it was kept
 *   order.c   what left next, and when: limits, turns, who waits for nothing
 *   acts.c    a name for each that is done, so that a run can be run again with less of it
 *   shrink.c  how little of a run that failed is enough
 *   faults.c  faults of the past, put back into this binary, so that the checks can be checked
 */
enum {
	HOST_GOOD,   /* does everything right: its mail must never wait for others */
	HOST_SILENT, /* accepts, and says nothing */
	HOST_MOODY,  /* refuses, is slow, closes at any point */
	HOST_LIMIT,  /* counts messages a minute; answers get lost now and then */
	HOST_SLOW,   /* every answer takes its time */
	HOST_BUSY,   /* has a flood to take: who is next shows there */
	HOST_ERP, /* a mailbox with two doors, SMTP and Graph, of which one is shut now and then */
	HOST_COUNT,
};
enum {
	LIMIT_A_MINUTE = 1,
	BUSY_A_MINUTE = 60,
	ERP_A_MINUTE = 6,
	ERP_A_DAY = 60, /* recipients */
	MAILS_CALM = 80,
	MAILS = 960,
	RECIPIENTS_MAX = 3,
	PRINCIPALS = 4,
	STEADY_PRINCIPALS = 2,
};
#define MAIL_SPAN_US (15 * US_PER_MIN)
#define NOTICE_US (8 * US_PER_MIN)
#define EXPIRE_US (20 * US_PER_MIN)
#define TRANSACTIONAL_US (6 * US_PER_MIN)
/* A look comes at the latest a while after the time is over; an attempt ends first. */
#define EXPIRE_SLACK_US (8 * US_PER_MIN)
#define WORLD_END_US (75 * US_PER_MIN)

/* What is given to the relay. */
struct post {
	unsigned host, recipients;
	enum mail_class class;
	unsigned principal;
	bool denied; /* its sender is one that ERP may refuse */
	bool quick;  /* by the quick way, if that is free */
};

/* ---- check.c ---- */
void check_begin(void);
/* The store said 0: it is ours now. */
void check_promised(unsigned mail, uint64_t id, const struct post *p);
/* A transaction for these has begun then: with MAIL, for the host may take its time for each answer behind it. */
void check_begun(unsigned host, const char *recipients, uint64_t since_us);
/* The host has taken the message; `at`: when it counts it. */
void check_received(unsigned host, const char *recipients, uint64_t at_us);
void check_relay_up(bool up);
void check_clock_was_set(int64_t by_us);
/* From now on its disk is well, or is not. */
void check_disk(bool well);
bool check_disk_is_well(void); /* and was for a while, so that the relay knows */
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
/* Mail that the host could have now, as nobody has tried it; the longest wait of it. False: there is none. */
bool check_waits(unsigned host, bool bulk, uint64_t *out_since_us);
/* The first recipients in such a list, again and again. False: no more. */
bool check_next_recipient(struct sv *rest, unsigned *out_mail, unsigned *out_index);

/* ---- order.c ---- */
void order_promised(const struct post *p);
void order_received(unsigned host, const struct post *p, uint64_t waited_us);
/* Whoever it was had waited over a death or an illness: nobody can say how it should have been. */
void order_received_late(unsigned host, const struct post *p);
void order_counted(unsigned host, uint64_t at_us, unsigned recipients);
void order_relay_up(bool up);
/* Transactions that are open there: one more, or one less. */
void order_transaction(unsigned host, bool begins);
/* A host has answered a message so long after its end. */
void order_answered(unsigned host, uint64_t after_us);
/* From now on more waits for the busy host than it may take. */
void order_steady(void);
unsigned order_waiting(enum mail_class class, unsigned principal); /* recipients */
/* Once a second: does a host that is free have what waits for it? */
void order_look(void);
void order_end(void);

/* ---- peer.c, graph.c ---- */
void peers_open(struct io_loop *l);
void graph_open(struct io_loop *l);
/* The mailbox may not sign in by SMTP; it may not send as one of its senders. */
void peer_shut_smtp_auth(bool shut);
bool peer_smtp_auth_is_shut(void);
void peer_deny_sender(bool deny);
bool peer_denies(struct sv sender);

/* ---- relay.c ---- */
extern const char relay_denied_sender[];
void relay_begin(const char *folder);
void relay_start(void);
bool relay_is_up(void);
void relay_kill(bool power_cut);
extern jmp_buf relay_death;
/* Dies at the nth write or sync from now on, by longjmp() to relay_death. */
void relay_die_at(uint64_t nth, bool power_cut);
/* Its disk fails in this way until it is well, or the relay dies: then the machine has a new one. */
struct fault_plan;
void relay_disk_fails(const struct fault_plan *how);
void relay_disk_is_well(void);
void relay_keep_power(void); /* a death that is planned is not its machine's */
void relay_put(unsigned mail, const struct post *p);
void relay_look(bool at_end); /* asks the store for every mail; answers go to check_recipient() */
bool relay_looks(void);
/* Its lane to this host may send: it is not held, and its limits let it, with what is kept from bulk. */
bool relay_may_send(unsigned host, bool bulk);

/* ---- script.c ---- */
void script_run(uint64_t seed, const char *folder);

/* ---- faults.c ---- */
/* "" for none. False: there is no such fault. */
bool faults_put_back(const char *name);
bool faults_forget_uncertain(void);
