/* SPDX-License-Identifier: Apache-2.0
 * host_check.c - evaluate the facts of the host: one function per row.
 *
 * A row contains what was found and, if that is not enough, the remedy: the next command or BIOS
 * setting (the background is in docs/tdx-host.md). Rows overlap on purpose: without the BIOS
 * setting kvm_intel.tdx, tdx_module and tdx_keyids are all missing, and which of them has the most
 * useful advice differs from host to host.
 *
 * "Unknown" differs from "missing": a container sees neither the root cgroup nor the MSRs, but its
 * TDs work.
 */
#include <assert.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "vmm/host/host_check.h"
#include "vmm/host/host_facts.h"
#include "vmm/host/numa.h"
#include "vmm/virt/hypervisor.h"

const char *const check_state_word[CHECK_STATES] = { [CHECK_OK] = "ok",
						     [CHECK_WARN] = "warn",
						     [CHECK_UNKNOWN] = "unknown",
						     [CHECK_MISSING] = "missing" };

typedef void row_fn(const struct host_check_input *in, struct host_check *r);

static void found(struct host_check *r, enum check_state state, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
static void advise(struct host_check *r, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

static void found(struct host_check *r, enum check_state state, const char *fmt, ...)
{
	va_list ap;

	r->state = state;
	va_start(ap, fmt);
	(void)vsnprintf(r->value, sizeof(r->value), fmt, ap);
	va_end(ap);
}

static void advise(struct host_check *r, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(r->advice, sizeof(r->advice), fmt, ap);
	va_end(ap);
}

/* ------------------------------------------------------------------ the machine */

static bool is_intel(const struct host_facts *f)
{
	return !strcmp(f->cpu.vendor, "GenuineIntel");
}

/* A CPU without TDX: rows that depend on TDX are missing, not unknown. */
static bool no_tdx_cpu(const struct host_facts *f)
{
	return *f->cpu.vendor && !is_intel(f);
}

static void row_cpu(const struct host_check_input *in, struct host_check *r)
{
	const struct cpu_facts *c = &in->facts->cpu;
	const char *model = *c->model ? c->model : c->vendor;

	if (!*c->vendor) {
		found(r, CHECK_UNKNOWN, "/proc/cpuinfo names no vendor");
	} else if (no_tdx_cpu(in->facts)) {
		found(r, CHECK_MISSING, "%s is not an Intel CPU", model);
		advise(r, "another machine is needed: Intel Xeon Scalable of the 5th generation, "
			  "Xeon 6 or newer");
	} else if (in->facts->kvm_tdx == FACT_YES) {
		found(r, CHECK_OK, "%s", model);
	} else if (c->hypervisor) {
		found(r, CHECK_MISSING, "%s, inside a virtual machine", model);
		advise(r, "TDX guests run on the machine itself, not in a virtual machine on it");
	} else if (!c->vmx) {
		found(r, CHECK_MISSING, "%s, without VMX", model);
		advise(r, "BIOS: enable Intel Virtualization Technology (VMX)");
	} else {
		found(r, CHECK_OK, "%s%s", model,
		      c->tdx_enabled ? ", TDX enabled by the BIOS" : "");
	}
}

static void row_kvm(const struct host_check_input *in, struct host_check *r)
{
	if (in->facts->kvm == DEVICE_PRESENT) {
		found(r, CHECK_OK, "/dev/kvm");
	} else if (in->facts->kvm == DEVICE_DENIED) {
		found(r, CHECK_UNKNOWN, "/dev/kvm may not be opened by this user");
		advise(r,
		       "QEMU's user and the daemon's must be able to: add them to the group kvm");
	} else {
		found(r, CHECK_MISSING, "no /dev/kvm");
		advise(r, "modprobe kvm_intel; if that fails, enable VMX in the BIOS");
	}
}

#define COMMAND_LINE "kernel command line: add kvm_intel.tdx=1 nohibernate, then reboot"

static void row_kvm_tdx(const struct host_check_input *in, struct host_check *r)
{
	const struct host_facts *f = in->facts;

	if (f->kvm_tdx == FACT_YES) {
		found(r, CHECK_OK, "Y");
	} else if (f->kvm_tdx == FACT_NO) {
		found(r, CHECK_MISSING, "N: not requested, or KVM could not initialise TDX");
		advise(r, COMMAND_LINE "; still N: dmesg | grep -i tdx shows why");
	} else if (no_tdx_cpu(f)) {
		found(r, CHECK_MISSING, "none: not an Intel CPU");
	} else if (f->kvm_intel) {
		found(r, CHECK_MISSING, "KVM of Linux %s has no such parameter",
		      *f->kernel ? f->kernel : "?");
		advise(r, "use Linux 6.16 or newer, built with CONFIG_INTEL_TDX_HOST");
	} else {
		found(r, CHECK_MISSING, "kvm_intel is not loaded");
		advise(r, "modprobe kvm_intel tdx=1; for good: " COMMAND_LINE);
	}
}

static void row_module(const struct host_check_input *in, struct host_check *r)
{
	const struct host_facts *f = in->facts;

	if (*f->tdx_module) {
		found(r, CHECK_OK, "version %s", f->tdx_module);
	} else if (f->kvm_tdx == FACT_YES) {
		found(r, CHECK_OK, "initialised by KVM; this kernel does not report its version");
	} else if (no_tdx_cpu(f)) {
		found(r, CHECK_MISSING, "none: not an Intel CPU");
	} else if (f->hibernation == FACT_YES) {
		found(r, CHECK_MISSING,
		      "not initialised: the kernel refuses while it could hibernate");
		advise(r, "kernel command line: add nohibernate, then reboot");
	} else {
		found(r, CHECK_UNKNOWN, "the kernel shows none");
		advise(r,
		       "see dmesg | grep virt/tdx. \"module not loaded\": enable the SEAM loader "
		       "in the BIOS");
	}
}

#define KEY_SPLIT "BIOS: enable TME, TME-MT and TDX, and set the TME-MT/TDX key split above 0"

static void keyids_reported(const struct host_check_input *in, struct host_check *r)
{
	const struct keyid_facts *k = &in->facts->keyids;
	char used[48] = "";

	if (k->used_known)
		(void)snprintf(used, sizeof(used), ", %" PRIu64 " in use", k->used);
	found(r, CHECK_OK, "%" PRIu64 " TDX guests at once%s", k->guests, used);
	if (in->slots > 0 && (uint64_t)in->slots > k->guests)
		advise(r,
		       "lower capacity.slots from %" PRId64 " to %" PRIu64
		       ": each running CVM takes one",
		       in->slots, k->guests);
}

static void row_keyids(const struct host_check_input *in, struct host_check *r)
{
	const struct keyid_facts *k = &in->facts->keyids;

	if (k->reported && k->guests) {
		keyids_reported(in, r);
	} else if (k->msr_read && k->msr_private > 1) {
		found(r, CHECK_OK,
		      "%" PRIu32 " given to TDX by the BIOS, %" PRIu32 " of them for guests",
		      k->msr_private, k->msr_private - 1);
	} else if (k->reported || k->msr_read) {
		found(r, CHECK_MISSING, "the BIOS has given no key ids to TDX guests");
		advise(r, KEY_SPLIT);
	} else if (no_tdx_cpu(in->facts)) {
		found(r, CHECK_MISSING, "none: not an Intel CPU");
	} else {
		found(r, CHECK_UNKNOWN, "neither the misc cgroup nor MSR 0x87 can be read");
		advise(r, "as root: modprobe msr, and run teepod --check-host again");
	}
}

static void row_sgx(const struct host_check_input *in, struct host_check *r)
{
	bool enclave = in->facts->sgx_enclave, provision = in->facts->sgx_provision;

	if (enclave && provision) {
		found(r, CHECK_OK, "/dev/sgx_enclave, /dev/sgx_provision");
		return;
	}
	if (no_tdx_cpu(in->facts)) {
		found(r, CHECK_MISSING, "none: not an Intel CPU");
		return;
	}
	found(r, CHECK_MISSING, "no %s%s%s", enclave ? "" : "/dev/sgx_enclave",
	      enclave || provision ? "" : ", no ", provision ? "" : "/dev/sgx_provision");
	advise(r,
	       "quotes are signed in an enclave: BIOS, enable SGX (Software Guard Extensions) and "
	       "SGX Auto MP Registration");
}

static void row_qgs(const struct host_check_input *in, struct host_check *r)
{
	const struct host_facts *f = in->facts;

	switch (f->qgs) {
	case QGS_LISTENING:
		found(r, CHECK_OK, "%s accepts connections", f->qgs_path);
		return;
	case QGS_DENIED:
		found(r, CHECK_UNKNOWN, "this user may not connect to %s", f->qgs_path);
		advise(r, "QEMU's user needs access: add it to the socket's group, qgsd");
		return;
	case QGS_ABSENT:
		found(r, CHECK_MISSING, "no %s", f->qgs_path);
		advise(r, "install tdx-qgs, remove the line port= from /etc/qgs.conf, systemctl "
			  "enable --now qgsd. If it listens elsewhere: hypervisor.qgs_socket");
		return;
	case QGS_NO_SOCKET:
		found(r, CHECK_MISSING, "%s is not a socket", f->qgs_path);
		advise(r, "remove it and systemctl restart qgsd, or correct hypervisor.qgs_socket");
		return;
	case QGS_LONG:
		found(r, CHECK_MISSING, "%s is too long for a socket", f->qgs_path);
		advise(r, "107 bytes are the limit: let qgsd listen elsewhere");
		return;
	case QGS_NOT_LISTENING:
		found(r, CHECK_MISSING, "%s exists, but no process listens on it", f->qgs_path);
		advise(r, "systemctl restart qgsd; journalctl -u qgsd shows why it ended");
		return;
	}
}

static void row_vsock(const struct host_check_input *in, struct host_check *r)
{
	if (in->facts->vhost_vsock) {
		found(r, CHECK_OK, "/dev/vhost-vsock");
		return;
	}
	found(r, CHECK_MISSING, "no /dev/vhost-vsock");
	advise(r,
	       "modprobe vhost_vsock; for good: echo vhost_vsock > /etc/modules-load.d/vsock.conf");
}

/* ------------------------------------------------------------------ libvirt and QEMU */

/* "11.10.0" as libvirt numbers it. */
static unsigned long version_number(const char *text)
{
	unsigned long major = 0, minor = 0, patch = 0;

	(void)sscanf(text, "%4lu.%3lu.%3lu", &major, &minor, &patch);
	return major * 1000000 + minor * 1000 + patch;
}

static bool libvirt_is_new(const struct hv_caps *c)
{
	return version_number(c->libvirt) >= HV_TDX_LIBVIRT;
}

static bool qemu_is_new(const struct hv_caps *c)
{
	return version_number(c->qemu) >= HV_TDX_QEMU;
}

static void row_libvirt(const struct host_check_input *in, struct host_check *r)
{
	if (in->connecting) {
		found(r, CHECK_UNKNOWN, "connecting to %s", in->uri);
	} else if (in->link_error) {
		found(r, CHECK_MISSING, "%s: %s", in->uri, in->link_error);
		if (strstr(in->link_error, "Permission denied"))
			advise(r, "this user may not use libvirt: sudo -u teepod teepod "
				  "--check-host, or usermod -aG libvirt");
		else
			advise(r, "without it nothing runs: systemctl status libvirtd, and "
				  "hypervisor.uri");
	} else if (!libvirt_is_new(in->caps)) {
		found(r, CHECK_MISSING, "version %s, at %s", in->caps->libvirt, in->uri);
		advise(r, "install libvirt 11.10 or newer: older versions do not report "
			  "whether the host has TDX");
	} else {
		found(r, CHECK_OK, "version %s, at %s", in->caps->libvirt, in->uri);
	}
}

static void no_capabilities(struct host_check *r)
{
	found(r, CHECK_UNKNOWN, "the capabilities of libvirt are not known");
	advise(r, "see libvirt");
}

static void row_qemu(const struct host_check_input *in, struct host_check *r)
{
	if (!in->caps) {
		no_capabilities(r);
	} else if (!version_number(in->caps->qemu)) {
		found(r, CHECK_MISSING, "%s has no QEMU", in->uri);
		advise(r, "correct hypervisor.uri");
	} else if (!qemu_is_new(in->caps)) {
		found(r, CHECK_MISSING, "version %s%s%s", in->caps->qemu,
		      *in->caps->emulator ? ", " : "", in->caps->emulator);
		advise(r, "install QEMU 10.1 or newer, or name one with hypervisor.emulator");
	} else {
		found(r, CHECK_OK, "version %s%s%s", in->caps->qemu,
		      *in->caps->emulator ? ", " : "", in->caps->emulator);
	}
}

static void row_capabilities(const struct host_check_input *in, struct host_check *r)
{
	if (!in->caps) {
		no_capabilities(r);
	} else if (!version_number(in->caps->qemu)) {
		found(r, CHECK_MISSING, "%s has no QEMU", in->uri);
	} else if (in->caps->tdx) {
		found(r, CHECK_OK, "libvirt offers TDX guests");
	} else if (!libvirt_is_new(in->caps) || !qemu_is_new(in->caps)) {
		found(r, CHECK_UNKNOWN, "libvirt %s with QEMU %s does not report it",
		      in->caps->libvirt, in->caps->qemu);
		advise(r, "see libvirt and qemu");
	} else {
		found(r, CHECK_MISSING, "libvirt offers no TDX guests on this host");
		advise(r, "repair what is missing above; if nothing is, let libvirt probe QEMU "
			  "again: rm /var/cache/libvirt/qemu/capabilities/*.xml; systemctl restart "
			  "libvirtd");
	}
}

/* ------------------------------------------------------------------ what only some CVMs need */

static void row_firmware(const struct host_check_input *in, struct host_check *r)
{
	if (in->facts->firmware) {
		found(r, CHECK_OK, "%s", in->facts->firmware_path);
		return;
	}
	found(r, CHECK_WARN, "no %s", in->facts->firmware_path);
	advise(r, "only for images without firmware of their own: install ovmf-inteltdx, or your "
		  "distribution's TDX build of OVMF");
}

/* "2 MiB", "1 GiB" */
static void page_size(uint64_t kib, char out[32])
{
	if (kib >= 1 << 20)
		(void)snprintf(out, 32, "%" PRIu64 " GiB", kib >> 20);
	else if (kib >= 1 << 10)
		(void)snprintf(out, 32, "%" PRIu64 " MiB", kib >> 10);
	else
		(void)snprintf(out, 32, "%" PRIu64 " KiB", kib);
}

static void host_check_append(struct host_check *r, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

static void host_check_append(struct host_check *r, const char *fmt, ...)
{
	size_t n = strlen(r->value);
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(r->value + n, sizeof(r->value) - n, fmt, ap);
	va_end(ap);
}

static void numa_unknown(const struct host_facts *f, struct host_check *r)
{
	found(r, CHECK_UNKNOWN, "%s", f->numa_error);
}

static void row_hugepages(const struct host_check_input *in, struct host_check *r)
{
	const struct host_facts *f = in->facts;
	char size[32];

	if (!f->numa_known) {
		numa_unknown(f, r);
		return;
	}
	r->value[0] = '\0';
	for (size_t i = 0; i < f->numa.n; i++)
		for (size_t j = 0; j < f->numa.node[i].n_pages; j++) {
			const struct numa_pages *p = &f->numa.node[i].pages[j];

			if (!p->total)
				continue;
			page_size(p->size_kib, size);
			host_check_append(r, "%snode %u: %" PRIu64 " of %" PRIu64 " x %s free",
					  *r->value ? "; " : "", f->numa.node[i].id, p->free,
					  p->total, size);
		}
	if (*r->value) {
		r->state = CHECK_OK;
		return;
	}
	found(r, CHECK_WARN, "none reserved");
	advise(r, "only for CVMs with hugepages: kernel command line: default_hugepagesz=1G "
		  "hugepagesz=1G hugepages=N");
}

static void row_numa(const struct host_check_input *in, struct host_check *r)
{
	const struct host_facts *f = in->facts;

	if (!f->numa_known) {
		numa_unknown(f, r);
		return;
	}
	found(r, CHECK_OK, "%zu node%s: ", f->numa.n, f->numa.n == 1 ? "" : "s");
	for (size_t i = 0; i < f->numa.n; i++) {
		const struct numa_node *n = &f->numa.node[i];

		host_check_append(r, "%s%u with %u CPU%s and %" PRIu64 " MiB", i ? "; " : "", n->id,
				  n->cpus, n->cpus == 1 ? "" : "s", n->memory_mib);
	}
}

#define GPUS_ONLY "only for CVMs with GPUs: "

static void row_iommu(const struct host_check_input *in, struct host_check *r)
{
	const struct host_facts *f = in->facts;

	if (f->iommu == FACT_YES) {
		found(r, CHECK_OK, "%u groups", f->iommu_groups);
		return;
	}
	if (f->iommu == FACT_NO)
		found(r, CHECK_WARN, "no groups");
	else
		found(r, CHECK_UNKNOWN, "/sys/kernel/iommu_groups cannot be read");
	advise(r,
	       GPUS_ONLY "enable VT-d in the BIOS; kernel command line: intel_iommu=on iommu=pt");
}

static void row_vfio(const struct host_check_input *in, struct host_check *r)
{
	const struct host_facts *f = in->facts;

	if (f->vfio || f->iommufd) {
		found(r, CHECK_OK, "%s%s%s", f->vfio ? "/dev/vfio/vfio" : "",
		      f->vfio && f->iommufd ? ", " : "", f->iommufd ? "/dev/iommu" : "");
		return;
	}
	found(r, CHECK_WARN, "neither /dev/vfio/vfio nor /dev/iommu");
	advise(r, GPUS_ONLY
	       "modprobe vfio-pci; for good: echo vfio-pci > /etc/modules-load.d/vfio.conf");
}

/* All memory of a guest with a passed-through device is locked. libvirtd raises the limit of the
 * QEMUs that it starts. */
static void row_memlock(const struct host_check_input *in, struct host_check *r)
{
	const struct host_facts *f = in->facts;
	bool ours = !strncmp(in->uri, "qemu:///embed", 13);

	if (!ours) {
		found(r, CHECK_OK, "raised by libvirtd where a guest needs it");
	} else if (!f->memlock_known) {
		found(r, CHECK_UNKNOWN, "/proc/self/limits shows no limit of locked memory");
	} else if (f->memlock == UINT64_MAX) {
		found(r, CHECK_OK, "no limit");
	} else if (f->may_raise_memlock) {
		found(r, CHECK_OK, "%" PRIu64 " KiB, can be raised", f->memlock / 1024);
	} else {
		found(r, CHECK_WARN, "%" PRIu64 " KiB, and this process may not raise it",
		      f->memlock / 1024);
		advise(r, GPUS_ONLY
		       "give teepod CAP_SYS_RESOURCE, or LimitMEMLOCK=infinity in its unit");
	}
}

static void row_device_id(const struct host_check_input *in, struct host_check *r)
{
	if (*in->device_id) {
		found(r, CHECK_OK, "%s", in->device_id);
		return;
	}
	found(r, CHECK_WARN, "not known");
	advise(r, "only for CVMs with an on-chain KMS: set host.ppid, or host.device_id");
}

static void row_kernel(const struct host_check_input *in, struct host_check *r)
{
	if (*in->facts->kernel)
		found(r, CHECK_OK, "Linux %s", in->facts->kernel);
	else
		found(r, CHECK_UNKNOWN, "/proc/sys/kernel/osrelease cannot be read");
}

/* ------------------------------------------------------------------ all rows */

static const struct {
	const char *name;
	bool required;
	row_fn *fn;
} rows[] = {
	{ "cpu", true, row_cpu },
	{ "kvm", true, row_kvm },
	{ "kvm_intel.tdx", true, row_kvm_tdx },
	{ "tdx_module", true, row_module },
	{ "tdx_keyids", true, row_keyids },
	{ "sgx", true, row_sgx },
	{ "qgs", true, row_qgs },
	{ "vhost_vsock", true, row_vsock },
	{ "libvirt", true, row_libvirt },
	{ "qemu", true, row_qemu },
	{ "domain_capabilities", true, row_capabilities },
	{ "tdx_firmware", false, row_firmware },
	{ "kernel", false, row_kernel },
	{ "numa", false, row_numa },
	{ "hugepages", false, row_hugepages },
	{ "iommu", false, row_iommu },
	{ "vfio", false, row_vfio },
	{ "memlock", false, row_memlock },
	{ "device_id", false, row_device_id },
};

_Static_assert(sizeof(rows) / sizeof(rows[0]) == HOST_CHECKS, "HOST_CHECKS is the number of rows");

void host_check(const struct host_check_input *in, struct host_check ret[HOST_CHECKS])
{
	assert(in->caps || in->link_error);
	for (size_t i = 0; i < HOST_CHECKS; i++) {
		ret[i] = (struct host_check){ .name = rows[i].name, .required = rows[i].required };
		rows[i].fn(in, &ret[i]);
	}
}

struct host_verdict host_verdict(const struct host_check checks[HOST_CHECKS])
{
	struct host_verdict v = { 0 };

	for (size_t i = 0; i < HOST_CHECKS; i++) {
		v.required += checks[i].required;
		v.missing += checks[i].required && checks[i].state == CHECK_MISSING;
		v.unknown += checks[i].required && checks[i].state == CHECK_UNKNOWN;
	}
	return v;
}
