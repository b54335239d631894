/* SPDX-License-Identifier: Apache-2.0
 * devices.h - rows of GPUs and NVSwitches, by PCI address. The rules for all row functions: db.h.
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
	unsigned numa_node;       /* 0 if the kernel reports -1 (unknown) */
	int iommu_group;          /* -1 = none */
	char driver[DRIVER_TEXT]; /* bound driver at the last discovery, "" = none */
	bool opened;  /* at the last discovery: bound to vfio-pci and enabled, but not by one of our
			 CVMs; another program uses it */
	bool offered; /* clients may request it */
	bool present;
	char broken_reason[160]; /* "" = it works */
	int64_t cvm;             /* reserved for, 0 = free */
	/* joined from that CVM: */
	char cvm_uuid[UUID_TEXT];
	int64_t workspace;
	bool cvm_up;
};

/* Store what discovery found. The reservation does not change. */
int devices_put(struct db *db, const struct device_row *row, struct err *e);
/* Call before and after devices_put() of all devices found: devices_begin() marks all as absent,
 * devices_end() deletes absent devices that are not reserved. */
int devices_begin(struct db *db, struct err *e);
int devices_end(struct db *db, struct err *e);
/* All devices, ordered by address. */
int devices_list(struct db *db, struct device_row **ret, size_t *n, struct err *e);
/* Devices of @cvm's present state: GPUs first, then by address. */
int devices_of(struct db *db, int64_t cvm, struct device_row **ret, size_t *n, struct err *e);
/* Reserve a free device for @cvm until its row is deleted. 1: reserved; 0: not free or absent. */
int devices_reserve(struct db *db, const char *address, int64_t cvm, struct err *e);
/* Reserve @d[n] for the second state of @cvm. 1: reserved; 0: one of them is absent or reserved for
 * another CVM. */
int devices_plan(struct db *db, int64_t cvm, const struct device_row *d, size_t n, struct err *e);
/* End the change: release the devices that only the second state had. */
int devices_settle(struct db *db, int64_t cvm, struct err *e);

#endif
