/* SPDX-License-Identifier: Apache-2.0
 * vmm_struct.h - struct vmm.
 */
#ifndef TEEPOD_VMM_NODE_VMM_STRUCT_H
#define TEEPOD_VMM_NODE_VMM_STRUCT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "db/node.h"
#include "db/ledger.h"
#include "db/records.h"
#include "vmm/logs/serial_scan.h"
#include "vmm/node/settings.h"

struct billing;
struct capacity_state;
struct inventory;
struct maintenance_row;
struct engine;
struct policies;
struct probing;

struct vmm {
	struct vmm_settings set;
	struct db *db;
	struct turn *turn;
	struct hypervisor *hv;
	int64_t workspace;  /* the default one */
	int64_t last_event; /* number of the newest event that is committed */
	bool link_up;       /* connected */
	bool link_tried;    /* or was, or could not: the first attempt is over */
	bool settled;       /* reconciled since the last connect: operations may go on */
	char link_error[400];
	int64_t opened_ms;
	/* Why the state folder is not this node's (owner.c); "" = it is. Maintenance shows it. */
	char foreign[sizeof(((struct maintenance_row *)NULL)->reason)];
	struct housekeeping *housekeeping;
	bool closing, close_begun;
	void (*on_idle)(struct vmm *v); /* closing, and no job is under way outside operations */
	void (*closed)(void *arg, unsigned stuck);
	void *closed_arg;
	struct loop_timer *close_timer;
	unsigned jobs; /* jobs under way, outside operations */
	struct image_store *images;
	struct measuring *measuring;
	struct inventory *inventory;
	struct probing *probing;
	struct capacity_state *capacity;
	struct engine *engine;
	struct policies *policies;
	struct guests *guests;
	struct host_watch *host;
	struct observer *observer;
	struct billing *billing;
	struct resumes *resumes;
	uint64_t keys_generation;
	bool (*name_is_reserved)(const char *name); /* NULL: no name is */
};

#endif
