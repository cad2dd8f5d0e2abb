/* SPDX-License-Identifier: Apache-2.0 */
#include "simio/test_world.h"

#include <errno.h>

#define ADDRESS "127.0.0.1:2525"

enum {
	SEEDS = 20,
	WRITES = 50,
	LONGEST = 700,
};

static char said[SAID_MAX];

/* One connection: ours calls, theirs is called. Each end notes what comes to it. */
struct end {
	const char *name;
	struct io_stream *stream;
	bool reads; /* notes what came, and takes it */
	size_t total, inputs;
	void (*on_connected)(struct end *e);
};

static struct end ours, theirs;
static struct io_loop *our_loop, *their_loop;

static void take_all(struct end *e)
{
	struct sv input = io_stream_input(e->stream);

	e->inputs++;
	/* Byte n of the whole is n mod 251: one that is lost, doubled or out of order is seen. */
	for (size_t i = 0; i < input.len; i++)
		must((unsigned char)input.ptr[i] == (e->total + i) % 251);
	e->total += input.len;
	io_stream_consume(e->stream, input.len);
}

static void on_event(void *arg, enum io_stream_event event)
{
	struct end *e = arg;

	switch (event) {
	case IO_STREAM_CONNECTED:
		simio_note("%s:connected", e->name);
		if (e->on_connected)
			e->on_connected(e);
		break;
	case IO_STREAM_INPUT:
		if (e->reads)
			take_all(e);
		else
			simio_note("%s:%.*s", e->name, SV_ARG(io_stream_input(e->stream)));
		break;
	case IO_STREAM_EOF:
		simio_note("%s:eof", e->name);
		break;
	case IO_STREAM_FAILED:
		simio_note("%s:failed:%d", e->name, io_stream_error(e->stream)->code);
		break;
	case IO_STREAM_SECURED:
		simio_note("%s:secured", e->name);
		break;
	case IO_STREAM_DRAINED:
		must_fail("nothing is held back here", __FILE__, __LINE__);
	}
}

static void on_accept(void *arg, struct io_stream *stream)
{
	must(arg == &theirs);
	theirs.stream = stream;
	io_stream_set_owner(stream, on_event, &theirs);
}

static void write_to(const struct end *e, const char *text)
{
	must(io_stream_write(e->stream, sv_from(text)) == 0);
}

static void dial(void (*on_connected)(struct end *e))
{
	struct io_address a;

	ours = (struct end){ .name = "ours", .on_connected = on_connected };
	theirs = (struct end){ .name = "theirs" };
	our_loop = io_loop_new();
	their_loop = io_loop_new();
	simio_listen(their_loop, ADDRESS, on_accept, &theirs);
	must(io_address_parse(SV(ADDRESS), &a) == 0);
	ours.stream = io_stream_connect_from(our_loop, NULL, &a.any, a.len, on_event, &ours);
}

/* ---- bytes ---- */

static void write_much(struct end *e)
{
	char bytes[LONGEST];
	size_t total = 0;

	for (unsigned i = 0; i < WRITES; i++) {
		size_t len = 2 + (size_t)simio_below(LONGEST - 2);

		for (size_t at = 0; at < len; at++)
			bytes[at] = (char)(unsigned char)(total++ % 251);
		must(io_stream_write(e->stream, sv_make(bytes, len)) == 0);
	}
	simio_note("sent:%zu", total);
	io_stream_free(e->stream);
}

static void much_to_them(void)
{
	dial(write_much);
	theirs.reads = true;
	run_for(US_PER_MIN);
	simio_note("%zu", theirs.total);
	must(theirs.inputs > WRITES);
	io_stream_free(theirs.stream);
}

/* However the dice cut it; and the end comes behind the last byte. */
static void bytes_arrive_whole_and_in_order(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= SEEDS; seed++) {
		struct sv rest, word, sent;

		world_said(seed, much_to_them, said);
		rest = sv_from(said);
		assert_true(sv_cut_char(&rest, ' ', &word) && sv_eq(word, SV("ours:connected")));
		assert_true(sv_cut_char(&rest, ' ', &sent) && sv_starts(sent, SV("sent:")));
		assert_true(sv_cut_char(&rest, ' ', &word) && sv_eq(word, SV("theirs:eof")));
		assert_true(sv_cut_char(&rest, ' ', &word) && sv_eq(word, sv_skip(sent, 5)));
	}
}

static void say_hello(struct end *e)
{
	write_to(e, "h");
	must(io_stream_output_len(e->stream) == 0);
	simio_note("said");
}

static void a_talk(void)
{
	dial(say_hello);
	run_for(US_PER_S);
	write_to(&theirs, "w");
	run_for(US_PER_S);
	io_stream_close_gently(theirs.stream, US_PER_S);
	run_for(US_PER_S);
	write_to(&ours, "x");
	write_to(&ours, "y");
	run_for(US_PER_S);
}

static void both_sides_speak_and_nobody_hears_who_left(void **state)
{
	char expected[128];

	(void)state;
	(void)snprintf(expected,
		sizeof(expected),
		"ours:connected said theirs:h ours:w ours:eof ours:failed:%d ",
		-ECONNRESET);
	world_said(1, a_talk, said);
	assert_string_equal(said, expected);
}

static void free_with_bytes_under_way(void)
{
	dial(say_hello);
	run_for(US_PER_S);
	write_to(&theirs, "w");
	io_stream_free(ours.stream);
	run_for(US_PER_S);
}

