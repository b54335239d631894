/* SPDX-License-Identifier: Apache-2.0
 * stream.c - the list of open streams, and the events that make them continue.
 *
 * A stream may end itself, or be ended when its client disconnects, while the list is being walked.
 * It is then only marked, and freed after the walk: no walk ever holds a pointer to freed memory
 * (streams->walking counts them). The watch and the timer are released by the first tick that finds
 * no stream, never from inside their own callback.
 *
 * stream_poll_next() needs an idle handle: a timer of 0 ms that is started in a timer callback
 * fires in the same turn of the loop (libuv 1.44), so that all pieces of a page would be one turn.
 */
#include "api/cloud/stream.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "api/cloud/authenticate.h"
#include "api/cloud/context.h"
#include "api/http/call.h"
#include "api/http/reply.h"
#include "base/alloc.h"
#include <jansson.h>
#include "base/clock.h"
#include "base/lag.h"
#include "base/loop.h"
#include "vmm/logs/serial_scan.h"
#include "vmm/node/node.h"
#include "vmm/node/settings.h"
#include "vmm/vmm.h"

enum { TICK_MS = 1000, SOON_MS = 20, RETRY_S = 5 };

struct streams {
	struct vmm *vmm;
	struct stream *first;
	void *ticket; /* result of vmm_watch(); NULL while there are no streams */
	struct loop_timer *tick;
	uv_idle_t idle;        /* active while a stream waits for its next turn */
	uint64_t next_numbers; /* given to streams so far */
	unsigned walking;
	bool draining;
};

struct streams *streams_new(struct vmm *v)
{
	struct streams *all = xcalloc(1, sizeof(*all));

	all->vmm = v;
	(void)uv_idle_init(vmm_settings(v)->loop, &all->idle);
	all->idle.data = all;
	return all;
}

static void streams_release_watch(struct streams *all)
{
	if (all->ticket)
		vmm_unwatch(all->vmm, all->ticket);
	all->ticket = NULL;
	loop_after_cancel(&all->tick);
}

static void streams_sweep(struct streams *all)
{
	struct stream **at = &all->first;

	if (all->walking)
		return;
	while (*at) {
		struct stream *f = *at;

		if (!f->ended) {
			at = &f->next;
			continue;
		}
		*at = f->next;
		loop_after_cancel(&f->poll_timer);
		free(f);
	}
}

static void stream_finish(struct stream *f, bool client_gone);

/* While a transaction is open, wait: uncommitted state must not be sent. */
static void stream_poll(struct stream *f, bool tick)
{
	struct err ignored;

	assert(!f->ended && f->call);
	if (vmm_is_uncommitted(f->all->vmm))
		(f->ops->finite ? stream_poll_next : stream_poll_soon)(f);
	else if (caller_still_valid(f->call, &ignored))
		stream_finish(f, false);
	else
		f->ops->poll(f, tick);
}

static void streams_poll_all(struct streams *all, bool tick)
{
	assert_loop_thread();
	all->walking++;
	for (struct stream *f = all->first; f; f = f->next)
		if (!f->ended && !f->ops->finite)
			stream_poll(f, tick);
	all->walking--;
	streams_sweep(all);
}

static void streams_on_commit(void *arg)
{
	streams_poll_all(arg, false);
}

static void streams_on_tick(void *arg)
{
	struct streams *all = arg;

	streams_poll_all(all, true);
	if (!all->first)
		streams_release_watch(all);
	else if (!all->tick)
		loop_after(vmm_settings(all->vmm)->loop, TICK_MS, streams_on_tick, all, &all->tick);
}

static void stream_finish(struct stream *f, bool client_gone)
{
	struct streams *all = f->all;

	if (f->ended)
		return;
	assert_loop_thread();
	assert(f->call);
	f->ended = true;
	call_on_gone(f->call, NULL, NULL);
	all->walking++; /* finish() writes, and writing may end other streams */
	f->ops->finish(f, client_gone);
	all->walking--;
	f->call = NULL;
}

void stream_end(struct stream *f)
{
	struct streams *all = f->all;

	stream_finish(f, false);
	streams_sweep(all);
}

static void stream_on_gone(void *arg)
{
	struct stream *f = arg;
	struct streams *all = f->all;

	stream_finish(f, true);
	streams_sweep(all);
}

unsigned streams_count(const struct streams *all, const char *caller)
{
	unsigned n = 0;

	for (const struct stream *f = all->first; f; f = f->next)
		n += !f->ended && f->ops->kind == STREAM_ENDLESS &&
		     (!caller || !strcmp(f->share.caller, caller));
	return n;
}

