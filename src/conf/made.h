/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "conf/conf.h"

/*
 * Mailboxes that a wildcard, `address: "*@contoso.com"`, stands for. The snapshot has the wildcard itself (a member and its
 * lanes, `is_wildcard`); a mailbox of it is made when it is first asked for, by conf_route_find(), conf_member() or
 * conf_lane(), and then is a member like any other. It signs in as itself, with the app of the tenant.
 *
 * Which addresses: below that domain, of the characters that Microsoft allows in a user's name, in lower case. A
 * mailbox that is listed by its address comes before the wildcard, and what stands after a plus (erp+june@contoso.com)
 * is no mailbox: it leaves by erp@contoso.com and counts there, or a sender with ten tags had ten times the limits.
 *
 * Who may: an account whose `senders:` names the domain, or a device with that address. Nobody else has a wildcard's mailboxes,
 * whatever else he may send as: neither who needs no password, nor a local account without `senders:`, nor one with "*".
 *
 * A made mailbox that nobody keeps goes with conf_made_sweep(); until then it stays where it is. One thread at a time.
 */

/* The wildcard that stands for this address; NULL: none. Whether it could be a mailbox of it is not asked. */
const struct conf_member *conf_wildcard_of(const struct conf *c, struct sv address);
/* Made mailboxes in memory. */
size_t conf_made_count(const struct conf *c);

/* A lane that is kept from a sweep, once for each call. Of any other lane that costs nothing. */
void conf_made_keep(const struct conf_lane *l);
void conf_made_release(const struct conf_lane *l);
/* Those that nobody keeps go. Only where nobody has a pointer to one. */
void conf_made_sweep(const struct conf *c);
bool conf_has_wildcards(const struct conf *c);
