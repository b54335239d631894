/* SPDX-License-Identifier: Apache-2.0
 * stream_test.c - when streams with an end are polled.
 *
 * The streams belong to a node without a server: their calls have no connection, and are freed by
 * the test.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>

#include "api/cloud/api.h"
#include "api/cloud/context.h"
#include "api/cloud/stream.h"
#include "api/http/request.h"
#include "base/alloc.h"
#include "base/array.h"
#include "base/strings.h"
#include "db/turn.h"
#include "tests/unit/node_fixture.h"
#include "vmm/vmm.h"

enum { PIECES = 6 };

static struct {
	struct node_fixture *n;
	struct api *api;
	uv_check_t check;
	unsigned turns; /* of the loop */
	unsigned polls[2 * PIECES], n_polls;
	char polled[2 * PIECES + 1]; /* names of the streams */
	unsigned finished;
} t;

struct named_stream {
	struct stream f;
	struct request q;
	char name;
	unsigned left;
};

static void on_turn(uv_check_t *h)
{
	(void)h;
	t.turns++;
}

static void named_poll(struct stream *f, bool tick)
{
	struct named_stream *s = (struct named_stream *)f;

	(void)tick;
	assert_true(t.n_polls < ARRAY_SIZE(t.polls));
	t.polled[t.n_polls] = s->name;
	t.polls[t.n_polls++] = t.turns;
	if (--s->left)
		stream_poll_next(f);
	else
		stream_end(f);
}

static void named_finish(struct stream *f, bool client_gone)
{
	(void)f;
	(void)client_gone;
	t.finished++;
}

static const struct stream_ops named_ops = { .poll = named_poll,
					     .finish = named_finish,
					     .finite = true };

static struct named_stream *add_stream(char name, unsigned pieces)
{
	struct named_stream *s = xcalloc(1, sizeof(*s));

	s->name = name;
	s->left = pieces;
	s->q.call.server = t.api;
	(void)snprintf(s->f.share.caller, sizeof(s->f.share.caller), "test");
	stream_add(&s->f, &s->q.call, &named_ops);
	return s;
}

static int set_up(void **st)
{
	static const struct api_settings settings = { .max_streams = 8,
						      .max_streams_per_caller = 8 };

	(void)st;
	memset(&t, 0, sizeof(t));
	t.n = node_fixture_new("/tmp");
	node_fixture_open(t.n);
	node_fixture_come_to_rest(t.n);
	t.api = api_new(t.n->v, &settings);
	(void)uv_check_init(&t.n->loop, &t.check);
	(void)uv_check_start(&t.check, on_turn);
	return 0;
}

static int tear_down(void **st)
{
	api_free(t.api);
	uv_close((uv_handle_t *)&t.check, NULL);
	node_fixture_run(t.n, 5);
	*st = t.n;
	return node_fixture_tear_down(st);
}

static void run_until_finished(unsigned n)
{
	for (unsigned i = 0; i < 1000 && t.finished < n; i++)
		node_fixture_run(t.n, 0);
	assert_int_equal(t.finished, n);
}

static void one_piece_is_written_in_a_turn_of_the_loop_and_streams_alternate(void **st)
{
	(void)st;
	(void)add_stream('a', PIECES);
	(void)add_stream('b', PIECES);
	run_until_finished(2);
	assert_string_equal(t.polled, "abababababab");
	for (unsigned i = 3; i < t.n_polls; i++) /* two were polled when they were added */
		assert_true(t.polls[i] > t.polls[i - 1]);
}

static int change_nothing(void *arg, struct err *e)
{
	(void)arg;
	(void)e;
	return 0;
}

static void a_commit_polls_no_stream_with_an_end_and_a_drain_lets_it_finish(void **st)
{
	unsigned before;
	struct err e;

	(void)st;
	(void)add_stream('a', PIECES);
	for (unsigned i = 1; i < PIECES - 1; i++) {
		before = t.n_polls;
		assert_int_equal(turn_do(vmm_turn(t.n->v), change_nothing, NULL, &e), 0);
		node_fixture_run(t.n, 0);
		assert_int_equal(t.n_polls, before);
	}
	api_drain(t.api);
	assert_int_equal(t.finished, 0);
	run_until_finished(1);
	assert_int_equal(t.n_polls, PIECES);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
			one_piece_is_written_in_a_turn_of_the_loop_and_streams_alternate, set_up,
			tear_down),
		cmocka_unit_test_setup_teardown(
			a_commit_polls_no_stream_with_an_end_and_a_drain_lets_it_finish, set_up,
			tear_down),
	};

	return cmocka_run_group_tests_name("stream", tests, NULL, NULL);
}
