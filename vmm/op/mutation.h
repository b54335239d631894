/* SPDX-License-Identifier: Apache-2.0
 * mutation.h - one change asked for from outside: applied in the turn's transaction, answered after
 * its commit, and answered the same again when the client comes back with the same Idempotency-Key.
 *
 * Only answers that are final are kept: a failure is rolled back together with its key, so a
 * transient failure never poisons it. Kept answers survive restarts: they are written by the same
 * transaction as the effect.
 */
#ifndef TEEPOD_VMM_OP_MUTATION_H
#define TEEPOD_VMM_OP_MUTATION_H

#include "vmm/logs/serial_scan.h"

struct vmm;

struct answer {
	int status;   /* HTTP-like: 200, 202, 204 */
	json_t *body; /* owned; NULL for none */
};

struct mutation {
	const char *caller; /* scope of the key, e.g. "key:3" */
	const char *key;    /* Idempotency-Key, NULL if none */
	const char *digest; /* SHA-256 hex of method, path and canonical body; needed with key */
	int64_t workspace;  /* whose share of events and kept answers it takes; 0: an operator's */
	bool gives_back; /* a delete or stop: also done when the share of events or answers is used
			    up */
	/* Inside the savepoint. Fills *ret. */
	int (*apply)(void *arg, struct answer *ret, struct err *e);
	/* After the commit. Exactly one of @a and @e. @replayed: the stored answer was given, apply
	 * did not run. Takes @a->body. */
	void (*done)(void *arg, struct answer *a, bool replayed, const struct err *e);
};

/* ERR_CONFLICT through done() when the key was used with another digest; ERR_UNAVAILABLE when
 * another process held the write lock of the database for 2 s. done() may come before this returns.
 * @m and its strings are copied. */
void vmm_mutate(struct vmm *v, const struct mutation *m, void *arg);

#endif
