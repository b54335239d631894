/* SPDX-License-Identifier: Apache-2.0
 * sse.h - server-sent events (text/event-stream) of one stream.
 */
#ifndef TEEPOD_API_CLOUD_SSE_H
#define TEEPOD_API_CLOUD_SSE_H

#include <stdbool.h>
#include <stdint.h>
#include <jansson.h>

struct call;
struct stream;

/* True if the client asked for an event stream: GET with Accept: text/event-stream. */
bool sse_is_wanted(const struct call *c);

/* Send the head of the answer. */
void sse_begin(struct call *c);

/* Send one event: "id:" if @seq > 0, "event:", "data:". False when the client is gone. */
bool sse_event(struct stream *f, int64_t seq, const char *event, const json_t *data);

/* Send a comment if nothing was sent for @every_s seconds. False when the client is gone. */
bool sse_heartbeat(struct stream *f, unsigned every_s);

#endif
