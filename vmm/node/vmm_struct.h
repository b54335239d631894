/* SPDX-License-Identifier: Apache-2.0
 * vmm_struct.h - the members of struct vmm, for node.c and vmm.c alone.
 *
 * All other files call the functions of node.h. Members of one room belong into a struct of that
 * room.
 */
#ifndef TEEPOD_VMM_NODE_VMM_STRUCT_H
#define TEEPOD_VMM_NODE_VMM_STRUCT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "db/node.h"
#include "vmm/node/settings.h"

struct vmm {
	struct vmm_settings set;
	struct db *db;
	struct turn *turn;
	struct hypervisor *hv;
	int64_t workspace;  /* the default one */
	int64_t last_event; /* number of the newest event that is committed */
	int64_t opened_ms;
	uint64_t keys_generation;
	bool (*name_is_reserved)(const char *name); /* NULL: no name is */
	/* Why the state folder is not this node's (owner.c); "" = it is. Maintenance shows it. */
	char foreign[sizeof(((struct maintenance_row *)NULL)->reason)];

	bool link_up;
	bool link_tried; /* the first attempt to connect has ended, or none will be made */
	bool settled;    /* the domains were listed and recorded since the last connect */
	char link_error[400];

	bool closing, close_begun;
	unsigned jobs;                  /* jobs under way, outside operations */
	void (*on_idle)(struct vmm *v); /* closing, and no job is under way outside operations */
	void (*closed)(void *arg, unsigned stuck);
	void *closed_arg;
	struct loop_timer *close_timer;

	struct image_store *images;
	struct billing *billing;
	struct capacity_state *capacity;
	struct engine *engine;
	struct guests *guests;
	struct host_watch *host;
	struct housekeeping *housekeeping;
	struct inventory *inventory;
	struct measuring *measuring;
	struct observer *observer;
	struct policies *policies;
	struct probing *probing;
	struct resumes *resumes;
};

#endif
