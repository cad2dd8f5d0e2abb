/* SPDX-License-Identifier: Apache-2.0 */
#include "inbound/inbound_priv.h"
#include "io/log.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/*
 * The lines about clients and what they gave, in Postfix's words: pflogsumm, logwatch and fail2ban read
 * them (docs/logs.md). As JSON they have fields of ours.
 */
enum {
	CLIENT_MAX = 96,
	ADDRESS_MAX = 320,
	USER_MAX = 200,
	LINE_MAX_BYTES = 1536,
};

/* "10.0.5.30:4711" becomes "unknown[10.0.5.30]:4711": names are not looked up. */
static const char *client_text(struct sv peer, char out[CLIENT_MAX])
{
	ptrdiff_t colon = sv_rfind_char(peer, ':');
	struct sv host = sv_head(peer, colon > 0 ? (size_t)colon : peer.len);
	struct sv port = sv_skip(peer, host.len);

	if (sv_starts(peer, SV("unix")) || colon <= 0)
		(void)snprintf(out, CLIENT_MAX, "localhost[unix]");
	else if (host.ptr[0] == '[')
		(void)snprintf(out, CLIENT_MAX, "unknown%.*s%.*s", SV_ARG(host), SV_ARG(port));
	else
		(void)snprintf(out, CLIENT_MAX, "unknown[%.*s]%.*s", SV_ARG(host), SV_ARG(port));
	return out;
}

/*
 * A message is in the queue. Two lines, as Postfix has them: who gave it (smtpd or pickup), and what it
 * is (qmgr). By the first a message is counted as received, by the second its sender and size.
 */
void log_accepted(const struct accept_origin *origin, struct sv id, const struct store_message *m)
{
	struct sv user = origin->user;
	bool local = sv_starts(user, SV("local:"));
	char client[CLIENT_MAX], text[LINE_MAX_BYTES], size[24], count[16];

	if (local)
		(void)snprintf(text,
			sizeof(text),
			"uid=%.*s from=<%.*s>",
			SV_ARG(sv_head(sv_skip(user, strlen("local:")), USER_MAX)),
			SV_ARG(sv_head(m->sender, ADDRESS_MAX)));
	else
		(void)snprintf(text,
			sizeof(text),
			"client=%s%s%.*s%s%.*s",
			client_text(origin->client, client),
			user.len ? ", sasl_username=" : "",
			SV_ARG(sv_head(user, USER_MAX)),
			m->device.len ? ", device=" : "",
			SV_ARG(sv_head(m->device, USER_MAX)));
	log_record(LOG_INFO,
		local ? "pickup" : "smtpd",
		id,
		"received",
		sv_from(text),
		(const struct log_field[]){ LOG_F("client", origin->client),
			LOG_F("user", user),
			LOG_F("device", m->device),
			LOG_F("listener", origin->listener) },
		4);
	(void)snprintf(size, sizeof(size), "%" PRIu64, m->size);
	(void)snprintf(count, sizeof(count), "%zu", m->recipient_count);
	log_record(LOG_INFO,
		"qmgr",
		id,
		"accepted",
		SV(""),
		(const struct log_field[]){ LOG_A("from", m->sender),
			LOG_N("size", sv_from(size)),
			LOG_N("nrcpt", sv_from(count)),
			LOG_F("message-id", m->message_id) },
		4);
}

/* `stage`: "CONNECT", "MAIL", "RCPT", "END-OF-MESSAGE". `sender`: of the message so far. */
void log_refused(const struct session *s, const struct answer *a, const char *stage,
	struct sv address, struct sv sender)
{
	char client[CLIENT_MAX], text[LINE_MAX_BYTES], reply[512];
	struct sv helo = s->smtp ? sv_head(smtp_server_helo(s->smtp), USER_MAX) : SV("");
	bool to = strcmp(stage, "RCPT") == 0;
	/* The words by which logwatch sorts them. */
	const char *what = to                           ? ">: Recipient address rejected: "
			   : strcmp(stage, "MAIL") == 0 ? ">: Sender address rejected: "
			   : address.len                ? ">: "
							: "";