static void what_comes_too_late_reaches_nobody(void **state)
{
	(void)state;
	world_said(1, free_with_bytes_under_way, said);
	assert_string_equal(said, "ours:connected said theirs:h theirs:eof ");
}

/* ---- a cut, and silence ---- */

static void a_machine_dies(void)
{
	dial(NULL);
	run_for(US_PER_S);
	write_to(&theirs, "w");
	simio_kill(their_loop);
	write_to(&ours, "x");
	run_for(US_PER_HOUR);
}

/* Its last words arrive, and the end behind them; what we say afterwards fails. */
static void a_dead_peer_is_an_end(void **state)
{
	unsigned early = 0, late = 0;
	char error[32];

	(void)state;
	(void)snprintf(error, sizeof(error), "ours:failed:%d ", -ECONNRESET);
	for (uint64_t seed = 1; seed <= SEEDS; seed++) {
		world_said(seed, a_machine_dies, said);
		assert_non_null(strstr(said, "ours:connected ours:w ours:eof "));
		assert_non_null(strstr(said, error));
		assert_null(strstr(said, "theirs:"));
		early += strstr(said, error) < strstr(said, "ours:eof");
		late += strstr(said, error) > strstr(said, "ours:eof");
	}
	assert_int_equal(early + late, SEEDS);
}

static void a_line_that_refuses(void)
{
	dial(NULL);
	simio_set_line(ADDRESS, SIMIO_REFUSES);
	run_for(US_PER_HOUR);
	must(theirs.stream == NULL);
}

static void a_line_without_an_answer(void)
{
	dial(NULL);
	simio_set_line(ADDRESS, SIMIO_BLACK_HOLE);
	run_for(US_PER_HOUR);
	must(theirs.stream == NULL);
	io_stream_free(ours.stream);
	simio_note("end");
}

static void a_peer_without_a_word(void)
{
	dial(say_hello);
	run_for(US_PER_HOUR);
	simio_note("end");
}

static void lines_are_as_they_were_set(void **state)
{
	char expected[64];

	(void)state;
	(void)snprintf(expected, sizeof(expected), "ours:failed:%d ", -ECONNREFUSED);
	world_said(1, a_line_that_refuses, said);
	assert_string_equal(said, expected);
	world_said(1, a_line_without_an_answer, said);
	assert_string_equal(said, "end ");
	world_said(1, a_peer_without_a_word, said);
	assert_string_equal(said, "ours:connected said theirs:h end ");
}

static void given_up_while_dialling(void)
{
	dial(say_hello);
	io_stream_free(ours.stream);
	run_for(US_PER_S);
	simio_note("end");
}

static void who_stops_dialling_hears_nothing(void **state)
{
	(void)state;
	world_said(1, given_up_while_dialling, said);
	assert_string_equal(said, "end ");
}

/* ---- TLS ---- */

static void secured(void)
{
	struct err err;
	struct io_tls *tls = io_tls_client_new(NULL, &err);

	dial(NULL);
	run_for(US_PER_S);
	io_stream_tls_client_dane(ours.stream, tls, SV("host.example"), NULL, 0);
	run_for(US_PER_S);
	simio_note("alone");
	io_stream_tls_server(theirs.stream, tls);
	run_for(US_PER_S);
	io_tls_unref(tls);
}

static void both_sides_are_secured_when_both_want_it(void **state)
{
	(void)state;
	world_said(1, secured, said);
	assert_true(strncmp(said, "ours:connected alone ", 21) == 0);
	assert_non_null(strstr(said, "ours:secured "));
	assert_non_null(strstr(said, "theirs:secured "));
}

/* ---- names ---- */

static void on_answer(void *arg, int rc, const struct io_address *addresses, size_t count)
{
	char text[IO_ADDRESS_TEXT_MAX] = "";

	must(arg == NULL);
	if (count)
		(void)io_address_text(&addresses[count - 1].any, text);
	simio_note("%d:%zu:%s", rc, count, text);
}

static void ask(struct io_resolver *r, struct sv host)
{
	must(io_resolve_host(r, host, 25, on_answer, NULL) != NULL);
	run_for(US_PER_S);
}

static void some_names(void)
{
	struct err err;
	struct io_resolver *r = io_resolver_new(io_loop_new(), &err);

	simio_name("two.example", "192.0.2.1");
	simio_name("one.example", "192.0.2.9");
	simio_name("two.example", "192.0.2.2");
	io_resolve_cancel(io_resolve_host(r, SV("one.example"), 25, on_answer, NULL));
	ask(r, SV("two.example"));
	ask(r, SV("192.0.2.7"));
	ask(r, SV("none.example"));
}

static void names_are_the_scripts(void **state)
{
	char expected[128];

	(void)state;
	(void)snprintf(
		expected, sizeof(expected), "0:2:192.0.2.2:25 0:1:192.0.2.7:25 %d:0: ", RC_NO_NAME);
	world_said(1, some_names, said);
	assert_string_equal(said, expected);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bytes_arrive_whole_and_in_order),
		cmocka_unit_test(both_sides_speak_and_nobody_hears_who_left),
		cmocka_unit_test(what_comes_too_late_reaches_nobody),
		cmocka_unit_test(a_dead_peer_is_an_end),
		cmocka_unit_test(lines_are_as_they_were_set),
		cmocka_unit_test(who_stops_dialling_hears_nothing),
		cmocka_unit_test(both_sides_are_secured_when_both_want_it),
		cmocka_unit_test(names_are_the_scripts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
