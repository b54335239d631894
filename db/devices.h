/* SPDX-License-Identifier: Apache-2.0
 * devices.h - rows of GPUs and NVSwitches, by PCI address. For the common rules of these functions
 * see db.h.
 */
#ifndef TEEPOD_DB_DEVICES_H
#define TEEPOD_DB_DEVICES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/id.h"
#include "db/db.h"

enum device_kind { DEVICE_GPU, DEVICE_NVSWITCH, DEVICE_KINDS };

extern const char *const device_kind_word[DEVICE_KINDS];

enum { PCI_TEXT = 13, PRODUCT_TEXT = 10, DRIVER_TEXT = 32 };

struct device_row {
	char address[PCI_TEXT]; /* "0000:18:00.0" */
	enum device_kind kind;
	char product_id[PRODUCT_TEXT]; /* "10de:2335" */
	char description[80];
	unsigned numa_node;       /* -1 of the kernel (unknown) is 0 */
	int iommu_group;          /* -1 = none */
	char driver[DRIVER_TEXT]; /* bound to at the last look, "" = none */
	bool opened;  /* bound to vfio-pci and enabled, by no CVM of ours, at the last look: another
			 program uses it */
	bool offered; /* may be asked for */
	bool present;
	char broken_reason[160]; /* "" = it is well */
	int64_t cvm;             /* held by, 0 = nobody */
	/* joined, of the holder: */
	char cvm_uuid[UUID_TEXT];
	int64_t workspace;
	bool cvm_up;
};

/* What is there, by discovery: everything but the holder. */
int devices_put(struct db *db, const struct device_row *row, struct err *e);
/* Before the devices found are put: none is present. Afterwards those gone and not held are
 * forgotten. */
int devices_begin(struct db *db, struct err *e);
int devices_end(struct db *db, struct err *e);
/* By address. *ret malloc'd. */
int devices_list(struct db *db, struct device_row **ret, size_t *n, struct err *e);
/* Held by @cvm, GPUs first, each by address. *ret malloc'd. */
int devices_of(struct db *db, int64_t cvm, struct device_row **ret, size_t *n, struct err *e);
/* Reserve for @cvm, until its row goes, if nobody holds it: 1 done, 0 held (or gone). */
int devices_reserve(struct db *db, const char *address, int64_t cvm, struct err *e);
/* The other state's devices become @d[n]: 1 done, 0 one of them is held by another CVM (or gone).
 */
int devices_plan(struct db *db, int64_t cvm, const struct device_row *d, size_t n, struct err *e);
int devices_settle(struct db *db, int64_t cvm, struct err *e);

#endif