static int stream_refuse(enum stream_kind kind, unsigned open, const char *whose, unsigned max,
			 const char *key, struct err *e)
{
	if (open < max)
		return 0;
	err_set(e, ERR_RATE, "%u %s %s are open; allowed: %u (api.%s)", open,
		kind == STREAM_LONG_POLL ? "waiting requests" : "streams", whose, max, key);
	e->retry_s = RETRY_S;
	return -ERR_RATE;
}

int stream_admit(const struct call *c, enum stream_kind kind, struct stream_share *share,
		 struct err *e)
{
	const struct api_settings *s = &api_of(c)->settings;
	unsigned own = 0, workspace = 0, all = 0, part = (2 * s->max_streams + 2) / 3;
	bool by_link = share->caller[0];
	int r;

	if (!by_link) {
		api_caller_text(c, share->caller);
		share->workspace = api_scope(c);
	}
	for (const struct stream *o = api_of(c)->streams->first; o; o = o->next) {
		if (o->ended || o->ops->kind != kind)
			continue;
		all++;
		own += !strcmp(o->share.caller, share->caller);
		workspace += share->workspace && o->share.workspace == share->workspace;
	}
	r = stream_refuse(kind, own, by_link ? "by this link" : "of this caller",
			  s->max_streams_per_caller, "max_streams_per_caller", e);
	if (!r)
		r = stream_refuse(kind, all, "of all callers", s->max_streams, "max_streams", e);
	return r ? r
		 : stream_refuse(kind, workspace, "of this workspace", part,
				 "max_streams (two thirds of it)", e);
}

void stream_add(struct stream *f, struct call *c, const struct stream_ops *ops)
{
	struct streams *all = api_of(c)->streams;

	assert_loop_thread();
	assert(ops->poll && ops->finish);
	assert(f->share.caller[0] && !f->all);
	f->ops = ops;
	f->call = c;
	f->all = all;
	f->written_ms = clock_mono_ms();
	f->next = all->first;
	all->first = f;
	if (!all->ticket)
		all->ticket = vmm_watch(all->vmm, streams_on_commit, all);
	if (!all->tick)
		loop_after(vmm_settings(all->vmm)->loop, TICK_MS, streams_on_tick, all, &all->tick);
	all->walking++;
	call_on_gone(c, stream_on_gone, f);
	if (!f->ended)
		stream_poll(f, false);
	if (all->draining && !ops->finite)
		stream_finish(f, false);
	all->walking--;
	streams_sweep(all);
}

void stream_enter(struct stream *f, void (*fn)(struct stream *f))
{
	struct streams *all = f->all;

	assert_loop_thread();
	assert(all);
	all->walking++;
	if (!f->ended)
		fn(f);
	all->walking--;
	streams_sweep(all);
}

static void stream_poll_once(struct stream *f)
{
	stream_poll(f, false);
}

static void stream_on_soon(void *arg)
{
	stream_enter(arg, stream_poll_once);
}

void stream_poll_soon(struct stream *f)
{
	if (!f->poll_timer && !f->ended)
		loop_after(vmm_settings(f->all->vmm)->loop, SOON_MS, stream_on_soon, f,
			   &f->poll_timer);
}

static struct stream *streams_next(const struct streams *all)
{
	struct stream *next = NULL;

	for (struct stream *f = all->first; f; f = f->next)
		if (f->next_number && !f->ended && (!next || f->next_number < next->next_number))
			next = f;
	return next;
}

static void streams_on_idle(uv_idle_t *h)
{
	struct streams *all = h->data;
	struct stream *f = streams_next(all);

	LAG_SECTION("stream", "next");
	if (!f) {
		(void)uv_idle_stop(h);
		return;
	}
	f->next_number = 0;
	stream_enter(f, stream_poll_once);
}

void stream_poll_next(struct stream *f)
{
	if (!f->next_number)
		f->next_number = ++f->all->next_numbers;
	(void)uv_idle_start(&f->all->idle, streams_on_idle);
}

static void streams_end(struct streams *all, bool finite_too)
{
	all->draining = true;
	all->walking++;
	for (struct stream *f = all->first; f; f = f->next)
		if (finite_too || !f->ops->finite)
			stream_finish(f, false);
	all->walking--;
	streams_sweep(all);
}

void streams_drain(struct streams *all)
{
	streams_end(all, false);
}

static void streams_on_closed(uv_handle_t *h)
{
	free(h->data);
}

void streams_free(struct streams *all)
{
	if (!all)
		return;
	streams_end(all, true);
	assert(!all->walking && !all->first);
	streams_release_watch(all);
	uv_close((uv_handle_t *)&all->idle, streams_on_closed);
}
