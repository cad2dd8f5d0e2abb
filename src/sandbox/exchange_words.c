/* SPDX-License-Identifier: Apache-2.0 */
#include "sandbox/exchange_words.h"

#include "base/must.h"

/*
 * Exchange's own words for what a client does in the wrong order (public session logs). Error
 * handling that was tried against other words was not tried.
 */
static const struct smtp_server_wording words[] = {
	{ SV_INIT("Say EHLO first"), 503, "5.5.2", SV_INIT("Send hello first") },
	{ SV_INIT("Say MAIL first"), 503, "5.5.2", SV_INIT("Need mail command") },
	{ SV_INIT("No valid recipients"), 503, "5.5.2", SV_INIT("Need rcpt command") },
	{ SV_INIT("A message is under way: end it or say RSET"),
		503,
		"5.5.2",
		SV_INIT("Sender already specified") },
	{ SV_INIT("Authenticated already"), 503, "5.5.2", SV_INIT("Already authenticated") },
	{ SV_INIT("Mechanism is not offered"),
		504,
		"5.7.4",
		SV_INIT("Unrecognized authentication type") },
	{ SV_INIT("Command is not known"), 500, "5.3.3", SV_INIT("Unrecognized command") },
	{ SV_INIT("Syntax: MAIL FROM:<address>"), 501, "5.5.4", SV_INIT("Invalid arguments") },
	{ SV_INIT("Syntax: RCPT TO:<address>"), 501, "5.5.4", SV_INIT("Invalid arguments") },
	{ SV_INIT("Parameter cannot be read"), 501, "5.5.4", SV_INIT("Invalid arguments") },
	{ SV_INIT("Sender address cannot be read"), 501, "5.1.7", SV_INIT("Invalid address") },
	{ SV_INIT("Recipient address cannot be read"), 501, "5.1.3", SV_INIT("Invalid address") },
	{ SV_INIT("Say your name: EHLO host.example"),
		501,
		"5.5.4",
		SV_INIT("Invalid domain name") },
	{ SV_INIT("Send the message and see"), 252, "2.1.5", SV_INIT("Cannot VRFY user") },
	{ SV_INIT("Lists are not shown"), 502, "5.3.3", SV_INIT("Command not implemented") },
};

const struct smtp_server_wording *sandbox_exchange_words(size_t *out_count)
{
	*out_count = COUNT_OF(words);
	return words;
}
