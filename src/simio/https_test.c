/* SPDX-License-Identifier: Apache-2.0 */
#include "io/https.h"
#include "simio/test_world.h"

#include <errno.h>

static char said[SAID_MAX];
static struct io_loop *ours, *theirs;
static struct io_https *https;
static struct simio_request *kept;

static void answered(void *arg, const struct io_https_answer *a)
{
	simio_note("%s:%d:%u:%.*s%s",
		(const char *)arg,
		a->rc,
		a->status,
		SV_ARG(a->body),
		a->began ? ":began" : "");
}

/* Answers by what its path says, or keeps the request. */
static void serve(void *arg, struct simio_request *r)
{
	struct sv path = simio_request_path(r);

	(void)arg;
	simio_note("%s %.*s %.*s",
		simio_request_method(r),
		SV_ARG(path),
		SV_ARG(simio_request_body(r)));
	if (sv_eq(path, SV("/cut")))
		simio_request_cut(r);
	else if (sv_eq(path, SV("/keep")))
		kept = r;
	else
		simio_request_answer(r, 200, SV("fine"));
}

static void open_world(void)
{
	struct err err = { 0 };

	ours = io_loop_new();
	theirs = io_loop_new();
	https = io_https_new(&(struct io_https_options){ .loop = ours }, &err);
	simio_serve(theirs, "https://graph.example", serve, NULL);
}

static struct io_https_request *ask(const char *url)
{
	return io_https_start(https,
		&(struct io_https_call){ .method = "POST",
			.url = sv_from(url),
			.content_type = SV("text/plain"),
			.body = SV("hello"),
			.timeout_us = US_PER_S },
		answered,
		(void *)(uintptr_t) "ours");
}

static void ask_all(void)
{
	open_world();
	(void)ask("https://graph.example/mail");
	run_for(US_PER_S);
	(void)ask("https://graph.example/cut");
	run_for(US_PER_S);
	(void)ask("https://nobody.example/");
	run_for(US_PER_S);
	(void)ask("https://graph.example/keep");
	run_for(2 * US_PER_S);
}

static void a_request_has_one_end(void **state)
{
	char want[512];

	(void)state;
	(void)snprintf(want,
		sizeof(want),
		"POST /mail hello ours:0:200:fine:began POST /cut hello ours:%d:0::began "
		"ours:%d:0: POST /keep hello ours:%d:0::began ",
		-ECONNRESET,
		-ECONNREFUSED,
		RC_TIMEOUT);
	world_said(1, ask_all, said);
	assert_string_equal(said, want);
}

/* Whoever does not wait any more is told nothing; its host has the request all the same. */
static void leave(void)
{
	open_world();
	io_https_cancel(ask("https://graph.example/mail"));
	run_for(US_PER_S);
	(void)ask("https://graph.example/keep");
	run_for(US_PER_S / 2);
	simio_kill(ours);
	simio_request_answer(kept, 200, SV("too late"));
	run_for(US_PER_S);
}

static void who_has_left_is_told_nothing(void **state)
{
	(void)state;
	world_said(1, leave, said);
	assert_string_equal(said, "POST /mail hello POST /keep hello ");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_request_has_one_end),
		cmocka_unit_test(who_has_left_is_told_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
