/* SPDX-License-Identifier: Apache-2.0
 * changes.h - the second state of a CVM during a change. The rules for all row functions: db.h.
 */
#ifndef TEEPOD_DB_CHANGES_H
#define TEEPOD_DB_CHANGES_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/id.h"
#include "db/cvms.h"
#include "db/db.h"
#include "db/text.h"

/* The state that a CVM does not have now: its next state or, once @applied, its previous one. */
struct change_row {
	char op[UUID_TEXT];
	int64_t cvm;
	bool applied;
	char changed[256]; /* JSON array of words: the fields that differ */
	int64_t revision, image;
	char instance_type[NAME_TEXT];
	int64_t vcpus, memory_mib, disk_gib, given_vcpus, given_memory_mib;
	char numa_nodes[NODES_TEXT];
	char gpu_attach[8];
	bool listed;
	struct cvm_blobs blobs; /* owned: cvm_blobs_free() */
};

int changes_insert(struct db *db, const struct change_row *row, struct err *e);
/* The change that operation @op makes. */
int changes_get(struct db *db, const char *op, struct change_row *ret, struct err *e);
int changes_remove(struct db *db, const char *op, struct err *e);
/* Exchange the CVM's state (row, ports, devices, NUMA memory) with @row and toggle @row->applied.
 * The disk size is not exchanged: cvms_set_disk(). */
int changes_swap(struct db *db, struct change_row *row, struct err *e);

#endif
