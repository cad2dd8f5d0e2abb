/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/list.h"
#include "base/sv.h"
#include "io/loop.h"
#include "store/store.h"

/*
 * One request of an operator, answered as JSON lines. The control socket and the CLI (when the daemon
 * is down and the queue is opened by hand) use the same code.
 *
 * A request is one JSON object:
 *   {"do":"status"}
 *   {"do":"list", filter..., "history":true}   one line a recipient
 *   {"do":"show", "id":"..."}                  a message, its recipients, its attempts
 *   {"do":"edit", "kind":"retry|hold|release|drop|reroute", filter..., "to":"..."}
 *   {"do":"summary"}                           waiting mail by lane, state and cause
 *   {"do":"mailboxes"}                         every mailbox and connector, those without mail too
 *   {"do":"probe", "mailbox":"..."}            that one is tried now; ends a stop for reputation
 *   {"do":"report", filter..., "limit":N}      totals, and by sender, mailbox and cause
 *   {"do":"reload"}
 *   {"do":"login", "mailbox":"..."}            somebody has signed in for it, or out
 * Filter keys: id, sender, recipient, mailbox (or connector: the name, or a lane's key), state,
 * reason, older (a duration), newer, since and until (RFC 3339).
 *
 * Each answer ends with {"end":true}, or {"error":"...","code":N} (N: sysexits).
 */
struct observe_query;

struct identity_tokens;
struct inbound;
struct outbound;
struct conf;
struct observe_alerts;

/* Waits for a reload; taken out of its list, it does not wait any more. */
struct observe_reload {
	struct list node;
	/* `findings`: one line each. rc is 0 or RC_CONFIG. */
	void (*done)(struct observe_reload *r, int rc, struct sv findings);
};

struct observe_sources {
	struct io_loop *loop;
	struct store *store;
	struct outbound *outbound;      /* NULL when the daemon is down */
	struct inbound *inbound;        /* likewise */
	struct identity_tokens *tokens; /* NULL: no status of tokens */
	struct observe_alerts *alerts;  /* NULL: nothing is known of what ends */
	struct domain_watch *domains;   /* NULL: nobody looks at them */
	struct conf *const *conf;       /* the snapshot in force */
	struct mono_time started_at;
	/* SIGHUP by request: `done` comes when it is over, perhaps before this returns. */
	void (*reload)(void *arg, struct observe_reload *waiter);
	void *reload_arg;
	/* Forgets what the sign-in of a mailbox failed by. RC_NOT_FOUND: there is none of that name. */
	int (*signed_in)(void *arg, struct sv mailbox);
	void *signed_in_arg;
};

/* `line` is one JSON object without its line end. */
typedef void observe_line_fn(void *arg, struct sv line);
typedef void observe_done_fn(void *arg);

/* `done` comes exactly once, perhaps before this returns, unless the query is freed first. */
struct observe_query_sink {
	observe_line_fn *line;
	observe_done_fn *done;
	/* Asked before each page: false pauses the query until observe_query_resume(). */
	bool (*has_room)(void *arg);
	void *arg;
	/* Only how things are: no envelope, and nothing is changed (the socket for monitoring). */
	bool monitors;
};

NODISCARD struct observe_query *observe_query_new(const struct observe_sources *sources,
	struct sv request, const struct observe_query_sink *sink);
void observe_query_resume(struct observe_query *q);
/* Also while the store still works on it: the memory goes when the store is done. */
void observe_query_free(struct observe_query *q);
