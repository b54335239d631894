/* SPDX-License-Identifier: Apache-2.0
 * node.h - rows about the node: owner and maintenance. The rules for all row functions: db.h.
 */
#ifndef TEEPOD_DB_NODE_H
#define TEEPOD_DB_NODE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/id.h"
#include "db/db.h"
#include "db/text.h"

/* The node that owns this database: see vmm/node/owner.c. */
struct owner_row {
	char marker[UUID_TEXT];   /* random id, also stored in the marker file */
	int64_t inode;            /* of the marker file */
	char machine[SHA256_HEX]; /* digest of the machine-id */
	char host[64], dir[4096]; /* host name and state folder, for messages and to find the
				 original of a copy */
};

struct maintenance_row {
	bool on;
	char reason[200], caller[WHO_TEXT];
	int64_t since_ms;
	unsigned timeout_s; /* of a drain: time to shut down; @force: stop guests hard after it */
	bool force;
};

/* *ret is all zero if the node is not in maintenance. */
int maintenance_get(struct db *db, struct maintenance_row *ret, struct err *e);
int maintenance_set(struct db *db, const struct maintenance_row *row, struct err *e);
/* -ERR_NOT_FOUND without *e filled: there is no owner yet. */
int owner_get(struct db *db, struct owner_row *ret, struct err *e);
int owner_set(struct db *db, const struct owner_row *row, struct err *e);

#endif
