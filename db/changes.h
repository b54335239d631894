/* SPDX-License-Identifier: Apache-2.0
 * changes.h - the other state of a CVM while it is changed. For the common rules of these functions
 * see db.h.
 */
#ifndef TEEPOD_DB_CHANGES_H
#define TEEPOD_DB_CHANGES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/id.h"
#include "db/cvms.h"
#include "db/db.h"
#include "db/text.h"

/* The state of a CVM that it does not have now: what it will be, or, once @applied, what it was. */
struct change_row {
	char op[UUID_TEXT];
	int64_t cvm;
	bool applied;
	char changed[256]; /* JSON array of words: what differs */
	int64_t revision, image;
	char instance_type[NAME_TEXT];
	int64_t vcpus, memory_mib, disk_gib, given_vcpus, given_memory_mib;
	char numa_nodes[NODES_TEXT];
	char gpu_attach[8];
	bool listed;
	struct cvm_blobs blobs; /* owned: cvm_blobs_free() */
};

int changes_insert(struct db *db, const struct change_row *row, struct err *e);
/* By operation. */
int changes_get(struct db *db, const char *op, struct change_row *ret, struct err *e);
int changes_remove(struct db *db, const char *op, struct err *e);
/* The CVM's row, ports, devices and shares become those of @row and the other way round,
 * @row->applied turns; all but the disk's size. */
int changes_swap(struct db *db, struct change_row *row, struct err *e);

#endif
