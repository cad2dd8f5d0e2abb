/* SPDX-License-Identifier: Apache-2.0 */
#include "base/must.h"
#include "conf/route.h"
#include "inbound/accept_priv.h"
#include "mail/address.h"

/*
 * Whom the header names as author, held against whom this client may send as. Readers see From, not the
 * envelope: a rule for the sender alone is none (docs/decisions/0090-from-is-checked-too.md).
 */
enum {
	AUTHORS_MAX = 100, /* each may cost a look at every route */
	SHOWN_MAX = 80,    /* of an address or a list in a reply */
};

static const struct sv author_fields[] = {
	SV_INIT("From"),
	SV_INIT("Sender"),
	SV_INIT("Resent-From"),
	SV_INIT("Resent-Sender"),
};

struct authors {
	struct accept *a;
	struct sv field; /* that is being read */
	size_t count;
	bool unreadable;                  /* some of it is no address */
	struct sv strange, strange_field; /* the first that may not stand there */
};

static bool route_takes(const struct accept *a, struct sv sender)
{
	return conf_route_possible(a->conf, sender, a->origin.user, a->origin.listener, SV(""));
}

/*
 * Not: machines of a network without passwords, which is trusted with its senders; and accounts of this
 * machine where a route takes any sender, or takes this one not at all, so that an operator will see it.
 */
static bool is_asked(const struct accept *a)
{
	const struct conf_user *account = a->origin.account;

	if (a->from.len || (account && account->from == CONF_FROM_ANY))
		return false;
	if (account && (account->sender_count || account->from == CONF_FROM_FORCE))
		return true;
	return sv_starts(a->origin.user, CONF_LOCAL_PREFIX) && route_takes(a, a->sender) &&
	       !route_takes(a, SV("nobody@postern.invalid"));
}

static bool may_write(const struct accept *a, struct sv address)
{
	const struct conf_user *account = a->origin.account;

	if (account && account->sender_count)
		return identity_sender_allowed(account, address);
	/* A local user chooses the sender: From may be what the sender could be. */
	return a->sender.len == 0 || address_eq(address, a->sender) || route_takes(a, address);
}

static void note_author(void *arg, struct sv address)
{
	struct authors *x = arg;
	struct sv whole = accept_complete(x->a, address, false);

	if (whole.len == 0)
		whole = arena_sv(&x->a->arena, address);
	if (x->count++ >= AUTHORS_MAX || x->strange.len || may_write(x->a, whole))
		return;
	x->strange = whole;
	x->strange_field = x->field;
}

static void note_unreadable(void *arg, struct sv text)
{
	struct authors *x = arg;

	(void)text;
	x->unreadable = true;
}

static void list_senders(const struct conf_user *u, struct buf *out)
{
	size_t i = 0;

	for (; i < u->sender_count && out->len + u->senders[i].len + 2 <= SHOWN_MAX; i++)
		must(buf_printf(out, "%s%.*s", i ? ", " : "", SV_ARG(u->senders[i])) == 0);
	if (i < u->sender_count)
		must(buf_printf(out,
			     "%s%zu %s",
			     i ? " and " : "",
			     u->sender_count - i,
			     i ? "more" : "patterns") == 0);
}

static void refuse_author(struct authors *x)
{
	CLEANUP(buf_deinitp) struct buf allowed = BUF_INIT(2 * SHOWN_MAX);
	const struct accept *a = x->a;
	const struct conf_user *account = a->origin.account;
	struct sv shown = sv_head(x->strange, SHOWN_MAX);

	if (account && account->sender_count) {
		list_senders(account, &allowed);
		answer_set(&x->a->refusal,
			550,
			"5.7.1",
			"%.*s: <%.*s> is not allowed for user %.*s, only %.*s: change %.*s in the "
			"application, or add it to senders: (or write from: force)",
			SV_ARG(x->strange_field),
			SV_ARG(shown),
			SV_ARG(sv_head(a->origin.user, 40)),
			SV_ARG(buf_sv(&allowed)),
			SV_ARG(x->strange_field));
		return;
	}
	answer_set(&x->a->refusal,
		550,
		"5.7.1",
		"%.*s: <%.*s> is not allowed for %.*s, only the sender <%.*s> or one that a route "
		"takes: use that, or list the account under users: with from: any or force",
		SV_ARG(x->strange_field),
		SV_ARG(shown),
		SV_ARG(sv_head(a->origin.user, 40)),
		SV_ARG(sv_head(a->sender, SHOWN_MAX)));
}

static void read_authors(struct authors *x)
{
	for (size_t i = 0; i < COUNT_OF(author_fields); i++) {
		x->field = author_fields[i];
		if (header_block_addresses(
			    x->a->header, x->field, note_author, note_unreadable, x) < 0)
			x->unreadable = true;
	}
}

void accept_check_authors(struct accept *a)
{
	const struct conf_user *account = a->origin.account;
	struct authors x = { .a = a };

	if (!is_asked(a))
		return;
	if (account && account->from == CONF_FROM_FORCE && a->sender.len) {
		a->from = a->sender;
		a->from_mode = CONF_SENDER_FORCE;
		return;
	}
	/* RFC 5322 3.6: one From. Each of them is checked, and the first stays. */
	a->one_from = true;
	read_authors(&x);
	if (x.count > AUTHORS_MAX)
		answer_set(&a->refusal,
			550,
			"5.7.1",
			"From, Sender and Resent-From name more than %d addresses",
			AUTHORS_MAX);
	else if (x.strange.len)
		refuse_author(&x);
	else if (x.unreadable && a->sender.len)
		/* A reader could take it for anybody: it says the sender, who is allowed. */
		a->from = a->sender;
	else if (x.unreadable)
		answer_set(&a->refusal,
			550,
			"5.7.1",
			"From, Sender or Resent-From cannot be read: write Name <address>");
}
