/* SPDX-License-Identifier: Apache-2.0 */
#include "setup/import_postfix.h"

#include "base/must.h"
#include "setup/config.h"

#include <stdio.h>
#include <stdlib.h>

enum {
	SECONDS_MAX = 86400 * 400,
};

/* ---- names ---- */

/* A domain, or a file that holds one. */
static struct sv origin_of(struct postfix *p)
{
	struct buf text = BUF_INIT(4096);
	struct sv value = postfix_get(p, NULL, "myorigin"), rest, line, word = SV("");

	if (!sv_starts(value, SV("/")))
		return value;
	if (p->from->read(p->from->arg, value, &text) != 0)
		import_note(p->im,
			SETUP_NOTE_LOST,
			postfix_at(p, NULL, "myorigin"),
			"myorigin: the file %.*s cannot be read",
			SV_ARG(sv_head(value, 200)));
	rest = buf_sv(&text);
	if (import_line(&rest, &line))
		word = import_keep(p->im, import_word(&line));
	buf_deinit(&text);
	return word;
}

/* Names that mean this machine only, and that nobody could answer to. */
static bool is_real(struct sv domain)
{
	return !sv_starts_nocase(domain, SV("localhost")) &&
	       !sv_ends_nocase(domain, SV(".localdomain"));
}

static void read_names(struct postfix *p)
{
	char text[LIMIT_DOMAIN + 1];
	struct sv domain, host = postfix_get(p, NULL, "myhostname");
	struct sv helo = postfix_get(p, NULL, "smtp_helo_name"), parent = host;
	struct sv name = helo.len ? helo : host;

	(void)sv_cut_char(&parent, '.', &(struct sv){ 0 });
	p->domain = postfix_get(p, NULL, "mydomain");
	if (!p->domain.len)
		p->domain = parent;
	p->origin = origin_of(p);
	if (!p->origin.len)
		p->origin = p->domain.len ? p->domain : host;
	if (setup_domain(name, text, &domain) && is_real(domain))
		p->im->hostname = import_keep(p->im, domain);
	else if (name.len)
		import_note(p->im,
			SETUP_NOTE_DIFFERENT,
			postfix_at(p, NULL, helo.len ? "smtp_helo_name" : "myhostname"),
			"%.*s is no name for a mail server: the machine's own name is taken, or "
			"write "
			"hostname",
			SV_ARG(sv_head(name, 100)));
	if (setup_domain(p->origin, text, &domain) || setup_domain(p->domain, text, &domain) ||
		setup_domain(host, text, &domain))
		p->im->qualify = import_keep(p->im, domain);
}

/* ---- times ---- */

/* "5d", "300s", "4h", "1000s"; Postfix's default unit depends on the parameter. */
static bool seconds_of(struct sv value, char otherwise, uint64_t *out)
{
	static const struct {
		char unit;
		uint64_t seconds;
	} units[] = { { 's', 1 }, { 'm', 60 }, { 'h', 3600 }, { 'd', 86400 }, { 'w', 604800 } };
	char unit = value.len ? value.ptr[value.len - 1] : '0';
	uint64_t n;

	if (unit >= '0' && unit <= '9')
		unit = otherwise;
	else
		value = sv_head(value, value.len - 1);
	for (size_t i = 0; i < COUNT_OF(units); i++)
		if (units[i].unit == unit && sv_parse_u64(value, SECONDS_MAX, &n) == 0) {
			*out = n * units[i].seconds;
			return true;
		}
	return false;
}

static void read_time(struct postfix *p, const char *name, char unit, struct sv *to)
{
	struct sv value = postfix_get(p, NULL, name);
	char text[32];
	uint64_t s;

	if (!value.len)
		return;
	if (!seconds_of(value, unit, &s)) {
		import_note(p->im,
			SETUP_NOTE_LOST,
			postfix_at(p, NULL, name),
			"%s = %.*s is no time",
			name,
			SV_ARG(sv_head(value, 40)));
		return;
	}
	if (s == 0) {
		if (to == &p->im->delay_notice)
			*to = SV("off");
		else
			import_note(p->im,
				SETUP_NOTE_LOST,
				postfix_at(p, NULL, name),
				"%s = 0: postern tries again for a while",
				name);
		return;
	}
	(void)snprintf(text,
		sizeof(text),
		s % 86400 == 0  ? "%llud"
		: s % 3600 == 0 ? "%lluh"
		: s % 60 == 0   ? "%llum"
				: "%llus",
		(unsigned long long)(s % 86400 == 0  ? s / 86400
				     : s % 3600 == 0 ? s / 3600
				     : s % 60 == 0   ? s / 60
						     : s));
	*to = import_keep(p->im, sv_from(text));
}

static void read_times(struct postfix *p)
{
	struct setup_import *im = p->im;
	uint64_t first, ceiling;

	read_time(p, "minimal_backoff_time", 's', &im->retry_first);
	read_time(p, "maximal_backoff_time", 's', &im->retry_ceiling);
	read_time(p, "maximal_queue_lifetime", 'd', &im->retry_expire);
	read_time(p, "delay_warning_time", 'h', &im->delay_notice);
	/* Each alone may be longer than postern's default of the other. */
	if (im->retry_first.len && !im->retry_ceiling.len &&
		seconds_of(im->retry_first, 's', &first) && first > 3600)
		im->retry_ceiling = im->retry_first;
	if (im->retry_ceiling.len && !im->retry_first.len &&
		seconds_of(im->retry_ceiling, 's', &ceiling) && ceiling < 60)
		im->retry_first = im->retry_ceiling;
}

/* ---- all ---- */

static void read_all(struct postfix *p)
{
	postfix_read_main(p);
	postfix_read_master(p);
	read_names(p);
	read_times(p);
	postfix_senders(p);
	postfix_routes(p);
	postfix_aliases(p);
	postfix_listeners(p);
	postfix_note_rest(p);
}

int setup_import_postfix(
	struct setup_import *im, const struct setup_import_source *from, struct err *err)
{
	struct postfix *p = xcalloc(1, sizeof(*p));
	struct setup_import_source named = *from;
	int rc = 0;

	*im = (struct setup_import){ 0 };
	if (!named.file.len)
		named.file = SV("main.cf");
	p->im = im;
	p->from = &named;
	read_all(p);
	if (!p->setting_count)
		rc = err_set(err, RC_PARSE, "it has no settings: is it Postfix's main.cf?");
	arena_wipe(&p->arena);
	arena_reset(&p->arena);
	free(p);
	return rc;
}
