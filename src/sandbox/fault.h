/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/err.h"
#include "base/sv.h"

#include <jansson.h>

/*
 * Scripted faults: at a stage of the dialogue, for so many times (or with a probability), do something
 * else than Exchange would. As JSON in the API and in --fault:
 *   {"at":"dot", "do":"reply", "reply":"451 4.7.0 Temporary server error. PRX2", "times":3}
 * at: connect, ehlo, auth, mail, rcpt, data, dot (end of DATA); token and graph (HTTPS: there "reply" is
 *     an HTTP status and a text, as "503 AADSTS90033: A transient error has occurred." or
 *     "400 invalid_grant: AADSTS53003: Access has been blocked")
 * do: reply (then go on), cut (close before the reply), cut-after (do the work, close instead of the
 *     reply), stall (never reply), slow (wait delay_ms before the reply)
 * Optional: times (0: for ever), probability (0 to 1), match (address pattern of the sender or recipient;
 * for token the client_id, for graph the mailbox), retry_after (seconds, HTTPS only).
 */
enum sandbox_stage {
	SANDBOX_AT_CONNECT,
	SANDBOX_AT_EHLO,
	SANDBOX_AT_AUTH,
	SANDBOX_AT_MAIL,
	SANDBOX_AT_RCPT,
	SANDBOX_AT_DATA,
	SANDBOX_AT_DOT,
	SANDBOX_AT_TOKEN,
	SANDBOX_AT_GRAPH,
	SANDBOX_AT_COUNT,
};

enum sandbox_deed {
	SANDBOX_DO_REPLY,
	SANDBOX_DO_CUT,
	SANDBOX_DO_CUT_AFTER,
	SANDBOX_DO_STALL,
	SANDBOX_DO_SLOW,
	SANDBOX_DO_COUNT,
};

struct sandbox_fault {
	enum sandbox_stage at;
	enum sandbox_deed deed;
	uint16_t code; /* REPLY */
	char enhanced[12];
	char text[400];
	uint64_t delay_us;      /* SLOW */
	uint32_t retry_after_s; /* REPLY over HTTPS; 0: none */
	uint32_t times;         /* 0: for ever */
	uint32_t done;
	double probability; /* 1: always */
	char match[320];    /* empty: all */
};

struct sandbox_faults {
	struct sandbox_fault *items;
	size_t count;
};

const char *sandbox_stage_name(enum sandbox_stage stage);
void sandbox_faults_deinit(struct sandbox_faults *f);
/* Appends one fault, or each of an array. The err says what is wrong with which member. */
NODISCARD int sandbox_faults_add(struct sandbox_faults *f, const json_t *spec, struct err *err);
json_t *sandbox_faults_json(const struct sandbox_faults *f);
/* The first fault that strikes now, counted; NULL: none. `dice` is a random number below 2^32. */
const struct sandbox_fault *sandbox_faults_strike(
	struct sandbox_faults *f, enum sandbox_stage at, struct sv address, uint32_t dice);
