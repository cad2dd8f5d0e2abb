/* SPDX-License-Identifier: Apache-2.0 */
#include "setup/survey.h"

#include "base/must.h"
#include "conf/conf.h"
#include "setup/report.h"

#include <stdlib.h>
#include <string.h>

static const struct {
	const char *name;
	const char *steps;
} moves[] = {
	[SETUP_MOVE_OURS] = { "own-mailbox",
		"This relay's own mailbox: give its tenant an app (`postern setup powershell`), "
		"write "
		"`auth: app`, then `postern reload`." },
	[SETUP_MOVE_OLD_TLS] = { "old-tls",
		"It knows no TLS 1.2: a listener with `tls: legacy` on the inside, and an entry "
		"under "
		"`devices:` (docs/devices.md)." },
	[SETUP_MOVE_DEVICE] = { "device",
		"A printer or scanner, it seems: an entry under `devices:` lets it in by its "
		"address, "
		"without a password (docs/devices.md)." },
	[SETUP_MOVE_APP] = { "application",
		"Point it at this relay: `postern user add NAME`, then this host, port 587, that "
		"name and "
		"password (docs/recipes.md)." },
};
static_assert(COUNT_OF(moves) == SETUP_MOVE_COUNT, "give every move its steps");

const char *setup_move_name(enum setup_move move)
{
	return moves[move].name;
}

const char *setup_move_steps(enum setup_move move)
{
	return moves[move].steps;
}

void setup_survey_deinit(struct setup_survey *s)
{
	for (size_t i = 0; i < s->count; i++)
		free(s->senders[i].devices);
	free(s->senders);
	arena_reset(&s->arena);
	*s = (struct setup_survey){ 0 };
}

/* ---- collecting ---- */

static struct setup_sender *sender_of(struct setup_survey *s, struct sv address)
{
	/* The log comes in order of time: the same sender again is often the last one. */
	for (size_t i = s->count; i > 0; i--) {
		if (sv_eq(s->senders[i - 1].address, address))
			return &s->senders[i - 1];
	}
	if (s->count == SETUP_CLIENTS_MAX)
		return NULL;
	if (s->count == s->room) {
		s->room = s->room ? s->room * 2 : 64;
		s->senders = xrealloc(s->senders, s->room * sizeof(s->senders[0]));
	}
	s->senders[s->count] = (struct setup_sender){ .address = arena_sv(&s->arena, address) };
	return &s->senders[s->count++];
}

static struct setup_device *device_of(
	struct setup_survey *s, struct setup_sender *to, struct sv from, struct sv agent)
{
	for (size_t i = 0; i < to->count; i++) {
		if (sv_eq(to->devices[i].from, from) && sv_eq(to->devices[i].agent, agent))
			return &to->devices[i];
	}
	if (s->device_count == SETUP_DEVICES_MAX)
		return NULL;
	if (to->count == to->room) {
		to->room = to->room ? to->room * 2 : 4;
		to->devices = xrealloc(to->devices, to->room * sizeof(to->devices[0]));
	}
	to->devices[to->count] = (struct setup_device){ .from = from, .agent = agent };
	s->device_count++;
	return &to->devices[to->count++];
}

/* Cleaned as setup_note() does: it will stand on a terminal. */
static struct sv cleaned(struct setup_survey *s, struct sv text)
{
	struct sv out = sv_make(NULL, 0);

	setup_note(&s->arena, &out, text);
	return out;
}

/* Dates of one source sort as text when they are ISO; others keep the one that came last. */
static bool is_later(struct sv a, struct sv b)
{
	size_t n = a.len < b.len ? a.len : b.len;
	bool iso = a.len > 9 && b.len > 9 && a.ptr[4] == '-' && b.ptr[4] == '-';

	return !iso || memcmp(a.ptr, b.ptr, n) > 0;
}

static bool has(struct sv text, const char *word)
{
	return sv_find_nocase(text, sv_from(word)) >= 0;
}

/* Tokens, and IMAP or the web, are not what ends in December. */
static bool is_password_smtp(const struct setup_row *row)
{
	bool other_app = row->app.len && !has(row->app, "smtp");
	bool token = has(row->protocol, "oauth") || has(row->protocol, "modern") ||
		     has(row->protocol, "bearer");

	return !other_app && !token;
}

