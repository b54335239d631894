/* SPDX-License-Identifier: Apache-2.0
 * reservation.h - reservations of devices and NUMA nodes (reservation.c). Loop thread only.
 */
#ifndef TEEPOD_VMM_ADMIT_RESERVATION_H
#define TEEPOD_VMM_ADMIT_RESERVATION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

struct admission;
struct cvm_request;
struct cvm_node_row;
struct cvm_row;
struct device_row;
struct numa_row;
struct placement;
struct vmm;

/* The error of a request that needs a fresh inventory of the host. inventory_may_allow() recognises
 * it. */
int inventory_is_stale(const char *field, struct err *e);
/* Choose devices and NUMA nodes for @req, and fill them and what follows from them into @a. Nothing
 * is reserved. */
int reservation_choose(struct vmm *v, const struct cvm_request *req, struct admission *a,
		       struct err *e);
/* ERR_CAPACITY if the hugepages of @a are not free. */
int reservation_would_fit(struct vmm *v, const struct admission *a, struct err *e);
/* [turn] Reserve devices and shares of NUMA nodes for the CVM whose row was just inserted as @id.
 */
int reservation_make(struct vmm *v, int64_t id, const struct admission *a, struct err *e);
/* For reservation_change.c: choose the NUMA nodes among @nodes[n]; check that the hugepages of
 * @shares are free (@any_node: other nodes could give them); fill the row. */
int reservation_choose_nodes(struct vmm *v, const struct cvm_request *req,
			     const struct numa_row *nodes, size_t n, struct admission *a,
			     struct err *e);
int hugepages_check(struct vmm *v, const struct cvm_node_row *shares, size_t n, bool any_node,
		    struct err *e);
void reservation_fill_row(const struct cvm_request *req, struct admission *a);
/* [turn] Reserve or release the hugepages of a CVM that keeps its row. */
int reservation_hold_hugepages(struct vmm *v, const struct cvm_row *c, bool hold, struct err *e);
/* The placement of a CVM, from its row. */
int placement_of_cvm(struct vmm *v, const struct cvm_row *c, struct placement *ret, struct err *e);
/* GPUs and NVSwitches of the host, as of the last inventory; *ret malloc'd, by address. */
int vmm_devices(struct vmm *v, struct device_row **ret, size_t *n, struct err *e);
/* The devices that a CVM holds, GPUs first. */
int vmm_devices_of(struct vmm *v, int64_t cvm, struct device_row **ret, size_t *n, struct err *e);
/* NUMA nodes of the host with their hugepages, as of the last inventory. */
int vmm_numa_nodes(struct vmm *v, struct numa_row **ret, size_t *n, struct err *e);

#endif
