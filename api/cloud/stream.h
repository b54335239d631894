/* SPDX-License-Identifier: Apache-2.0
 * stream.h - answers that go on: event streams, followed logs, requests that wait for an operation.
 *
 * A follower owns its call from follow_add() until follow_end(). It hears of every commit, of time
 * passing, and is ended when its client goes away, its credential ends (account_still_valid()), or
 * the daemon drains. One watch and one timer serve all followers; both exist only while there is
 * one.
 */
#ifndef TEEPOD_API_CLOUD_STREAM_H
#define TEEPOD_API_CLOUD_STREAM_H

#include <stdbool.h>
#include <stdint.h>

#include "api/cloud/api.h"
#include "vmm/logs/serial_scan.h"

struct vmm;

struct follower;

/* Each kind is bounded on its own: see follow_allowed(). */
enum follow_kind {
	FOLLOW_STREAM, /* as long as its client wants */
	FOLLOW_WAIT,   /* one answer, later */
};

struct follow_ops {
	/* There may be news: after a commit, and (@tick) every second. What the database says is
	 * committed. May call follow_end(). */
	void (*look)(struct follower *f, bool tick);
	/* Write what is left to say, if the client is still there (@client_gone false), and end the
	 * call's answer. */
	void (*finish)(struct follower *f, bool client_gone);
	enum follow_kind kind;
};

/* Of whose it is one: of a caller, and of a workspace (0: of none). */
struct follow_share {
	char caller[CALLER_TEXT];
	int64_t workspace;
};

/* First member of the follower's own struct, which is freed by free(). */
struct follower {
	const struct follow_ops *ops;
	struct call *call;
	struct follow_share share;
	int64_t heard_ms; /* monotonic: when the client was last written to */
	bool ended;
	struct followers *all;
	struct follower *next;
	struct loop_timer *soon;
};

struct followers *followers_new(struct vmm *v);
/* End every follower, now and those to come. */
void followers_drain(struct followers *all);
void followers_free(struct followers *all);

/* Streams that are open, of @caller or (NULL) of all. */
unsigned followers_streams(const struct followers *all, const char *caller);

/* May one more be opened? ERR_RATE if the caller, its workspace (at most two thirds of all: many
 * keys of one leave room for the others), or all callers together have as many as they may. Fills
 * @share from @c if its caller is "". The follower gets it. */
int follow_allowed(const struct call *c, enum follow_kind kind, struct follow_share *share,
		   struct err *e);

/* Take over @c. The first look comes at once, from inside. */
void follow_add(struct follower *f, struct call *c, const struct follow_ops *ops);
/* finish() and free; no use of @f after the callback in progress has returned. */
void follow_end(struct follower *f);

/* Look again in a moment: for those who wait for a slow reader. */
void follow_soon(struct follower *f);

/* Call @fn(@f) from a callback of the loop that is not this file's: @fn may write, and may call
 * follow_end(). */
void follow_call(struct follower *f, void (*fn)(struct follower *f));

/* ------------------------------------------------------------------ server-sent events */

/* One event: "id:" if @seq > 0, "event:", "data:". False when the client is gone. */
bool sse_event(struct follower *f, int64_t seq, const char *event, const json_t *data);
/* A comment, if nothing was sent for @every_s. */
bool sse_heartbeat(struct follower *f, unsigned every_s);
void sse_begin(struct call *c);

#endif
