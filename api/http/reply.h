/* SPDX-License-Identifier: Apache-2.0
 * reply.h - how a handler answers a call: a whole answer, an error, or a stream.
 *
 * A handler owes each call exactly one answer: call_reply(), call_reply_text(), call_reply_err(),
 * or call_stream_begin() ... call_stream_end() or call_stream_abort(). The call is freed by its
 * answer. All functions run on the loop thread.
 */
#ifndef TEEPOD_API_HTTP_REPLY_H
#define TEEPOD_API_HTTP_REPLY_H

#include <stdbool.h>
#include <stddef.h>

#include <jansson.h>

#include "base/err.h"

struct call;
struct request;

/* Steals the reference to @body. Status 204 sends no body. */
void call_reply(struct call *c, int status, json_t *body);
void call_reply_text(struct call *c, int status, const char *content_type, const char *text,
		     size_t len);
/* Status and body as envelope.c defines them for @e. */
void call_reply_err(struct call *c, const struct err *e);

/* A streamed answer: chunked, or until the connection closes for HTTP/1.0. call_stream_write()
 * returns false when the client is gone or more than 1 MiB waits to be sent: stop writing then, and
 * end the stream. A slow reader is disconnected; no part of a stream is ever skipped. */
void call_stream_begin(struct call *c, int status, const char *content_type);
bool call_stream_write(struct call *c, const void *data, size_t n);
void call_stream_end(struct call *c);
/* End a streamed answer that is incomplete: close the connection without the last chunk. */
void call_stream_abort(struct call *c);
/* A stream that ends by itself: server_drain() lets it finish. After call_stream_begin(). */
void call_stream_is_finite(struct call *c);

/* Bytes that call_stream_write() accepted and the kernel has not yet. */
size_t call_stream_backlog(const struct call *c);

/* Call @fn(@arg) once, from the loop, if the client goes away before the answer has ended. NULL
 * clears it. */
void call_on_gone(struct call *c, void (*fn)(void *arg), void *arg);

/* ------------------------------------------------------------------ for api/http/ only */

/* Answer @text with @status and close the connection: what follows on it cannot be read. */
void reply_refuse(struct request *q, int status, const char *text);

/* End the stream of a handler that follows something without an end: last chunk, then close. */
void reply_end_stream(struct request *q);

#endif
