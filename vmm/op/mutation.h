/* SPDX-License-Identifier: Apache-2.0
 * mutation.h - one change that a client requests: applied in the transaction of the turn and
 * answered after its commit. A repeated request with the same Idempotency-Key gets the stored
 * answer.
 *
 * Only final answers are stored: a failed request is rolled back together with its key, so the key
 * can be used again. An answer is stored in the same transaction as its effect, so it survives
 * restarts.
 */
#ifndef TEEPOD_VMM_OP_MUTATION_H
#define TEEPOD_VMM_OP_MUTATION_H

#include "vmm/logs/serial_scan.h"

struct vmm;

struct answer {
	int status;   /* HTTP status: 200, 202, 204 */
	json_t *body; /* owned; NULL for none */
};

struct mutation {
	const char *caller; /* scope of the key, e.g. "key:3" */
	const char *key;    /* Idempotency-Key, NULL if none */
	const char *digest; /* SHA-256 hex of method, path and canonical body; needed with key */
	int64_t workspace;  /* its share of events and stored answers is used; 0: an operator's
			       request */
	bool gives_back;    /* a delete or stop: accepted even if the share of events or answers is
			       used up */
	/* In the savepoint of the turn. Fills *ret on success. */
	int (*apply)(void *arg, struct answer *ret, struct err *e);
	/* After the commit. Exactly one of @a and @e is not NULL. @replayed: @a is the stored
	 * answer, and apply() did not run. Takes ownership of @a->body. */
	void (*done)(void *arg, struct answer *a, bool replayed, const struct err *e);
};

/* Apply @m. done() receives ERR_CONFLICT if the key was used with another digest, and
 * ERR_UNAVAILABLE if another process held the write lock of the database for 2 s. done() may be
 * called before this returns. @m and its strings are copied. */
void vmm_mutate(struct vmm *v, const struct mutation *m, void *arg);

#endif
