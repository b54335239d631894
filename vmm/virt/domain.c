/* SPDX-License-Identifier: Apache-2.0
 * domain.c - operations on domains: define, start, end, resume, state, list, resize a disk.
 *
 * Every function blocks and belongs in a job.
 *
 * What must hold: states and lists come only from calls that libvirt answers from its own memory.
 * QEMU's monitor protocol has no deadline, so one call that requests statistics from a stopped QEMU
 * would block its thread for ever. Calls that need an answer from QEMU use HV_QEMU (hv_lease.h).
 *
 * Finding and releasing a domain: domain_ref.c. Port forwards: monitor.c.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <libvirt/virterror.h>

#include "base/alloc.h"
#include "base/fd.h"
#include "base/own.h"
#include "vmm/virt/domain_ref.h"
#include "vmm/virt/domain_spec.h"
#include "vmm/virt/hypervisor.h"
#include "vmm/virt/qemu_pid.h"
#include "vmm/virt/virt_error.h"

enum { DOMAIN_DISKS_MAX = 64 };

int hv_define(struct hypervisor *h, const char *xml, struct err *e)
{
	auto_lease struct hv_lease lease = { 0 };
	virDomainPtr dom;
	int r = hv_lease_begin(h, HV_LIBVIRT, &lease, e);

	if (r)
		return r;
	dom = virDomainDefineXML(lease.conn, xml);
	if (!dom)
		return virt_err(e, "define domain");
	(void)virDomainFree(dom);
	return 0;
}

static bool domain_is_paused(virDomainPtr dom)
{
	int state = 0;

	return !virDomainGetState(dom, &state, NULL, 0) && state == VIR_DOMAIN_PAUSED;
}

/* QEMU forgets the disk errors when it continues. A disk that is still full pauses it again. */
static int domain_resume(virDomainPtr dom, struct err *e)
{
	if (!domain_is_paused(dom) || !virDomainResume(dom))
		return 0;
	return domain_is_active(dom) ? virt_err(e, "resume domain") : domain_not_running(e);
}

int hv_start(struct hypervisor *h, const char *uuid, struct err *e)
{
	auto_domain_ref struct domain_ref ref = { 0 };
	auto_close int pid_file = -1;
	int r = domain_ref_open(h, uuid, HV_LIBVIRT, &ref, e);

	if (r)
		return r;
	pid_file = qemu_pid_open(h, virDomainGetName(ref.dom));
	if (!virDomainCreate(ref.dom))
		return 0;
	r = virt_err(e, "start domain");
	/* "domain is already running" */
	if (virGetLastErrorCode() == VIR_ERR_OPERATION_INVALID && qemu_has_ended(pid_file))
		return err_set(e, ERR_UNAVAILABLE,
			       "libvirt has not noticed yet that the last QEMU has ended");
	if (!domain_is_active(ref.dom))
		return r;
	/* The domain exists but is paused, by hand or by QEMU because its disk was full.
	 * A started domain must run. */
	return domain_resume(ref.dom, e);
}

/* libvirt returns VIR_ERR_NO_DOMAIN for a domain that ended while it was reconnecting to it. */
int hv_destroy(struct hypervisor *h, const char *uuid, struct err *e)
{
	auto_domain_ref struct domain_ref ref = { 0 };
	int r = domain_ref_open(h, uuid, HV_LIBVIRT, &ref, e);

	if (r)
		return r == -ERR_NOT_FOUND ? 0 : r;
	if (!virDomainDestroy(ref.dom))
		return 0;
	r = virt_err(e, "end domain");
	/* "cannot acquire state change lock", after 30 s: libvirt is busy with the domain,
	 * or lost track of it until libvirtd is restarted. */
	if (r == -ERR_TIMEOUT) {
		e->code = ERR_UNAVAILABLE;
		return -ERR_UNAVAILABLE;
	}
	if (r == -ERR_NOT_FOUND || virGetLastErrorCode() == VIR_ERR_OPERATION_INVALID)
		return domain_is_active(ref.dom) ? r : 0;
	return r;
}

