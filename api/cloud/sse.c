/* SPDX-License-Identifier: Apache-2.0
 * sse.c - server-sent events (text/event-stream) of one stream.
 */
#include "api/cloud/sse.h"

#include <assert.h>
#include <string.h>

#include <jansson.h>

#include "api/cloud/stream.h"
#include "api/http/call.h"
#include "api/http/json_text.h"
#include "api/http/reply.h"
#include "base/buf.h"
#include "base/clock.h"
#include "vmm/node/event.h"

bool sse_is_wanted(const struct call *c)
{
	const char *accept = call_header(c, "Accept");

	return accept && strstr(accept, "text/event-stream") && strcmp(c->method, "GET") == 0;
}

void sse_begin(struct call *c)
{
	call_stream_begin(c, 200, "text/event-stream");
}

static bool sse_write(struct stream *f, const struct buf *b)
{
	f->written_ms = clock_mono_ms();
	return call_stream_write(f->call, b->data, b->len);
}

bool sse_event(struct stream *f, int64_t seq, const char *event, const json_t *data)
{
	auto_buf struct buf b = { 0 };

	assert(f->call);
	if (seq > 0)
		buf_printf(&b, "id: %lld\n", (long long)seq);
	buf_printf(&b, "event: %s\ndata: ", event);
	json_write(data, &b);
	buf_puts(&b, "\n\n");
	return sse_write(f, &b);
}

bool sse_heartbeat(struct stream *f, unsigned every_s)
{
	auto_buf struct buf b = { 0 };

	if (clock_mono_ms() - f->written_ms < (int64_t)every_s * 1000)
		return true;
	buf_puts(&b, ":\n\n");
	return sse_write(f, &b);
}
