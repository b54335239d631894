/* SPDX-License-Identifier: Apache-2.0
 * stream.c - the list of those who wait, and what wakes them.
 *
 * A follower may end itself, or be ended by its client's departure, in the middle of a walk over
 * the list. It is then only marked, and swept after the walk: no walk ever holds a pointer to freed
 * memory. The watch and the timer stay until the first tick that finds nobody, so that they never
 * end from inside their own callback.
 */
#include "api/cloud/stream.h"

#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "api/cloud/account.h"
#include "api/http/json_text.h"
#include "base/alloc.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/loop.h"
#include "vmm/logs/serial_scan.h"
#include "vmm/node/node.h"
#include "vmm/node/settings.h"
#include "vmm/vmm.h"

enum { TICK_MS = 1000, SOON_MS = 20, RETRY_S = 5 };

struct followers {
	struct vmm *vmm;
	struct follower *first;
	void *ticket; /* vmm_watch(), NULL while there are no followers */
	struct loop_timer *tick;
	unsigned walking;
	bool draining;
};

struct followers *followers_new(struct vmm *v)
{
	struct followers *all = xcalloc(1, sizeof(*all));

	all->vmm = v;
	return all;
}

static void rest(struct followers *all)
{
	if (all->ticket)
		vmm_unwatch(all->vmm, all->ticket);
	all->ticket = NULL;
	loop_after_cancel(&all->tick);
}

static void sweep(struct followers *all)
{
	struct follower **at = &all->first;

	if (all->walking)
		return;
	while (*at) {
		struct follower *f = *at;

		if (!f->ended) {
			at = &f->next;
			continue;
		}
		*at = f->next;
		loop_after_cancel(&f->soon);
		free(f);
	}
}

static void end(struct follower *f, bool client_gone);

/* Not while a transaction is open: nobody may be told what is not committed. */
static void look(struct follower *f, bool tick)
{
	struct err ignored;

	if (vmm_is_uncommitted(f->all->vmm))
		follow_soon(f);
	else if (account_still_valid(f->call, &ignored))
		end(f, false);
	else
		f->ops->look(f, tick);
}

static void walk(struct followers *all, bool tick)
{
	all->walking++;
	for (struct follower *f = all->first; f; f = f->next)
		if (!f->ended)
			look(f, tick);
	all->walking--;
	sweep(all);
}

static void on_commit(void *arg)
{
	walk(arg, false);
}

static void on_tick(void *arg)
{
	struct followers *all = arg;

	walk(all, true);
	if (!all->first)
		rest(all);
	else if (!all->tick)
		loop_after(vmm_settings(all->vmm)->loop, TICK_MS, on_tick, all, &all->tick);
}

static void end(struct follower *f, bool client_gone)
{
	struct followers *all = f->all;

	if (f->ended)
		return;
	f->ended = true;
	call_on_gone(f->call, NULL, NULL);
	all->walking++; /* finish() writes, and writing may end others */
	f->ops->finish(f, client_gone);
	all->walking--;
	f->call = NULL;
}

void follow_end(struct follower *f)
{
	struct followers *all = f->all;

	end(f, false);
	sweep(all);
}

static void on_gone(void *arg)
{
	struct follower *f = arg;
	struct followers *all = f->all;

	end(f, true);
	sweep(all);
}

unsigned followers_streams(const struct followers *all, const char *caller)
{
	unsigned n = 0;

	for (const struct follower *f = all->first; f; f = f->next)
		n += !f->ended && f->ops->kind == FOLLOW_STREAM &&
		     (!caller || !strcmp(f->share.caller, caller));
	return n;
}

static int refuse_more(enum follow_kind kind, unsigned open, const char *whose, unsigned max,
		       const char *key, struct err *e)
{
	if (open < max)
		return 0;
	err_set(e, ERR_RATE, "%u %s %s are open, at most %u may be: api.%s", open,
		kind == FOLLOW_WAIT ? "waiting requests" : "streams", whose, max, key);
	e->retry_s = RETRY_S;
	return -ERR_RATE;
}

