/* SPDX-License-Identifier: Apache-2.0
 * idempotency.h - rows of idempotency keys. The rules for all row functions: db.h.
 */
#ifndef TEEPOD_DB_IDEMPOTENCY_H
#define TEEPOD_DB_IDEMPOTENCY_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/id.h"
#include "db/db.h"

struct idempotency_row {
	char digest[SHA256_HEX];
	int status;
	char *body; /* owned; NULL: none */
};

int idempotency_get(struct db *db, const char *caller, const char *key, struct idempotency_row *ret,
		    struct err *e);
/* Store the response to a request. @workspace: whose quota it counts for; 0: an operator's. */
int idempotency_put(struct db *db, int64_t workspace, const char *caller, const char *key,
		    const char *digest, int status, const char *body, struct err *e);
/* Like ops_prune(). */
int idempotency_prune(struct db *db, int64_t created_before_ms, struct err *e);

#endif