int hv_power_button(struct hypervisor *h, const char *uuid, struct err *e)
{
	auto_domain_ref struct domain_ref ref = { 0 };
	int r = domain_ref_open(h, uuid, HV_QEMU, &ref, e);

	if (!r)
		r = domain_resume(ref.dom, e);
	if (r)
		return r;
	if (!virDomainShutdownFlags(ref.dom, VIR_DOMAIN_SHUTDOWN_ACPI_POWER_BTN))
		return 0;
	if (domain_is_paused(ref.dom))
		return err_set(
			e, ERR_CONFLICT,
			"the guest was paused again before it could react to the power button");
	r = virt_err(e, "press the power button");
	return domain_is_active(ref.dom) ? r : domain_not_running(e);
}

int hv_resume(struct hypervisor *h, const char *uuid, struct err *e)
{
	auto_domain_ref struct domain_ref ref = { 0 };
	int r = domain_ref_open_running(h, uuid, HV_QEMU, &ref, e);

	return r ? r : domain_resume(ref.dom, e);
}

int hv_undefine(struct hypervisor *h, const char *uuid, struct err *e)
{
	const unsigned flags =
		VIR_DOMAIN_UNDEFINE_MANAGED_SAVE | VIR_DOMAIN_UNDEFINE_SNAPSHOTS_METADATA;
	auto_domain_ref struct domain_ref ref = { 0 };
	int r = domain_ref_open(h, uuid, HV_LIBVIRT, &ref, e);

	if (r)
		return r == -ERR_NOT_FOUND ? 0 : r;
	/* A running domain becomes transient. It may run because a start that was abandoned
	 * completed after the destroy. */
	if (!virDomainUndefineFlags(ref.dom, flags))
		return domain_is_active(ref.dom) && virDomainDestroy(ref.dom) &&
				       domain_is_active(ref.dom)
			       ? virt_err(e, "end domain")
			       : 0;
	r = virt_err(e, "undefine domain");
	return r == -ERR_NOT_FOUND ? 0 : r;
}

/* A domain that is shutting down still has a QEMU, so it counts as running. libvirt starts each
 * domain paused, so one that is starting counts as running, too. */
static enum domain_state domain_state_of(int state, int reason)
{
	switch (state) {
	case VIR_DOMAIN_SHUTOFF:
		if (reason == VIR_DOMAIN_SHUTOFF_CRASHED || reason == VIR_DOMAIN_SHUTOFF_FAILED)
			return DOMAIN_CRASHED;
		return reason == VIR_DOMAIN_SHUTOFF_UNKNOWN ? DOMAIN_UNTOLD : DOMAIN_OFF;
	case VIR_DOMAIN_CRASHED:
		return DOMAIN_CRASHED;
	case VIR_DOMAIN_PAUSED:
		if (reason == VIR_DOMAIN_PAUSED_STARTING_UP)
			return DOMAIN_RUNNING;
		return reason == VIR_DOMAIN_PAUSED_IOERROR ? DOMAIN_PAUSED_IO : DOMAIN_PAUSED;
	default:
		return DOMAIN_RUNNING;
	}
}

/* While libvirt ends a domain it releases its lock, and reports the domain as running then. */
static int domain_get_state(struct hypervisor *h, virDomainPtr dom, enum domain_state *ret,
			    struct err *e)
{
	auto_close int pid_file = qemu_pid_open(h, virDomainGetName(dom));
	int state, reason, r;

	if (!virDomainGetState(dom, &state, &reason, 0)) {
		*ret = domain_state_of(state, reason);
		if (domain_state_is_up(*ret) && qemu_has_ended(pid_file))
			*ret = DOMAIN_ENDING;
		return 0;
	}
	r = virt_err(e, "state of domain");
	if (r == -ERR_NOT_FOUND) {
		*ret = DOMAIN_ABSENT;
		return 0;
	}
	return r;
}

int hv_state(struct hypervisor *h, const char *uuid, enum domain_state *ret, struct err *e)
{
	auto_domain_ref struct domain_ref ref = { 0 };
	int r = domain_ref_open(h, uuid, HV_LIBVIRT, &ref, e);

	if (!r)
		return domain_get_state(h, ref.dom, ret, e);
	if (r == -ERR_NOT_FOUND) {
		*ret = DOMAIN_ABSENT;
		return 0;
	}
	return r;
}

