/* SPDX-License-Identifier: Apache-2.0
 * body.c - long bodies: how many bytes of them the daemon holds, and their JSON, parsed beside the
 * loop.
 *
 * A body of 1 MiB takes up to 25 ms to parse, and as long again to be written canonically for its
 * digest. The work depends on nothing but the text, so a job does it. There is one such job at a
 * time: more of them would only take the processor from the loop. The other requests wait in
 * s->unread, oldest first, none longer than limits.body_wait_ms. Of bodies beyond LARGE_BYTES at
 * most WAIT_MAX wait, WAIT_CALLER_MAX of one caller, WAIT_WORKSPACE_MAX of one workspace. What is
 * beyond that is answered 503.
 *
 * The bytes of long bodies are counted from the head on, before any of them arrives, until the
 * request is answered (HELD_MAX, HELD_WORKSPACE_MAX, HELD_CALLER_MAX). A caller may have many keys,
 * so its workspace has a share too.
 *
 * A request that waits belongs to its connection, and goes with it. From the beginning of the job
 * on it belongs to the job, then to its handler. The server may be gone when the job ends.
 */
#include "api/http/body.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "api/http/request.h"
#include "base/clock.h"
#include "base/lanes.h"
#include "base/loop.h"

enum { LONG_BYTES = 4096, LARGE_BYTES = 64 * 1024, PARSE_MS = 10 * 1000 };
enum { WAIT_MAX = 128, WAIT_WORKSPACE_MAX = 96, WAIT_CALLER_MAX = 64 };

/* ------------------------------------------------------------------ bytes */

enum {
	MIB = 1024 * 1024,
	HELD_MAX = 256 * MIB,
	HELD_WORKSPACE_MAX = 128 * MIB,
	HELD_CALLER_MAX = 64 * MIB
};

static bool same_caller(const struct caller *a, const struct caller *b)
{
	return a->key_id == b->key_id && !strcmp(a->name, b->name);
}

static int too_much(struct err *e, const char *whose, uint64_t max)
{
	return err_set(e, ERR_UNAVAILABLE,
		       "request bodies %s that are not answered yet have %llu MiB; try again later",
		       whose, (unsigned long long)max / MIB);
}

int body_reserve(struct request *q, struct err *e)
{
	uint64_t own = q->length, all = q->s->held + q->length, workspace = q->length;
	const struct caller *who = &q->call.caller;
	const struct request *other = NULL;

	if (q->length <= LONG_BYTES)
		return 0;
	LIST_FOREACH(other, &q->s->requests, all)
	{
		own += same_caller(&other->call.caller, who) ? other->reserved : 0;
		workspace += other->call.caller.workspace == who->workspace ? other->reserved : 0;
	}
	if (own > HELD_CALLER_MAX)
		return too_much(e, "of this caller", HELD_CALLER_MAX);
	if (workspace > HELD_WORKSPACE_MAX && who->role < ROLE_OPERATOR)
		return too_much(e, "of this workspace", HELD_WORKSPACE_MAX);
	if (all > HELD_MAX)
		return too_much(e, "of all callers", HELD_MAX);
	q->reserved = q->length;
	q->s->held += q->length;
	return 0;
}

void body_release(struct request *q)
{
	assert(q->s->held >= q->reserved);
	q->s->held -= q->reserved;
	q->reserved = 0;
}

/* ------------------------------------------------------------------ JSON */

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

static bool has_room(const struct request *q)
{
	const struct caller *who = &q->call.caller;
	const struct request *other = NULL;
	unsigned all = 0, workspace = 0, own = 0;

	if (q->body.len <= LARGE_BYTES)
		return true;
	TAILQ_FOREACH(other, &q->s->unread, unread)
	{
		if (other->body.len <= LARGE_BYTES)
			continue;
		all++;
		workspace += other->call.caller.workspace == who->workspace;
		own += same_caller(&other->call.caller, who);
	}
	return all < WAIT_MAX && own < WAIT_CALLER_MAX &&
	       (workspace < WAIT_WORKSPACE_MAX || who->role >= ROLE_OPERATOR);
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
	if (!has_room(q)) {
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
