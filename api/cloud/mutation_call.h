/* SPDX-License-Identifier: Apache-2.0
 * mutation_call.h - a request that changes something: applied in the transaction of the turn,
 * answered after the commit.
 *
 * All these routes support Idempotency-Key. The answer is stored in the transaction of the effect
 * and returned again, with "Idempotent-Replayed: true", to the same caller with the same method,
 * path and body.
 *
 * All these routes on a CVM support If-Match (precondition.h), checked inside the transaction: of
 * two mutations with the same tag only one is applied. A stored answer is returned whatever the
 * tag: the tag was right when the mutation was applied.
 *
 * A mutation that needs devices, hugepages or host ports is refused at first, and applied after an
 * inspection of the host (admission_retry()), because what is free there changes without notice.
 */
#ifndef TEEPOD_API_CLOUD_MUTATION_CALL_H
#define TEEPOD_API_CLOUD_MUTATION_CALL_H

#include "api/cloud/context.h"

struct answer;

struct mutation_call;

struct mutation_call_ops {
	/* For mutation_call_run_json(): convert ch->body for apply(). An error is the answer. */
	int (*parse)(struct mutation_call *ch, struct err *e);
	/* Runs inside the transaction; an error rolls everything back. "operation_id" in the body
	 * is also sent as X-Operation-Id, so that a 204 has it too; "generation" is also sent as
	 * ETag. */
	int (*apply)(struct mutation_call *ch, struct answer *ret, struct err *e);
	/* Runs after the commit, only for the first answer: add to @body what must not be stored.
	 * NULL: nothing to add. */
	void (*reveal)(struct mutation_call *ch, json_t *body);
	void (*free)(struct mutation_call *ch); /* NULL: free() */
};

/* First member of the struct of each route. */
struct mutation_call {
	const struct mutation_call_ops *ops;
	struct call *call;
	json_t *body;        /* body of the request, owned; NULL if none */
	bool host_inspected; /* the host was inspected for this request */
};

/* Run the mutation and answer @c in every case. Takes @ch, zeroed by xcalloc(), and @body (may be
 * NULL). */
void mutation_call_run(struct mutation_call *ch, struct call *c, json_t *body,
		       const struct mutation_call_ops *ops);

/* The same for a route with a JSON body (@empty_ok: or none), which ops->parse() converts. */
void mutation_call_run_json(struct mutation_call *ch, struct call *c, bool empty_ok,
			    const struct mutation_call_ops *ops);

/* For mutations that run a job before the answer is known (image import). @next(@arg, false): no
 * answer is stored under the key; run the job and pass its answer to mutation_call_run() with the
 * same call and body. @next(@arg, true): the call has been answered, because the key has an answer,
 * was used for another request, or is malformed. */
void mutation_call_probe(struct call *c, const json_t *body, void (*next)(void *arg, bool answered),
			 void *arg);

#endif