int hv_pause_cause(struct hypervisor *h, const char *uuid, enum domain_state *ret, struct err *e)
{
	virDomainDiskError disk[DOMAIN_DISKS_MAX];
	auto_domain_ref struct domain_ref ref = { 0 };
	enum domain_state cause = DOMAIN_PAUSED_IO;
	int n, r = domain_ref_open(h, uuid, HV_QEMU, &ref, e);

	if (r)
		return r;
	n = virDomainGetDiskErrors(ref.dom, disk, DOMAIN_DISKS_MAX, 0);
	if (n < 0)
		return virt_err(e, "errors of disks");
	for (int i = 0; i < n; i++) {
		if (disk[i].error == VIR_DOMAIN_DISK_ERROR_NO_SPACE)
			cause = DOMAIN_PAUSED_NOSPC;
		free(disk[i].disk);
	}
	*ret = cause;
	return 0;
}

static bool domain_is_ours(virDomainPtr dom)
{
	auto_free char *xml =
		virDomainGetMetadata(dom, VIR_DOMAIN_METADATA_ELEMENT, DOMAIN_NAMESPACE, 0);

	return xml != NULL;
}

static void domains_free(virDomainPtr *all, int n)
{
	for (int i = 0; i < n; i++)
		(void)virDomainFree(all[i]);
	free(all);
}

/* Keep the domains that have our metadata. Domains that are removed meanwhile are left out. */
static int list_our_domains(struct hypervisor *h, virDomainPtr *all, int n, struct hv_domain *ret,
			    size_t *ret_n, struct err *e)
{
	*ret_n = 0;
	for (int i = 0; i < n; i++) {
		struct hv_domain *d = &ret[*ret_n];
		int r;

		if (!domain_is_ours(all[i]))
			continue;
		r = domain_get_state(h, all[i], &d->state, e);
		if (r)
			return r;
		if (d->state == DOMAIN_ABSENT || virDomainGetUUIDString(all[i], d->uuid))
			continue;
		(*ret_n)++;
	}
	return 0;
}

int hv_list(struct hypervisor *h, struct hv_domain **ret, size_t *ret_n, struct err *e)
{
	auto_lease struct hv_lease lease = { 0 };
	auto_free struct hv_domain *list = NULL;
	virDomainPtr *all = NULL;
	size_t n = 0;
	int found, r = hv_lease_begin(h, HV_LIBVIRT, &lease, e);

	if (r)
		return r;
	found = virConnectListAllDomains(lease.conn, &all, 0);
	if (found < 0)
		return virt_err(e, "list domains");
	list = xcalloc((size_t)found + 1, sizeof(*list));
	r = list_our_domains(h, all, found, list, &n, e);
	domains_free(all, found);
	if (r)
		return r;
	*ret = take_ptr(&list);
	*ret_n = n;
	return 0;
}

/* The disk is named by its file: its target name depends on the number of disks. */
int hv_block_resize(struct hypervisor *h, const char *uuid, const char *path, uint64_t bytes,
		    struct err *e)
{
	auto_domain_ref struct domain_ref ref = { 0 };
	int r = domain_ref_open_running(h, uuid, HV_QEMU, &ref, e);

	if (r)
		return r;
	if (!virDomainBlockResize(ref.dom, path, bytes, VIR_DOMAIN_BLOCK_RESIZE_BYTES))
		return 0;
	r = virt_err(e, "resize the disk");
	return domain_is_active(ref.dom) ? r : domain_not_running(e);
}

int hv_qemu_log_path(struct hypervisor *h, const char *name, char *out, size_t n, struct err *e)
{
	char folder[256];
	int r = hv_log_folder(h, folder, sizeof(folder), e);

	if (r)
		return r;
	if ((size_t)snprintf(out, n, "%s/%s.log", folder, name) >= n)
		return err_set(e, ERR_INVALID, "path of QEMU's log is longer than %zu bytes", n);
	return 0;
}
