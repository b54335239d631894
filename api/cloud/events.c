/* SPDX-License-Identifier: Apache-2.0
 * events.c - GET /events: all state changes in order, as pages or as a stream of server-sent
 * events.
 *
 * Sequence numbers have no gaps and the events are in the database, so the state of a stream is one
 * number. A client resumes with Last-Event-ID on any connection, also after a restart of the
 * daemon. If that event was deleted, or does not exist yet, the stream sends "reset" and continues
 * with the oldest event. The next slice is read when the client has received most of the last one.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "api/cloud/context.h"
#include "api/cloud/json_or_null.h"
#include "api/cloud/route_tables.h"
#include "api/cloud/serialize_cvm.h"
#include "api/cloud/sse.h"
#include "api/cloud/stream.h"
#include "api/http/call.h"
#include "api/http/reply.h"
#include "base/alloc.h"
#include "base/json.h"
#include "base/log.h"
#include "db/events.h"
#include "vmm/vmm.h"

enum {
	SLICE = 200,
	BACKLOG_MAX = 256 * 1024,
	HEARTBEAT_S = 15,
	LIMIT_DEFAULT = 100,
	LIMIT_MAX = 1000
};

struct event_stream {
	struct stream f;
	int64_t workspace, seq;
};

static json_t *serialize_event(const struct event_row *ev)
{
	json_t *data = json_stored(ev->data);

	return json_pack("{s:I,s:o,s:s,s:o,s:o,s:o}", "seq", (json_int_t)ev->seq, "at",
			 json_time_or_null(ev->at_ms), "type", ev->type, "vm_uuid",
			 json_text_or_null(ev->cvm_uuid), "operation_id",
			 json_text_or_null(ev->op_id), "data", data ? data : json_null());
}

static void events_finish(struct stream *f, bool client_gone)
{
	(void)client_gone;
	call_stream_end(f->call);
}

static bool events_write(struct event_stream *ef, const struct event_row *rows, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		auto_json json_t *data = serialize_event(&rows[i]);

		assert(rows[i].seq > ef->seq); /* each event is sent once, in order */
		if (!sse_event(&ef->f, rows[i].seq, rows[i].type, data))
			return false;
		ef->seq = rows[i].seq;
	}
	return true;
}

/* Send the next slice. False when the stream has ended. */
static bool events_send_next(struct event_stream *ef, size_t *n)
{
	struct event_row *rows = NULL;
	struct err e;
	bool ok;

	if (vmm_events(api_of(ef->f.call)->vmm, ef->workspace, ef->seq, SLICE, &rows, n, &e)) {
		log_warn("events: a stream ends because the database cannot be read: %s", e.text);
		return false;
	}
	ok = events_write(ef, rows, *n);
	events_free(rows, *n);
	return ok;
}

static void events_poll(struct stream *f, bool tick)
{
	struct event_stream *ef = (struct event_stream *)f;
	size_t n = 0;

	if (call_stream_backlog(f->call) < BACKLOG_MAX && !events_send_next(ef, &n)) {
		stream_end(f);
		return;
	}
	if (n == SLICE)
		stream_poll_soon(f);
	if (tick && !sse_heartbeat(f, HEARTBEAT_S))
		stream_end(f);
}

static const struct stream_ops events_stream_ops = { .poll = events_poll, .finish = events_finish };

static int read_events_after(struct call *c, int64_t def, int64_t *ret, struct err *e)
{
	const char *last = call_header(c, "Last-Event-ID");
	char *end;

	if (!last)
		return call_query_int(c, "after", 0, INT64_MAX, def, ret, e);
	errno = 0;
	*ret = strtoll(last, &end, 10);
	if (errno || end == last || *end || *ret < 0)
		return err_field(e, ERR_INVALID, "Last-Event-ID", last,
				 "header Last-Event-ID must be the number of an event");
	return 0;
}

static bool events_are_lost(int64_t seq, int64_t oldest, int64_t newest)
{
	return seq > newest || (oldest > 0 && seq < oldest - 1);
}

static void events_stream_open(struct call *c, const struct stream_share *share, int64_t after,
			       int64_t oldest, int64_t newest)
{
	struct event_stream *ef = xcalloc(1, sizeof(*ef));
	bool lost = events_are_lost(after, oldest, newest);
	auto_json json_t *reset = NULL;

	ef->f.share = *share;
	ef->workspace = api_scope(c);
	ef->seq = lost ? (oldest ? oldest - 1 : 0) : after;
	sse_begin(c);
	if (lost) {
		reset = json_pack("{s:I,s:I}", "oldest", (json_int_t)oldest, "newest",
				  (json_int_t)newest);
		ef->f.call = c;
		(void)sse_event(&ef->f, 0, "reset", reset);
	}
	stream_add(&ef->f, c, &events_stream_ops);
}

static int events_reply_page(struct call *c, int64_t after, int64_t oldest, int64_t newest,
			     struct err *e)
{
	struct event_row *rows = NULL;
	int64_t limit, next;
	json_t *items;
	size_t n = 0;
	int r = call_query_int(c, "limit", 1, LIMIT_MAX, LIMIT_DEFAULT, &limit, e);

	if (!r)
		r = vmm_events(api_of(c)->vmm, api_scope(c), after, limit, &rows, &n, e);
	if (r)
		return r;
	items = json_array();
	for (size_t i = 0; i < n; i++)
		json_array_append_new(items, serialize_event(&rows[i]));
	next = n == (size_t)limit ? rows[n - 1].seq : newest;
	events_free(rows, n);
	call_reply(c, 200,
		   json_pack("{s:o,s:I,s:I,s:I,s:b}", "events", items, "next", (json_int_t)next,
			     "oldest", (json_int_t)oldest, "newest", (json_int_t)newest, "reset",
			     events_are_lost(after, oldest, newest)));
	return 0;
}

static void get_events(struct call *c)
{
	bool streamed = sse_is_wanted(c);
	struct stream_share share = { 0 };
	int64_t oldest, newest, after;
	struct err e;
	int r = vmm_event_bounds(api_of(c)->vmm, &oldest, &newest, &e);

	/* By default a page starts with the oldest event, a stream with the next new one. */
	if (!r)
		r = read_events_after(c, streamed ? newest : oldest ? oldest - 1 : 0, &after, &e);
	if (!r && streamed)
		r = stream_admit(c, STREAM_ENDLESS, &share, &e);
	if (!r && !streamed)
		r = events_reply_page(c, after, oldest, newest, &e);
	else if (!r)
		events_stream_open(c, &share, after, oldest, newest);
	if (r)
		call_reply_err(c, &e);
}

const struct route event_routes[] = {
	{ "GET", "/api/v1/events", ROLE_READER, 0, 0, get_events, NULL },
	{ 0 },
};
