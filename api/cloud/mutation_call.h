/* SPDX-License-Identifier: Apache-2.0
 * mutation_call.h - a request that changes something: applied in the turn's transaction, answered
 * after its commit.
 *
 * Every such route honours Idempotency-Key: the answer is kept in the transaction of the effect,
 * and given again, marked "Idempotent-Replayed: true", to the same caller with the same method,
 * path and body.
 *
 * Every such route on a CVM honours If-Match (precondition.h), inside the transaction: of two
 * changes with the same tag one is applied. A kept answer is given whatever the tag: its change was
 * applied when the tag was right.
 *
 * A change that wants devices, hugepages or host ports is first refused, and applied after the host
 * was looked at (admission_retry()): what is free there changes without anybody telling us.
 */
#ifndef TEEPOD_API_CLOUD_MUTATION_CALL_H
#define TEEPOD_API_CLOUD_MUTATION_CALL_H

#include "api/cloud/context.h"

struct answer;

struct mutation_call;

struct mutation_call_ops {
	/* Inside the transaction; failing takes everything back. An "operation_id" in the body also
	 * becomes the header X-Operation-Id, so that a 204 has one too; a "generation" becomes its
	 * ETag. */
	int (*apply)(struct mutation_call *ch, struct answer *ret, struct err *e);
	/* After the commit, only for the first answer: add to @body what must not be kept. NULL:
	 * nothing. */
	void (*reveal)(struct mutation_call *ch, json_t *body);
	void (*free)(struct mutation_call *ch); /* NULL: free() */
};

/* First member of the route's own struct. */
struct mutation_call {
	const struct mutation_call_ops *ops;
	struct call *call;
	json_t *body; /* the request's, owned; NULL if none */
	bool looked;  /* at the host, for this request */
};

/* Takes @ch, zeroed by xcalloc(), and @body (may be NULL). Answers @c in every case. */
void mutation_call_run(struct mutation_call *ch, struct call *c, json_t *body,
		       const struct mutation_call_ops *ops);

/* For changes that take a job between question and answer (image import): calls @next(@arg, false)
 * when this key has no answer yet; the job then runs, and its answer goes through
 * mutation_call_run() with the same call and body. @next(@arg, true): the call has been answered,
 * because the key had an answer, was used for something else, or is malformed. */
void mutation_call_probe(struct call *c, const json_t *body, void (*next)(void *arg, bool answered),
			 void *arg);

#endif
