/* SPDX-License-Identifier: Apache-2.0
 * stream.h - answers that take time: event streams, followed logs, requests that wait for an
 * operation, long pages of lists.
 *
 * A stream owns its call from stream_add() until stream_end(). It is polled after every commit and
 * every second; a finite one only when it requests a poll. It is ended when its client disconnects
 * or its credential ends (caller_still_valid()), and when the daemon drains, unless it is finite.
 * One watch and one timer serve all streams; they
 * exist only while there is a stream. Everything runs on the loop thread.
 */
#ifndef TEEPOD_API_CLOUD_STREAM_H
#define TEEPOD_API_CLOUD_STREAM_H

#include <stdbool.h>
#include <stdint.h>

#include "api/cloud/context.h"

struct vmm;

struct stream;

/* Each kind has a limit of its own: see stream_admit(). */
enum stream_kind {
	STREAM_ENDLESS,   /* until its client disconnects */
	STREAM_LONG_POLL, /* one answer, when a condition is met, in pieces, or after a time */
};

struct stream_ops {
	/* Called after a commit and (@tick) every second, or on request; the database shows
	 * committed state. May call stream_end(). */
	void (*poll)(struct stream *f, bool tick);
	/* Write the rest, if the client is still there (@client_gone false), and end the answer of
	 * the call. */
	void (*finish)(struct stream *f, bool client_gone);
	enum stream_kind kind;
	/* The answer has an end: it is polled only when it requests a poll, and a drain lets it
	 * finish. */
	bool finite;
};

/* Whose limits a stream counts against: a caller, and a workspace (0: none). */
struct stream_share {
	char caller[CALLER_TEXT];
	int64_t workspace;
};

/* First member of the struct of each kind of stream, which is freed by free(). */
struct stream {
	const struct stream_ops *ops;
	struct call *call;
	struct stream_share share;
	int64_t written_ms; /* monotonic: time of the last write to the client */
	bool ended;
	struct streams *all;
	struct stream *next;
	struct loop_timer *poll_timer;
	uint64_t next_number; /* of its stream_poll_next(); 0: none */
};

struct streams *streams_new(struct vmm *v);
/* End all streams that are not finite, now, and new ones at once. */
void streams_drain(struct streams *all);
/* End all streams. */
void streams_free(struct streams *all);

/* Number of open endless streams, of @caller or (NULL) of all. */
unsigned streams_count(const struct streams *all, const char *caller);

/* Check whether one more stream may be opened: ERR_RATE if the caller, its workspace (at most two
 * thirds of all, so that many keys of one workspace leave room for others), or all callers together
 * are at their limit. Fills @share from @c if share->caller is "". The caller copies @share into
 * the stream. */
int stream_admit(const struct call *c, enum stream_kind kind, struct stream_share *share,
		 struct err *e);

/* Take ownership of @c and of @f. The first poll happens before it returns. */
void stream_add(struct stream *f, struct call *c, const struct stream_ops *ops);
/* Call finish() and free @f. Do not use @f after the current callback has returned. */
void stream_end(struct stream *f);

/* Poll again in 20 ms: for streams with a slow reader. */
void stream_poll_soon(struct stream *f);
/* Poll again in a later turn of the loop. In each turn one such stream is polled, the one that has
 * waited longest. */
void stream_poll_next(struct stream *f);

/* Call @fn(@f) from another callback of the loop. @fn may write, and may call stream_end(). */
void stream_enter(struct stream *f, void (*fn)(struct stream *f));

#endif
