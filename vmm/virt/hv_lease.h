/* SPDX-License-Identifier: Apache-2.0
 * hv_lease.h - internal to virt/: the connection to libvirt that a job works with.
 */
#ifndef TEEPOD_VMM_VIRT_HV_LEASE_H
#define TEEPOD_VMM_VIRT_HV_LEASE_H

#include <stdbool.h>
#include <stddef.h>

#include <libvirt/libvirt.h>

#include "base/err.h"

struct hypervisor;

/* The process that must answer the call of the job. */
enum hv_answer {
	HV_LIBVIRT, /* libvirt alone, or a QEMU that was just started */
	/* A running QEMU, and the job can be done later. Such calls without answer occupy threads
	 * of libvirtd, which has 20 (max_workers). So at most 12 are made at once. A further one
	 * waits until the deadline of its job (ERR_TIMEOUT). */
	HV_QEMU,
};

/* The connection stays valid until hv_lease_end(), even if it is lost meanwhile. With a remote
 * driver no other job uses it. */
struct hv_lease {
	struct hypervisor *h; /* NULL: no lease */
	virConnectPtr conn;
	unsigned generation; /* of the connections: a spare of an older one is not kept */
	enum hv_answer answer;
};

/* [job] ERR_UNAVAILABLE: not connected. ERR_CANCELLED or ERR_TIMEOUT: the job is too late. */
int hv_lease_begin(struct hypervisor *h, enum hv_answer answer, struct hv_lease *ret,
		   struct err *e);
/* [job] Does nothing if @lease is zero-initialised. */
void hv_lease_end(struct hv_lease *lease);

#define auto_lease __attribute__((cleanup(hv_lease_end)))

/* [job] virConnectOpen() with keepalive. */
virConnectPtr hv_connect(const char *uri);

/* Folder where the driver writes QEMU's logs. ERR_UNSUPPORTED if it is unknown. */
int hv_log_folder(const struct hypervisor *h, char *out, size_t n, struct err *e);
/* Folder where the driver writes the pid files of QEMUs. False if it is unknown. */
bool hv_run_folder(const struct hypervisor *h, char *out, size_t n);

#endif