int follow_allowed(const struct call *c, enum follow_kind kind, struct follow_share *share,
		   struct err *e)
{
	const struct api_settings *s = &api_of(c)->settings;
	unsigned own = 0, workspace = 0, all = 0, part = (2 * s->max_streams + 2) / 3;
	bool by_link = share->caller[0];
	int r;

	if (!by_link) {
		api_caller(c, share->caller);
		share->workspace = api_scope(c);
	}
	for (const struct follower *o = api_of(c)->followers->first; o; o = o->next) {
		if (o->ended || o->ops->kind != kind)
			continue;
		all++;
		own += !strcmp(o->share.caller, share->caller);
		workspace += share->workspace && o->share.workspace == share->workspace;
	}
	r = refuse_more(kind, own, by_link ? "by this link" : "of this caller",
			s->max_streams_per_caller, "max_streams_per_caller", e);
	if (!r)
		r = refuse_more(kind, all, "of all callers", s->max_streams, "max_streams", e);
	return r ? r
		 : refuse_more(kind, workspace, "of this workspace", part,
			       "max_streams (two thirds of it)", e);
}

void follow_add(struct follower *f, struct call *c, const struct follow_ops *ops)
{
	struct followers *all = api_of(c)->followers;

	f->ops = ops;
	f->call = c;
	f->all = all;
	f->heard_ms = clock_mono_ms();
	f->next = all->first;
	all->first = f;
	if (!all->ticket)
		all->ticket = vmm_watch(all->vmm, on_commit, all);
	if (!all->tick)
		loop_after(vmm_settings(all->vmm)->loop, TICK_MS, on_tick, all, &all->tick);
	all->walking++;
	call_on_gone(c, on_gone, f);
	if (!f->ended)
		look(f, false);
	if (all->draining)
		end(f, false);
	all->walking--;
	sweep(all);
}

void follow_call(struct follower *f, void (*fn)(struct follower *f))
{
	struct followers *all = f->all;

	all->walking++;
	if (!f->ended)
		fn(f);
	all->walking--;
	sweep(all);
}

static void look_once(struct follower *f)
{
	look(f, false);
}

static void on_soon(void *arg)
{
	follow_call(arg, look_once);
}

void follow_soon(struct follower *f)
{
	if (!f->soon && !f->ended)
		loop_after(vmm_settings(f->all->vmm)->loop, SOON_MS, on_soon, f, &f->soon);
}

void followers_drain(struct followers *all)
{
	all->draining = true;
	all->walking++;
	for (struct follower *f = all->first; f; f = f->next)
		end(f, false);
	all->walking--;
	sweep(all);
}

void followers_free(struct followers *all)
{
	if (!all)
		return;
	followers_drain(all);
	rest(all);
	free(all);
}

/* ------------------------------------------------------------------ server-sent events */

void sse_begin(struct call *c)
{
	call_stream_begin(c, 200, "text/event-stream");
}

static bool put(struct follower *f, const struct buf *b)
{
	f->heard_ms = clock_mono_ms();
	return call_stream_write(f->call, b->data, b->len);
}

bool sse_event(struct follower *f, int64_t seq, const char *event, const json_t *data)
{
	auto_buf struct buf b = { 0 };

	if (seq > 0)
		buf_printf(&b, "id: %lld\n", (long long)seq);
	buf_printf(&b, "event: %s\ndata: ", event);
	json_write(data, &b);
	buf_puts(&b, "\n\n");
	return put(f, &b);
}

bool sse_heartbeat(struct follower *f, unsigned every_s)
{
	auto_buf struct buf b = { 0 };

	if (clock_mono_ms() - f->heard_ms < (int64_t)every_s * 1000)
		return true;
	buf_puts(&b, ":\n\n");
	return put(f, &b);
}