	address = sv_head(address, ADDRESS_MAX);
	(void)snprintf(reply, sizeof(reply), "%u %s %s", (unsigned)a->code, a->enhanced, a->text);
	(void)snprintf(text,
		sizeof(text),
		"NOQUEUE: reject: %s from %s: %u %s %s%.*s%s%s; from=<%.*s>%s%.*s%s proto=%s "
		"helo=<%.*s>",
		stage,
		client_text(io_stream_peer(s->stream), client),
		(unsigned)a->code,
		a->enhanced,
		what[0] ? "<" : "",
		SV_ARG(address),
		what,
		a->text,
		SV_ARG(sv_head(sender, ADDRESS_MAX)),
		to ? " to=<" : "",
		SV_ARG(to ? address : SV("")),
		to ? ">" : "",
		s->smtp && sv_starts(smtp_server_protocol(s->smtp), SV("E")) ? "ESMTP" : "SMTP",
		SV_ARG(helo));
	log_record(LOG_INFO,
		"smtpd",
		SV(""),
		"refused",
		sv_from(text),
		(const struct log_field[]){ LOG_F("client", io_stream_peer(s->stream)),
			LOG_F("user", sv_from(s->user)),
			LOG_F("at", sv_from(stage)),
			LOG_F("address", address),
			LOG_F("reply", sv_from(reply)),
			LOG_F("device", s->device ? s->device->name : SV("")) },
		6);
}

void log_turned_away(const struct sockaddr *peer, unsigned uid, struct sv listener,
	const struct answer *a, uint64_t count)
{
	char address[IO_ADDRESS_TEXT_MAX], client[CLIENT_MAX], text[LINE_MAX_BYTES],
		reply[sizeof(*a) + 16];
	char number[24], user[16] = "", more[64] = "";

	(void)io_address_text(peer, address);
	(void)snprintf(number, sizeof(number), "%" PRIu64, count);
	if (peer->sa_family == AF_UNIX)
		(void)snprintf(user, sizeof(user), "%u", uid);
	if (count > 1)
		(void)snprintf(more, sizeof(more), ", %s times since the last line", number);
	(void)snprintf(reply, sizeof(reply), "%u %s %s", (unsigned)a->code, a->enhanced, a->text);
	(void)snprintf(text,
		sizeof(text),
		"NOQUEUE: reject: CONNECT from %s: %s; from=<> proto=SMTP helo=<>%s%s%s",
		client_text(sv_from(address), client),
		reply,
		user[0] ? " uid=" : "",
		user,
		more);
	log_record(LOG_INFO,
		"smtpd",
		SV(""),
		"refused",
		sv_from(text),
		(const struct log_field[]){ LOG_F("client", sv_from(address)),
			LOG_F("uid", sv_from(user)),
			LOG_F("listener", listener),
			LOG_F("at", SV("CONNECT")),
			LOG_F("reply", sv_from(reply)),
			LOG_N("count", sv_from(number)) },
		6);
}

void log_auth_failed(const struct session *s, struct sv user, const char *why)
{
	char client[CLIENT_MAX], text[LINE_MAX_BYTES];

	user = sv_head(user, USER_MAX);
	(void)snprintf(text,
		sizeof(text),
		"%s: SASL %s authentication failed: %s, sasl_username=%.*s",
		client_text(io_stream_peer(s->stream), client),
		s->mechanism,
		why,
		SV_ARG(user));
	log_record(LOG_WARN,
		"smtpd",
		SV(""),
		"authentication failed",
		sv_from(text),
		(const struct log_field[]){ LOG_F("client", io_stream_peer(s->stream)),
			LOG_F("ip", sv_from(s->peer_key)),
			LOG_F("mechanism", sv_from(s->mechanism)),
			LOG_F("user", user),
			LOG_F("reason", sv_from(why)),
			LOG_F("listener", s->listener->name) },
		6);
}
