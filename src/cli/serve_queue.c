/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/serve_queue.h"

#include "base/text.h"
#include "io/log.h"
#include "store/store_health.h"
#include "store/store_salvage.h"

enum {
	BALLAST_BYTES = 32 << 20,
	NAMED_MAX = 20, /* messages, in the log */
};

static void name_message(void *arg, const struct store_salvaged *m)
{
	unsigned *named = arg;
	char id[TEXT_ID_MAX];

	if ((m->fate == STORE_SALVAGE_WHOLE && !m->held) || (*named)++ >= NAMED_MAX)
		return;
	(void)text_id(m->id, id);
	log_event(LOG_ERROR,
		"serve",
		sv_from(id),
		"damaged",
		(const struct log_field[]){ LOG_A("from", m->sender),
			LOG_F("to", sv_head(m->recipients, 300)),
			LOG_F("why",
				m->why ? sv_from(m->why)
				       : SV("it may have been sent before: held")) },
		3);
}

/* True: it is repaired, and nobody's mail was lost by that. */
static bool repair_if_free(struct conf *c)
{
	unsigned named = 0;
	struct store_salvage_options o = {
		.data_dir = conf_general(c)->data_dir, .each = name_message, .arg = &named
	};
	struct store_salvage_report r = { 0 };
	struct err err = { 0 };
	int rc = store_salvage(&o, &r, &err);

	if (rc == 0 && r.needed && r.lost == 0 && r.partly == 0) {
		named = NAMED_MAX; /* once is enough */
		o.repair = true;
		rc = store_salvage(&o, &r, &err);
	}
	if (rc != 0) {
		log_line(LOG_ERROR, "serve", "the queue cannot be repaired: %s", err.text);
		return false;
	}
	if (!r.kept[0]) {
		log_line(LOG_ERROR,
			"serve",
			"%u of %u pages of the queue are damaged: %llu messages cannot be sent, "
			"%llu "
			"lack recipients; the others leave. Stop postern and run `postern doctor "
			"--repair`, which names them",
			r.damaged_pages,
			r.pages,
			(unsigned long long)r.lost,
			(unsigned long long)r.partly);
		return false;
	}
	log_line(LOG_ERROR,
		"serve",
		"%u of %u pages of the queue were damaged, and no message stood on them: it is "
		"repaired, %llu messages wait%s. What was there is kept in %s. Look at the disk "
		"(dmesg, smartctl)",
		r.damaged_pages,
		r.pages,
		(unsigned long long)r.whole,
		r.held ? ", some are held (`postern queue list --state held`)" : "",
		r.kept);
	return true;
}

static struct store *open_damaged(struct io_loop *l, struct conf *c, struct store_options *options,
	struct store_recovery *out, struct err *err)
{
	struct store *s = NULL;

	log_line(LOG_ERROR, "serve", "%s", err->text);
	if (repair_if_free(c))
		s = store_open(l, options, out, err);
	if (s || err->code != RC_CORRUPT)
		return s;
	options->in_spite_of_damage = true;
	return store_open(l, options, out, err);
}

struct store *cli_serve_queue_open(
	struct io_loop *l, struct conf *c, struct store_recovery *out_recovery, struct err *err)
{
	const struct conf_general *g = conf_general(c);
	const struct store_disk disk = { .ballast_bytes = BALLAST_BYTES };
	struct store_options options = { .data_dir = g->data_dir,
		.history_keep_us = g->history_keep_us,
		.history_bytes_max = g->history_bytes_max,
		.disk = &disk };
	struct store *s = store_open(l, &options, out_recovery, err);

	return !s && err->code == RC_CORRUPT ? open_damaged(l, c, &options, out_recovery, err) : s;
}
