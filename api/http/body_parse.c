/* SPDX-License-Identifier: Apache-2.0
 * body_parse.c - JSON of long request bodies, parsed by a job instead of on the loop.
 *
 * A body of 1 MiB takes up to 25 ms to parse, and as long again to be written in canonical form for
 * its digest. The work depends only on the text, so a job does it. One job runs at a time: more of
 * them would only take processor time from the loop. The other bodies wait in the queue, oldest
 * first, each for at most wait_ms. Of the bodies larger than LARGE_BYTES at most WAIT_MAX wait,
 * WAIT_CALLER_MAX of one caller, WAIT_WORKSPACE_MAX of one workspace.
 *
 * Ownership: a waiting body belongs to its request and may be freed with it. While a job runs, the
 * job owns it. The queue may end before the job does: body_parse_detach().
 */
#include "api/http/body_parse.h"

#include <assert.h>
#include <stdlib.h>

#include "api/http/body_budget.h"
#include "base/alloc.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/lanes.h"
#include "base/loop.h"

enum { LARGE_BYTES = 64 * 1024, PARSE_MS = 10 * 1000 };
enum { WAIT_MAX = 128, WAIT_WORKSPACE_MAX = 96, WAIT_CALLER_MAX = 64 };

static void body_notify(struct body_parse *b, enum body_event event)
{
	b->spec.on_event(b->spec.arg, event);
}

/* ------------------------------------------------------------------ queue */

static void body_dequeue(struct body_parse *b)
{
	assert(b->waiting && b->queue);
	TAILQ_REMOVE(&b->queue->waiting, b, entry);
	b->waiting = false;
}

static bool body_queue_has_room(const struct body_queue *q, const struct body_spec *spec)
{
	const struct body_parse *other = NULL;
	unsigned all = 0, workspace = 0, own = 0;

	if (spec->len <= LARGE_BYTES)
		return true;
	TAILQ_FOREACH(other, &q->waiting, entry)
	{
		if (other->spec.len <= LARGE_BYTES)
			continue;
		all++;
		workspace += other->spec.caller->workspace == spec->caller->workspace;
		own += caller_equal(other->spec.caller, spec->caller);
	}
	return all < WAIT_MAX && own < WAIT_CALLER_MAX &&
	       (workspace < WAIT_WORKSPACE_MAX || spec->caller->role >= ROLE_OPERATOR);
}

static void refuse_late_bodies(void *arg);

/* The timer bounds the wait even if the running job never ends. */
static void body_queue_arm(struct body_queue *q)
{
	const struct body_parse *first = TAILQ_FIRST(&q->waiting);
	int64_t wait;

	if (!first || q->timer)
		return;
	wait = first->until_ms - clock_mono_ms();
	(void)loop_after(q->loop, wait > 0 ? (uint64_t)wait : 0, refuse_late_bodies, q, &q->timer);
}

static void refuse_late_bodies(void *arg)
{
	struct body_queue *q = arg;
	int64_t now = clock_mono_ms();
	struct body_parse *b;

	while ((b = TAILQ_FIRST(&q->waiting)) && b->until_ms <= now) {
		body_dequeue(b);
		body_notify(b, BODY_REFUSED);
	}
	body_queue_arm(q);
}

void body_queue_init(struct body_queue *q, uv_loop_t *loop, unsigned wait_ms)
{
	*q = (struct body_queue){ .loop = loop, .wait_ms = wait_ms };
	TAILQ_INIT(&q->waiting);
}

void body_queue_close(struct body_queue *q)
{
	loop_after_cancel(&q->timer);
}

/* ------------------------------------------------------------------ job */

/* Lane thread. */
static void body_parse_work(void *arg)
{
	struct body_parse *b = arg;

	b->json = json_read(b->spec.text, b->spec.len, &b->e);
	if (b->json && b->spec.wants_canonical)
		b->canonical = json_canonical(b->json);
}

static void body_parse_next(struct body_queue *q);

static void body_parse_done(void *arg, enum job_end end)
{
	struct body_parse *b = arg;
	struct body_queue *q = b->queue;

	assert_loop_thread();
	assert(!b->waiting);
	if (q) {
		assert(q->parsing);
		q->parsing = false;
		body_parse_next(q);
	}
	body_notify(b, !q || end == JOB_DROPPED ? BODY_REFUSED : BODY_PARSED);
}

static void body_parse_next(struct body_queue *q)
{
	static const struct job_calls calls = { .lane = LANE_SHORT,
						.what = "parse request body",
						.deadline_ms = PARSE_MS,
						.work = body_parse_work,
						.done = body_parse_done };
	struct body_parse *b = TAILQ_FIRST(&q->waiting);

	if (!b)
		return;
	body_dequeue(b);
	q->parsing = true;
	body_notify(b, BODY_TAKEN);
	(void)job_start(q->loop, &calls, b);
}

struct body_parse *body_parse_start(struct body_queue *q, const struct body_spec *spec)
{
	struct body_parse *b;

	assert_loop_thread();
	assert(spec->len && spec->caller && spec->on_event);
	if (!body_queue_has_room(q, spec))
		return NULL;
	b = xcalloc(1, sizeof(*b));
	b->spec = *spec;
	b->queue = q;
	b->waiting = true;
	b->until_ms = clock_mono_ms() + q->wait_ms;
	TAILQ_INSERT_TAIL(&q->waiting, b, entry);
	if (!q->parsing)
		body_parse_next(q);
	body_queue_arm(q);
	return b;
}

void body_parse_detach(struct body_parse *b)
{
	assert(!b->waiting);
	b->queue = NULL;
}

void body_parse_free(struct body_parse *b)
{
	if (!b)
		return;
	if (b->waiting)
		body_dequeue(b);
	json_decref(b->json);
	free(b->canonical);
	free(b);
}
