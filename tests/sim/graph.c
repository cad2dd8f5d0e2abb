/* SPDX-License-Identifier: Apache-2.0 */
#include "base/buf.h"
#include "base/must.h"
#include "base/text.h"
#include "tests/sim/acts.h"
#include "tests/sim/sim.h"

#include <stdio.h>
#include <stdlib.h>

/* The token service, and Graph for one mailbox: its whole message in one request. */
enum {
	COPY_MAX = 1 << 20,
	LIST_MAX = 256,
};
#define ANSWER_US_MAX (5 * US_PER_S)
#define LATE_US_MAX (9 * US_PER_MIN) /* of counting a message whose sender has got no answer */

static struct io_loop *loop;

/* A message that it has taken, and will answer. */
struct taken {
	struct io_timer timer;
	struct simio_request *request;
	char recipients[LIST_MAX];
};

static void give_token(void *arg, struct simio_request *r)
{
	(void)arg;
	simio_request_answer(r,
		200,
		SV("{\"token_type\":\"Bearer\",\"expires_in\":3599,\"access_token\":\"opaque\"}"));
}

/* Each "m1r0@host.example" of the header, with a blank behind it. */
static void list_recipients(struct sv header, char out[LIST_MAX])
{
	static const struct sv end = SV_INIT("@host.example");
	ptrdiff_t at;
	size_t len = 0;

	while ((at = sv_find(header, end)) >= 0) {
		size_t from = (size_t)at;

		while (from > 0 && header.ptr[from - 1] != ' ' && header.ptr[from - 1] != '<' &&
			header.ptr[from - 1] != ',')
			from--;
		len += (size_t)snprintf(out + len,
			LIST_MAX - len,
			"%.*s%.*s ",
			(int)((size_t)at - from),
			header.ptr + from,
			SV_ARG(end));
		must(len < LIST_MAX);
		header = sv_skip(header, (size_t)at + end.len);
	}
}

static void take(struct taken *t, uint64_t after_us)
{
	uint64_t at = simio_now() + after_us;

	simio_note("Graph takes %s, counts it at %llu s",
		t->recipients,
		(unsigned long long)(at / US_PER_S));
	check_received(HOST_ERP, t->recipients, at);
	order_transaction(HOST_ERP, false);
}

static void answer(void *arg)
{
	struct taken *t = arg;

	take(t, 0);
	simio_request_answer(t->request, 202, SV(""));
	free(t);
}

/* A notice is to whoever was denied, and that is no sin. */
static bool is_from(struct sv header, struct sv address)
{
	struct sv line;

	while (header.len) {
		(void)sv_cut_char(&header, '\n', &line);
		if (sv_starts_nocase(line, SV("From:")))
			return sv_find(line, address) >= 0;
	}
	return false;
}

static void send_mail(struct simio_request *r)
{
	struct buf copy = BUF_INIT(COPY_MAX);
	struct taken *t;
	struct sv header;
	bool denied;

	must(text_base64_decode(&copy, simio_request_body(r)) == 0);
	header = sv_head(buf_sv(&copy), (size_t)sv_find(buf_sv(&copy), SV("\r\n\r\n")));
	denied = is_from(header, sv_from(relay_denied_sender)) &&
		 peer_denies(sv_from(relay_denied_sender));
	if (denied) {
		buf_deinit(&copy);
		simio_note("Graph denies the sender");
		simio_request_answer(r,
			403,
			SV("{\"error\":{\"code\":\"ErrorSendAsDenied\",\"message\":\"The user "
			   "account which was used to submit this request does not have the "
			   "right to send mail on behalf of the specified sending account.\"}}"));
		return;
	}
	t = xcalloc(1, sizeof(*t));
	t->request = r;
	list_recipients(header, t->recipients);
	buf_deinit(&copy);
	order_transaction(HOST_ERP, true);
	check_begun(HOST_ERP, t->recipients, simio_now());
	if (simio_chance(6) && act_happens(ACT_CLOSE, "Graph, %s", t->recipients)) {
		take(t, simio_below(LATE_US_MAX));
		simio_request_cut(r);
		free(t);
		return;
	}
	io_timer_init(&t->timer, loop, answer, t);
	io_timer_start(&t->timer, mono_add(io_now(loop), simio_below(ANSWER_US_MAX)));
}

static void serve(void *arg, struct simio_request *r)
{
	(void)arg;
	if (sv_eq(sv_from(simio_request_method(r)), SV("POST")) &&
		sv_ends_nocase(simio_request_path(r), SV("/sendMail")))
		send_mail(r);
	else
		simio_request_answer(r, 404, SV("{}"));
}

void graph_open(struct io_loop *l)
{
	loop = l;
	simio_serve(l, "https://login.microsoftonline.com", give_token, NULL);
	simio_serve(l, "https://graph.microsoft.com", serve, NULL);
}
