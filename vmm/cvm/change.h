/* SPDX-License-Identifier: Apache-2.0
 * change.h - plan a change of a CVM, reserve it, and end it. Loop thread only.
 */
#ifndef TEEPOD_VMM_CVM_CHANGE_H
#define TEEPOD_VMM_CVM_CHANGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "db/cvms.h"
#include "db/ports.h"
#include "vmm/admit/admit.h"
#include "vmm/admit/ports.h"

struct cvm_change;
struct change_row;
struct cvm_row;
struct op_row;
struct update_request;
struct vmm;

enum change_of {
	CHANGE_VCPU,
	CHANGE_MEMORY,
	CHANGE_DISK,
	CHANGE_IMAGE,
	CHANGE_COMPOSE,
	CHANGE_TYPE,
	CHANGE_ENV,
	CHANGE_USER_CONFIG,
	CHANGE_PORTS,
	CHANGE_GPUS,
	CHANGE_LISTED,
	CHANGES
};

struct cvm_change {
	struct admission a; /* .row: the CVM after the change */
	bool differs[CHANGES];
	bool restart;           /* the CVM runs, and the change needs a restart */
	struct cvm_blobs blobs; /* of the CVM after the change, owned */
	struct port_row ports[CVM_PORTS_MAX];
	size_t n_ports, new_ports;
};

/* Compute the CVM after the change, and check that it fits. Reserves nothing. @inspected: the host
 * was inspected for this request. Free *ret with change_free(), also after a failure. */
int change_plan(struct vmm *v, const struct cvm_row *cvm, const struct update_request *req,
		bool inspected, struct cvm_change *ret, struct err *e);
void change_free(struct cvm_change *c);
/* [turn] Reserve the additional resources, and store the new state for operation @op. */
int change_reserve(struct vmm *v, const struct cvm_row *cvm, const struct cvm_change *c,
		   const char *op, struct err *e);
/* [turn] End the change @x: release what the CVM does not use now. */
int change_settle(struct vmm *v, const struct cvm_row *c, const struct change_row *x,
		  struct err *e);
/* [turn] Add an entry to the history of @c's app. @changed: JSON array. */
int change_add_history(struct vmm *v, const struct cvm_row *c, const char *changed,
		       const struct op_row *op, struct err *e);
/* Field names as in requests: "vcpu", "memory", "disk_size", "image", "compose_file",
 * "instance_type", "encrypted_env", ... */
extern const char *const change_word[CHANGES];

#endif
