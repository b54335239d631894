/* SPDX-License-Identifier: Apache-2.0
 * body_test.c - the memory budget of long request bodies, and the queue that parses them.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "api/http/body_budget.h"
#include "api/http/body_parse.h"
#include "base/lanes.h"

/* ------------------------------------------------------------------ budget */

enum { MIB = 1024 * 1024, SHARES = 64 };

static struct body_budget budget;
static struct body_share share[SHARES];
static struct caller caller[SHARES];
static unsigned shares;

static void budget_start(void)
{
	memset(&budget, 0, sizeof(budget));
	memset(share, 0, sizeof(share));
	memset(caller, 0, sizeof(caller));
	LIST_INIT(&budget.shares);
	shares = 0;
}

static int reserve(int64_t key_id, int64_t workspace, enum role role, uint64_t bytes, struct err *e)
{
	struct caller *c = &caller[shares];
	int r;

	assert_true(shares < SHARES);
	*c = (struct caller){ .key_id = key_id, .workspace = workspace, .role = role };
	r = body_budget_reserve(&budget, &share[shares], c, bytes, e);
	shares += r == 0;
	return r;
}

static void short_bodies_need_no_share(void **st)
{
	struct err e;

	(void)st;
	budget_start();
	assert_int_equal(reserve(1, 1, ROLE_TENANT, BODY_LONG_BYTES, &e), 0);
	assert_null(share[0].budget);
	assert_int_equal(budget.held, 0);
	body_budget_release(&share[0]);
	assert_int_equal(reserve(1, 1, ROLE_TENANT, BODY_LONG_BYTES + 1, &e), 0);
	assert_int_equal(budget.held, BODY_LONG_BYTES + 1);
	body_budget_release(&share[1]);
	assert_int_equal(budget.held, 0);
}

static void each_limit_refuses_and_reserves_nothing(void **st)
{
	struct err e;

	(void)st;
	budget_start();
	assert_int_equal(reserve(1, 1, ROLE_TENANT, 64 * MIB, &e), 0);
	assert_int_equal(reserve(1, 1, ROLE_TENANT, MIB, &e), -ERR_UNAVAILABLE);
	assert_non_null(strstr(e.text, "of this caller"));
	assert_int_equal(reserve(2, 1, ROLE_TENANT, 64 * MIB, &e), 0);
	assert_int_equal(reserve(3, 1, ROLE_TENANT, MIB, &e), -ERR_UNAVAILABLE);
	assert_non_null(strstr(e.text, "of this workspace"));
	/* operators are not bound by the limit of a workspace */
	assert_int_equal(reserve(4, 1, ROLE_OPERATOR, 64 * MIB, &e), 0);
	assert_int_equal(reserve(5, 2, ROLE_TENANT, 64 * MIB, &e), 0);
	assert_int_equal(reserve(6, 3, ROLE_TENANT, MIB, &e), -ERR_UNAVAILABLE);
	assert_non_null(strstr(e.text, "of all callers"));
	assert_int_equal(budget.held, 256 * MIB);
	body_budget_release(&share[0]);
	assert_int_equal(reserve(3, 1, ROLE_TENANT, 32 * MIB, &e), -ERR_UNAVAILABLE);
	assert_int_equal(reserve(6, 3, ROLE_TENANT, MIB, &e), 0);
	for (unsigned i = 0; i < shares; i++)
		body_budget_release(&share[i]);
	assert_int_equal(budget.held, 0);
}

/* ------------------------------------------------------------------ queue */

static uv_loop_t loop;
static struct body_queue queue;
static char events[64];

static void note_event(void *arg, enum body_event event)
{
	static const char letter[] = {
		[BODY_TAKEN] = 't', [BODY_PARSED] = 'p', [BODY_REFUSED] = 'r'
	};
	size_t n = strlen(events);

	assert_true(n + 3 <= sizeof(events));
	(void)snprintf(events + n, sizeof(events) - n, "%s%c", (const char *)arg, letter[event]);
}

static void queue_start(unsigned wait_ms)
{
	memset(&loop, 0, sizeof(loop));
	memset(events, 0, sizeof(events));
	assert_int_equal(uv_loop_init(&loop), 0);
	body_queue_init(&queue, &loop, wait_ms);
}

static void queue_stop(void)
{
	body_queue_close(&queue);
	assert_int_equal(lanes_close(&loop), 0);
	(void)uv_run(&loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&loop), 0);
}

/* @name: one letter, which stands before the letter of each event. */
static struct body_parse *start_body(const char *name, const char *text, bool canonical)
{
	static const struct caller who;
	const struct body_spec spec = { .text = text,
					.len = strlen(text),
					.caller = &who,
					.wants_canonical = canonical,
					.on_event = note_event,
					.arg = (void *)(uintptr_t)name };
	struct body_parse *b = body_parse_start(&queue, &spec);

	assert_non_null(b);
	return b;
}

static void wait_for_events(const char *want)
{
	for (unsigned i = 0; i < 10000 && strlen(events) < strlen(want); i++)
		(void)uv_run(&loop, UV_RUN_ONCE);
	assert_string_equal(events, want);
}

static void bodies_are_parsed_one_after_the_other(void **st)
{
	struct body_parse *a, *b, *c;

	(void)st;
	queue_start(60000);
	a = start_body("a", "{\"y\":1, \"x\":2}", true);
	b = start_body("b", "[1,2", false);
	c = start_body("c", "[]", false);
	assert_string_equal(events, "at");
	assert_false(a->waiting);
	assert_true(b->waiting && c->waiting);
	wait_for_events("atbtapctbpcp");
	assert_string_equal(a->canonical, "{\"x\":2,\"y\":1}");
	assert_null(b->json);
	assert_int_equal(b->e.code, ERR_INVALID);
	assert_true(json_is_array(c->json));
	assert_null(c->canonical);
	body_parse_free(a);
	body_parse_free(b);
	body_parse_free(c);
	queue_stop();
}

static void a_waiting_body_can_be_freed(void **st)
{
	struct body_parse *a, *b;

	(void)st;
	queue_start(60000);
	a = start_body("a", "[]", false);
	b = start_body("b", "[]", false);
	body_parse_free(b);
	assert_true(TAILQ_EMPTY(&queue.waiting));
	wait_for_events("atap");
	body_parse_free(a);
	queue_stop();
}

static void a_body_is_refused_when_its_queue_ends_before_the_job(void **st)
{
	struct body_parse *a;

	(void)st;
	queue_start(60000);
	a = start_body("a", "[]", false);
	body_parse_detach(a);
	wait_for_events("atar");
	body_parse_free(a);
	queue_stop();
}

static void bodies_that_wait_too_long_are_refused_oldest_first(void **st)
{
	struct body_parse *a, *b;

	(void)st;
	queue_start(20);
	queue.parsing = true; /* as if a job never ended */
	a = start_body("a", "[]", false);
	b = start_body("b", "[]", false);
	wait_for_events("arbr");
	assert_false(a->waiting || b->waiting);
	body_parse_free(a);
	body_parse_free(b);
	queue_stop();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(short_bodies_need_no_share),
		cmocka_unit_test(each_limit_refuses_and_reserves_nothing),
		cmocka_unit_test(bodies_are_parsed_one_after_the_other),
		cmocka_unit_test(a_waiting_body_can_be_freed),
		cmocka_unit_test(a_body_is_refused_when_its_queue_ends_before_the_job),
		cmocka_unit_test(bodies_that_wait_too_long_are_refused_oldest_first),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
