/* SPDX-License-Identifier: Apache-2.0
 * body_parse.h - JSON of long request bodies, parsed by a job.
 */
#ifndef TEEPOD_API_HTTP_BODY_PARSE_H
#define TEEPOD_API_HTTP_BODY_PARSE_H

#include <stdbool.h>
#include <sys/queue.h>

#include <jansson.h>
#include <uv.h>

#include "api/http/caller.h"
#include "base/err.h"

enum body_event {
	BODY_TAKEN,   /* the job begins: text and caller must stay until the next event */
	BODY_PARSED,  /* the job has ended */
	BODY_REFUSED, /* it waited too long, the job was dropped, or the queue is gone */
};

struct body_spec {
	const char *text; /* borrowed */
	size_t len;
	const struct caller *caller; /* borrowed */
	bool wants_canonical;
	/* Loop thread. BODY_TAKEN may be followed by one other event; BODY_PARSED and BODY_REFUSED
	 * are the last one. The callback may free the body then. */
	void (*on_event)(void *arg, enum body_event event);
	void *arg;
};

struct body_parse {
	struct body_spec spec;
	struct body_queue *queue; /* NULL: the queue is gone */
	TAILQ_ENTRY(body_parse) entry;
	bool waiting;     /* in the queue; else it is being parsed or is done */
	int64_t until_ms; /* clock_mono_ms(): when waiting ends with BODY_REFUSED */

	json_t *json;    /* owned; NULL: refused, see e, or handed to the handler */
	json_t *given;   /* what the handler got; only to be compared with */
	char *canonical; /* owned; NULL unless wanted */
	struct err e;
};

TAILQ_HEAD(body_parse_queue, body_parse);

struct body_queue {
	uv_loop_t *loop;
	unsigned wait_ms;
	struct body_parse_queue waiting; /* oldest first */
	struct loop_timer *timer;        /* of the oldest one's until_ms */
	bool parsing;                    /* a job is running */
};

void body_queue_init(struct body_queue *q, uv_loop_t *loop, unsigned wait_ms);
void body_queue_close(struct body_queue *q);

/* Queue a body. NULL if the queue is full: no event follows. BODY_TAKEN may come before the
 * function returns. */
struct body_parse *body_parse_start(struct body_queue *q, const struct body_spec *spec);

/* The queue ends before the job does. */
void body_parse_detach(struct body_parse *b);

/* Not while a job parses it. NULL is fine. */
void body_parse_free(struct body_parse *b);

#endif
