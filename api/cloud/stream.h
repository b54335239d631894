/* SPDX-License-Identifier: Apache-2.0
 * stream.h - answers that go on: event streams, followed logs, requests that wait for an operation.
 *
 * A follower owns its call from stream_add() until stream_end(). It hears of every commit, of time
 * passing, and is ended when its client goes away, its credential ends (caller_still_valid()), or
 * the daemon drains. One watch and one timer serve all followers; both exist only while there is
 * one.
 */
#ifndef TEEPOD_API_CLOUD_STREAM_H
#define TEEPOD_API_CLOUD_STREAM_H

#include <stdbool.h>
#include <stdint.h>

#include "api/cloud/context.h"

struct vmm;

struct stream;

/* Each kind is bounded on its own: see stream_admit(). */
enum stream_kind {
	STREAM_ENDLESS,   /* as long as its client wants */
	STREAM_LONG_POLL, /* one answer, later */
};

struct stream_ops {
	/* There may be news: after a commit, and (@tick) every second. What the database says is
	 * committed. May call stream_end(). */
	void (*poll)(struct stream *f, bool tick);
	/* Write what is left to say, if the client is still there (@client_gone false), and end the
	 * call's answer. */
	void (*finish)(struct stream *f, bool client_gone);
	enum stream_kind kind;
};

/* Of whose it is one: of a caller, and of a workspace (0: of none). */
struct stream_share {
	char caller[CALLER_TEXT];
	int64_t workspace;
};

/* First member of the follower's own struct, which is freed by free(). */
struct stream {
	const struct stream_ops *ops;
	struct call *call;
	struct stream_share share;
	int64_t written_ms; /* monotonic: when the client was last written to */
	bool ended;
	struct streams *all;
	struct stream *next;
	struct loop_timer *poll_timer;
};

struct streams *streams_new(struct vmm *v);
/* End every follower, now and those to come. */
void streams_drain(struct streams *all);
void streams_free(struct streams *all);

/* Streams that are open, of @caller or (NULL) of all. */
unsigned streams_count(const struct streams *all, const char *caller);

/* May one more be opened? ERR_RATE if the caller, its workspace (at most two thirds of all: many
 * keys of one leave room for the others), or all callers together have as many as they may. Fills
 * @share from @c if its caller is "". The follower gets it. */
int stream_admit(const struct call *c, enum stream_kind kind, struct stream_share *share,
		 struct err *e);

/* Take over @c. The first look comes at once, from inside. */
void stream_add(struct stream *f, struct call *c, const struct stream_ops *ops);
/* finish() and free; no use of @f after the callback in progress has returned. */
void stream_end(struct stream *f);

/* Look again in a moment: for those who wait for a slow reader. */
void stream_poll_soon(struct stream *f);

/* Call @fn(@f) from a callback of the loop that is not this file's: @fn may write, and may call
 * stream_end(). */
void stream_enter(struct stream *f, void (*fn)(struct stream *f));

#endif
