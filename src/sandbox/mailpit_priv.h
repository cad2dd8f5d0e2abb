/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/err.h"
#include "sandbox/messages.h"

/* Mailpit's forms of a message, and its queries. */

/* As a list shows it. The message keeps it: borrowed until the message goes. */
json_t *mailpit_summary(struct sandbox_message *m);
json_t *mailpit_message(const struct sandbox_message *m); /* the caller's */
json_t *mailpit_headers(const struct sandbox_message *m); /* {"Subject": ["..."]}; the caller's */

/*
 * "from:erp subject:'...' is:unread -has:attachment code": every word must fit; '-' or '!' before one turns it around, and
 * quotes hold blanks together. Words without a key are looked for in subject, addresses, text and names of files.
 */
struct mailpit_query;
NODISCARD struct mailpit_query *mailpit_query_new(struct sv text, struct err *err);
void mailpit_query_free(struct mailpit_query *q);
DEFINE_CLEANUP(struct mailpit_query, mailpit_query_free);
NODISCARD bool mailpit_query_fits(const struct mailpit_query *q, struct sandbox_message *m);
