/* SPDX-License-Identifier: Apache-2.0
 * body.c - long JSON bodies, parsed beside the loop.
 *
 * A body of 1 MiB takes up to 25 ms to parse, and as long again to be written canonically for its
 * digest. The work depends on nothing but the text, so a job does it. There is one such job at a
 * time: more of them would only take the processor from the loop. The other requests wait in
 * s->unread, oldest first: at most WAIT_MAX, WAIT_CALLER_MAX of one caller, none longer than
 * limits.body_wait_ms. What is beyond that is answered 503.
 *
 * A request that waits belongs to its connection, and goes with it. From the beginning of the job
 * on it belongs to the job, then to its handler. The server may be gone when the job ends.
 */
#include "api/body.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "api/request.h"
#include "base/clock.h"
#include "base/lanes.h"
#include "base/loop.h"

enum { LONG_BYTES = 64 * 1024, PARSE_MS = 10 * 1000 };
enum { WAIT_MAX = 128, WAIT_CALLER_MAX = 64 };

bool body_is_long(const struct request *q)
{
	return q->route->body && q->body.len > LONG_BYTES;
}

static void parse(void *arg)
{
	struct body *b = arg;

	b->json = json_read(b->text, b->len, &b->e);
	if (b->json && b->wants_canonical)
		b->canonical = json_canonical(b->json);
}

static void refuse(struct request *q)
{
	struct err e;

	(void)err_set(&e, ERR_UNAVAILABLE, "the node is too busy to read the request body");
	q->handed = true;
	call_reply_err(&q->call, &e);
}

/* ------------------------------------------------------------------ those who wait */

static void leave_queue(struct request *q)
{
	TAILQ_REMOVE(&q->s->unread, q, unread);
	q->unread_queued = false;
}

static bool same_caller(const struct caller *a, const struct caller *b)
{
	return a->key_id == b->key_id && !strcmp(a->name, b->name);
}

static bool has_room(const struct server *s, const struct caller *who)
{
	const struct request *q;
	unsigned all = 0, own = 0;

	TAILQ_FOREACH(q, &s->unread, unread)
	{
		all++;
		own += same_caller(&q->call.caller, who);
	}
	return all < WAIT_MAX && own < WAIT_CALLER_MAX;
}

static void refuse_late(void *arg);

/* A job that hangs ends nobody's wait, so a timer has to. */
static void arm(struct server *s)
{
	const struct request *q = TAILQ_FIRST(&s->unread);
	int64_t wait;

	if (!q || s->unread_timer)
		return;
	wait = q->unread_until_ms - clock_mono_ms();
	(void)loop_after(s->loop, wait > 0 ? (uint64_t)wait : 0, refuse_late, s, &s->unread_timer);
}

static void refuse_late(void *arg)
{
	struct server *s = arg;
	int64_t now = clock_mono_ms();
	struct request *q;

	while ((q = TAILQ_FIRST(&s->unread)) && q->unread_until_ms <= now) {
		leave_queue(q);
		refuse(q);
	}
	arm(s);
}

/* ------------------------------------------------------------------ one job after the other */

static void parse_next(struct server *s);

static void parsed(void *arg, enum job_end end)
{
	struct request *q = ((struct body *)arg)->q;
	struct server *s = q->s;

	if (s) {
		s->parsing = false;
		parse_next(s);
	}
	if (!s || end == JOB_DROPPED)
		refuse(q);
	else
		dispatch_handle(q);
}

static void begin(struct request *q)
{
	const struct job_calls calls = { .lane = LANE_SHORT,
					 .what = "parse request body",
					 .deadline_ms = PARSE_MS,
					 .work = parse,
					 .done = parsed };
	struct body *b = xcalloc(1, sizeof(*b));

	*b = (struct body){ .q = q,
			    .text = q->body.data,
			    .len = q->body.len,
			    .wants_canonical = call_header(&q->call, "Idempotency-Key") != NULL };
	q->parsed = b;
	q->handed = true;
	q->s->parsing = true;
	(void)job_start(q->s->loop, &calls, b);
}

static void parse_next(struct server *s)
{
	struct request *q = TAILQ_FIRST(&s->unread);

	if (!q)
		return;
	leave_queue(q);
	begin(q);
}

void body_parse_beside(struct request *q)
{
	struct server *s = q->s;

	assert(!q->handed && !q->parsed);
	if (!has_room(s, &q->call.caller)) {
		refuse(q);
		return;
	}
	q->unread_queued = true;
	q->unread_until_ms = clock_mono_ms() + s->limits.body_wait_ms;
	TAILQ_INSERT_TAIL(&s->unread, q, unread);
	if (!s->parsing)
		parse_next(s);
	arm(s);
}

void body_free(struct body *b)
{
	if (!b)
		return;
	json_decref(b->json);
	free(b->canonical);
	free(b);
}