static int add(void *arg, const struct setup_row *row)
{
	struct setup_survey *s = arg;
	struct setup_sender *sender;
	struct setup_device *device;

	if (!row->address.len || !is_password_smtp(row)) {
		s->passed_over++;
		return 0;
	}
	sender = sender_of(s, row->address);
	device =
		sender ? device_of(s, sender, cleaned(s, row->from), cleaned(s, row->agent)) : NULL;
	if (!device)
		return RC_LIMIT;
	setup_note(&s->arena, &device->tls, row->tls);
	if (row->date.len && (!device->last.len || is_later(row->date, device->last)))
		device->last = cleaned(s, row->date);
	device->count += row->messages ? row->messages : 1;
	sender->total += row->messages ? row->messages : 1;
	return 0;
}

static int too_many(int rc, struct err *err)
{
	return rc == RC_LIMIT && err && !err->text[0]
		       ? err_set(err,
				 RC_LIMIT,
				 "it has more than %d senders or %d devices",
				 (int)SETUP_CLIENTS_MAX,
				 (int)SETUP_DEVICES_MAX)
		       : rc;
}

int setup_survey_csv(struct setup_survey *s, struct sv bytes, struct err *err)
{
	return too_many(setup_report_each(bytes, add, s, err), err);
}

static struct sv text_of(const json_t *o, const char *key)
{
	const char *text = json_string_value(json_object_get(o, key));

	return text ? sv_from(text) : sv_make(NULL, 0);
}

int setup_survey_page(
	struct setup_survey *s, const json_t *page, struct sv *out_next, struct err *err)
{
	const json_t *rows = json_object_get(page, "value");
	int rc = 0;

	if (!json_is_array(rows))
		return err_set(err, RC_PARSE, "the answer is no list of sign-ins");
	for (size_t i = 0; rc == 0 && i < json_array_size(rows); i++) {
		const json_t *o = json_array_get(rows, i);
		char text[LIMIT_ADDRESS];
		struct setup_row row = {
			.from = text_of(o, "ipAddress"),
			.app = text_of(o, "clientAppUsed"),
			.agent = text_of(o, "userAgent"),
			.date = text_of(o, "createdDateTime"),
		};

		if (!setup_address(text_of(o, "userPrincipalName"), text, &row.address))
			row.address = SV("");
		rc = add(s, &row);
	}
	*out_next = text_of(page, "@odata.nextLink");
	return too_many(rc, err);
}

static int busier_sender(const void *a, const void *b)
{
	const struct setup_sender *x = a, *y = b;

	return (x->total < y->total) - (x->total > y->total);
}

static int busier_device(const void *a, const void *b)
{
	const struct setup_device *x = a, *y = b;

	return (x->count < y->count) - (x->count > y->count);
}

void setup_survey_sort(struct setup_survey *s)
{
	if (s->count)
		qsort(s->senders, s->count, sizeof(s->senders[0]), busier_sender);
	for (size_t i = 0; i < s->count; i++)
		qsort(s->senders[i].devices,
			s->senders[i].count,
			sizeof(s->senders[i].devices[0]),
			busier_device);
}

/* ---- where to ---- */

static bool is_own_mailbox(const struct conf *c, struct sv address)
{
	size_t count = 0;
	const struct conf_lane *lanes = c ? conf_lanes(c, &count) : NULL;

	for (size_t i = 0; i < count; i++) {
		if (lanes[i].sign_in == CONF_SIGN_IN_PASSWORD &&
			lanes[i].kind == CONF_LANE_MAILBOX && sv_eq_nocase(lanes[i].name, address))
			return true;
	}
	return false;
}

static bool looks_like_device(struct sv text)
{
	static const char *const words[] = { "scan",
		"print",
		"drucker",
		"kopier",
		"copier",
		"mfp",
		"fax",
		"ricoh",
		"canon",
		"konica",
		"kyocera",
		"xerox",
		"brother",
		"lexmark",
		"epson",
		"sharp",
		"toshiba" };

	for (size_t i = 0; i < COUNT_OF(words); i++) {
		if (has(text, words[i]))
			return true;
	}
	return false;
}

enum setup_move setup_survey_move(
	const struct setup_sender *sender, const struct setup_device *device, const struct conf *c)
{
	if (is_own_mailbox(c, sender->address))
		return SETUP_MOVE_OURS;
	if (has(device->tls, "1.0") || has(device->tls, "1.1") || has(device->tls, "ssl"))
		return SETUP_MOVE_OLD_TLS;
	if (looks_like_device(device->agent) || looks_like_device(sender->address))
		return SETUP_MOVE_DEVICE;
	return SETUP_MOVE_APP;
}
